//! One ring: made, pushed into, closed.

use crate::clock::{self, LOOK_EVERY, Stamp};
use crate::environment::Options;
use crate::growth::{Growth, Reach, overflow, push_beyond};
use crate::host::Undisturbed;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};
use shm_layout::event::{EVENT_BYTES, Event};
use shm_layout::ledger;
use shm_layout::leftover;
use shm_layout::locks::{self, Lock};
use shm_layout::names::{DIRECTORY, Prefix, ProcessFile, Role};
use shm_layout::procfs;
use shm_layout::ring::{
    CLOSED_CLEAN, DropTable, FIRST_SECTION_OFFSET, HEADER_BYTES, Identity, Producer, Push, RECORDS_OFFSET, RingHeader,
    SOURCE_OWN, records_offset, ring_bytes,
};
use shm_layout::segment::{self, Created, SegmentError};
use shm_layout::text;

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The file could not be made.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The owner lock could not be taken.
    #[error(
        "{name}: cannot take its owner lock: {errno}; start the program again: somebody had locked the new file (EAGAIN), the program had closed it (EBADF), or memory for locks is short (ENOLCK)"
    )]
    Lock {
        /// File name.
        name: String,
        /// The system's answer.
        errno: nix::errno::Errno,
    },
    /// A number of slots that is no power of two, or more than there are addresses for. Of the environment's sizes none is.
    #[error("a ring of {slots} records cannot be laid out; give Options::slots a power of two from 64 to 16777216")]
    Geometry {
        /// Slots asked for.
        slots: u64,
    },
}

/// A ring that this process writes.
#[derive(Debug)]
pub struct Ring {
    created: Created,
    prefix: Prefix,
    file: ProcessFile,
    slots: u64,
    stamp: Stamp,
    first_touched: Touched,
    pub(crate) growth: Growth,
}

/// Slots of a section, from the first on, whose pages were touched. Only grows.
#[derive(Debug)]
pub(crate) struct Touched(pub(crate) AtomicU64);

/// Slots that are pre-faulted at once: 64 KiB of records, some 10 to 20 microseconds.
pub(crate) const STRIDE: u64 = 1024;

impl Ring {
    /// Makes the ring of this process: reserved, locked, announced, in this order.
    ///
    /// # Errors
    /// See [`CreateError`]; nothing is left behind.
    pub fn create(options: &Options) -> Result<Self, CreateError> {
        let _host = Undisturbed::begin();
        if !options.slots.is_power_of_two() {
            return Err(CreateError::Geometry { slots: options.slots });
        }
        let (pid, uid) = (std::process::id(), nix::unistd::geteuid().as_raw());
        let bytes =
            usize::try_from(ring_bytes(options.slots)).map_err(|_| CreateError::Geometry { slots: options.slots })?;
        let nonce = nonce();
        let file = ProcessFile { role: Role::Ring, uid, pid, nonce };
        let name = file.name(&options.prefix);
        let prefaulted = (2 * STRIDE).min(options.slots);
        let created = segment::create_in_part(&name, bytes, RECORDS_OFFSET + prefaulted as usize * EVENT_BYTES)?;
        let ring = Self {
            created,
            prefix: options.prefix.clone(),
            file,
            slots: options.slots,
            stamp: Stamp::of(options.clock),
            first_touched: Touched(AtomicU64::new(prefaulted)),
            growth: Growth::new(options.most_slots),
        };
        match locks::try_take(&ring.created.file, Lock::Owner) {
            Ok(true) => {}
            other => {
                ring.created.remove();
                let errno = other.err().unwrap_or(nix::errno::Errno::EAGAIN);
                return Err(CreateError::Lock { name, errno });
            }
        }
        let Some(header) = ring.parts().map(|parts| parts.header) else {
            ring.created.remove();
            return Err(CreateError::Geometry { slots: options.slots });
        };
        // Relaxed: published with the identity.
        header.sections[0].slots.store(options.slots, Relaxed);
        header.section_count.store(1, Relaxed);
        let (created_ticks, created_monotonic_ns) = clock::moment();
        header.announce(&Identity {
            pid,
            uid,
            start_ticks: procfs::stat("self").map_or(0, |stat| stat.start_ticks),
            boot_id: procfs::boot_id(),
            pid_namespace: procfs::pid_namespace("self"),
            clock: ring.stamp.number(),
            created_monotonic_ns,
            created_unix_ns: clock::unix_ns(),
            nonce,
            name: text::store(procfs::read_bounded("/proc/self/comm", 64).unwrap_or_default().trim_ascii_end()),
            created_ticks,
            source: SOURCE_OWN,
            ..Identity::with_slots(options.slots)
        });
        leftover::collect_in_passing(&options.prefix, uid);
        Ok(ring)
    }

