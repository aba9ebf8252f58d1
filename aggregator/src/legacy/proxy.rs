//! A ring that the listener writes on behalf of a process that speaks to the socket. Discovery, reading, ledger and death are then
//! as with any other ring.
//!
//! The aggregator reads the file in the same process, by a descriptor of its own, and holds POSIX locks on it: closing any other
//! descriptor of it here would end them. So a proxy keeps its own until the file has no name any more ([`Proxy::is_over`]).

use super::ledgers;
use super::table::is_unknown;
use crate::sigbus::Guarded;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::procfs;
use shm_layout::ring::{
    CLOCK_MONOTONIC_NS, CLOSED_CLEAN, DropTable, FIRST_SECTION_OFFSET, HEADER_BYTES, Identity, Producer, Push,
    RingHeader, SOURCE_PROXY, Slot, records_offset, ring_bytes,
};
use shm_layout::segment::{self, Access, Expect, SegmentError, remove_if_same};
use shm_layout::text;

/// Records in a ring: 128 KiB. What does not fit for a moment waits in the listener's memory.
const SLOTS: u64 = 2048;

/// How the nonce of a proxy's ring begins, so that it is known by its name.
const MARK: u64 = 0x50AC << 48;
const MARK_BITS: u64 = 0xFFFF << 48;

/// The process that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Pid, here.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its start, clock ticks after boot.
    pub start_ticks: u64,
}

/// A ring, written.
#[derive(Debug)]
pub struct Proxy {
    opened: Guarded,
    /// Its name, taken apart.
    pub file: ProcessFile,
}

impl Proxy {
    /// A new ring.
    ///
    /// # Errors
    /// When it cannot be made; nothing is left behind then.
    pub fn create(prefix: &Prefix, about: About, monotonic_ns: u64, unix_ns: u64) -> Result<Self, SegmentError> {
        let uid = nix::unistd::geteuid().as_raw();
        let file = ProcessFile { role: Role::Ring, uid, pid: about.pid, nonce: nonce(monotonic_ns, unix_ns) };
        let name = file.name(prefix);
        let bytes = ring_bytes(SLOTS);
        let created = segment::create(&name, usize::try_from(bytes).unwrap_or(usize::MAX))?;
        // Guarded as what others own is: this user's processes can cut it short. The first descriptors go before anybody has a
        // lock on the file.
        let opened = open(&name, uid).inspect_err(|_| created.remove())?;
        drop(created);
        let proxy = Self { opened, file };
        let Some(header) = proxy.header() else {
            remove_if_same(&name, proxy.opened.inode);
            return Err(SegmentError::Size { name, found: bytes });
        };
        // Relaxed: published with the identity.
        header.sections[0].slots.store(SLOTS, Relaxed);
        header.section_count.store(1, Relaxed);
        let comm = procfs::read_bounded(&format!("/proc/{}/comm", about.pid), 64).unwrap_or_default();
        header.announce(&Identity {
            pid: about.pid,
            uid,
            start_ticks: about.start_ticks,
            boot_id: procfs::boot_id(),
            pid_namespace: procfs::pid_namespace("self"),
            clock: CLOCK_MONOTONIC_NS,
            created_monotonic_ns: monotonic_ns,
            created_unix_ns: unix_ns,
            nonce: file.nonce,
            name: text::store(comm.trim_ascii_end()),
            source: SOURCE_PROXY,
            client_uid: about.uid,
            ..Identity::with_slots(SLOTS)
        });
        Ok(proxy)
    }

    /// Goes on in the ring that an earlier aggregator made for this process, if there is one.
    pub fn adopt(prefix: &Prefix, about: About) -> Option<Self> {
        let uid = nix::unistd::geteuid().as_raw();
        let of_it = |file: &ProcessFile| {
            (file.role, file.uid, file.pid, file.nonce & MARK_BITS) == (Role::Ring, uid, about.pid, MARK)
        };
        procfs::process_files(prefix).into_iter().filter(of_it).find_map(|file| {
            // Asked of the ledger first: what is opened here stays open, see above.
            if ledgers::start_ticks(prefix, &file).is_some_and(|start| start != about.start_ticks) {
                return None;
            }
            let proxy = Self { opened: open(&file.name(prefix), uid).ok()?, file };
            let known = proxy.header()?.identity();
            let same = known.check(ring_bytes(SLOTS)).is_ok()
                && (known.source, known.pid, known.start_ticks, known.nonce)
                    == (SOURCE_PROXY, about.pid, about.start_ticks, file.nonce);
            if !same {
                core::mem::forget(proxy);
                return None;
            }
            Some(proxy)
        })
    }

