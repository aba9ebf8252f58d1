//! Random operations against simple models; arbitrary bytes against every decoder.

mod support;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use proptest::collection::vec;
use proptest::prelude::*;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::ledger::{self, Account, Counters, DYING, Device, Entries, LedgerHeader, LedgerState};
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::ring::{
    CLOCK_MONOTONIC_NS, Consumer, Drained, ENDIAN_MARK, HEADER_BYTES, Identity, IdentityError, MAGIC, Producer, Push,
    RECORDS_OFFSET, Slot, VERSION, ring_bytes,
};
use shm_layout::stats::{Chip, Difference, Health, Line, Process, Refusal, Row, Snapshot};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use support::{Heap, record, which};

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

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases: if cfg!(miri) { 3 } else { cases }, failure_persistence: None, ..ProptestConfig::default() }
}

/// Longest random sequence.
const LONG: usize = if cfg!(miri) { 24 } else { 120 };

fn slots(count: usize) -> Vec<Slot<AtomicU64>> {
    (0..count).map(|_| Slot(core::array::from_fn(|_| AtomicU64::new(0)))).collect()
}

struct Ring {
    claim: AtomicU64,
    slots: Vec<Slot<AtomicU64>>,
}

impl Ring {
    fn new(count: usize) -> Self {
        Self { claim: AtomicU64::new(0), slots: slots(count) }
    }
    fn producer(&self) -> Producer<'_, AtomicU64> {
        Producer::new(&self.claim, &self.slots).expect("a power of two")
    }
    fn consumer(&self) -> Consumer<'_, AtomicU64> {
        Consumer::new(&self.slots).expect("a power of two")
    }
}

#[derive(Clone, Copy, Debug)]
enum RingOp {
    Push,
    /// A thread claims and dies.
    Hole,
    Read(usize),
    Release(u64),
    /// A new consumer, which begins behind everything read so far.
    Successor,
}

fn ring_op() -> impl Strategy<Value = RingOp> {
    prop_oneof![
        8 => Just(RingOp::Push),
        1 => Just(RingOp::Hole),
        4 => (0..6_usize).prop_map(RingOp::Read),
        4 => (0..6_u64).prop_map(RingOp::Release),
        1 => Just(RingOp::Successor),
    ]
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn ring_behaves_like_a_queue(log in 0..4_u32, ops in vec(ring_op(), 0..LONG), hostile_claim in any::<u64>()) {
        let capacity = 1_u64 << log;
        let ring = Ring::new(capacity as usize);
        // What was claimed and not yet read: None is a hole.
        let mut queue: VecDeque<Option<u64>> = VecDeque::new();
        let (mut claimed, mut read, mut released) = (0_u64, 0_u64, 0_u64);
        for op in ops {
            prop_assert_eq!(ring.producer().next(), claimed);
            let full = claimed - released == capacity;
            match op {
                RingOp::Push => {
                    let expected = if full { Push::Full } else { Push::Written(claimed) };
                    prop_assert_eq!(ring.producer().push(&record(7, claimed)), expected);
                    if !full {
                        queue.push_back(Some(claimed));
                        claimed += 1;
                    }
                }
                RingOp::Hole if !full => {
                    ring.claim.store(claimed + 1, Relaxed);
                    queue.push_back(None);
                    claimed += 1;
                }
                RingOp::Hole => {}
                RingOp::Read(max) => {
                    let mut expected = Vec::new();
                    while expected.len() < max && matches!(queue.front(), Some(Some(_))) {
                        expected.extend(queue.pop_front().flatten());
                    }
                    let mut seen = Vec::new();
                    let to = ring.consumer().read(read, max, |event| {
                        assert_eq!(event.stamp - 1, event.id & 0xFFFF_FFFF);
                        seen.push(which(&event).1);
                    });
                    read += expected.len() as u64;
                    prop_assert_eq!((to, seen), (read, expected));
                }
                RingOp::Release(count) => {
                    let to = (released + count).min(read);
                    ring.consumer().release(released, to);
                    released = to;
                }
                RingOp::Successor => {
                    ring.consumer().release_unreturned(read);
                    released = read;
                }
            }
        }
        // The process dies: to the end, and no further whatever the claim word says.
        let holes = queue.iter().filter(|record| record.is_none()).count() as u64;
        let expected: Vec<u64> = queue.into_iter().flatten().collect();
        let mut seen = Vec::new();
        let (end, found) = ring.consumer().drain_dead(read, claimed, |event| seen.push(which(&event).1));
        prop_assert_eq!(&seen, &expected);
        prop_assert_eq!((end, found), (claimed, Drained { read: seen.len() as u64, torn: holes }));
        let (end, found) = ring.consumer().drain_dead(read, hostile_claim, |_| {});
        prop_assert!(end >= read && end - read <= capacity && found.read + found.torn == end - read);
    }

    /// Whatever lies in the slots: bounded, no panic, and only stamps that are expected are read.
    #[test]
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; `decoders_under_miri` and threads.rs instead")]
    fn consumer_survives_any_words(
        words in vec(prop_oneof![any::<u64>(), 0..12_u64, (0..12_u64).prop_map(|n| !n)], 32),
        from in prop_oneof![0..9_u64, any::<u64>()],
        claim in prop_oneof![0..12_u64, any::<u64>()],
        max in prop_oneof![0..9_usize, any::<usize>()],
    ) {
        let ring = Ring::new(4);
        for (slot, words) in ring.slots.iter().zip(words.chunks(8)) {
            slot.0.iter().zip(words).for_each(|(to, word)| to.store(*word, Relaxed));
        }
        let mut count = 0;
        let to = ring.consumer().read(from, max, |event| {
            assert_eq!(event.stamp, (from + count).wrapping_add(1));
            count += 1;
        });
        prop_assert!(to == from + count && count <= 4);
        let (end, found) = ring.consumer().drain_dead(from, claim, |_| {});
        prop_assert!(end - from <= 4 && found.read + found.torn == end - from);
        ring.consumer().release_unreturned(from);
    }
}

