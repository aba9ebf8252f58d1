//! The ledgers: every live allocation of every process, read while the aggregator goes on writing.

use aggregator::sigbus::Guarded;
use shm_layout::event::{Event, Memory, flags};
use shm_layout::ledger::{
    DYING, ENTRIES_OFFSET, Entries, Identity, IdentityError, LedgerHeader, LedgerState, STATE_WORDS, TAGS_OFFSET,
    TagNames, state_offset,
};
use shm_layout::names::{DIRECTORY, Prefix, ProcessFile, Role};
use shm_layout::procfs;
use shm_layout::ring::Slot;
use shm_layout::segment::{Access, Expect, Mapping, SegmentError, open};
use shm_layout::tag::{Name, TAGS};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Looks at the state block before it is taken as it is.
const TRIES: usize = 16;

/// Why a ledger is not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file is not as it should be.
    #[error("{DIRECTORY}/{0}; its process is left out")]
    Segment(#[from] SegmentError),
    /// Not a ledger that this build reads.
    #[error("{DIRECTORY}/{name}: {error}; its process is left out")]
    Foreign {
        /// File name.
        name: String,
        /// What is wrong.
        error: IdentityError,
    },
    /// The header does not fit the file.
    #[error("{DIRECTORY}/{name}: shorter than a ledger; its process is left out")]
    Short {
        /// File name.
        name: String,
    },
    /// As many are open as can be guarded against being cut short.
    #[error("{DIRECTORY}/{name}: too many ledgers are open; its process is left out")]
    TooMany {
        /// File name.
        name: String,
    },
    /// The file is of another process than its name says.
    #[error("{DIRECTORY}/{name}: its header names another process than its file name; its process is left out")]
    Mismatch {
        /// File name.
        name: String,
    },
}

/// One live allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The record that announced it.
    pub event: Event,
    /// Its memory kind.
    pub memory: Memory,
    /// Unique id of the chip; `None` when the process never told it.
    pub chip_id: Option<u64>,
    pub(crate) tag: Option<Arc<str>>,
}

impl Allocation {
    /// Whether the flag is set; see [`shm_layout::event::flags`].
    pub const fn has(&self, flag: u16) -> bool {
        self.event.flags & flag != 0
    }

    /// Since it was allocated, ns.
    pub const fn age_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.event.time)
    }

    /// The phase that its process was in, by the name that it gave it; `#7` where number 7 has no name (its record was dropped).
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The thread that allocated, if the record tells; with [`flags::STACK`] its stack does.
    pub fn thread(&self) -> Option<u32> {
        Some(self.event.thread).filter(|thread| *thread != 0 && !self.has(flags::STACK))
    }

    /// Bytes asked for; `None` when the source did not know.
    pub const fn size(&self) -> Option<u64> {
        if self.has(flags::SIZE_UNKNOWN) { None } else { Some(self.event.size) }
    }
}

/// The ledger of one process.
#[derive(Debug)]
pub struct Ledger {
    identity: Identity,
    opened: Guarded,
}