    /// What is done at every 64th event of a section and not at each.
    #[cold]
    pub(crate) fn look(&self, seq: u64, header: &RingHeader<AtomicU64>, touched: &Touched, reach: &Reach<'_>) {
        if self.stamp == Stamp::Shared {
            clock::look(header);
        }
        // Relaxed: a number that nothing is read through; whoever moves it touches the pages.
        let done = touched.0.load(Relaxed);
        let near = done < reach.slots && seq + STRIDE / 2 >= done;
        if near && touched.0.compare_exchange(done, done + STRIDE, Relaxed, Relaxed).is_ok() {
            let records = records_offset(reach.offset);
            reach.mapping.prefault(records + done as usize * EVENT_BYTES, STRIDE as usize * EVENT_BYTES);
        }
    }

    fn parts(&self) -> Option<Parts<'_>> {
        let mapping = &self.created.mapping;
        let header = mapping.one::<RingHeader<AtomicU64>>(0)?;
        let drops = mapping.one::<DropTable<AtomicU64>>(HEADER_BYTES)?;
        Some(Parts { header, drops, producer: self.first().producer(header, 0)? })
    }

    /// The file of this ring.
    pub(crate) fn created(&self) -> &Created {
        &self.created
    }

    /// The ring's header.
    pub(crate) fn header(&self) -> &RingHeader<AtomicU64> {
        self.hot().header
    }

    /// Where section 0 lies.
    pub(crate) fn first(&self) -> Reach<'_> {
        Reach { mapping: &self.created.mapping, offset: FIRST_SECTION_OFFSET, slots: self.slots }
    }

    /// Every record before this one is in a ledger, or was read by somebody who left none; `None` if that cannot be told. While nobody
    /// reads.
    pub(crate) fn read_so_far(&self) -> Option<u64> {
        let ledger = self.file.of_role(Role::Ledger).name(&self.prefix);
        let applied = ledger::applied(&ledger, &[0, self.file.uid], self.file.nonce).ok()?;
        // Relaxed: nobody stores it now.
        Some(applied.unwrap_or_else(|| self.header().cursor.load(Relaxed)))
    }

    /// The ring's three parts, for a hot path that wants to look them up once.
    ///
    /// # Panics
    /// Never: `create` has looked them up before.
    pub(crate) fn hot(&self) -> Parts<'_> {
        match self.parts() {
            Some(parts) => parts,
            None => unreachable!("the geometry was checked when the ring was made"),
        }
    }

    /// Writes one event with the time of now; if the ring is full, makes room (compacts it or
    /// goes on in a further section), or counts what is lost. Waits for no reader; for another thread that makes room meanwhile, at
    /// most 100 ms (`PATIENCE` in growth.rs).
    pub fn record(&self, event: Event) {
        self.writer().record(event);
    }

    /// The file's name in its parts, and who wrote it: for the files beside it.
    pub(crate) fn names(&self) -> (&Prefix, ProcessFile, Identity) {
        (&self.prefix, self.file, self.header().identity())
    }

    /// File name in /dev/shm.
    pub fn name(&self) -> &str {
        &self.created.name
    }

    /// Records that did not fit so far.
    pub fn dropped(&self) -> u64 {
        // Relaxed: a counter.
        self.hot().header.dropped.load(Relaxed)
    }

    /// Counts events that came while there was no ring yet and could not wait for it.
    pub(crate) fn count_lost_before(&self, events: u64) {
        if events > 0 {
            let header = self.hot().header;
            // Relaxed: a counter. What they were is not known, as with lost controls.
            header.lost_controls.fetch_add(events, Relaxed);
            // SYNC(ring.dropped): as in `count_lost`.
            header.dropped.fetch_add(events, Release);
        }
    }

    /// Ends the ring in good order. With nobody attached the file goes at once: what its process held died with it.
    /// Otherwise the aggregator reads it to its end and removes it.
    pub fn close(&self) {
        let _host = Undisturbed::begin();
        // SYNC(ring.closed): after the last record; pairs with the Acquire in the aggregator's attach.rs `closed`.
        self.hot().header.closed.store(CLOSED_CLEAN, Release);
        let ours = self.created.has_its_descriptor();
        if ours && matches!(locks::holder(&self.created.file, Lock::Consumer), Ok(None)) {
            leftover::remove_stacks(&self.prefix, &self.file);
            self.created.remove();
            // An aggregator of this user that ended before us has left our ledger for its successor.
            let ledger = self.file.of_role(Role::Ledger).name(&self.prefix);
            let _removed = nix::unistd::unlink(format!("{DIRECTORY}/{ledger}").as_str());
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a RingHeader<AtomicU64>,
    pub(crate) drops: &'a DropTable<AtomicU64>,
    producer: Producer<'a, AtomicU64>,
}

/// The ring's parts, looked up once: for whoever writes many events.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    parts: Parts<'a>,
    stamp: Stamp,
    ring: &'a Ring,
}

