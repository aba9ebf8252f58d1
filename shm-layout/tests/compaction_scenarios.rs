//! Compaction of chosen records: what is left of them, and how long it takes.

mod support;

use core::sync::atomic::Ordering::Relaxed;
use shm_layout::event::{Event, Kind, Memory, flags};
use shm_layout::ring::{Compactor, Producer, Push, scratch_words};
use shm_layout::tag::Name;
use std::collections::BTreeMap;
use support::compaction::World;
use support::state::State;

/// Pushes, compacts where it is full; the most that was left.
fn churn(world: &World, history: bool, events: impl Iterator<Item = Event>) -> u64 {
    let producer = Producer::new(&world.section.claim, &world.slots).expect("a power of two");
    let mut scratch = vec![0; scratch_words(world.slots.len())];
    let mut most = 0;
    for event in events {
        if producer.push(&event) == Push::Full {
            scratch.fill(0);
            let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
            most = most.max(compactor.compact(0, || history, &mut scratch).expect("within its steps").kept);
            assert!(matches!(producer.push(&event), Push::Written(_)), "no room was made");
        }
    }
    most
}

fn churn_fill(world: &World, event: &dyn Fn(u64) -> Event, count: u64) -> u64 {
    let producer = Producer::new(&world.section.claim, &world.slots).expect("a power of two");
    (0..count).filter(|n| matches!(producer.push(&event(*n)), Push::Written(_))).count() as u64
}

/// Whatever comes and goes, what is left is what is alive and little else.
#[test]
fn churn_leaves_only_what_is_alive() {
    let count = if cfg!(miri) {
        600
    } else if cfg!(debug_assertions) {
        300_000
    } else {
        10_000_000_u64
    };
    for history in [false, true] {
        let world = World::new(if cfg!(miri) { 128 } else { 1024 }, false, false, false, false);
        let events = |n: u64| {
            // A hundred are alive at a time; now and then a device without any is opened, described and closed.
            let freed = n.checked_sub(100);
            let alloc = Event { id: n + 1, size: 64, ..Event::new(Kind::Alloc, Memory::Dram, n as u32 % 4) };
            let free = freed.map(|n| Event { id: n + 1, ..Event::new(Kind::Free, Memory::Dram, n as u32 % 4) });
            let door = [Kind::DeviceInfo, Kind::Capacity, Kind::ProgramResident, Kind::FreeAll, Kind::DeviceClose];
            let door =
                door.map(|kind| Event::new(kind, Memory::Cb, 9)).into_iter().filter(move |_| n.is_multiple_of(500));
            [Some(alloc), free].into_iter().flatten().chain(door)
        };
        let most = churn(&world, history, (0..count / 2).flat_map(events));
        eprintln!("history {history}: at most {most} left of {count}");
        assert!(most <= 101 + 6, "{most}");
    }
}

/// A world in which these were pushed, and what is left of them after a compaction.
fn compacted(history: bool, events: &[Event]) -> (Vec<Event>, u64) {
    let world = World::new(16, true, history, false, true);
    assert_eq!(churn_fill(&world, &|n| events[n as usize], events.len() as u64), events.len() as u64);
    let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
    compactor.compact(0, || history, &mut vec![0; scratch_words(16)]).expect("it can be done");
    (world.left(), world.section.unknown_frees.load(Relaxed))
}

/// What was dropped was in no section: its free has to reach the reader, though nobody has read anything.
#[test]
fn frees_of_what_was_dropped_stay() {
    let dropped = Event { id: 7, size: 64, ..Event::new(Kind::Free, Memory::Dram, 0) };
    let (left, unknown) = compacted(true, &[dropped]);
    assert_eq!((left.len(), unknown), (1, 0));
    assert_eq!((left[0].id, left[0].kind), (7, Kind::Free as u8));
    assert_eq!(compacted(false, &[dropped]), (vec![], 1));
}