// ---- the ledger, killed after any store and continued ----

/// A ledger on the heap, its two state blocks (here: live count, sum of ids, and which ids
/// were taken out though nothing freed them) beside it.
struct File {
    header: Heap<LedgerHeader<AtomicU64>, AtomicU64>,
    slots: Vec<Slot<AtomicU64>>,
    blocks: [[AtomicU64; 3]; 2],
}

/// One aggregator's life; the table in `shm_layout::ledger` says what the steps are.
struct Life<'a> {
    file: &'a File,
    ring: &'a Ring,
    applied: u64,
    settled_block: usize,
    live: HashMap<u64, usize>,
    free: Vec<usize>,
    sums: [u64; 3],
    /// Stores left before the kill.
    left: u64,
}

struct Killed;

impl<'a> Life<'a> {
    /// Recovery by the table.
    fn begin(file: &'a File, ring: &'a Ring, left: u64) -> Result<Self, Killed> {
        let (applied, block) = file.header.committed();
        let committed = !file.header.is_settled();
        let sums = [0, 1, 2].map(|at: usize| file.blocks[block][at].load(Relaxed));
        let mut life =
            Self { file, ring, applied, settled_block: block, live: HashMap::new(), free: Vec::new(), sums, left };
        let entries = Entries(&file.slots);
        for at in 0..file.slots.len() {
            let Some(event) = entries.get(at) else {
                life.free.push(at);
                continue;
            };
            let dying = event.kind == DYING;
            if event.stamp > applied || dying && committed {
                life.step()?;
                entries.clear(at);
                life.free.push(at);
                continue;
            }
            if dying {
                life.step()?;
                entries.mark(at, false);
            }
            which(&Event { kind: Kind::Alloc as u8, ..event });
            assert!(life.live.insert(event.id, at).is_none(), "entered twice");
        }
        life.step()?;
        file.header.settle();
        life.step()?;
        ring.consumer().release_unreturned(applied);
        Ok(life)
    }

    /// The kill comes before the next store.
    fn step(&mut self) -> Result<(), Killed> {
        self.left = self.left.checked_sub(1).ok_or(Killed)?;
        Ok(())
    }