impl Ring {
    /// A way to write without looking the ring's parts up at each event.
    pub fn writer(&self) -> Writer<'_> {
        Writer { parts: self.hot(), stamp: self.stamp, ring: self }
    }
}

impl Writer<'_> {
    /// Writes one event with the time of now; if the ring is full, makes room (compacts it or
    /// goes on in a further section), or counts what is lost. Waits for no reader; for another thread that makes room meanwhile, at
    /// most 100 ms (`PATIENCE` in growth.rs).
    #[inline(always)]
    pub fn record(&self, mut event: Event) {
        let Parts { header, producer, .. } = &self.parts;
        event.time = self.stamp.time(header);
        match producer.push(&event) {
            Push::Written(seq) if seq & (LOOK_EVERY - 1) == 0 => {
                self.ring.look(seq, header, &self.ring.first_touched, &self.ring.first());
            }
            Push::Written(_) => {}
            Push::Full => {
                let [_, time, id, address, size, footprint, place, about] = event.to_words();
                overflow(self.ring, time, id, address, size, footprint, place, about);
            }
        }
    }
}

impl Writer<'_> {
    /// As [`record`](Self::record), of what may be written later as well: it is not counted where there is no room. Whether it is there.
    pub(crate) fn try_record(&self, mut event: Event) -> bool {
        let Parts { header, producer, .. } = &self.parts;
        event.time = self.stamp.time(header);
        match producer.push(&event) {
            Push::Written(seq) => {
                if seq & (LOOK_EVERY - 1) == 0 {
                    self.ring.look(seq, header, &self.ring.first_touched, &self.ring.first());
                }
                true
            }
            Push::Full => push_beyond(self.ring, header, &event),
        }
    }
}

/// Counts a record that did not fit.
pub(crate) fn count_lost(header: &RingHeader<AtomicU64>, drops: &DropTable<AtomicU64>, event: &Event) {
    // Relaxed: counters.
    if !drops.count(event) {
        header.lost_controls.fetch_add(1, Relaxed);
    }
    // SYNC(ring.dropped): publishes the cells; pairs with the Acquire in the aggregator's attach.rs `dropped`.
    header.dropped.fetch_add(1, Release);
}

/// A number that tells this ring from every other with the same pid.
fn nonce() -> u64 {
    let mut bytes = [0; 8];
    // SAFETY: getrandom fills at most the eight bytes given.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if got == 8 { u64::from_ne_bytes(bytes) } else { clock::monotonic_ns() ^ clock::unix_ns().rotate_left(32) }
}
