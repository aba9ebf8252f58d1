//! The ledger that a user's own aggregator wrote, taken over by root's.
//!
//! Its owner may have written anything into it, as into the ring that it is about: it is believed as far as the ring is, for this
//! process's rows and for nothing else. Everything is copied first, and the copy checked; it then goes into a file of root's own.

use super::file::File;
use super::tags::Tags;
use crate::sigbus::Guarded;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::event::{Event, Kind, MAX_DEVICE, Memory, flags};
use shm_layout::ledger::{
    DYING, ENTRIES_OFFSET, Entries, Identity, LedgerHeader, LedgerState, STATE_WORDS, TAGS_OFFSET, TagNames,
    ledger_bytes, state_offset,
};
use shm_layout::ring::Slot;
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::{Anomalies, UNKNOWN, incomplete};

/// Entries above which a ledger is not taken over (64 MiB): copying it would hold others up.
const MOST_ENTRIES: usize = 1 << 20;
/// Most records that its aggregator may be ahead of what it told in the ring's header.
const MOST_AHEAD: u64 = 1 << 24;
/// As in the books: what is above is no sum.
const MOST: u64 = 1 << 62;

/// A checked copy.
#[derive(Debug)]
pub struct Adopted {
    pub entries: Vec<Event>,
    pub state: LedgerState,
    /// Every ring record before this one is in it.
    pub applied: u64,
    /// Names of tags.
    pub tags: Tags,
}

impl Adopted {
    /// The ledger of this name, if it is one that the ring's own user wrote and root may take over. `told`: up to where the
    /// ring's header says that it was read.
    pub fn read(name: &str, identity: &Identity, told: u64) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() || identity.uid == 0 {
            return None;
        }
        let most = ledger_bytes(MOST_ENTRIES) as u64;
        let expect = Expect { owners: &[identity.uid], least: ledger_bytes(1) as u64, most };
        let opened = Guarded::new(segment::open(name, Access::Read, expect).ok()?)?;
        let header = opened.mapping.one::<LedgerHeader<AtomicU64>>(0)?;
        let found = header.identity();
        if found.check().is_err() || found.nonce != identity.nonce || found.uid != identity.uid {
            return None;
        }
        let (applied, block) = header.committed();
        let unsettled = !header.is_settled();
        if !(told..=told.saturating_add(MOST_AHEAD)).contains(&applied) || applied > MOST {
            return None;
        }
        let words = opened.mapping.array::<AtomicU64>(state_offset(block), STATE_WORDS)?;
        // Relaxed: a copy of what somebody claims.
        let words: Vec<u64> = words.iter().map(|word| word.load(Relaxed)).collect();
        let names = opened.mapping.one::<TagNames<AtomicU64>>(TAGS_OFFSET)?;
        let tags = Tags::of(names);
        let slots = opened.mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, header.capacity().min(MOST_ENTRIES))?;
        let copies = (0..slots.len()).filter_map(|at| Entries(slots).get(at));
        // As `Ledger::recover` does it.
        let live = copies.filter(|event| event.stamp <= applied && !(event.kind == DYING && unsettled));
        let entries: Vec<Event> = live.map(|event| Event { kind: Kind::Alloc as u8, ..event }).collect();
        let state = LedgerState::decode(&words)?;
        if opened.faulted() || !entries.iter().all(is_possible) || !sums_are_possible(&entries) {
            return None;
        }
        Some(Self { entries, state: within_bounds(state), applied, tags })
    }

    /// Writes it into a new file. `None` if there is no room for all of it.
    pub fn fill(&self, file: &mut File) -> Option<()> {
        while file.capacity() < self.entries.len() {
            file.grow().then_some(())?;
        }
        for (at, entry) in self.entries.iter().enumerate() {
            Entries(file.slots()).insert(at, entry);
        }
        self.tags.fill(file.tags());
        Some(())
    }
}

/// Whether the books would have taken it from the ring.
fn is_possible(event: &Event) -> bool {
    Memory::from_u8(event.memory).is_some() && event.device <= MAX_DEVICE
}

fn sums_are_possible(entries: &[Event]) -> bool {
    let sum = |of: fn(&Event) -> u64| entries.iter().fold(0_u64, |sum, event| sum.saturating_add(of(event)));
    let asked = |event: &Event| if event.flags & flags::GLOBALLY_ALLOCATED == 0 { event.size } else { 0 };
    sum(asked) <= MOST && sum(Event::taken) <= MOST
}

/// The sums as they could have come about by records: none is so large that it spoils the sum with others.
fn within_bounds(mut state: LedgerState) -> LedgerState {
    let counters = &mut state.counters;
    (counters.events, counters.torn) = (counters.events.min(MOST), counters.torn.min(MOST));
    counters.anomalies = Anomalies::default();
    counters.reserved = Default::default();
    state.devices.retain(|device| device.device <= MAX_DEVICE);
    for capacity in state.devices.iter_mut().flat_map(|device| &mut device.capacity) {
        *capacity = if *capacity == UNKNOWN { UNKNOWN } else { (*capacity).min(MOST) };
    }
    state.accounts.retain(|account| account.device <= MAX_DEVICE);
    let least = -(MOST as i64);
    for account in &mut state.accounts {
        for sum in [&mut account.peak, &mut account.allocated, &mut account.freed, &mut account.outstanding] {
            *sum = (*sum).min(MOST);
        }
        account.unlisted_bytes = account.unlisted_bytes.clamp(least, -least);
        account.unlisted_blocks = account.unlisted_blocks.clamp(least, -least);
        account.incomplete = incomplete::believable(account.incomplete).into();
    }
    state
}
