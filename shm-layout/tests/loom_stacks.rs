//! The table of call stacks under every interleaving, weak memory included.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p shm-layout --release --test loom_stacks`
#![cfg(loom)]

mod support;

use core::sync::atomic::Ordering::Relaxed;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use shm_layout::stacks::{StackSlot, StacksHeader, Table};
use support::heap::Heap;

struct File {
    header: Heap<StacksHeader<AtomicU64>, AtomicU64>,
    slots: Vec<StackSlot<AtomicU64>>,
}

impl File {
    fn new(slots: usize) -> Arc<Self> {
        let word = || AtomicU64::new(0);
        let slot = |_| StackSlot { state: word(), about: word(), addresses: core::array::from_fn(|_| word()) };
        // SAFETY: repr(C) and made of its words only.
        let header = unsafe { Heap::new(|_| AtomicU64::new(0)) };
        Arc::new(Self { header, slots: (0..slots).map(slot).collect() })
    }

    fn intern(&self, thread: u32, addresses: &[u64]) -> u32 {
        Table::new(&*self.header, &self.slots).expect("slots").intern(thread, addresses, false, || {})
    }

    /// What has this number is the stack that was told, whole.
    fn check(&self, number: u32, thread: u32, addresses: &[u64]) {
        let stack =
            Table::new(&*self.header, &self.slots).expect("slots").stack(number).expect("there for who told it");
        assert_eq!((stack.thread, &stack.addresses[..]), (thread, addresses));
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(f);
}

/// Two tell the same stack and one of their own; somebody looks at every number meanwhile.
#[test]
fn what_is_seen_is_whole_and_what_was_told_is_found() {
    model(|| {
        let file = File::new(3);
        let tell = |own: u32| {
            let file = file.clone();
            thread::spawn(move || {
                let numbers = [file.intern(1, &[7, 8]), file.intern(own, &[9])];
                file.check(numbers[0], 1, &[7, 8]);
                if numbers[1] != 0 {
                    file.check(numbers[1], own, &[9]);
                }
                numbers
            })
        };
        let threads = [tell(2), tell(3)];
        for number in 1..=3 {
            let seen = Table::new(&*file.header, &file.slots).expect("slots").stack(number);
            let whole = |thread, addresses: &[u64]| match thread {
                1 => addresses == [7, 8],
                2 | 3 => addresses == [9],
                _ => false,
            };
            assert!(seen.is_none_or(|stack| whole(stack.thread, &stack.addresses)));
        }
        let numbers = threads.map(|thread| thread.join().expect("no panic"));
        assert!(numbers.iter().all(|[same, _]| *same != 0));
        // The same stack twice only where both told it in the same moment; then there may be no place for one of the others.
        let untold = numbers.iter().filter(|[_, own]| *own == 0).count() as u64;
        assert!(untold == 0 || numbers[0][0] != numbers[1][0]);
        assert_eq!(file.header.untold.load(Relaxed), untold);
    });
}