/// It was dropped when nothing else had been, after the compaction asked, and its free found room at once: that is no record of this compaction.
#[test]
fn what_is_freed_after_it_was_asked_for_drops_stays() {
    let world = World::new(16, true, false, false, true);
    let pair = |n: u64| Event { id: 1, size: 64, ..Event::new([Kind::Alloc, Kind::Free][n as usize], Memory::Dram, 0) };
    assert_eq!(churn_fill(&world, &pair, 2), 2);
    let dropped = Event { id: 7, size: 64, ..Event::new(Kind::Free, Memory::Dram, 0) };
    let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
    let none_yet = || {
        assert_eq!(churn_fill(&world, &|_| dropped, 1), 1);
        false
    };
    let done = compactor.compact(0, none_yet, &mut vec![0; scratch_words(16)]);
    assert_eq!(done.map(|done| done.freed), Some(2));
    let left = world.left();
    assert_eq!(left.iter().map(|event| (event.id, event.kind)).collect::<Vec<_>>(), [(7, Kind::Free as u8)]);
    assert_eq!(world.section.unknown_frees.load(Relaxed), 0);
}

/// Of each number the last name, wherever it stands, and nothing of records that name no number.
#[test]
#[cfg_attr(miri, ignore = "takes many minutes there; the models have such records, too")]
fn every_tag_keeps_one_name() {
    let world = World::new(1024, false, false, false, false);
    let name = |n: u64| Name([n + 1, 0, 0, 7]);
    let told = |n: u64| Event { context: (n % 300) as u32, ..Event::tag(0, name(n)) };
    assert_eq!(churn_fill(&world, &told, 1000), 1000);
    let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
    let mut scratch = vec![0; scratch_words(1024)];
    let done = compactor.compact(0, || false, &mut scratch).expect("it can be done");
    assert_eq!((done.kept, done.freed), (255, 745));
    let left: BTreeMap<u8, Name> = world.left().iter().filter_map(Event::told_tag).collect();
    let last = |number: u64| if number < 100 { 900 + number } else { 600 + number };
    assert!(left.into_iter().eq((1..=255).map(|number| (number as u8, name(last(number))))));
}

/// Of five, three were freed by records that were dropped: the release says two. Only all six together tell what is alive.
#[test]
fn a_release_of_fewer_than_are_there_stays_with_its_members() {
    let member = |id| Event { id, size: 64, context: 3, ..Event::new(Kind::Alloc, Memory::Cb, 0) };
    let release = Event { id: 2, size: 128, context: 3, ..Event::new(Kind::FreeAll, Memory::Cb, 0) };
    let events: Vec<Event> = (1..6).map(member).chain([release]).collect();
    let (left, _) = compacted(true, &events);
    assert_eq!(left.iter().map(|event| Event { stamp: 0, ..*event }).collect::<Vec<_>>(), events);
}

/// A number that a broken ledger may say: nothing is moved by it.
#[test]
fn nothing_is_done_for_a_reader_that_is_ahead_of_what_was_claimed() {
    let mut world = World::new(8, true, false, false, true);
    for id in 1..4 {
        assert!(world.push(&Event { id, size: 64, ..Event::new(Kind::Alloc, Memory::Dram, 0) }));
        assert!(world.push(&Event { id, ..Event::new(Kind::Free, Memory::Dram, 0) }));
    }
    let bits = world.bits();
    let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
    for read in [7, 8, 100, u64::MAX] {
        assert_eq!(compactor.compact(read, || true, &mut vec![0; scratch_words(8)]), None);
        assert_eq!(world.bits(), bits, "something changed");
    }
    assert!(compactor.compact(6, || true, &mut vec![0; scratch_words(8)]).is_some());
}

/// What is left of these after a compaction is to a reader what all of them are, whether it had read this one before or not.
fn comes_to_the_same(earlier: &Event, events: &[Event]) {
    let (left, _) = compacted(true, events);
    for was_read in [false, true] {
        let mut all = State::default();
        if was_read {
            all.apply(earlier);
        }
        let mut late = all.clone();
        events.iter().for_each(|event| all.apply(event));
        left.iter().for_each(|event| late.apply(event));
        assert_eq!(late.sorted(), all.sorted(), "{earlier:?} was read before: {was_read}");
    }
}

