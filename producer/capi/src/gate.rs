//! A lock for which one seldom waits: who finds it closed leaves word, and whoever is inside does that too before it goes.
//!
//! ```text
//!   closed? ──no──► inside: what others left, one's own ──► open ──► anything left meanwhile? ──► inside again
//!      │ yes
//!      └─► leave word ──► open by now? ──► inside
//! ```
//!
//! A thread of the host may lose its processor at any instruction, for long on a busy machine, and with it whoever waits for it. What is
//! left is done in the order in which it was left, and before whatever comes later.
//!
//! Whoever is inside works for others, but not for ever: after [`MANY`] words who comes waits for its turn, at most its patience; and
//! when it goes in again for the last words, none can be left at all.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::null_mut;
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::sync::atomic::{AtomicPtr, AtomicU32};
use std::alloc::{Layout, alloc};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const OPEN: u32 = 0;
/// And so many more as words may have been left since.
const CLOSED: u32 = 1;

/// Words that may be left to one who is inside.
const MANY: u32 = 64;
const FULL: u32 = CLOSED + MANY;

/// How long a thread waits for others, at most.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// Looks before a thread leaves word: about as long as somebody is inside, who has a processor.
const LOOKS: u32 = 4;

thread_local! {
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// This thread's turn. There is one at a time: a signal handler that interrupts it must not do the same within it.
#[derive(Debug)]
pub(crate) struct Turn(PhantomData<*mut ()>);

impl Turn {
    #[inline(always)]
    pub(crate) fn begin() -> Option<Self> {
        let free = BUSY.try_with(|busy| !busy.replace(true)).unwrap_or(false);
        free.then_some(Self(PhantomData))
    }
}

impl Drop for Turn {
    #[inline(always)]
    fn drop(&mut self) {
        let _gone = BUSY.try_with(|busy| busy.set(false));
    }
}

/// What somebody left, and what was left before it.
#[derive(Debug)]
struct Left<W> {
    word: W,
    before: *mut Left<W>,
}

/// The lock. Zero is open, with nothing left.
#[derive(Debug)]
pub(crate) struct Gate<W> {
    state: AtomicU32,
    left: AtomicPtr<Left<W>>,
}

impl<W: Copy> Gate<W> {
    pub(crate) const fn new() -> Self {
        Self { state: AtomicU32::new(OPEN), left: AtomicPtr::new(null_mut()) }
    }

    /// Goes in, if it is open.
    #[inline(always)]
    pub(crate) fn enter(&self) -> Option<Inside<'_, W>> {
        self.close(CLOSED)
    }

    #[inline(always)]
    fn close(&self, to: u32) -> Option<Inside<'_, W>> {
        // SYNC(gate.inside): what was done inside is seen; pairs with the swap in `drop`.
        // SYNC(gate.left): found closed, it is opened later; pairs with the load in `work_off`.
        self.state.compare_exchange(OPEN, to, SeqCst, SeqCst).is_ok().then(|| Inside(self))
    }

    /// Does `work` for this word inside, after what was left before: by this thread, or by who is inside. Waits where many words were
    /// left already. `false` without memory for what is to be left.
    #[inline(always)]
    pub(crate) fn pass(&self, word: W, patience: Duration, mut work: impl FnMut(W)) -> bool {
        if let Some(inside) = self.enter() {
            inside.catch_up(&mut work);
            work(word);
            inside.leave(work);
            return true;
        }
        self.pass_later(word, patience, work)
    }

    #[cold]
    #[inline(never)]
    fn pass_later(&self, word: W, patience: Duration, mut work: impl FnMut(W)) -> bool {
        let mut deadline = None;
        for look in 0.. {
            if look < LOOKS {
                core::hint::spin_loop();
            } else if self.may_leave() || Instant::now() >= *deadline.get_or_insert_with(|| Instant::now() + patience) {
                break;
            } else {
                give_way();
            }
            // Relaxed: only a look; `enter` is what counts.
            if self.state.load(Relaxed) == OPEN
                && let Some(inside) = self.enter()
            {
                inside.catch_up(&mut work);
                work(word);
                inside.leave(work);
                return true;
            }
        }
        if !self.put(word) {
            return false;
        }
        if let Some(inside) = self.enter() {
            inside.leave(work);
        }
        true
    }

    /// Whether one more word may be left to who is inside. Not while it is open: then one goes in.
    fn may_leave(&self) -> bool {
        // Relaxed: a count; what is left is ordered by `left`.
        let more = |now| (CLOSED..FULL).contains(&now).then_some(now + 1);
        self.state.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Whoever has opened it does what was left meanwhile, unless somebody else is inside by now, who will.
    #[inline(always)]
    pub(crate) fn work_off(&self, mut work: impl FnMut(W)) {
        // Who left word while it was closed and then found it closed did so before the swap in `drop`.
        // SYNC(gate.left): pairs with the exchanges in `put` and `close`.
        while !self.left.load(SeqCst).is_null() {
            // Nobody leaves more to this one: else it might never go.
            let Some(inside) = self.close(FULL) else { return };
            inside.catch_up(&mut work);
        }
    }

    fn put(&self, word: W) -> bool {
        // SAFETY: the layout is not empty.
        let place: *mut Left<W> = unsafe { alloc(Layout::new::<Left<W>>()) }.cast();
        if place.is_null() {
            return false;
        }
        // Relaxed: nothing is read through it here.
        let mut before = self.left.load(Relaxed);
        loop {
            // SAFETY: allocated for this, and nobody else's yet.
            unsafe { place.write(Left { word, before }) };
            // SYNC(gate.word), SYNC(gate.left): pairs with the swap in `do_left` and the load in `work_off`. Relaxed: tried again.
            match self.left.compare_exchange_weak(before, place, SeqCst, Relaxed) {
                Ok(_) => return true,
                Err(now) => before = now,
            }
        }
    }
}

