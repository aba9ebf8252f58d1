//! What the daemon sleeps on: new files, deaths, a request to stop.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use shm_layout::names::ProcessFile;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Why the sleep ended.
#[derive(Debug, Default)]
pub struct Woken {
    /// A stop was asked for.
    pub stop: bool,
    /// Something new may be in /dev/shm.
    pub files: bool,
    /// Processes that died.
    pub dead: Vec<ProcessFile>,
}

const STOP: u64 = 0;
const FILES: u64 = 1;
const FIRST_PROCESS: u64 = 2;

/// An epoll set with names for its members.
#[derive(Debug)]
pub struct Wake {
    epoll: Epoll,
    processes: HashMap<u64, ProcessFile>,
    next: u64,
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
        Ok(Self { epoll, processes: HashMap::new(), next: FIRST_PROCESS })
    }

    /// Watches a process's pidfd. Closing the descriptor ends that.
    ///
    /// # Errors
    /// The system's answer.
    pub fn watch(&mut self, file: ProcessFile, pidfd: impl AsFd) -> Result<(), Errno> {
        self.epoll.add(pidfd, EpollEvent::new(EpollFlags::EPOLLIN, self.next))?;
        self.processes.insert(self.next, file);
        self.next += 1;
        Ok(())
    }

    /// Sleeps at most this long.
    pub fn wait(&mut self, at_most: Duration) -> Woken {
        let mut events = [EpollEvent::empty(); 64];
        let timeout = EpollTimeout::try_from(at_most).unwrap_or(EpollTimeout::ZERO);
        let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
        let mut woken = Woken::default();
        for event in &events[..count] {
            match event.data() {
                STOP => woken.stop = true,
                FILES => woken.files = true,
                token => woken.dead.extend(self.processes.remove(&token)),
            }
        }
        woken
    }
}
