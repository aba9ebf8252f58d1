//! The time between two printed looks: until it is over, the reader goes away, or a signal asks to end.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How soon a signal is noticed that comes just before the wait.
const ATTENTION: Duration = Duration::from_millis(100);

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is time for the next look.
    Over,
    /// Nobody reads any more.
    Closed,
    /// Ctrl-C.
    Interrupted,
    /// Another signal that asks to end.
    Ended,
}

/// Looks at equal distances.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    next: Instant,
    interrupted: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    registered: Vec<signal_hook::SigId>,
}

impl Pace {
    /// The first look is now.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn begin(every: Duration) -> io::Result<Self> {
        let (interrupted, ended) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let mut pace = Self { every, next: Instant::now(), interrupted, ended, registered: Vec::new() };
        for (signal, flag) in [(SIGINT, &pace.interrupted), (SIGTERM, &pace.ended), (SIGHUP, &pace.ended)] {
            pace.registered.push(signal_hook::flag::register(signal, Arc::clone(flag))?);
        }
        Ok(pace)
    }

    /// Waits for the next look. `out`: where they are written.
    ///
    /// # Errors
    /// When the system does not let it wait.
    pub fn wait(&mut self, out: impl AsFd) -> io::Result<Wait> {
        // A look that came late is not followed by a hurried one.
        self.next = (self.next + self.every).max(Instant::now());
        loop {
            // Relaxed: nothing but the flags themselves is passed on.
            if self.interrupted.load(Ordering::Relaxed) {
                return Ok(Wait::Interrupted);
            }
            if self.ended.load(Ordering::Relaxed) {
                return Ok(Wait::Ended);
            }
            let left = self.next.saturating_duration_since(Instant::now()).min(ATTENTION);
            if left.is_zero() {
                return Ok(Wait::Over);
            }
            // Asked for nothing: only that the other side has gone is told.
            let mut asked = [PollFd::new(out.as_fd(), PollFlags::empty())];
            let timeout = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::ZERO);
            match poll(&mut asked, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if asked[0].revents().is_some_and(|told| !told.is_empty()) {
                return Ok(Wait::Closed);
            }
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    #[test]
    fn a_wait_ends_with_its_time_or_its_reader() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let mut pace = Pace::begin(Duration::from_millis(5)).unwrap();
        assert_eq!(pace.wait(&writer).unwrap(), Wait::Over);
        drop(reader);
        // An hour, if it did not notice.
        let mut pace = Pace::begin(Duration::from_secs(3600)).unwrap();
        assert_eq!(pace.wait(&writer).unwrap(), Wait::Closed);
        pace.interrupted.store(true, Ordering::Relaxed);
        assert_eq!(pace.wait(&writer).unwrap(), Wait::Interrupted);
    }
}