    fn header(&self) -> Option<&RingHeader<AtomicU64>> {
        self.opened.mapping.one(0)
    }

    fn producer(&self) -> Option<Producer<'_, AtomicU64>> {
        let slots = self.opened.mapping.array::<Slot<AtomicU64>>(records_offset(FIRST_SECTION_OFFSET), SLOTS as usize);
        Producer::new(&self.header()?.sections[0].claim, slots?)
    }

    /// Writes a record. False if there is no room.
    pub fn push(&self, event: &Event) -> bool {
        self.producer().is_some_and(|producer| matches!(producer.push(event), Push::Written(_)))
    }

    /// Number of the record that is written next.
    pub fn next(&self) -> u64 {
        self.producer().map_or(0, |producer| producer.next())
    }

    /// Whether everything written is in the ledger.
    pub fn is_read(&self) -> bool {
        // SYNC(ring.cursor): the ledger lists what was read up to here; pairs with the Release in the aggregator's attach.rs
        // `set_cursor`, which follows the ledger's commit.
        self.header().is_none_or(|header| header.cursor.load(Acquire) >= self.next())
    }

    /// Counts a record that could not be written; totals stay exact.
    pub fn count_lost(&self, event: &Event) {
        let (Some(header), Some(drops)) =
            (self.header(), self.opened.mapping.one::<DropTable<AtomicU64>>(HEADER_BYTES))
        else {
            return;
        };
        // Nothing was freed by a free of something unknown.
        // Relaxed: counters.
        if is_unknown(event) || !drops.count(event) {
            header.lost_controls.fetch_add(1, Relaxed);
        }
        // SYNC(ring.dropped): as in the producer's ring.rs `count_lost`.
        header.dropped.fetch_add(1, Release);
    }

    /// Counts events of which nothing is known.
    pub fn count_unknown(&self, events: u64) {
        let Some(header) = self.header().filter(|_| events > 0) else { return };
        // Relaxed: a counter.
        header.lost_controls.fetch_add(events, Relaxed);
        // SYNC(ring.dropped): as above.
        header.dropped.fetch_add(events, Release);
    }

    /// Publishes what an earlier aggregator had claimed and was killed before it wrote it.
    pub fn mend(&self) {
        let nothing = Event::new(Kind::Tag, Memory::Dram, 0);
        if let (Some(header), Some(producer)) = (self.header(), self.producer()) {
            // Relaxed: only where to begin.
            producer.mend(header.cursor.load(Relaxed), &nothing);
        }
    }

    /// Says whether the process holds nothing and is not connected: then its end is one in good order.
    pub fn set_closed(&self, closed: bool) {
        if let Some(header) = self.header() {
            // SYNC(ring.closed): as in the producer's ring.rs `close`.
            header.closed.store(if closed { CLOSED_CLEAN } else { 0 }, Release);
        }
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        // SYNC(ring.closed): nothing to see but its own store.
        self.header().is_some_and(|header| header.closed.load(Acquire) == CLOSED_CLEAN)
    }

    /// Whether the file was cut short, so that nobody reads what is written.
    pub fn is_lost(&self) -> bool {
        self.opened.faulted()
    }

    /// Whether the file has no name any more: the aggregator is done with it.
    pub fn is_over(&self) -> bool {
        nix::sys::stat::fstat(&self.opened.file).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Removes the file, which no aggregator has taken.
    pub fn remove(&self) {
        remove_if_same(&self.opened.name, self.opened.inode);
    }
}

fn open(name: &str, uid: u32) -> Result<Guarded, SegmentError> {
    let bytes = ring_bytes(SLOTS);
    let opened = segment::open(name, Access::ReadWrite, Expect { owners: &[uid], least: bytes, most: bytes })?;
    Guarded::new(opened).ok_or_else(|| SegmentError::Io {
        name: name.to_owned(),
        doing: "guard",
        source: std::io::Error::other("too many mappings"),
    })
}

fn nonce(monotonic_ns: u64, unix_ns: u64) -> u64 {
    let mut bytes = [0; 8];
    let got =
        std::fs::File::open("/dev/urandom").and_then(|mut random| std::io::Read::read_exact(&mut random, &mut bytes));
    let random = match got {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => monotonic_ns ^ unix_ns.rotate_left(32),
    };
    random & !MARK_BITS | MARK
}
