//! The socket's file: made where nobody else's is, and taken away again.

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, setsockopt, socket, sockopt,
};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, lstat};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoorwayError {
    /// A server answers there.
    #[error("{0}: another server has this socket; stop it first, or name another path")]
    Taken(PathBuf),
    /// Something of somebody else has the name.
    #[error("{path}: it belongs to user {uid}; remove it, or name another path")]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Something that is no socket has the name.
    #[error("{0}: there is something that is no socket; remove it, or name another path")]
    NotASocket(PathBuf),
    /// A system call failed.
    #[error("{path}: {doing}: {errno}")]
    System {
        /// The path.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        errno: Errno,
    },
}

/// A listening socket.
#[derive(Debug)]
pub struct Doorway {
    /// Nonblocking.
    pub socket: OwnedFd,
    path: PathBuf,
    inode: (u64, u64),
}

impl Doorway {
    /// Binds and listens. Root's is for everybody; another user's for that user.
    ///
    /// # Errors
    /// See [`DoorwayError`]; what was there is untouched then.
    pub fn open(path: &Path) -> Result<Self, DoorwayError> {
        clear(path)?;
        let system = |doing| move |errno| DoorwayError::System { path: path.to_owned(), doing, errno };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(system("socket"))?;
        let address = UnixAddr::new(path).map_err(system("the path of a socket"))?;
        bind(socket.as_raw_fd(), &address).map_err(|errno| match errno {
            Errno::EADDRINUSE => DoorwayError::Taken(path.to_owned()),
            errno => DoorwayError::System { path: path.to_owned(), doing: "bind", errno },
        })?;
        let inode = inode(path).map_err(system("look at what was bound"))?;
        let doorway = Self { socket, path: path.to_owned(), inode };
        // Of each piece that is read, the kernel tells the sender.
        setsockopt(&doorway.socket, sockopt::PassCred, &true).map_err(system("ask for credentials"))?;
        let mode = if nix::unistd::geteuid().is_root() { 0o666 } else { 0o600 };
        fchmodat(AT_FDCWD, path, Mode::from_bits_truncate(mode), FchmodatFlags::NoFollowSymlink)
            .map_err(system("chmod"))?;
        // Nobody can connect before this.
        listen(&doorway.socket, Backlog::MAXCONN).map_err(system("listen"))?;
        Ok(doorway)
    }

    /// The next connection.
    ///
    /// # Errors
    /// `EAGAIN` where nobody waits, or the system's answer.
    pub fn accept(&self) -> Result<OwnedFd, Errno> {
        let fd = accept4(self.socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
        // SAFETY: the descriptor is new, and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Whether the name still leads here.
    pub fn is_there(&self) -> bool {
        inode(&self.path).is_ok_and(|inode| inode == self.inode)
    }

    /// Takes its name away: nobody can connect any more.
    pub fn close(&self) {
        if self.is_there() {
            let _gone = nix::unistd::unlink(&self.path);
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Doorway {
    fn drop(&mut self) {
        self.close();
    }
}

#[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
fn inode(path: &Path) -> Result<(u64, u64), Errno> {
    lstat(path).map(|stat| (stat.st_dev as u64, stat.st_ino as u64))
}

/// Makes room for the socket: what is left of a server that is dead goes.
fn clear(path: &Path) -> Result<(), DoorwayError> {
    let system = |doing| move |errno| DoorwayError::System { path: path.to_owned(), doing, errno };
    let stat = match lstat(path) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other.map_err(system("look at it"))?,
    };
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFSOCK {
        return Err(DoorwayError::NotASocket(path.to_owned()));
    }
    let me = nix::unistd::geteuid();
    if stat.st_uid != me.as_raw() && !me.is_root() {
        return Err(DoorwayError::Foreign { path: path.to_owned(), uid: stat.st_uid });
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(system("socket"))?;
    let address = UnixAddr::new(path).map_err(system("the path of a socket"))?;
    match connect(probe.as_raw_fd(), &address) {
        Err(Errno::ECONNREFUSED) => {}
        Err(Errno::ENOENT) => return Ok(()),
        // Connected, or its queue is full, or it is of another kind: somebody has it open.
        _ => return Err(DoorwayError::Taken(path.to_owned())),
    }
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
    let dead = (stat.st_dev as u64, stat.st_ino as u64);
    if inode(path) == Ok(dead) {
        match nix::unistd::unlink(path) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(system("remove what a dead server left")(errno)),
        }
    }
    Ok(())
}