    fn insert(&mut self, event: &Event) -> Result<(), Killed> {
        let at = self.free.pop().expect("more entries than ids");
        let slot = &self.file.slots[at];
        for (to, word) in slot.0.iter().zip(event.to_words()).skip(1) {
            // As `insert` stores them, but killed in between.
            self.step()?;
            to.store(word, Relaxed);
        }
        self.step()?;
        Entries(&self.file.slots).insert(at, event);
        self.live.insert(event.id, at);
        Ok(())
    }

    /// Reads, applies, commits and returns one batch. Records in it.
    fn batch(&mut self, max: usize) -> Result<u64, Killed> {
        let mut events = Vec::new();
        let (from, file, ring) = (self.applied, self.file, self.ring);
        let to = ring.consumer().read(from, max, |event| events.push(event));
        let mut dying = Vec::new();
        for event in &events {
            let alloc = event.flags & 1 == 0;
            if self.sums[2] & bit(event.id) != 0 {
                // Taken out: its announcements count for nothing until it is freed.
                self.sums[2] &= !if alloc { 0 } else { bit(event.id) };
                continue;
            }
            match (alloc, self.live.get(&event.id).copied()) {
                (true, None) => {
                    self.insert(event)?;
                    self.sums = [self.sums[0] + 1, self.sums[1] + event.id, self.sums[2]];
                }
                (false, Some(at)) => {
                    self.step()?;
                    Entries(&file.slots).mark(at, true);
                    dying.push(at);
                    self.live.remove(&event.id);
                    self.sums = [self.sums[0] - 1, self.sums[1] - event.id, self.sums[2]];
                }
                // Double free, free of the unknown, a second announcement: changes nothing here.
                _ => {}
            }
        }
        self.commit(to, dying)?;
        for seq in from..to {
            self.step()?;
            ring.consumer().release(seq, seq + 1);
        }
        Ok(to - from)
    }

    /// Takes one out and reads nothing, as where drops are found to have ended what is listed.
    fn take_out(&mut self) -> Result<(), Killed> {
        let Some((id, at)) = self.live.iter().map(|(id, at)| (*id, *at)).min() else { return Ok(()) };
        let entries = Entries(&self.file.slots);
        self.step()?;
        entries.mark(at, true);
        self.live.remove(&id);
        self.sums = [self.sums[0] - 1, self.sums[1] - id, self.sums[2] | bit(id)];
        self.commit(self.applied, vec![at])
    }

    fn commit(&mut self, to: u64, dying: Vec<usize>) -> Result<(), Killed> {
        let (file, block) = (self.file, 1 - self.settled_block);
        for (to, sum) in file.blocks[block].iter().zip(self.sums) {
            self.step()?;
            to.store(sum, Relaxed);
        }
        self.step()?;
        file.header.commit(to, block);
        for at in &dying {
            self.step()?;
            Entries(&file.slots).clear(*at);
        }
        self.step()?;
        file.header.settle();
        self.free.extend(dying);
        (self.settled_block, self.applied) = (block, to);
        Ok(())
    }
}

/// Ids in use at once, at most.
const IDS: u64 = 6;

/// The bit of an id: which of them it is.
fn bit(id: u64) -> u64 {
    (0..IDS).find(|n| record(3, n * 2).id == id).map_or(0, |n| 1 << n)
}

