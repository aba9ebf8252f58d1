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
        "{path} belongs to user {uid}, whose aggregator may be running: ask them or root, or set TT_ALLOC_PREFIX for one of your own"
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
            // Nobody else may open it: a lock can be taken on a descriptor that is only for reading.
            let file = match open(path.as_str(), flags, Mode::from_bits_truncate(0o600)) {
                Ok(file) => file,
                Err(_) if removed_stale(&name, &path) => continue,
                Err(errno) => return Err(foreign(&path, errno)),
            };
            let system = |doing| {
                let path = path.clone();
                move |errno| InstanceError::System { path, doing, errno }
            };
            let stat = fstat(&file).map_err(system("fstat"))?;
            if stat.st_uid != nix::unistd::geteuid().as_raw() {
                if removed_stale(&name, &path) {
                    continue;
                }
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

impl Instance {
    /// Takes the lock again where somebody has taken its file's name away: a next aggregator would find no lock, and both would
    /// publish in turn. To be called now and then.
    ///
    /// # Errors
    /// When another one runs meanwhile, or may run; or the system's answer, and it is to be tried again.
    pub fn keep(&mut self, prefix: &Prefix) -> Result<(), InstanceError> {
        let there = nix::sys::stat::lstat(format!("{DIRECTORY}/{}", self.name).as_str());
        #[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
        if there.is_ok_and(|there| (there.st_dev as u64, there.st_ino as u64) == self.inode) {
            return Ok(());
        }
        // The one before is dropped then: it removes its own file only, which has no name.
        *self = Self::take(prefix)?;
        tracing::warn!(name = self.name, "the lock file was taken away: made again");
        Ok(())
    }
}

/// As root: removes another user's lock file that nobody holds. Their aggregator was killed, or they squat.
fn removed_stale(name: &str, path: &str) -> bool {
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(file) = open(path, flags, Mode::empty()) else { return false };
    let Ok(stat) = fstat(&file) else { return false };
    let held = !matches!(locks::holder(&file, Lock::Owner), Ok(None));
    if !nix::unistd::geteuid().is_root() || stat.st_uid == 0 || held {
        return false;
    }
    #[allow(clippy::unnecessary_cast, reason = "the field's types differ by architecture")]
    let inode = (stat.st_dev as u64, stat.st_ino as u64);
    remove_if_same(name, inode)
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
