//! The index and the whole ledger against plain models: growth, equal keys, chosen ids, kills.

use super::Ledger;
use super::batch::{AHEAD, Batch};
use super::hash::Mark;
use super::index::Index;
use proptest::collection::vec;
use proptest::prelude::*;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::ledger::{Identity, LedgerState};
use shm_layout::names::{DIRECTORY, Prefix, ProcessFile, Role};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// ---- the index ----

#[derive(Clone, Copy, Debug)]
enum Act {
    Put(u32),
    /// The one that came as the n-th of those that are there.
    Take(prop::sample::Index),
    Look(u32),
}

/// Marks as a hash makes them, and such as none would: few, so that buckets and segments overflow with equal ones.
fn mark() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..=u32::MAX, 1 => 1..40_u32, 1 => (1..40_u32).prop_map(|n| n << 20 | 1)]
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn an_index_finds_what_was_put_and_nothing_else(
        acts in vec(prop_oneof![5 => mark().prop_map(Act::Put), 2 => any::<prop::sample::Index>().prop_map(Act::Take), 1 => mark().prop_map(Act::Look)], 0..6000),
    ) {
        let mut index = Index::default();
        let mut there: Vec<(u32, u32)> = Vec::new();
        for (value, act) in acts.into_iter().enumerate() {
            match act {
                Act::Put(mark) => {
                    let vacant = index.find(Mark::chosen(mark), |_| false).expect_err("nothing is the same");
                    index.put(vacant, Mark::chosen(mark), value as u32);
                    there.push((mark, value as u32));
                }
                Act::Take(which) if !there.is_empty() => {
                    let (mark, value) = there.swap_remove(which.index(there.len()));
                    let (place, found) = index.find(Mark::chosen(mark), |other| other == value).expect("it is there");
                    assert_eq!(found, value);
                    index.take(place);
                    assert!(index.find(Mark::chosen(mark), |other| other == value).is_err());
                }
                Act::Take(_) => {}
                Act::Look(mark) => {
                    let mut seen = Vec::new();
                    let _vacant = index.find(Mark::chosen(mark), |value| { seen.push(value); false });
                    let mut expected: Vec<u32> = there.iter().filter(|(m, _)| *m == mark).map(|(_, value)| *value).collect();
                    seen.sort_unstable();
                    expected.sort_unstable();
                    assert_eq!(seen, expected);
                    if let Some((place, value)) = index.likely(Mark::chosen(mark)) {
                        assert_eq!(index.still(place, Mark::chosen(mark)), Some(value));
                    }
                }
            }
        }
        let (mut all, mut expected) = (index.values(), there.iter().map(|(_, value)| *value).collect::<Vec<_>>());
        all.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(all, expected);
    }
}

// ---- the ledger ----

/// A ledger in a file of its own.
struct Ground {
    prefix: Prefix,
    file: ProcessFile,
}

impl Ground {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: a counter.
        let prefix = Prefix::new(&format!("ledgertest_{}_{}", std::process::id(), NEXT.fetch_add(1, Relaxed)));
        let uid = nix::unistd::geteuid().as_raw();
        Self { prefix: prefix.expect("a name"), file: ProcessFile { role: Role::Ring, uid, pid: 1, nonce: 7 } }
    }

    fn open(&self) -> (Ledger, u64, bool) {
        let identity = Identity {
            magic: 0,
            version: 0,
            endian: 0,
            pid: 1,
            uid: self.file.uid,
            start_ticks: 1,
            nonce: 7,
            ring_pid: 1,
            entry_bytes: 0,
            reserved: [0; 10],
        };
        let found = Ledger::open_or_create(&self.prefix, self.file, identity, 0).expect("room in /dev/shm");
        (found.ledger, found.applied, found.continued)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let name = self.file.of_role(Role::Ledger).name(&self.prefix);
        let _removed = std::fs::remove_file(format!("{DIRECTORY}/{name}"));
    }
}

fn commit(ledger: &mut Ledger, applied: u64) {
    ledger.commit(applied, |words| LedgerState::default().encode(words));
}

/// What the ledger says, oldest first.
fn held(ledger: &Ledger) -> Vec<Event> {
    let mut held: Vec<Event> = ledger.iter().collect();
    held.sort_unstable_by_key(|event| event.stamp);
    assert_eq!(held.len(), ledger.len());
    held
}

