//! A lock that never keeps anybody for long, and never the thread that has it.
//!
//! Not std's: that one waits as long as it takes, also for a thread that a debugger has stopped, or for the very thread that waits, in a
//! signal handler. And it is three words of zero when nobody has it, which is how the kernel leaves it in a forked child.

use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use nix::errno::Errno;
use std::time::{Duration, Instant};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep until it is not.
const AWAITED: u32 = 2;

/// Tries before a thread sleeps: about as long as a gate is held.
const TRIES: u32 = 100;
/// How long a thread waits at most, as at a full ring.
const PATIENCE: Duration = Duration::from_millis(100);

thread_local! {
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// This thread's turn: it has or takes gates. There is one at a time, so that a signal handler which interrupts it does not wait for it.
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

/// The lock.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU32);

/// While one lives, its thread is alone inside.
#[derive(Debug)]
pub(crate) struct Inside<'a>(&'a Gate);

impl Gate {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(FREE))
    }

    /// Enters, or gives up after 100 ms.
    #[inline(always)]
    pub(crate) fn enter(&self, _turn: &Turn) -> Option<Inside<'_>> {
        (self.take() || self.wait()).then_some(Inside(self))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        // SYNC(gate.inside): what was done inside before is seen; pairs with the Release in `drop`. Relaxed: nothing was taken.
        self.0.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) -> bool {
        for _ in 0..TRIES {
            core::hint::spin_loop();
            // Relaxed: only a look; `take` is what counts.
            if self.0.load(Relaxed) == FREE && self.take() {
                return true;
            }
        }
        let errno = Errno::last_raw();
        let deadline = Instant::now() + PATIENCE;
        let entered = loop {
            // Others may sleep, too: whoever enters by this way wakes one when it leaves.
            // SYNC(gate.inside): as in `take`.
            if self.0.swap(AWAITED, Acquire) == FREE {
                break true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break false;
            }
            self.sleep(left);
        };
        Errno::set_raw(errno);
        entered
    }

    /// Sleeps until somebody leaves, at most so long. By the system call: libc's ways to sleep are where a thread may be cancelled.
    fn sleep(&self, most: Duration) {
        let most = libc::timespec { tv_sec: 0, tv_nsec: most.as_nanos().min(999_999_999) as libc::c_long };
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word and the time live as long as the call; any answer is as good as another, since the word is looked at again.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, AWAITED, &raw const most) };
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        let errno = Errno::last_raw();
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word is only an address here.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, 1) };
        Errno::set_raw(errno);
    }
}

impl Drop for Inside<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SYNC(gate.inside): what was done inside; pairs with the Acquire in `take` and `wait`.
        if self.0.0.swap(FREE, Release) == AWAITED {
            self.0.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn one_at_a_time() {
        let (gate, count) = (Gate::new(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for n in 0..20_000 {
                        let turn = Turn::begin().expect("nobody interrupts this thread");
                        let inside = gate.enter(&turn).expect("held for a moment only");
                        // Relaxed, Relaxed: the gate orders them; apart, so that two inside would lose one.
                        let before = count.load(Relaxed);
                        if n % 512 == 0 {
                            std::thread::yield_now();
                        }
                        count.store(before + 1, Relaxed);
                        drop(inside);
                    }
                });
            }
        });
        assert_eq!(count.load(Relaxed), 160_000);
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let turn = Turn::begin().expect("the first");
        assert!(Turn::begin().is_none());
        drop(turn);
        assert!(Turn::begin().is_some());
    }

    #[test]
    fn who_waits_too_long_goes_without() {
        let gate = Gate::new();
        let (entered, leave) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let turn = Turn::begin().expect("the first");
                let _inside = gate.enter(&turn).expect("free");
                entered.wait();
                leave.wait();
            });
            entered.wait();
            Errno::set_raw(17);
            let turn = Turn::begin().expect("another thread");
            assert!(gate.enter(&turn).is_none());
            assert_eq!(Errno::last_raw(), 17, "the host's errno");
            leave.wait();
        });
        let turn = Turn::begin().expect("the first");
        assert!(gate.enter(&turn).is_some(), "free again");
    }
}
