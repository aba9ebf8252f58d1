//! Call stacks: each is there once, whoever tells it; a full table costs no more than a sound one; strange files are read as far as they go.

mod support;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::ring::IdentityError;
use shm_layout::stacks::{
    MOST_ADDRESSES, Module, ModuleSlot, StackSlot, StacksHeader, Table, check, held_by, identity, tell,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Barrier;
use support::heap::Heap;

type Header = Heap<StacksHeader<AtomicU64>, AtomicU64>;

fn header() -> Header {
    // SAFETY: repr(C) and made of its words only.
    unsafe { Heap::new(|_| AtomicU64::new(0)) }
}

fn slots(count: usize) -> Vec<StackSlot<AtomicU64>> {
    let word = || AtomicU64::new(0);
    let slot = |_| StackSlot { state: word(), about: word(), addresses: core::array::from_fn(|_| word()) };
    (0..count).map(slot).collect()
}

fn modules(count: usize) -> Vec<ModuleSlot<AtomicU64>> {
    let word = || AtomicU64::new(0);
    let slot = |_| ModuleSlot {
        state: word(),
        begin: word(),
        end: word(),
        bias: word(),
        build_id_bytes: word(),
        build_id: core::array::from_fn(|_| word()),
        path_bytes: word(),
        path: core::array::from_fn(|_| word()),
    };
    (0..count).map(slot).collect()
}

/// The `n`th stack: addresses and how many of them tell which it is.
fn addresses(n: u64) -> Vec<u64> {
    (0..1 + n % MOST_ADDRESSES as u64).map(|at| 0x7f00_0000_0000 + n * 0x1000 + at).collect()
}

/// Stacks of sixteen threads at once, many of them the same.
#[test]
fn threads_that_tell_the_same_stacks_agree_on_their_numbers() {
    const THREADS: u64 = 16;
    const STACKS: u64 = if cfg!(miri) { 8 } else { 300 };
    let (header, slots) = (header(), slots(4096));
    let table = Table::new(&*header, &slots).expect("places");
    let begin = Barrier::new(THREADS as usize);
    let numbers: Vec<HashMap<u64, u32>> = std::thread::scope(|scope| {
        let threads = (0..THREADS).map(|thread| {
            let (begin, table) = (&begin, &table);
            scope.spawn(move || {
                begin.wait();
                // Each in another order, so that they meet at different ones; twice.
                let order = (0..2 * STACKS).map(|n| (n * 7 + thread * 31) % STACKS);
                let mut told = HashMap::new();
                for n in order {
                    // Half of the stacks are of all threads, half of each its own.
                    let of = if n % 2 == 0 { 1 } else { thread as u32 + 2 };
                    let number = table.intern(of, &addresses(n), false, || {});
                    assert_ne!(number, 0);
                    let stack = table.stack(number).expect("it is there for who has told it");
                    assert_eq!((stack.thread, stack.addresses), (of, addresses(n)));
                    told.insert(n, number);
                }
                told
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    // A stack that two threads tell for the first time in the same moment may be there twice, no more often than they are.
    let distinct: BTreeSet<u32> = numbers.iter().flat_map(|told| told.values().copied()).collect();
    let least = (STACKS / 2 + THREADS * STACKS / 2) as usize;
    assert!(distinct.len() >= least, "{} numbers for {least} stacks", distinct.len());
    assert!(header.told.load(Relaxed) >= least as u64);
    assert_eq!(header.untold.load(Relaxed), 0);
    let told = header.told.load(Relaxed);
    for n in 0..STACKS {
        table.intern(1, &addresses(n), false, || {});
    }
    let more = header.told.load(Relaxed) - told;
    assert!(more <= STACKS / 2, "those of all threads are there: {more} came, of {}", STACKS / 2);
}

#[test]
fn the_same_stack_has_the_same_number_and_another_has_another() {
    let (header, slots) = (header(), slots(64));
    let table = Table::new(&*header, &slots).expect("places");
    let mut news = 0;
    let mut intern = |thread, addresses: &[u64], cut| table.intern(thread, addresses, cut, || news += 1);
    let first = intern(1, &[10, 20], false);
    assert_eq!(intern(1, &[10, 20], false), first);
    let others =
        [intern(2, &[10, 20], false), intern(1, &[10, 20], true), intern(1, &[10], false), intern(1, &[20, 10], false)];
    assert_eq!(BTreeSet::from(others).len(), 4);
    assert!(!others.contains(&first));
    let long: Vec<u64> = (1..100).collect();
    let number = intern(1, &long, true);
    assert_eq!(table.stack(number).expect("there").addresses, long[..MOST_ADDRESSES]);
    assert_eq!((news, header.told.load(Relaxed)), (6, 6));
    assert_eq!(table.stack(0), None);
}

#[test]
fn a_full_table_tells_no_stack_and_counts_it() {
    let (header, slots) = (header(), slots(64));
    let table = Table::new(&*header, &slots).expect("places");
    let numbers: Vec<u32> = (0..100).map(|n| table.intern(1, &addresses(n), false, || {})).collect();
    assert_eq!(numbers.iter().filter(|number| **number == 0).count(), 36);
    assert_eq!((header.told.load(Relaxed), header.untold.load(Relaxed)), (64, 36));
    for (n, number) in (0..).zip(&numbers).filter(|(_, number)| **number != 0) {
        assert_eq!(table.intern(1, &addresses(n), false, || {}), *number, "what is there is found");
    }
    assert_eq!(header.untold.load(Relaxed), 36);
}

#[test]
fn a_stack_that_was_never_finished_holds_nobody_up() {
    let (header, slots) = (header(), slots(64));
    let table = Table::new(&*header, &slots).expect("places");
    let number = table.intern(1, &[10], false, || {});
    let slot = &slots[number as usize - 1];
    // As whoever was killed, or whose signal handler jumped away, leaves it.
    slot.state.store(slot.state.load(Relaxed) & !3 | 1, Relaxed);
    assert_eq!(table.stack(number), None);
    let again = table.intern(1, &[10], false, || {});
    assert!(again != number && table.stack(again).is_some());
}

#[test]
fn modules_are_told_once_and_counted_where_there_is_no_place() {
    let (header, slots) = (header(), modules(4));
    let module = |n: u64| Module::at(n * 0x1000, (n + 1) * 0x1000, n).with_path(format!("/lib/{n}").as_bytes());
    for n in [0, 1, 0, 2, 3, 4, 4, 1] {
        tell(&header, &slots, &module(n));
    }
    let told: Vec<Module> = slots.iter().filter_map(ModuleSlot::module).collect();
    assert_eq!(told, [0, 1, 2, 3].map(module));
    assert_eq!(header.modules_untold.load(Relaxed), 2);
    assert_eq!(held_by(&told, 0x1fff), Some(&module(1)));
    assert_eq!(held_by(&told, 0x4000), None);
    // It was unloaded, and another came in its place.
    let both = [module(1), Module { bias: 7, ..module(1) }];
    assert_eq!(held_by(&both, 0x1000), None, "either of the two");
    assert_eq!(held_by(&[module(1), module(1)], 0x1000), Some(&module(1)), "told twice");
    let long = Module::at(0, 1, 0).with_path(&[b'x'; 300]).with_build_id(&[1; 64]);
    assert_eq!((long.path(), long.build_id()), (None, None));
}

#[test]
fn strange_words_are_a_stack_or_none() {
    let (header, slots) = (header(), slots(64));
    let table = Table::new(&*header, &slots).expect("places");
    let number = table.intern(7, &[1, 2, 3], false, || {});
    let slot = &slots[number as usize - 1];
    for about in [33 << 32, 255 << 32, u64::MAX] {
        slot.about.store(about, Relaxed);
        assert_eq!(table.stack(number), None, "{about:#x}");
    }
    slot.about.store(32 << 32, Relaxed);
    assert_eq!(table.stack(number).expect("as long as can be").addresses.len(), 32);
    for number in [0, 65, u32::MAX] {
        assert_eq!(table.stack(number), None);
    }
    let module = modules(1);
    for word in [&module[0].state, &module[0].path_bytes, &module[0].build_id_bytes, &module[0].begin] {
        word.store(u64::MAX, Relaxed);
    }
    assert_eq!(module[0].module(), None);
    module[0].state.store(2, Relaxed);
    let strange = module[0].module().expect("there");
    assert_eq!((strange.path(), strange.build_id(), strange.holds(5)), (None, None, false));
}

#[test]
fn only_what_is_sound_is_read() {
    let header = header();
    assert_eq!(check(&header.identity()), Err(IdentityError::NotReady));
    let ring: shm_layout::ring::Identity =
        shm_layout::ring::Identity { endian: 0x0102_0304, ..bytemuck::Zeroable::zeroed() };
    let sound = identity(&ring);
    header.announce(&sound);
    assert_eq!(check(&header.identity()), Ok(()));
    let of = |change: &dyn Fn(&mut shm_layout::ring::Identity)| {
        let mut other = sound;
        change(&mut other);
        check(&other)
    };
    assert_eq!(of(&|id| id.version = 2), Err(IdentityError::Version { found: 2 }));
    assert_eq!(of(&|id| id.magic = shm_layout::ring::MAGIC), Err(IdentityError::Magic));
    assert_eq!(of(&|id| id.magic = id.magic.swap_bytes()), Err(IdentityError::Endian));
    assert_eq!(of(&|id| id.slots += 1), Err(IdentityError::Geometry));
    assert_eq!(of(&|id| id.total_bytes -= 1), Err(IdentityError::Geometry));
}