#[derive(Clone, Copy, Debug)]
enum Told {
    Alloc,
    Free,
    FreeAll,
    Close,
}

fn told() -> impl Strategy<Value = (Told, Event)> {
    let kind =
        prop_oneof![12 => Just(Told::Alloc), 7 => Just(Told::Free), 1 => Just(Told::FreeAll), 1 => Just(Told::Close)];
    // Few ids, so that many are live twice and thrice; few contexts, so that groups are large.
    (kind, 0..3_u32, any::<bool>(), 0..9_u64, 0..4_u32, 1..100_u64).prop_map(|(told, device, cb, id, context, size)| {
        let kind = match told {
            Told::Alloc => Kind::Alloc,
            Told::Free => Kind::Free,
            Told::FreeAll => Kind::FreeAll,
            Told::Close => Kind::DeviceClose,
        };
        let memory = if cb { Memory::Cb } else { Memory::Dram };
        (told, Event { id, context, size, ..Event::new(kind, memory, device) })
    })
}

fn same_key(one: &Event, other: &Event) -> bool {
    (one.device, one.memory, one.id) == (other.device, other.memory, other.id)
}

/// Applies one record to the model and to the ledger, and compares what both say about it.
fn apply(batch: &mut Batch<'_>, live: &mut Vec<Event>, told: Told, event: &Event) {
    let mut gone = Vec::new();
    let leave = |live: &mut Vec<Event>, goes: &dyn Fn(&Event) -> bool| -> Vec<Event> {
        let (gone, stay) = live.iter().partition(|entry| goes(entry));
        *live = stay;
        gone
    };
    let expected = match told {
        Told::Alloc => {
            let entered = batch.insert(event);
            assert_eq!((entered.listed, entered.again), (true, live.iter().any(|entry| same_key(entry, event))));
            live.push(*event);
            return;
        }
        Told::Free => {
            gone.extend(batch.remove(event));
            let oldest = live.iter().position(|entry| same_key(entry, event));
            oldest.map(|at| live.remove(at)).into_iter().collect()
        }
        Told::FreeAll => {
            let memory = Memory::from_u8(event.memory).expect("it is one");
            batch.remove_group(event.device, memory, event.context, |entry| gone.push(*entry));
            let group = |e: &Event| (e.device, e.memory, e.context) == (event.device, event.memory, event.context);
            leave(live, &group)
        }
        Told::Close => {
            batch.remove_device(event.device, |entry| gone.push(*entry));
            leave(live, &|entry| entry.device == event.device)
        }
    };
    gone.sort_unstable_by_key(|entry| entry.stamp);
    assert_eq!(gone, expected, "{told:?} {event:?}");
}

fn program_bytes(live: &[Event], device: u32, context: u32) -> u64 {
    let of = |e: &&Event| e.memory == Memory::Cb as u8 && (e.device, e.context) == (device, context);
    live.iter().filter(of).map(Event::taken).sum()
}

proptest! {
    #![proptest_config(config(120))]

    /// Batches of anything, applied with and without having been looked at ahead; every few batches a kill, before or after
    /// the commit, and a successor. With a hash that tells keys apart, and with one that hardly does.
    #[test]
    fn a_ledger_holds_what_a_list_would(
        batches in vec((vec(told(), 0..AHEAD), any::<bool>(), 0..6_u32, 1..30_usize), 0..40),
        weak in any::<bool>(),
    ) {
        super::hash::weak::IS.set(weak);
        let ground = Ground::new();
        let (mut ledger, ..) = ground.open();
        let mut live: Vec<Event> = Vec::new();
        let mut stamp = 0_u64;
        for (records, ahead, fate, times) in batches {
            // Some batches many times over, so that the file, the index and the groups grow.
            let times = if fate == 5 { times } else { 1 };
            for _ in 0..times {
                let before = (live.clone(), stamp);
                let mut events = records.clone();
                for (_, event) in &mut events {
                    stamp += 1;
                    event.stamp = stamp;
                }
                let plain: Vec<Event> = events.iter().map(|(_, event)| *event).collect();
                let mut batch = ledger.begin(&plain);
                if ahead {
                    plain.iter().for_each(|event| batch.expect(event));
                    plain.iter().for_each(|event| batch.expect_entry(event));
                }
                for (told, event) in &events {
                    apply(&mut batch, &mut live, *told, event);
                }
                for (device, context) in (0..3).flat_map(|device| (0..4).map(move |context| (device, context))) {
                    prop_assert_eq!(ledger.program_bytes(device, context), program_bytes(&live, device, context));
                }
                prop_assert_eq!(held(&ledger), live.clone());
                if fate == 0 {
                    // Killed before the commit: nothing of the batch has happened.
                    (live, stamp) = before;
                } else {
                    commit(&mut ledger, stamp);
                }
                if fate <= 1 {
                    drop(ledger);
                    let (next, applied, continued) = ground.open();
                    ledger = next;
                    prop_assert!(continued && applied == stamp);
                }
                prop_assert_eq!(held(&ledger), live.clone());
            }
        }
    }
}

