//! What the daemon sleeps on: new files, deaths, a request to stop.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Names a watched process. Made by whoever knows the processes; what has no process any more is theirs to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Where it sits.
    pub seat: u32,
    /// How many sat there before it, and one; never 0.
    pub generation: u32,
}

/// Why the sleep ended.
#[derive(Debug, Default)]
pub struct Woken {
    /// A stop was asked for.
    pub stop: bool,
    /// Something new may be in /dev/shm.
    pub files: bool,
    /// Somebody wants something.
    pub control: bool,
    /// Processes that died.
    pub dead: Vec<Token>,
}

// Below every token: its generation is at least 1.
const STOP: u64 = 0;
const FILES: u64 = 1;
const CONTROL: u64 = 2;

/// Deaths told at once; more are told by the next call.
const AT_ONCE: usize = 256;

/// An epoll set with names for its members.
#[derive(Debug)]
pub struct Wake {
    epoll: Epoll,
    woken: Woken,
    events: Vec<EpollEvent>,
}

impl Wake {
    /// Watches this stop descriptor, and new files if they can be watched.
    ///
    /// # Errors
    /// The system's answer.
    pub fn new(stop: BorrowedFd<'_>, files: Option<BorrowedFd<'_>>) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        if let Some(files) = files {
            epoll.add(files, EpollEvent::new(EpollFlags::EPOLLIN, FILES))?;
        }
        Ok(Self { epoll, woken: Woken::default(), events: vec![EpollEvent::empty(); AT_ONCE] })
    }

    /// Watches the control socket.
    ///
    /// # Errors
    /// The system's answer.
    pub fn watch_control(&self, socket: impl AsFd) -> Result<(), Errno> {
        self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, CONTROL))
    }

    /// Watches a process's pidfd. Closing the descriptor ends that.
    ///
    /// # Errors
    /// The system's answer.
    pub fn watch(&self, token: Token, pidfd: impl AsFd) -> Result<(), Errno> {
        let data = u64::from(token.generation) << 32 | u64::from(token.seat);
        self.epoll.add(pidfd, EpollEvent::new(EpollFlags::EPOLLIN, data))
    }

    /// Sleeps at most this long.
    pub fn wait(&mut self, at_most: Duration) -> &Woken {
        let timeout = EpollTimeout::try_from(at_most).unwrap_or(EpollTimeout::ZERO);
        let count = self.epoll.wait(&mut self.events, timeout).unwrap_or(0);
        self.woken.stop = false;
        self.woken.files = false;
        self.woken.control = false;
        self.woken.dead.clear();
        for event in &self.events[..count] {
            match event.data() {
                STOP => self.woken.stop = true,
                FILES => self.woken.files = true,
                CONTROL => self.woken.control = true,
                token => self.woken.dead.push(Token { seat: token as u32, generation: (token >> 32) as u32 }),
            }
        }
        &self.woken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::EventFd;

    #[test]
    fn what_is_readable_is_told_by_its_token_and_nothing_after_its_end() -> Result<(), Errno> {
        let (stop, first, second) = (EventFd::new()?, EventFd::new()?, EventFd::new()?);
        let mut wake = Wake::new(stop.as_fd(), None)?;
        let (one, other) = (Token { seat: 7, generation: 1 }, Token { seat: 7, generation: u32::MAX });
        wake.watch(one, &first)?;
        wake.watch(other, &second)?;
        second.write(1)?;
        assert_eq!(wake.wait(Duration::ZERO).dead, [other]);
        drop(second);
        assert!(wake.wait(Duration::ZERO).dead.is_empty());
        first.write(1)?;
        stop.write(1)?;
        let woken = wake.wait(Duration::ZERO);
        assert!(woken.stop && woken.dead == [one]);
        Ok(())
    }
}