impl Ledger {
    /// Opens a ledger; only root's and the viewer's own are believed, as they are the aggregator's.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn open(prefix: &Prefix, file: &ProcessFile, owners: &[u32]) -> Result<Self, LedgerError> {
        let name = file.of_role(Role::Ledger).name(prefix);
        let opened = open(&name, Access::Read, Expect { owners, least: ENTRIES_OFFSET as u64, most: u64::MAX })?;
        let opened = Guarded::new(opened).ok_or_else(|| LedgerError::TooMany { name: name.clone() })?;
        let header: &LedgerHeader<AtomicU64> =
            opened.mapping.one(0).ok_or_else(|| LedgerError::Short { name: name.clone() })?;
        let identity = header.identity();
        if opened.faulted() {
            return Err(LedgerError::Short { name });
        }
        identity.check().map_err(|error| LedgerError::Foreign { name: name.clone(), error })?;
        let same = (identity.uid, identity.ring_pid, identity.nonce) == (file.uid, file.pid, file.nonce);
        if same { Ok(Self { identity, opened }) } else { Err(LedgerError::Mismatch { name }) }
    }

    /// Whose it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The ring that it is about.
    pub const fn ring(&self) -> ProcessFile {
        let Identity { uid, ring_pid, nonce, .. } = self.identity;
        ProcessFile { role: Role::Ring, uid, pid: ring_pid, nonce }
    }

    /// Name of the process while it lives; empty afterwards.
    pub fn process_name(&self) -> String {
        let pid = self.identity.pid.to_string();
        let same = procfs::stat(&pid).is_some_and(|stat| stat.start_ticks == self.identity.start_ticks);
        let name = same.then(|| procfs::read_bounded(&format!("/proc/{pid}/comm"), 64).ok()).flatten();
        name.map(|bytes| shm_layout::text::clean(bytes.trim_ascii_end())).unwrap_or_default()
    }

    /// Whether the file was cut short while it was read: then what was read of it is not all.
    pub fn was_cut_short(&self) -> bool {
        self.opened.faulted()
    }

    /// Its devices and accounts, as of now.
    pub fn state(&self) -> LedgerState {
        state(&self.opened.mapping)
    }

    /// Every allocation that is live now, in no order.
    pub fn allocations(&self) -> Vec<Allocation> {
        self.allocations_most(usize::MAX).unwrap_or_default()
    }

    /// The same if there are at most so many; of more, no more than one beyond is read.
    pub fn allocations_most(&self, most: usize) -> Option<Vec<Allocation>> {
        let mapping = &self.opened.mapping;
        let devices = state(mapping).devices;
        let in_file = mapping.len().saturating_sub(ENTRIES_OFFSET) / size_of::<Slot<AtomicU64>>();
        let header: Option<&LedgerHeader<AtomicU64>> = mapping.one(0);
        let count = header.map_or(0, |header| header.capacity().min(in_file));
        let Some(slots) = mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, count) else { return Some(Vec::new()) };
        let entries = Entries(slots);
        let live = (0..count).filter_map(|at| entries.get(at)).filter(|event| event.kind != DYING);
        let table = mapping.one::<TagNames<AtomicU64>>(TAGS_OFFSET);
        let mut names: [Option<Arc<str>>; TAGS] = [const { None }; TAGS];
        let live = live.filter_map(|event| {
            let device = devices.iter().find(|device| device.device == event.device);
            let chip_id = device.filter(|device| device.id_is_logical == 0).map(|device| device.chip_id);
            let number = event.tag_number();
            // After the entry: a name is there before what is told under it.
            let tag = (number != 0).then(|| {
                let name = || table.and_then(|table| table.get(number)).as_ref().map(Name::text);
                names[usize::from(number)]
                    .get_or_insert_with(|| name().unwrap_or_else(|| format!("#{number}")).into())
                    .clone()
            });
            Some(Allocation { event, memory: Memory::from_u8(event.memory)?, chip_id, tag })
        });
        all_of(live, most)
    }
}

/// All of these if they are at most so many; of more, no more than one beyond is taken.
fn all_of<T>(mut from: impl Iterator<Item = T>, most: usize) -> Option<Vec<T>> {
    let all = from.by_ref().take(most).collect();
    from.next().is_none().then_some(all)
}

/// The state block in force; an empty state where there is none to be had.
fn state(mapping: &Mapping) -> LedgerState {
    let Some(header) = mapping.one::<LedgerHeader<AtomicU64>>(0) else { return LedgerState::default() };
    for _ in 0..TRIES {
        let (applied, block) = header.committed();
        let words = mapping.array::<AtomicU64>(state_offset(block), STATE_WORDS).unwrap_or_default();
        // Relaxed: the block in force is not written while it is in force; checked by the second look.
        let copy: Vec<u64> = words.iter().map(|word| word.load(Relaxed)).collect();
        if header.committed() == (applied, block) {
            return LedgerState::decode(&copy).unwrap_or_default();
        }
    }
    LedgerState::default()
}

