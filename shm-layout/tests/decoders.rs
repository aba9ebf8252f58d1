//! Any words against the decoders of records, snapshots and ledger states; what was encoded comes back.

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::ledger::{self, Account, Counters, Device, LedgerState};
use shm_layout::stats::{
    Chip, Difference, Health, Line, MAX_CHIPS, MAX_DIFFERENCES, MAX_LINES, MAX_PROCESSES, MAX_REFUSALS, MAX_ROWS,
    Process, Refusal, Row, Snapshot,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::cases::{config, filled};

/// Notes the largest block that this thread has asked for.
struct Noting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ended = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: as promised to us.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as promised to us.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

/// The largest block asked for while `f` ran.
fn largest_of<T>(f: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.set(0);
    let value = f();
    (value, LARGEST.get())
}

fn any_words(most: usize) -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![0..4_u64, 0..70_u64, any::<u64>(), Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 61)], 0..most)
}

fn snapshot(counts: [usize; 6], seed: u64) -> Snapshot {
    let seeds = |count: usize| (0..count as u64).map(move |n| seed ^ n << 20);
    let rows = if counts[0] == 0 || counts[1] == 0 { 0 } else { counts[2] };
    Snapshot {
        health: filled::<Health>(seed),
        chips: seeds(counts[0]).map(filled::<Chip>).collect(),
        processes: seeds(counts[1]).map(filled::<Process>).collect(),
        rows: seeds(rows)
            .map(|n| Row {
                process: (n % counts[1] as u64) as u32,
                chip: (n % counts[0] as u64) as u32,
                ..filled::<Row>(n)
            })
            .collect(),
        lines: seeds(counts[3]).map(filled::<Line>).collect(),
        refusals: seeds(counts[4]).map(filled::<Refusal>).collect(),
        differences: seeds(if counts[0] == 0 { 0 } else { counts[5] })
            .map(|n| Difference { chip: (n % counts[0] as u64) as u32, ..filled::<Difference>(n) })
            .collect(),
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn snapshots_come_back(counts in [0..4_usize, 0..5, 0..9, 0..4, 0..4, 0..4], seed in any::<u64>(), extra in 0..9_usize) {
        let before = snapshot(counts, seed);
        let mut words = vec![7; 3];
        before.encode(&mut words);
        prop_assert!(words.len() <= Snapshot::MAX_WORDS);
        prop_assert_eq!(&Snapshot::decode(&words), &Ok(before.clone()));
        let whole = words.len();
        // Words behind it do no harm; a missing one does.
        words.resize(whole + extra, 9);
        prop_assert_eq!(&Snapshot::decode(&words), &Ok(before));
        prop_assert!(Snapshot::decode(&words[..whole - 1]).is_err());
    }

    #[test]
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; `decoders_under_miri` instead")]
    fn any_words_are_a_snapshot_or_an_error(words in any_words(if cfg!(miri) { 40 } else { 900 })) {
        let (decoded, largest) = largest_of(|| Snapshot::decode(&words));
        prop_assert!(largest <= words.len() * 8, "{largest} bytes asked for");
        if let Ok(snapshot) = decoded {
            prop_assert!(snapshot.rows.iter().all(|row| (row.chip as usize) < snapshot.chips.len()));
            prop_assert!(snapshot.rows_of(0).count() <= snapshot.rows.len());
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; `decoders_under_miri` instead")]
    fn a_damaged_snapshot_is_a_snapshot_or_an_error(seed in any::<u64>(), at in any::<prop::sample::Index>(), word in any::<u64>(), small in any::<bool>()) {
        let mut words = Vec::new();
        snapshot([2, 2, 3, 1, 1, 2], seed).encode(&mut words);
        // The counts are where it hurts: every second time one of them.
        let at = at.index(if small { 6 } else { words.len() });
        words[at] = if small { word % 80 } else { word };
        let (decoded, largest) = largest_of(|| Snapshot::decode(&words));
        prop_assert!(largest <= words.len() * 8);
        if let Ok(Snapshot { rows, chips, processes, differences, .. }) = decoded {
            prop_assert!(differences.iter().all(|one| (one.chip as usize) < chips.len()), "a difference points outside");
            let inside = |row: &Row| (row.chip as usize) < chips.len() && (row.process as usize) < processes.len();
            prop_assert!(rows.iter().all(inside), "a row points outside");
        }
    }

    #[test]
    fn ledger_states_come_back(devices in 0..5_usize, accounts in 0..9_usize, seed in any::<u64>()) {
        let state = LedgerState {
            counters: filled::<Counters>(seed),
            devices: (0..devices as u64).map(|n| filled::<Device>(seed ^ n)).collect(),
            accounts: (0..accounts as u64).map(|n| filled::<Account>(seed ^ n << 9)).collect(),
        };
        let mut words = Vec::new();
        state.encode(&mut words);
        prop_assert_eq!(LedgerState::decode(&words), Some(state.clone()));
        prop_assert_eq!(LedgerState::decode(&words[..words.len() - 1]), None);
        words.resize(ledger::STATE_WORDS, 0);
        prop_assert_eq!(LedgerState::decode(&words), Some(state));
    }

    #[test]
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; `decoders_under_miri` instead")]
    fn any_words_are_a_ledger_state_or_nothing(words in any_words(if cfg!(miri) { 60 } else { ledger::STATE_WORDS })) {
        let (decoded, largest) = largest_of(|| LedgerState::decode(&words));
        prop_assert!(largest <= words.len() * 8, "{largest} bytes asked for");
        if let Some(state) = decoded {
            prop_assert!(state.devices.len() <= ledger::MAX_DEVICES && state.accounts.len() <= ledger::MAX_ACCOUNTS);
        }
    }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn records_are_their_words(words in any::<[u64; 8]>()) {
        let event = Event::from_words(words);
        prop_assert_eq!(event.to_words(), words);
        let _unknown = (Kind::from_u8(event.kind), Memory::from_u8(event.memory), event.taken());
    }
}

/// The casts in the decoders, small enough for miri.
#[test]
fn decoders_under_miri() {
    let (mut words, before) = (Vec::new(), snapshot([1, 1, 1, 1, 1, 1], 3));
    before.encode(&mut words);
    assert_eq!(Snapshot::decode(&words), Ok(before));
    let devices = vec![filled::<Device>(4)];
    let state = LedgerState { counters: filled(1), devices, accounts: vec![filled::<Account>(5)] };
    for count in [0, 1, 2, 64, 65, 1 << 61, u64::MAX] {
        for at in 0..6 {
            let mut damaged = words.clone();
            damaged[at] = count;
            let decoded = Snapshot::decode(&damaged).is_ok();
            // One item less: the last difference is made of other items' words then, and its chip may be none.
            if (2..5).contains(&at) && count == 0 {
                continue;
            }
            assert_eq!(decoded, count == 1 || at == 5 && count == 0, "{at} {count}");
        }
        let mut damaged = Vec::new();
        state.encode(&mut damaged);
        damaged[1] = count;
        assert_eq!(LedgerState::decode(&damaged).is_some(), count < 2);
    }
    for (process, chip) in [(1, 0), (0, 1), (u32::MAX, 0), (0, u32::MAX)] {
        let mut outside = snapshot([1, 1, 1, 1, 1, 1], 3);
        (outside.rows[0].process, outside.rows[0].chip) = (process, chip);
        outside.encode(&mut words);
        assert!(Snapshot::decode(&words).is_err(), "a row points outside");
    }
    let mut outside = snapshot([1, 1, 1, 1, 1, 1], 3);
    outside.differences[0].chip = 1;
    outside.encode(&mut words);
    assert!(Snapshot::decode(&words).is_err(), "a difference points outside");
    assert!(Snapshot::decode(&[]).is_err() && LedgerState::decode(&[]).is_none());
}

/// A snapshot at every limit fits into the segment's buffer.
#[test]
#[cfg_attr(miri, ignore = "megabytes of figures; nothing but safe code runs")]
fn a_full_snapshot_fits() {
    let full = snapshot([MAX_CHIPS, MAX_PROCESSES, MAX_ROWS, MAX_LINES, MAX_REFUSALS, MAX_DIFFERENCES], 5);
    let mut words = Vec::new();
    full.encode(&mut words);
    assert_eq!(words.len(), Snapshot::MAX_WORDS);
    assert_eq!(Snapshot::decode(&words), Ok(full));
    words.extend_from_slice(&words.clone());
    for at in 0..6 {
        let mut over = words.clone();
        over[at] += 1;
        let (decoded, largest) = largest_of(|| Snapshot::decode(&over));
        assert!(decoded.is_err() && largest <= Snapshot::MAX_WORDS * 8, "count {at} above its limit");
    }
}

/// Each count at its limit and one above it, with enough words behind it: nothing but the limit refuses it.
#[test]
#[cfg_attr(miri, ignore = "megabytes of figures; nothing but safe code runs")]
fn one_more_than_a_limit_is_refused() {
    let limits = [MAX_CHIPS, MAX_PROCESSES, MAX_ROWS, MAX_LINES, MAX_REFUSALS, MAX_DIFFERENCES];
    for (at, limit) in limits.into_iter().enumerate() {
        let mut words = vec![0; Snapshot::MAX_WORDS];
        // Rows and differences of zeros are of the first process, on the first chip.
        words[..2].fill(1);
        for (count, fits) in [(limit, true), (limit + 1, false)] {
            words[at] = count as u64;
            assert_eq!(Snapshot::decode(&words).is_ok(), fits, "count {at} of a snapshot: {count}");
        }
    }
    for (at, limit) in [ledger::MAX_DEVICES, ledger::MAX_ACCOUNTS].into_iter().enumerate() {
        let mut words = vec![0; ledger::STATE_WORDS];
        for (count, fits) in [(limit, true), (limit + 1, false)] {
            words[at] = count as u64;
            assert_eq!(LedgerState::decode(&words).is_some(), fits, "count {at} of a ledger state: {count}");
        }
    }
}
