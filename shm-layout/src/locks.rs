//! The two locks of a ring: who writes it, who reads it.
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
    Owner = 0,
    /// Held by whoever drains the ring.
    Consumer = 1,
}

fn byte(lock: Lock) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: lock as libc::off_t,
        l_len: 1,
        l_pid: 0,
    }
}

/// Takes the lock, without waiting. False if another process has it. The descriptor must be open for writing.
///
/// # Errors
/// The system's answer, when it is something else.
pub fn try_take(file: impl AsFd, lock: Lock) -> Result<bool, Errno> {
    match fcntl(file, FcntlArg::F_SETLK(&byte(lock))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The process that has the lock, other than this one; `Some(0)` if it is in a pid namespace that cannot be seen from here.
///
/// # Errors
/// The system's answer.
pub fn holder(file: impl AsFd, lock: Lock) -> Result<Option<u32>, Errno> {
    let mut answer = byte(lock);
    fcntl(file, FcntlArg::F_GETLK(&mut answer))?;
    let held = i32::from(answer.l_type) != libc::F_UNLCK;
    Ok(held.then(|| u32::try_from(answer.l_pid).unwrap_or(0)))
}