/// Every ledger of this prefix that can be read, and what is wrong with the others.
pub fn ledgers(prefix: &Prefix, owners: &[u32]) -> (Vec<Ledger>, Vec<LedgerError>) {
    let (mut readable, mut refused) = (Vec::new(), Vec::new());
    for file in procfs::process_files(prefix).iter().filter(|file| file.role == Role::Ledger) {
        match Ledger::open(prefix, file, owners) {
            Ok(ledger) => readable.push(ledger),
            // Between the listing and the opening its process ended, or the file is being made.
            Err(
                LedgerError::Segment(SegmentError::NotFound { .. })
                | LedgerError::Foreign { error: IdentityError::NotReady, .. },
            ) => {}
            Err(error) => refused.push(error),
        }
    }
    (readable, refused)
}

#[cfg(test)]
pub mod fixture {
    //! A ledger of this test's own.
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use shm_layout::event::Kind;
    use shm_layout::ledger::{Device, ledger_bytes};
    use shm_layout::segment::{Created, create};

    /// The file, removed at the end.
    #[derive(Debug)]
    pub struct Written {
        /// Prefix of its name.
        pub prefix: Prefix,
        /// Its name, taken apart.
        pub file: ProcessFile,
        created: Created,
    }

    impl Drop for Written {
        fn drop(&mut self) {
            self.created.remove();
        }
    }

    /// One allocation record.
    pub fn alloc(id: u64, device: u32, memory: Memory, size: u64, time: u64) -> Event {
        Event { id, size, time, address: id * 0x1000, footprint: size + 64, ..Event::new(Kind::Alloc, memory, device) }
    }