proptest! {
    #![proptest_config(config(1500))]

    /// Batches of allocations and frees, an aggregator that is killed before any of its stores, again and again: in the
    /// end, and whenever one begins, the ledger says exactly what the records before its commit say.
    #[test]
    fn a_killed_ledger_continues_exactly(
        acts in vec((0..IDS, any::<bool>()), 0..LONG / 2),
        kills in vec(0..90_u64, 0..if cfg!(miri) { 4 } else { 12 }),
        batch in 1..7_usize,
    ) {
        // SAFETY: repr(C) and made of its words only.
        let header = unsafe { Heap::new(|_| AtomicU64::new(0)) };
        // Room for every id twice: an entry freed by a batch comes back only after it.
        let file = File { header, slots: slots(2 * IDS as usize + 8), blocks: Default::default() };
        let ring = Ring::new(8);
        // Even numbers, so that the lowest flag is free to tell that it is a free.
        let event = |id: u64, free: bool| {
            let mut event = record(3, id * 2);
            event.flags = (event.flags & !1) | u16::from(free);
            event
        };
        // Live ids after the first n records.
        let mut truth: Vec<Vec<u64>> = vec![Vec::new()];
        for (id, free) in &acts {
            let mut live = truth.last().cloned().unwrap_or_default();
            let id = event(*id, false).id;
            match (free, live.iter().position(|other| *other == id)) {
                (false, None) => live.push(id),
                (true, Some(at)) => {
                    live.remove(at);
                }
                _ => {}
            }
            truth.push(live);
        }
        let mut waiting: VecDeque<Event> = acts.iter().map(|(id, free)| event(*id, *free)).collect();
        let fill = |waiting: &mut VecDeque<Event>| {
            while waiting.front().is_some_and(|event| ring.producer().push(event) != Push::Full) {
                waiting.pop_front();
            }
        };
        let check = |life: &Life<'_>| {
            let mut ids: Vec<u64> = life.live.keys().copied().collect();
            let taken_out = life.sums[2];
            let mut expected = truth[life.applied as usize].clone();
            expected.retain(|id| taken_out & bit(*id) == 0);
            ids.sort_unstable();
            expected.sort_unstable();
            assert_eq!(ids, expected, "after {} records", life.applied);
            assert_eq!(life.sums, [expected.len() as u64, expected.iter().sum(), taken_out]);
            let file = life.file;
            let on_file = (0..file.slots.len()).filter_map(|at| Entries(&file.slots).get(at));
            assert_eq!(on_file.filter(|e| e.kind == Kind::Alloc as u8).count(), expected.len());
        };
        for left in kills.into_iter().chain([u64::MAX]) {
            fill(&mut waiting);
            let Ok(mut life) = Life::begin(&file, &ring, left) else { continue };
            check(&life);
            loop {
                fill(&mut waiting);
                match life.batch(batch) {
                    Ok(0) => break,
                    Ok(_) => check(&life),
                    Err(Killed) => break,
                }
                if life.applied.is_multiple_of(3) {
                    if life.take_out().is_err() {
                        break;
                    }
                    check(&life);
                }
            }
        }
        prop_assert_eq!(file.header.committed().0, acts.len() as u64, "nothing lost");
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(ring.slots.iter().filter(|slot| slot.0[0].load(Acquire) >> 63 == 0 && slot.0[0].load(Acquire) != 0).count(), 0, "every slot is back");
    }
}

// ---- decoders ----

fn any_words(most: usize) -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![0..4_u64, 0..70_u64, any::<u64>(), Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 61)], 0..most)
}

