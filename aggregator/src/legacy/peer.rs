//! Who speaks: what the kernel says of the sender of each piece, and of the process behind a pid.

pub use crate::boot::ticks_now;
use core::str::FromStr;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, UnixCredentials, getsockopt, recvmsg, sockopt};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use shm_layout::procfs;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A process as the kernel names it here; pid 0 is one that cannot be seen from this pid namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// Pid, here.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

impl Sender {
    fn of(credentials: &UnixCredentials) -> Self {
        Self { pid: u32::try_from(credentials.pid()).unwrap_or(0), uid: credentials.uid() }
    }
}

/// Who connected.
///
/// # Errors
/// The system's answer.
pub fn peer(socket: &OwnedFd) -> Result<Sender, Errno> {
    let found = getsockopt(socket, sockopt::PeerCredentials)?;
    Ok(Sender { pid: u32::try_from(found.pid()).unwrap_or(0), uid: found.uid() })
}

/// Reads a piece, all of one sender: a child of fork shares its parent's connection. `None` at the end of the stream; no sender where a
/// descriptor was sent along, for which there is no room: then the kernel's word is cut short, and whoever wanted that is nobody.
///
/// # Errors
/// `EAGAIN` when there is nothing, or the system's answer.
pub fn receive(socket: &OwnedFd, into: &mut [u8]) -> Result<Option<(usize, Option<Sender>)>, Errno> {
    // Room for credentials and nothing else: descriptors that somebody sends along are not taken.
    let mut space = cmsg_space!(UnixCredentials);
    let mut slices = [IoSliceMut::new(into)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let got = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let told = got.cmsgs().ok().and_then(|mut all| {
        all.find_map(|one| match one {
            ControlMessageOwned::ScmCredentials(credentials) => Some(Sender::of(&credentials)),
            _ => None,
        })
    });
    Ok((got.bytes > 0).then_some((got.bytes, told)))
}

/// A living process, held so that its pid cannot become another's unnoticed.
#[derive(Debug)]
pub struct Living {
    /// Becomes readable at its death.
    pub pidfd: OwnedFd,
    /// Clock ticks after boot at which it started.
    pub start_ticks: u64,
    /// Its pid in every namespace that it is in.
    pub pids: Vec<i32>,
}

impl Living {
    /// The process with this pid, unless it is dead.
    pub fn find(pid: u32) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
        // After the pidfd was opened: it is this one's, or this one is dead.
        let stat = procfs::stat(&pid.to_string()).filter(|stat| stat.state != b'Z')?;
        let living = Self { start_ticks: stat.start_ticks, pids: pids_of(pid), pidfd };
        (!living.is_dead()).then_some(living)
    }

    fn is_dead(&self) -> bool {
        let mut poll = [nix::poll::PollFd::new(self.pidfd.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO) != Ok(0)
    }

    /// Whether it may have sent something as this user: it is one of its own, or root's word, who may have become another since.
    pub fn may_be(&self, sender: Sender) -> bool {
        // Looked at after the file was read: it is this one's, or this one is dead.
        sender.uid == 0 || uids_of(sender.pid).contains(&sender.uid) && !self.is_dead()
    }
}

/// The pids that a process has, here and in its own namespaces.
pub fn pids_of(pid: u32) -> Vec<i32> {
    let mut pids: Vec<i32> = numbers(pid, "NSpid:");
    pids.extend(i32::try_from(pid));
    pids
}

/// The users that a process is: real, effective, saved, of files.
fn uids_of(pid: u32) -> Vec<u32> {
    numbers(pid, "Uid:")
}

/// The numbers in this line of a process's status.
fn numbers<T: FromStr>(pid: u32, line: &str) -> Vec<T> {
    #[cfg(test)]
    READ.with(|read| read.set(read.get() + 1));
    let status = procfs::read_bounded(&format!("/proc/{pid}/status"), 8192).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let found = status.lines().find_map(|of| of.strip_prefix(line)).unwrap_or_default();
    found.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
thread_local! {
    /// How often this thread has read a process's status.
    pub static READ: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}
