//! A ledger that somebody has changed: continued by an aggregator or taken over by root's, shown by a viewer.
//!
//! Byte 0 even: the rest is the file. Odd: a sound ledger (made by the aggregator's own code), changed by one [`Op`] after the other.
//! Bit 1 of byte 0: the ring and its ledger are another user's, whose own aggregator wrote it. That is tried as root only: others
//! cannot give a file away, and do not read others' rings.

use crate::ground::{self, MOST, assert_harmless};
use crate::script::{Reader, Writer, alloc};
use aggregator::fuzzing::{Books, Chips, Ledger, Recovered};
use serde::de::IgnoredAny;
use shm_layout::event::{Event, Kind, MAX_DEVICE, Memory};
use shm_layout::ledger::{
    ENTRIES_OFFSET, Identity, LedgerState, MAX_ACCOUNTS, MAX_DEVICES, ledger_bytes, state_offset,
};
use shm_layout::names::{DIRECTORY, ProcessFile, Role};
use shm_layout::stats::UNKNOWN;
use std::mem::offset_of;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use tui::buffers::{self, Query};

const PID: u32 = 0x3FFF_FFFF;
const NONCE: u64 = 0x1ED;
/// Entries that are left of the sound ledger: few enough that the fuzzer hits them.
const ENTRIES: usize = 32;
/// Where the header says how many entries there are, by the layout's table (docs/shm-layout.md).
const CAPACITY: usize = 272;
/// Where the header says whose it is.
const UID: usize = offset_of!(Identity, uid);
/// A ledger of so many records is not continued (`LAST` of the aggregator's ledger/file.rs).
const LAST: u64 = 1 << 62;
/// Steps that one input may take.
const MOST_OPS: usize = 64;
/// Where the ring's header says that it was read to.
const TOLD: u64 = 7;
/// Most records that a ledger which is taken over may be ahead of that (`MOST_AHEAD` of ledger/adopt.rs).
const MOST_AHEAD: u64 = 1 << 24;
/// The other user; needs no entry anywhere.
const STRANGER: u32 = 65_533;

/// What is changed in the file, or applied once it was continued.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// A word: region (0 header, 1 and 2 the state blocks, 3 entries), number, value.
    Word(u8, u16, u64),
    /// The file ends so many words earlier.
    Cut(u16),
    /// Applied after the ledger was continued.
    Apply(Event),
}

impl Op {
    fn read(from: &mut Reader<'_>) -> Self {
        match from.byte() % 4 {
            2 => Self::Cut(from.short()),
            3 => Self::Apply(from.event()),
            _ => Self::Word(from.byte(), from.short(), from.number()),
        }
    }

    /// The input that is read as this.
    pub fn write(&self, to: Writer) -> Writer {
        match self {
            Self::Word(region, at, value) => to.byte(0).byte(*region).short(*at).number(*value),
            Self::Cut(words) => to.byte(2).short(*words),
            Self::Apply(event) => to.byte(3).event(event),
        }
    }
}

/// An input: the sound ledger and what is done to it.
pub fn input(ops: &[Op]) -> Vec<u8> {
    ops.iter().fold(Writer::default().byte(1), |to, op| op.write(to)).0
}

/// An input: as [`input`], of another user.
pub fn of_a_stranger(ops: &[Op]) -> Vec<u8> {
    ops.iter().fold(Writer::default().byte(3), |to, op| op.write(to)).0
}

/// Any bytes as a file.
pub fn raw(bytes: &[u8]) -> Vec<u8> {
    Writer::default().byte(0).bytes(bytes).0
}

/// A ledger's name and the user whose process it is about.
#[derive(Clone, Copy)]
struct Owned(u32);

impl Owned {
    fn file(self) -> ProcessFile {
        ProcessFile { uid: self.0, ..ground::ring_file(PID, NONCE) }
    }

    fn path(self) -> String {
        format!("{DIRECTORY}/{}", self.file().of_role(Role::Ledger).name(ground::prefix()))
    }

    fn identity(self) -> Identity {
        let zeroed: Identity = bytemuck::Zeroable::zeroed();
        Identity { pid: PID, uid: self.0, start_ticks: 1, nonce: NONCE, ring_pid: PID, ..zeroed }
    }