/// A value of any bytes.
fn filled<T: bytemuck::Pod>(seed: u64) -> T {
    let mut value = T::zeroed();
    let mut next = seed | 1;
    for byte in bytemuck::bytes_of_mut(&mut value) {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (next >> 56) as u8;
    }
    value
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
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; `decoders_under_miri` and threads.rs instead")]
    fn any_words_are_a_snapshot_or_an_error(words in any_words(if cfg!(miri) { 40 } else { 900 })) {
        let (decoded, largest) = largest_of(|| Snapshot::decode(&words));
        prop_assert!(largest <= words.len() * 8, "{largest} bytes asked for");
        if let Ok(snapshot) = decoded {
            prop_assert!(snapshot.rows.iter().all(|row| (row.chip as usize) < snapshot.chips.len()));
            prop_assert!(snapshot.rows_of(0).count() <= snapshot.rows.len());
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; `decoders_under_miri` and threads.rs instead")]
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
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; `decoders_under_miri` and threads.rs instead")]
    fn any_words_are_a_ledger_state_or_nothing(words in any_words(if cfg!(miri) { 60 } else { ledger::STATE_WORDS })) {
        let (decoded, largest) = largest_of(|| LedgerState::decode(&words));
        prop_assert!(largest <= words.len() * 8, "{largest} bytes asked for");
        if let Some(state) = decoded {
            prop_assert!(state.devices.len() <= ledger::MAX_DEVICES && state.accounts.len() <= ledger::MAX_ACCOUNTS);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "safe code only, and regular expressions take miri minutes")]
    fn file_names_come_back(uid in any::<u32>(), pid in any::<u32>(), nonce in any::<u64>(), role in 0_usize..3, prefix in "[A-Za-z0-9_-]{1,64}") {
        let prefix = Prefix::new(&prefix).expect("such prefixes are allowed");
        let role = [Role::Ring, Role::Ledger, Role::Stacks][role];
        let file = ProcessFile { role, uid, pid, nonce };
        prop_assert_eq!(ProcessFile::parse(&file.name(&prefix), &prefix), Some(file));
        prop_assert_eq!(file.of_role(Role::Ledger).of_role(role), file);
        prop_assert!(!file.name(&prefix).contains('/') && file.name(&prefix).len() < 255);
    }

    /// Whatever is taken for one of our files has exactly the name that we would have given it.
    #[test]
    #[cfg_attr(miri, ignore = "safe code only, and regular expressions take miri minutes")]
    fn any_string_is_a_file_name_or_not(text in prop_oneof![
        any::<String>(),
        "tt_alloc\\.(ring|ledger|rin)\\.[0-9+-]{0,11}\\.[0-9 ]{0,11}\\.[0-9a-fA-F+]{0,17}\\.?",
        "tt_alloc\\.ring\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9a-f]{16}",
    ]) {
        let prefix = Prefix::default();
        if let Some(file) = ProcessFile::parse(&text, &prefix) {
            prop_assert_eq!(file.name(&prefix), text);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "safe code only, and regular expressions take miri minutes")]
    fn any_prefix_is_safe_or_refused(text in prop_oneof![any::<String>(), "[A-Za-z0-9_./-]{0,70}"]) {
        if let Ok(prefix) = Prefix::new(&text) {
            prop_assert!(!prefix.stats().contains('/') && !text.contains('.') && text.len() <= 64);
        }
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
    use shm_layout::stats::{MAX_CHIPS, MAX_DIFFERENCES, MAX_LINES, MAX_PROCESSES, MAX_REFUSALS, MAX_ROWS};
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

// ---- the ring's identity ----

const SLOTS: u64 = 1 << 16;

fn identity() -> Identity {
    Identity {
        magic: MAGIC,
        version: VERSION,
        endian: ENDIAN_MARK,
        header_bytes: HEADER_BYTES as u32,
        record_bytes: 64,
        slots: SLOTS,
        records_offset: RECORDS_OFFSET as u64,
        total_bytes: ring_bytes(SLOTS),
        clock: CLOCK_MONOTONIC_NS,
        ..filled(77)
    }
}

/// What an accepted identity may differ in: everything that is no geometry.
fn geometry(id: &Identity) -> (u64, u64, u64, u32, u32) {
    (id.slots, id.records_offset, id.total_bytes, id.header_bytes, id.record_bytes)
}

/// Bytes that `check` does not look at: who the process is. Nothing is ever addressed by them.
const UNCHECKED: [core::ops::Range<usize>; 2] = [48..88, 92..256];

#[test]
fn every_field_of_an_identity_mutated() {
    let good = identity();
    assert_eq!(good.check(ring_bytes(SLOTS)), Ok(()));
    let fields: [(usize, usize); 19] = [
        (0, 8),
        (8, 4),
        (12, 4),
        (16, 4),
        (20, 4),
        (24, 8),
        (32, 8),
        (40, 8),
        (48, 4),
        (52, 4),
        (56, 8),
        (64, 8),
        (72, 8),
        (80, 8),
        (88, 4),
        (92, 4),
        (96, 8),
        (104, 8),
        (112, 8),
    ];
    for (at, size) in fields {
        for value in [0, 1, u64::MAX, u64::MAX - 1, 0x1234_5678_9ABC_DEF1, 1 << 31, 1 << 32, 1 << 33, 1 << 63] {
            let mut id = good;
            bytemuck::bytes_of_mut(&mut id)[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
            let checked = id.check(ring_bytes(SLOTS));
            let unchecked = UNCHECKED.iter().any(|range| range.contains(&at)) || id == good;
            assert_eq!(checked.is_ok(), unchecked, "offset {at} = {value:#x}: {checked:?}");
            // A file of the size that the header tells, too: still no geometry that is not what it says.
            if id.check(id.total_bytes).is_ok() {
                assert_eq!(geometry(&id).2, ring_bytes(id.slots));
                assert!(id.slots.is_power_of_two() && id.slots <= 1 << 32);
            }
        }
    }
}

/// Every bit flipped: an error, or one of the bits that tell who the process is. (The list is the snapshot of what a
/// checksum would find and this does not.)
#[test]
fn every_bit_of_an_identity_flipped() {
    let good = identity();
    for bit in 0..256 * 8 {
        let mut id = good;
        bytemuck::bytes_of_mut(&mut id)[bit / 8] ^= 1 << (bit % 8);
        let unchecked = UNCHECKED.iter().any(|range| range.contains(&(bit / 8)));
        let checked = id.check(ring_bytes(SLOTS));
        assert_eq!(checked.is_ok(), unchecked, "bit {bit}: {checked:?}");
        // An accepted one has the geometry that it had; one whose geometry changed was refused.
        assert!(checked.is_err() || geometry(&id) == geometry(&good), "bit {bit}");
    }
}

#[test]
fn an_identity_says_what_is_wrong() {
    let good = identity();
    let bytes = ring_bytes(SLOTS);
    let check = |id: Identity| id.check(bytes);
    assert_eq!(check(Identity { magic: 0, ..good }), Err(IdentityError::NotReady));
    assert_eq!(check(Identity { magic: 1, ..good }), Err(IdentityError::Magic));
    assert_eq!(check(Identity { magic: MAGIC.swap_bytes(), ..good }), Err(IdentityError::Endian), "as it is found");
    assert_eq!(check(Identity { endian: ENDIAN_MARK.swap_bytes(), ..good }), Err(IdentityError::Endian));
    assert_eq!(check(Identity { version: VERSION + 1, ..good }), Err(IdentityError::Version { found: VERSION + 1 }));
    assert_eq!(good.check(bytes - 64), Err(IdentityError::Geometry));
    let newer = check(Identity { version: VERSION + 1, ..good }).expect_err("newer").to_string();
    assert!(newer.contains("version 3") && newer.contains("version 2"), "{newer}");
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; `decoders_under_miri` and threads.rs instead")]
    fn any_identity_is_checked(seed in any::<u64>(), slots in any::<u64>(), log in 0..64_u32, power in any::<bool>(), total in any::<u64>()) {
        let slots = if power { 1 << log } else { slots };
        let total_bytes = if power { slots.wrapping_mul(64).wrapping_add(RECORDS_OFFSET as u64) } else { total };
        let id = Identity { slots, total_bytes, ..identity() };
        if id.check(total_bytes).is_ok() {
            prop_assert!(slots <= 1 << 32 && total_bytes == ring_bytes(slots));
        } else {
            prop_assert!(!power || log > 32);
        }
        let _any = filled::<Identity>(seed).check(total);
    }

    #[test]
    fn records_are_their_words(words in any::<[u64; 8]>()) {
        let event = Event::from_words(words);
        prop_assert_eq!(event.to_words(), words);
        let _unknown = (Kind::from_u8(event.kind), Memory::from_u8(event.memory), event.taken());
    }
}

#[test]
fn release_pairs_with_nothing_else() {
    // A stamp that a producer would write and one that a consumer would write never meet, whatever the lap.
    let ring = Ring::new(1);
    for n in 0..5 {
        assert_eq!(ring.producer().push(&record(1, n)), Push::Written(n));
        assert_eq!(ring.producer().push(&record(1, n)), Push::Full);
        assert_eq!(ring.consumer().read(n, 9, |_| {}), n + 1);
        ring.consumer().release(n, n + 1);
        assert_eq!(ring.consumer().read_one(n), None);
        ring.claim.fetch_add(0, Release);
    }
}