/// Whoever is inside. Opens when it goes, also when that is because of a panic: what was left by then waits for who comes next.
#[derive(Debug)]
pub(crate) struct Inside<'a, W>(&'a Gate<W>);

impl<W: Copy> Inside<'_, W> {
    /// Does what was left, the oldest first.
    #[inline(always)]
    pub(crate) fn catch_up(&self, work: &mut impl FnMut(W)) {
        // SYNC(gate.left): pairs with the exchange in `put` and `close`.
        if !self.0.left.load(SeqCst).is_null() {
            self.do_left(work);
        }
    }

    #[cold]
    fn do_left(&self, work: &mut impl FnMut(W)) {
        // SYNC(gate.word): the words are there; pairs with the exchange in `put`.
        let mut newest = self.0.left.swap(null_mut(), Acquire);
        let mut oldest: *mut Left<W> = null_mut();
        while !newest.is_null() {
            // SAFETY: from `put`, and nobody else's since the swap.
            let before = core::mem::replace(unsafe { &mut (*newest).before }, oldest);
            oldest = core::mem::replace(&mut newest, before);
        }
        while !oldest.is_null() {
            // SAFETY: as above; allocated with this layout, as a box is, and given back once.
            let Left { word, before } = *unsafe { Box::from_raw(oldest) };
            oldest = before;
            // A fault with one word is told by the panic hook, and is no reason to forget the others.
            let _ended = catch_unwind(AssertUnwindSafe(|| work(word)));
        }
    }

    /// Opens, after what was left is done.
    #[inline(always)]
    pub(crate) fn leave(self, mut work: impl FnMut(W)) {
        self.catch_up(&mut work);
        let gate = self.0;
        drop(self);
        gate.work_off(work);
    }
}

/// Lets others have the processor.
pub(crate) fn give_way() {
    // Not libc's: there, a thread may be cancelled.
    // SAFETY: sched_yield has no arguments and cannot fail.
    unsafe { libc::syscall(libc::SYS_sched_yield) };
}

