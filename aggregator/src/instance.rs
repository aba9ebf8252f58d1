//! One aggregator per host (and prefix): a lock file whose holder the kernel knows.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use shm_layout::locks::{self, Lock};
use shm_layout::names::{DIRECTORY, Prefix};
use shm_layout::segment::remove_if_same;
use std::os::fd::OwnedFd;

/// Why this aggregator cannot be the one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// There is one.
    #[error("an aggregator runs already: process {pid} has the lock {path}; use it, or stop it first")]
    Running {
        /// Its pid; 0 if it is in another pid namespace.
        pid: u32,
        /// The lock file.
        path: String,
    },
    /// The lock file is another user's.
    #[error(
        "{path} belongs to user {uid}, whose aggregator may be running: ask them, or set TT_ALLOC_PREFIX for one of your own"
    )]
    Foreign {
        /// Its owner.
        uid: u32,
        /// The lock file.
        path: String,
    },
    /// A system call failed.
    #[error("{path}: {doing}: {errno}")]
    System {
        /// The lock file.
        path: String,
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        errno: Errno,
    },
}

/// The right to be the aggregator, until dropped.
#[derive(Debug)]
pub struct Instance {
    _file: OwnedFd,
    name: String,
    inode: (u64, u64),
}

impl Instance {
    /// Takes the lock.
    ///
    /// # Errors
    /// When somebody has it, or may have it.
    pub fn take(prefix: &Prefix) -> Result<Self, InstanceError> {
        let name = prefix.lock();
        let path = format!("{DIRECTORY}/{name}");
        // A holder that ends removes the file: what we locked may have lost its name meanwhile. Then try again.
        for _ in 0..16 {
            let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let file =
                open(path.as_str(), flags, Mode::from_bits_truncate(0o644)).map_err(|errno| foreign(&path, errno))?;
            let system = |doing| {
                let path = path.clone();
                move |errno| InstanceError::System { path, doing, errno }
            };
            let stat = fstat(&file).map_err(system("fstat"))?;
            if stat.st_uid != nix::unistd::geteuid().as_raw() {
                return Err(InstanceError::Foreign { uid: stat.st_uid, path });
            }
            if !locks::try_take(&file, Lock::Owner).map_err(system("lock"))? {
                let pid = locks::holder(&file, Lock::Owner).ok().flatten().unwrap_or(0);
                return Err(InstanceError::Running { pid, path });
            }
            #[allow(clippy::unnecessary_cast, reason = "the field's types differ by architecture")]
            let inode = (stat.st_dev as u64, stat.st_ino as u64);
            let there = nix::sys::stat::stat(path.as_str());
            if there.is_ok_and(|there| there.st_ino == stat.st_ino && there.st_dev == stat.st_dev) {
                return Ok(Self { _file: file, name, inode });
            }
        }
        Err(InstanceError::System { path, doing: "lock", errno: Errno::EAGAIN })
    }
}

fn foreign(path: &str, errno: Errno) -> InstanceError {
    // The kernel forbids O_CREAT on a stranger's file in a sticky directory.
    match nix::sys::stat::lstat(path) {
        Ok(stat) if errno == Errno::EACCES && stat.st_uid != nix::unistd::geteuid().as_raw() => {
            InstanceError::Foreign { uid: stat.st_uid, path: path.to_owned() }
        }
        _ => InstanceError::System { path: path.to_owned(), doing: "open", errno },
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        remove_if_same(&self.name, self.inode);
    }
}