    /// A ledger of this very process with these entries; device 0 is chip 0x1c, device 1 has no known id.
    pub fn write(test: &str, entries: &[Event]) -> Written {
        let prefix = Prefix::new(&format!("tt_test_tui_{}_{test}", std::process::id())).unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        let file = ProcessFile { role: Role::Ledger, uid, pid: std::process::id(), nonce: 0xfeed };
        let created = create(&file.name(&prefix), ledger_bytes(entries.len() + 3)).unwrap();
        let device = |device, chip_id, id_is_logical| Device {
            device,
            arch: 3,
            chip_id,
            board_id: 0,
            tensix_cores: 140,
            id_is_logical,
            open: 1,
            resident_program: 0,
            opened_ns: 0,
            dispatched_ns: 0,
            banks: Default::default(),
            capacity: [0; 8],
        };
        let state = LedgerState { devices: vec![device(0, 0x1c, 0), device(1, 1, 1)], ..LedgerState::default() };
        let mut words = Vec::new();
        state.encode(&mut words);
        let block: &[AtomicU64] = created.mapping.array(state_offset(1), STATE_WORDS).unwrap();
        for (to, word) in block.iter().zip(words) {
            to.store(word, Relaxed);
        }
        let header: &LedgerHeader<AtomicU64> = created.mapping.one(0).unwrap();
        let slots = created.mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, entries.len() + 3).unwrap();
        for (at, event) in entries.iter().enumerate() {
            // An empty entry before each: gaps are usual.
            Entries(slots).insert(at + 1, &Event { stamp: at as u64 + 1, ..*event });
        }
        header.set_capacity(entries.len() + 3);
        header.commit(9, 1);
        let start_ticks = procfs::stat("self").unwrap().start_ticks;
        let identity: Identity = bytemuck::Zeroable::zeroed();
        header.announce(Identity {
            pid: file.pid,
            uid,
            start_ticks,
            nonce: file.nonce,
            ring_pid: file.pid,
            ..identity
        });
        Written { prefix, file, created }
    }

    impl Written {
        /// Marks an entry as dying.
        pub fn mark_dying(&self, entry: usize) {
            let slots = self.created.mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, entry + 2).unwrap();
            Entries(slots).mark(entry + 1, true);
        }

        /// Gives a tag its name.
        pub fn name_tag(&self, number: u8, name: &[u8]) {
            self.created.mapping.one::<TagNames<AtomicU64>>(TAGS_OFFSET).unwrap().set(number, Name::new(name));
        }

        /// Claims more entries than the file has.
        pub fn claim_entries(&self, entries: usize) {
            self.created.mapping.one::<LedgerHeader<AtomicU64>>(0).unwrap().set_capacity(entries);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use fixture::alloc;

    fn me() -> Vec<u32> {
        vec![nix::unistd::geteuid().as_raw()]
    }

    #[test]
    fn of_too_many_no_more_than_one_beyond_is_taken() {
        let of = |most| {
            let mut taken = 0;
            let all = all_of((0..1000).inspect(|_| taken += 1), most);
            (all.map(|all| all.len()), taken)
        };
        assert_eq!([of(0), of(10), of(999)], [(None, 1), (None, 11), (None, 1000)]);
        assert_eq!([of(1000), of(usize::MAX)], [(Some(1000), 1000); 2]);
    }

    #[test]
    fn shows_what_is_live() {
        let events = [
            alloc(1, 0, Memory::Dram, 4096, 10),
            alloc(2, 1, Memory::L1, 512, 20),
            Event { memory: 200, ..alloc(3, 0, Memory::Dram, 1, 30) },
            alloc(4, 0, Memory::Dram, 77, 40),
        ];
        let written = fixture::write("live", &events);
        written.mark_dying(3);
        let (ledgers, refused) = ledgers(&written.prefix, &me());
        assert_eq!((ledgers.len(), refused.len()), (1, 0));
        let live = ledgers[0].allocations();
        assert_eq!(live.iter().map(|a| a.event.id).collect::<Vec<_>>(), [1, 2], "neither strange nor dying ones");
        assert_eq!((live[0].chip_id, live[1].chip_id), (Some(0x1c), None));
        assert_eq!((live[0].memory, live[0].event.taken(), live[0].age_ns(25)), (Memory::Dram, 4160, 15));
        assert!(!ledgers[0].process_name().is_empty());
        written.claim_entries(usize::MAX >> 1);
        assert_eq!(ledgers[0].allocations().len(), 2, "a lie about the number of entries stays inside the file");
    }

    #[test]
    fn names_tags_and_shows_no_escape() {
        let tagged =
            |id, number: u16| Event { flags: number << flags::TAG_SHIFT, ..alloc(id, 0, Memory::Dram, 64, 10) };
        let events = [tagged(1, 0), tagged(2, 1), tagged(3, 255), tagged(4, 7)];
        let written = fixture::write("tags", &events);
        written.name_tag(1, b"decode");
        written.name_tag(255, b"\x1b[31mred\xff");
        let (ledgers, _) = ledgers(&written.prefix, &me());
        let tags: Vec<_> = ledgers[0].allocations().iter().map(|a| a.tag().map(str::to_owned)).collect();
        let shown = [None, Some("decode"), Some("?[31mred\u{fffd}"), Some("#7")];
        assert_eq!(tags, shown.map(|tag| tag.map(str::to_owned)));
    }

    #[test]
    fn refuses_foreign_and_misnamed_ledgers() {
        let written = fixture::write("foreign", &[]);
        let (readable, refused) = ledgers(&written.prefix, &[4_123_456_789]);
        assert!(readable.is_empty());
        assert!(matches!(refused[..], [LedgerError::Segment(SegmentError::Owner { .. })]));
        let other = ProcessFile { nonce: 0xbad, ..written.file };
        std::fs::rename(
            format!("{DIRECTORY}/{}", written.file.name(&written.prefix)),
            format!("{DIRECTORY}/{}", other.name(&written.prefix)),
        )
        .unwrap();
        let refused = ledgers(&written.prefix, &me()).1;
        std::fs::remove_file(format!("{DIRECTORY}/{}", other.name(&written.prefix))).unwrap();
        assert!(matches!(refused[..], [LedgerError::Mismatch { .. }]));
    }
}