    fn open(self, applied: u64) -> Recovered {
        Ledger::open_or_create(ground::prefix(), self.file(), self.identity(), applied).expect("room in /dev/shm")
    }

    /// What this user's own aggregator left.
    fn write(self, image: &[u8]) {
        std::fs::write(self.path(), image).expect("room in /dev/shm");
        if self.0 != ground::uid() {
            std::os::unix::fs::chown(self.path(), Some(self.0), None).expect("root gives files away");
        }
    }
}

fn apply(ledger: &mut Ledger, books: &mut Books, chips: &mut Chips, events: &[Event], applied: u64) {
    let mut batch = ledger.begin(events);
    for event in events {
        books.apply(event, Some(&mut batch), chips, &|_, _| {});
    }
    books.settle(chips);
    books.look_at_residents(ledger);
    ledger.commit(applied, |words| books.encode(words));
}

/// A sound ledger of a few allocations on two devices, cut to [`ENTRIES`] entries.
fn sound() -> &'static [u8] {
    static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let ours = Owned(ground::uid());
        ground::remove(ours.file());
        let mut ledger = ours.open(0).ledger;
        let info =
            |device, id| Event { id, context: 3, size: 140, ..Event::new(Kind::DeviceInfo, Memory::Dram, device) };
        let cb = Event { context: 5, ..alloc(Memory::Cb, 1, 9, 640) };
        let resident = Event { context: 5, ..Event::new(Kind::ProgramResident, Memory::Cb, 1) };
        let mut events = vec![info(0, 0xC0), info(1, 0xC1), cb, resident];
        events
            .extend((0..12).map(|n| alloc(if n % 2 == 0 { Memory::Dram } else { Memory::L1 }, n % 2, n.into(), 4096)));
        events.push(Event { kind: Kind::Free as u8, ..alloc(Memory::Dram, 0, 4, 4096) });
        for (at, event) in events.iter_mut().enumerate() {
            event.stamp = at as u64 + 1;
        }
        let applied = events.len() as u64;
        apply(&mut ledger, &mut Books::default(), &mut Chips::default(), &events, applied);
        drop(ledger);
        let mut image = std::fs::read(ours.path()).expect("the ledger");
        std::fs::remove_file(ours.path()).expect("its own file");
        image.truncate(ledger_bytes(ENTRIES));
        image[CAPACITY..CAPACITY + 8].copy_from_slice(&(ENTRIES as u64).to_le_bytes());
        image
    })
}

/// A list of buffers as JSON: all of it is read, only their number is kept.
#[derive(serde::Deserialize)]
struct Listed {
    buffers: Vec<IgnoredAny>,
}

/// What a viewer finds, and that its table and its JSON are as they should be.
fn rendered(of: Owned) -> Vec<buffers::Buffer> {
    let found = shown(of);
    let json = buffers::json(&found, 0, &serde_json::Value::Array(Vec::new()), 1 << 60).expect("it can always be written");
    assert_harmless(&json);
    let listed: Listed = serde_json::from_str(&json).expect("JSON");
    assert_eq!(listed.buffers.len(), found.len());
    assert_harmless(&buffers::table(&found, 1 << 60, Some(100)));
    found
}

fn shown(of: Owned) -> Vec<buffers::Buffer> {
    let owners = [ground::uid(), of.0];
    let Ok(ledger) = tui::ledger::Ledger::open(ground::prefix(), &of.file().of_role(Role::Ledger), &owners) else {
        return Vec::new();
    };
    let (found, left_out) = Query::default().answer(&[ledger]);
    assert_eq!(left_out, 0);
    found
}