impl<W> Drop for Inside<'_, W> {
    #[inline(always)]
    fn drop(&mut self) {
        // SYNC(gate.inside): what was done inside; pairs with the exchange in `close`.
        self.0.state.swap(OPEN, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;
    use std::sync::Mutex;

    /// Nobody's patience ends in these tests.
    const LONG: Duration = Duration::from_secs(600);

    /// One at a time, and nothing is forgotten once all have gone; what one thread says is done in its order.
    #[test]
    fn everything_is_done_once_and_in_order() {
        const THREADS: u64 = 8;
        const WORDS: u64 = 20_000;
        let (gate, inside, done) = (Gate::new(), AtomicU64::new(0), Mutex::new(vec![0; THREADS as usize]));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (gate, inside, done) = (&gate, &inside, &done);
                scope.spawn(move || {
                    for n in 0..WORDS {
                        let stays = n % 256 == 0;
                        let passed = gate.pass((thread, n), LONG, |(of, n): (u64, u64)| {
                            // Relaxed, Relaxed: the gate orders them.
                            assert_eq!(inside.fetch_add(1, Relaxed), 0, "alone");
                            if stays {
                                std::thread::yield_now();
                            }
                            let mut done = done.try_lock().expect("alone");
                            assert_eq!(done[of as usize], n, "in order");
                            done[of as usize] += 1;
                            inside.fetch_sub(1, Relaxed);
                        });
                        assert!(passed);
                    }
                });
            }
        });
        assert_eq!(*done.lock().expect("nobody panicked"), [WORDS; THREADS as usize]);
    }

    #[test]
    fn nobody_waits_for_who_is_inside() {
        let gate = Gate::new();
        let mut done = Vec::new();
        let inside = gate.enter().expect("open");
        assert!(gate.pass(1, LONG, |_| panic!("not inside")));
        assert!(gate.pass(2, LONG, |_| panic!("not inside")));
        inside.leave(|word| done.push(word));
        assert_eq!(done, [1, 2]);
        assert!(gate.pass(3, LONG, |word| done.push(word)));
        assert_eq!(done, [1, 2, 3]);
    }

    /// Threads that report without end do not keep one of them inside: counted is what one does within one of its own reports.
    #[test]
    fn nobody_works_for_the_others_without_end() {
        const THREADS: u32 = 8;
        const WORDS: u32 = 5_000;
        let gate = Gate::new();
        let (most, all) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..WORDS {
                        let mut here = 0;
                        assert!(gate.pass((), LONG, |()| {
                            here += 1;
                            if here % 16 == 1 {
                                // The others run meanwhile, and leave what they can.
                                std::thread::yield_now();
                            }
                        }));
                        // Relaxed, Relaxed: counters.
                        most.fetch_max(here, Relaxed);
                        all.fetch_add(here, Relaxed);
                    }
                });
            }
        });
        // What was there when it came, its own, what was left until it opened; each thread may be about to leave one more. And as much
        // again where it loses the processor just before it looks for the last time, and another one was inside meanwhile.
        let (bound, most) = (4 * (MANY + THREADS), most.into_inner());
        assert!(most <= bound, "{most} words in one report, not {bound}");
        assert_eq!(all.into_inner(), THREADS * WORDS);
    }

    /// What is left to one who is inside has an end, and so has the patience of who waits there.
    #[test]
    fn who_finds_many_words_waits_for_its_turn_and_not_for_ever() {
        let gate = Gate::new();
        let mut done = Vec::new();
        let inside = gate.enter().expect("open");
        assert!((0..MANY).all(|_| gate.may_leave()));
        assert!(!gate.may_leave());
        assert!(gate.pass(1, Duration::ZERO, |_| panic!("not inside")));
        inside.leave(|word| {
            done.push(word);
            if word < 3 {
                // Going in again for what came at the last moment, it takes no more.
                assert!(!gate.may_leave());
                assert!(gate.pass(word + 1, Duration::ZERO, |_| panic!("not inside")));
            }
        });
        assert_eq!(done, [1, 2, 3]);
        assert!(!gate.may_leave(), "open: one goes in");
        let inside = gate.enter().expect("open");
        assert!(gate.may_leave(), "counted anew");
        drop(inside);
    }

    /// Left after who is inside has looked for the last time, and before it opened.
    #[test]
    fn what_is_left_at_the_last_moment_is_done() {
        let gate = Gate::new();
        let done = core::cell::RefCell::new(Vec::new());
        let inside = gate.enter().expect("open");
        assert!(gate.pass(1, LONG, |_| panic!("not inside")));
        inside.leave(|word| {
            if word == 1 {
                assert!(gate.pass(2, LONG, |_| panic!("not inside")));
            }
            done.borrow_mut().push(word);
        });
        assert_eq!(*done.borrow(), [1, 2]);
        assert!(gate.enter().is_some(), "open");
    }

    /// A fault in the midst of it: the gate opens, and what others left is done by who comes next.
    #[test]
    fn a_panic_inside_leaves_it_open_and_no_word_forgotten() {
        let gate = Gate::new();
        let done = core::cell::RefCell::new(Vec::new());
        let pass = |word: i32| {
            gate.pass(word, LONG, |word| {
                if word == 1 {
                    assert!(gate.pass(10, LONG, |_| panic!("not inside")));
                    assert!(gate.pass(2, LONG, |_| panic!("not inside")));
                    assert!(gate.pass(11, LONG, |_| panic!("not inside")));
                }
                assert!(word > 2, "a fault");
                done.borrow_mut().push(word);
            })
        };
        for word in [1, 12, 13] {
            let _fault = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| pass(word)));
        }
        assert!(gate.enter().is_some(), "open");
        assert_eq!(*done.borrow(), [10, 11, 12, 13]);
    }

    #[test]
    fn a_thread_has_one_turn_at_a_time() {
        let turn = Turn::begin().expect("the first");
        assert!(Turn::begin().is_none());
        drop(turn);
        assert!(Turn::begin().is_some());
    }
}
