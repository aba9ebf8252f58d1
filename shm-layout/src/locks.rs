//! The locks of a ring: who writes it, who reads it, who is in which section.
//!
//! POSIX record locks, one byte each. The kernel drops them when their process dies, however it dies; a forked child does
//! not keep them alive (OFD locks and flock would be), and the holder's pid is told in the asker's own pid namespace.
//! Their trap: the process loses them when it closes *any* descriptor of the file.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::os::fd::AsFd;

/// Which byte of the ring file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Held by the producing process as long as it lives.
    Owner,
    /// Held by whoever drains the ring.
    Consumer,
    /// Held by whoever reads or compacts this section.
    Section(usize),
}

impl Lock {
    const fn byte(self) -> libc::off_t {
        match self {
            Self::Owner => 0,
            Self::Consumer => 1,
            Self::Section(number) => 16 + number as libc::off_t,
        }
    }
}

fn record(lock: Lock, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: lock.byte(),
        l_len: 1,
        l_pid: 0,
    }
}

/// Takes the lock, without waiting. False if another process has it. The descriptor must be open for writing.
///
/// # Errors
/// The system's answer, when it is something else.
pub fn try_take(file: impl AsFd, lock: Lock) -> Result<bool, Errno> {
    match fcntl(file, FcntlArg::F_SETLK(&record(lock, libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Gives the lock back, if this process has it.
pub fn give_back(file: impl AsFd, lock: Lock) {
    // It cannot fail for a lock that was taken; were it to, the lock ends with the process.
    let _done = fcntl(file, FcntlArg::F_SETLK(&record(lock, libc::F_UNLCK)));
}

/// The process that has the lock, other than this one; `Some(0)` if it is in a pid namespace that cannot be seen from here.
///
/// # Errors
/// The system's answer.
pub fn holder(file: impl AsFd, lock: Lock) -> Result<Option<u32>, Errno> {
    let mut answer = record(lock, libc::F_WRLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut answer))?;
    let held = i32::from(answer.l_type) != libc::F_UNLCK;
    Ok(held.then(|| u32::try_from(answer.l_pid).unwrap_or(0)))
}
