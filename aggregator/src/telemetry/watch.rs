//! The threads that read, once a second, and whom nobody waits for: one the driver's devices, of which each may hang, one tt-metal's
//! counters, which cannot.

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

/// The last reading. Dropping it ends the threads, without waiting for them: one may hang in a read.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    seen: u64,
}

impl Watch {
    /// Begins to read. Where no thread can be had, nothing is ever told, and a line says so.
    pub fn start(root: Root) -> Self {
        let shared = Arc::new(Shared::default());
        let begin = |name: &str, read: fn(&Root, &Shared)| {
            let (root, theirs) = (root.clone(), Arc::clone(&shared));
            let started = std::thread::Builder::new().name(name.into()).spawn(move || read(&root, &theirs));
            if let Err(error) = started {
                tracing::warn!(%error, "no thread to read the {name}: it is unknown");
            }
        };
        begin("telemetry", read_devices);
        begin("counters", read_counters);
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
        let mut last = None;
        loop {
            last = self.news().or(last);
            if last.as_ref().is_some_and(|reading| reading.is_whole()) || Instant::now() > until {
                return last;
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

/// Tells what is known now with this change.
fn tell(shared: &Shared, change: impl FnOnce(&mut Reading)) {
    let mut told = shared.told.lock().unwrap_or_else(PoisonError::into_inner);
    change(Arc::make_mut(&mut told));
    // Relaxed: counted under the lock.
    let number = shared.number.load(Relaxed) + 1;
    // SYNC(telemetry.number): publishes that there is a new reading; pairs with the Acquire in `news`.
    shared.number.store(number, Release);
}

/// Does it again and again until it is to stop.
fn each_second(shared: &Shared, mut read: impl FnMut()) {
    let mut stop = shared.stop.lock().unwrap_or_else(PoisonError::into_inner);
    while !*stop {
        drop(stop);
        read();
        stop = shared.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if !*stop {
            stop = shared.stopping.wait_timeout(stop, EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn read_counters(root: &Root, shared: &Shared) {
    let mut counters = Counters::new(root.clone());
    each_second(shared, || {
        let told = Arc::clone(&*shared.told.lock().unwrap_or_else(PoisonError::into_inner));
        let users = told.devices.iter().flat_map(|device| &device.open_by).map(|person| person.uid).collect();
        drop(told);
        let (regions, unread) = counters.read(&users);
        tell(shared, |reading| {
            (reading.regions, reading.unread_regions) = (regions.into(), unread);
            reading.has_counters = true;
        });
    });
}

fn read_devices(root: &Root, shared: &Shared) {
    each_second(shared, || {
        let numbers = sysfs::numbers(root);
        tell(shared, |reading| reading.devices.retain(|device| numbers.contains(&device.telemetry.number)));
        for number in numbers {
            let (arch, mut telemetry) = sysfs::read(root, number, Now::read().unix_ns);
            let (open_by, all) = pids::read(root, number).unwrap_or((Vec::new(), shm_layout::stats::UNKNOWN));
            telemetry.open_by = all;
            let device = Device { arch, telemetry, open_by };
            // What the others told stays, with its age, should the next one not answer.
            tell(shared, |reading| match reading.devices.iter_mut().find(|known| known.telemetry.number == number) {
                Some(known) => *known = device,
                None => reading.devices.push(device),
            });
        }
        tell(shared, |reading| reading.has_devices = true);
    });
}
