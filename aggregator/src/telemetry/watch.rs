//! The thread that reads, once a second, and whom nobody waits for.

use super::{Device, Reading, Root, pids, sysfs};
use crate::counters::Counters;
use crate::host::Now;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two rounds of reading.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Arc<Reading>>,
    /// Readings told so far.
    number: AtomicU64,
    stop: Mutex<bool>,
    stopping: Condvar,
}

/// The last reading. Dropping it ends the thread, without waiting for it: it may hang in a read.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    seen: u64,
}

impl Watch {
    /// Begins to read. Where no thread can be had, nothing is ever told, and a line says so.
    pub fn start(root: Root) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let started = std::thread::Builder::new().name("telemetry".into()).spawn(move || read_on(&root, &theirs));
        if let Err(error) = started {
            tracing::warn!(%error, "no thread to read the devices' telemetry: it is unknown");
        }
        Self { shared, seen: 0 }
    }

    /// The last reading, if there is one that this did not tell yet. Never waits.
    pub fn news(&mut self) -> Option<Arc<Reading>> {
        // SYNC(telemetry.number): the reading with this number is there; pairs with the Release in `tell`.
        let number = self.shared.number.load(Acquire);
        if number == self.seen {
            return None;
        }
        // Held for the moment of a copied pointer; were it held now, the next round asks again.
        let told = Arc::clone(&*self.shared.told.try_lock().ok()?);
        self.seen = number;
        Some(told)
    }

    /// As [`news`](Self::news), waiting so long for a reading of every device.
    pub fn first(&mut self, patience: Duration) -> Option<Arc<Reading>> {
        let until = Instant::now() + patience;
        loop {
            let news = self.news();
            if news.as_ref().is_some_and(|reading| reading.is_whole) || Instant::now() > until {
                return news;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.stopping.notify_all();
    }
}

fn tell(shared: &Shared, reading: &Reading) {
    *shared.told.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(reading.clone());
    // Relaxed: only this thread counts.
    let number = shared.number.load(Relaxed) + 1;
    // SYNC(telemetry.number): publishes that there is a new reading; pairs with the Acquire in `news`.
    shared.number.store(number, Release);
}

fn read_on(root: &Root, shared: &Shared) {
    let mut counters = Counters::new(root.clone());
    let mut reading = Reading::default();
    let mut stop = shared.stop.lock().unwrap_or_else(PoisonError::into_inner);
    while !*stop {
        drop(stop);
        // These cannot hang, so they are told before anything that can.
        (reading.regions, reading.unread_regions) = counters.read();
        let numbers = sysfs::numbers(root);
        reading.devices.retain(|device| numbers.contains(&device.telemetry.number));
        for number in numbers {
            // What the others told stays, with its age, should this one not answer.
            tell(shared, &reading);
            let (arch, mut telemetry) = sysfs::read(root, number, Now::read().unix_ns);
            let (open_by, all) = pids::read(root, number).unwrap_or((Vec::new(), shm_layout::stats::UNKNOWN));
            telemetry.open_by = all;
            let device = Device { arch, telemetry, open_by };
            match reading.devices.iter_mut().find(|known| known.telemetry.number == number) {
                Some(known) => *known = device,
                None => reading.devices.push(device),
            }
        }
        reading.is_whole = true;
        tell(shared, &reading);
        stop = shared.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if !*stop {
            stop = shared.stopping.wait_timeout(stop, EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