fn alloc(stamp: u64, id: u64) -> Event {
    Event { stamp, id, size: stamp, context: 1, ..Event::new(Kind::Alloc, Memory::Dram, 0) }
}

fn free(stamp: u64, id: u64) -> Event {
    Event { stamp, id, ..Event::new(Kind::Free, Memory::Dram, 0) }
}

/// Ids that an attacker would choose against tables with a known hash, more than one step of the file's growth of them.
#[test]
fn chosen_ids_find_no_full_bucket() {
    const COUNT: u64 = 40_000;
    let ways: [fn(u64) -> u64; 5] = [
        |n| n,
        |n| n << 12,
        |n| n << 32 | 0xdead_beef,
        |n: u64| n.rotate_right(16),
        // Multiples of the inverse of rustc's multiplier: all in one bucket there.
        |n| n.wrapping_mul(0x2040_003d_780b_9bcd),
    ];
    for way in ways {
        let ground = Ground::new();
        let (mut ledger, ..) = ground.open();
        for first in (1..=COUNT).step_by(1000) {
            let events: Vec<Event> = (first..first + 1000).map(|n| alloc(n, way(n))).collect();
            let mut batch = ledger.begin(&events);
            for event in &events {
                assert!(batch.insert(event).listed);
            }
            commit(&mut ledger, first + 999);
        }
        assert_eq!((ledger.len(), ledger.held.spilled()), (COUNT as usize, 0));
        // Not in the order in which they came, and a few that never were.
        let mut batch = ledger.begin(&[]);
        for n in (1..=COUNT).rev() {
            assert_eq!(batch.remove(&free(COUNT + n, way(n))).map(|entry| entry.stamp), Some(n));
            assert_eq!(batch.remove(&free(3 * COUNT + n, way(n))), None);
        }
        assert_eq!(ledger.len(), 0);
    }
}

/// One address, live many times: a queue, across a kill as well, and any member may leave it with its group.
#[test]
fn equal_keys_are_a_queue() {
    const COUNT: u64 = 20_000;
    let ground = Ground::new();
    let (mut ledger, ..) = ground.open();
    let mut events: Vec<Event> = (1..=COUNT).map(|n| alloc(n, 64)).collect();
    events.iter_mut().for_each(|event| event.context = 1 + (event.stamp % 3) as u32);
    let mut batch = ledger.begin(&events);
    for event in &events {
        assert_eq!(batch.insert(event).again, event.stamp > 1);
    }
    for n in 1..=100 {
        assert_eq!(batch.remove(&free(COUNT + n, 64)).map(|entry| entry.stamp), Some(n));
    }
    commit(&mut ledger, COUNT + 100);
    drop(ledger);
    let (mut ledger, applied, _) = ground.open();
    assert_eq!((applied, ledger.len() as u64), (COUNT + 100, COUNT - 100));
    let mut batch = ledger.begin(&[]);
    let mut gone = 0;
    batch.remove_group(0, Memory::Dram, 2, |entry| gone += u64::from(entry.context == 2));
    assert_eq!(gone, (101..=COUNT).filter(|n| n % 3 == 1).count() as u64);
    for n in (101..=COUNT).filter(|n| n % 3 != 1) {
        assert_eq!(batch.remove(&free(2 * COUNT + n, 64)).map(|entry| entry.stamp), Some(n));
    }
    assert_eq!(batch.remove(&free(4 * COUNT, 64)), None);
    assert_eq!((ledger.len(), ledger.held.groups()), (0, 2), "what is stale waits for its next use");
}
