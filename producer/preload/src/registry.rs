//! What the hooks remember about the process, behind a lock that nothing waits on for long.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, TryLockError};

/// How many forks this process is away from the one that registered [`count_forks`].
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Something remembered that a forked child must look at anew: what its parent allocated is not its own.
pub(crate) trait Inherited: Default {
    /// Called once in a child, before the first use there.
    fn inherit(&mut self);
}

/// One table of the hooks. Its lock is never held across a call into tt-metal or the producer.
pub(crate) struct Registry<T>(Mutex<Option<(u32, T)>>);

/// Turns that a caller waits for the lock before it goes without. Nothing slow happens under it, so only
/// the child of a fork that happened while another thread held it ever waits this long.
const PATIENCE: u32 = 20_000;

impl<T: Inherited> Registry<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Works with the table; `None` if it cannot be had.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        for turn in 0..PATIENCE {
            let mut table = match self.0.try_lock() {
                Ok(table) => table,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    if turn < 100 {
                        std::hint::spin_loop();
                    } else {
                        std::thread::yield_now();
                    }
                    continue;
                }
            };
            // Relaxed: only the forked child itself changes it, before any of its threads run.
            let forks = FORKS.load(Ordering::Relaxed);
            let (of, table) = table.get_or_insert_with(|| (forks, T::default()));
            if *of != forks {
                *of = forks;
                table.inherit();
            }
            return Some(work(table));
        }
        None
    }
}

/// From now on, children of this process look at their tables anew.
pub(crate) fn count_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler only adds to two atomic counters: safe in the child of a process with threads.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
}

unsafe extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    crate::chips::new_era();
}