/// The device was open when the reader left off, or it was not: the introduction ends the first block, or the free does.
#[test]
fn an_introduction_that_may_be_a_close_leaves_frees_in_doubt() {
    let new = |kind, id, address| Event { id, address, size: 64, ..Event::new(kind, Memory::Dram, 0) };
    let info = Event { id: 0, ..Event::new(Kind::DeviceInfo, Memory::Dram, 0) };
    let events = [new(Kind::Alloc, 5, 64), info, new(Kind::Alloc, 5, 128), new(Kind::Free, 5, 0)];
    comes_to_the_same(&info, &events);
}

/// What was read before was freed, then its group released: a later free of its address is for a block of this section.
#[test]
fn a_free_does_not_stand_for_one_before_a_release() {
    let new = |kind, id, context| {
        let flags = flags::ID_IS_ADDRESS;
        Event { id, context, flags, ..Event::new(kind, Memory::Dram, 0) }
    };
    let (old, release) = (new(Kind::Alloc, 2, 1), Event { flags: 0, ..new(Kind::FreeAll, 0, 1) });
    let alloc = |context| Event { address: u64::from(context) * 64, size: 64, ..new(Kind::Alloc, 2, context) };
    let events = [alloc(3), new(Kind::Free, 2, 0), alloc(4), release, new(Kind::Free, 2, 3)];
    comes_to_the_same(&old, &events);
}

/// How long it takes: `cargo test --release --test compaction_scenarios -- --ignored --nocapture`.
#[test]
#[ignore = "a measure, no test"]
fn pause() {
    const N: u64 = 32_768;
    let alloc = |id| Event { id, size: 64, context: (id / 20) as u32, ..Event::new(Kind::Alloc, Memory::Cb, 0) };
    let free = |id| Event { id, ..Event::new(Kind::Free, Memory::Cb, 0) };
    let churn = |n: u64| if n.is_multiple_of(2) { alloc(n) } else { free(n - 1) };
    let half = |n: u64| if n % 4 == 3 { free(n - 1) } else { alloc(n) };
    let groups = |n: u64| {
        let release = Event { context: (n / 21) as u32, ..Event::new(Kind::FreeAll, Memory::Cb, 0) };
        if n % 21 == 20 { release } else { Event { context: (n / 21) as u32, ..alloc(n) } }
    };
    let equal = |n: u64| if n < 30_000 { alloc(1) } else { free(1) };
    let storm = |n: u64| Event { context: n as u32, ..Event::new(Kind::FreeAll, Memory::Cb, 0) };
    let doors = |n: u64| {
        Event::new(
            if n.is_multiple_of(2) { Kind::DeviceInfo } else { Kind::DeviceClose },
            Memory::Dram,
            (n / 2 % 1024) as u32,
        )
    };
    let cases: [(&str, &dyn Fn(u64) -> Event); 6] = [
        ("churn", &churn),
        ("half", &half),
        ("groups", &groups),
        ("equal", &equal),
        ("storm", &storm),
        ("doors", &doors),
    ];
    for (name, event) in cases {
        for history in [false, true] {
            let mut times = Vec::new();
            let mut done = None;
            for _ in 0..9 {
                let world = World::new(N as usize, false, false, false, false);
                assert_eq!(churn_fill(&world, event, N), N);
                let mut scratch = vec![0; scratch_words(N as usize)];
                let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
                let begin = std::time::Instant::now();
                done = compactor.compact(0, || history, &mut scratch);
                times.push(begin.elapsed());
            }
            times.sort();
            eprintln!("{name:8} history {history:5}: median {:?}, worst {:?}, {done:?}", times[4], times[8]);
        }
    }
}