/// One input.
pub fn run(data: &[u8]) {
    let mut script = Reader(data);
    let (mut image, mut events) = (Vec::new(), Vec::new());
    let mode = script.byte();
    let of = Owned(if mode & 2 != 0 && ground::uid() == 0 { STRANGER } else { ground::uid() });
    if mode & 1 == 0 {
        image.extend_from_slice(script.0);
    } else {
        image.extend_from_slice(sound());
        if let Some(uid) = image.get_mut(UID..UID + 4) {
            uid.copy_from_slice(&of.0.to_le_bytes());
        }
        for _ in 0..MOST_OPS {
            if script.is_empty() {
                break;
            }
            match Op::read(&mut script) {
                Op::Word(region, at, value) => {
                    let from = [0, state_offset(0), state_offset(1), ENTRIES_OFFSET][usize::from(region % 4)];
                    let at = from + usize::from(at) * 8;
                    if let Some(word) = image.get_mut(at..at + 8) {
                        word.copy_from_slice(&value.to_le_bytes());
                    }
                }
                Op::Cut(words) => image.truncate(image.len().saturating_sub(usize::from(words) * 8)),
                Op::Apply(event) => events.push(event),
            }
        }
    }
    of.write(&image);
    let before = rendered(of);
    let Recovered { mut ledger, applied, state, continued, .. } = of.open(TOLD);
    assert!(continued || applied == TOLD, "a new one begins where it was told");
    assert!(!continued || before.len() <= image.len() / 64);
    if of.0 != ground::uid() {
        let owner = std::fs::metadata(of.path()).expect("a ledger").uid();
        assert_eq!(owner, ground::uid(), "root goes on in a file that its user cannot write");
        assert!((TOLD..=TOLD + MOST_AHEAD).contains(&applied), "its user says {applied}, and the ring {TOLD}");
        if continued {
            assert!(ledger.iter().all(|event| event.kind == Kind::Alloc as u8 && event.stamp <= applied));
            // Not what a viewer lists: it leaves out what was being removed when the aggregator died.
            assert!(ledger.len() <= image.len() / 64, "no more than there was room for");
        }
        sums_can_be(&state);
    }
    let mut chips = Chips::default();
    let mut books = Books::recover(state, &ledger, &mut chips);
    check(&ledger, &books, &chips);
    for (at, event) in events.iter_mut().enumerate() {
        event.stamp = applied + at as u64 + 1;
    }
    let applied = applied + events.len() as u64;
    apply(&mut ledger, &mut books, &mut chips, &events, applied);
    check(&ledger, &books, &chips);
    // What was committed is found again, by the next aggregator as by a viewer.
    let live = ledger.len();
    let held: Vec<u64> = books.accounts.iter().map(|live| live.footprint()).collect();
    drop(ledger);
    // What was there was rendered.
    let known = if events.is_empty() { shown(of) } else { rendered(of) }.len();
    assert!(known <= live);
    let found = of.open(0);
    if applied >= LAST {
        // No ring comes to that.
        return found.ledger.delete();
    }
    assert!(found.continued && found.applied == applied);
    assert_eq!(found.ledger.len(), live, "as many live allocations as before");
    let mut chips = Chips::default();
    let books = Books::recover(found.state, &found.ledger, &mut chips);
    check(&found.ledger, &books, &chips);
    assert_eq!(books.accounts.iter().map(|live| live.footprint()).collect::<Vec<_>>(), held);
    found.ledger.delete();
}

/// What is taken over from a stranger spoils no sum with others.
fn sums_can_be(state: &LedgerState) {
    assert!(state.counters.events.max(state.counters.torn) <= MOST, "{:?}", state.counters);
    for account in &state.accounts {
        for sum in [account.peak, account.allocated, account.freed, account.outstanding] {
            assert!(sum <= MOST, "{account:?}");
        }
        assert!(
            account.unlisted_bytes.unsigned_abs().max(account.unlisted_blocks.unsigned_abs()) <= MOST,
            "{account:?}"
        );
    }
    for device in &state.devices {
        assert!(device.capacity.iter().all(|bytes| *bytes <= MOST || *bytes == UNKNOWN), "{device:?}");
    }
}

fn check(ledger: &Ledger, books: &Books, chips: &Chips) {
    assert_eq!(ledger.iter().count(), ledger.len());
    assert!(books.accounts.len() <= MAX_ACCOUNTS && books.devices.len() <= MAX_DEVICES);
    for live in &books.accounts {
        assert!(live.account.device <= MAX_DEVICE && live.memory().is_some());
        assert!(live.chip < chips.all().len());
        let figures = live.figures(books.resident(live.account.device), 0);
        for bytes in [
            figures.live_bytes,
            figures.footprint_bytes,
            figures.blocks,
            figures.peak_footprint_bytes,
            figures.allocated_bytes_total,
            figures.freed_bytes_total,
            figures.resident_bytes,
            figures.fabric_bytes,
            figures.dispatch_bytes,
        ] {
            assert!(bytes <= MOST, "{figures:?}");
        }
    }
}
