//! Creating, opening and mapping files in /dev/shm without trusting anybody.
//!
//! A created segment has its blocks reserved before it is announced: a full /dev/shm is an error now, never a SIGBUS
//! later. An opened one is checked on the descriptor that is mapped. Mapped bytes are only reached as atomics.

mod create;
mod mapping;
mod open;

pub use create::{Created, create, create_in_part, grow};
pub use mapping::{Mapping, SharedWords};
pub use open::{Access, Expect, Opened, open, open_unlinked, remove_if_same, remove_own};

use std::io;

/// Why a segment could not be created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// No such file.
    #[error("{name}: no such segment in /dev/shm")]
    NotFound {
        /// File name.
        name: String,
    },
    /// A file of that name exists.
    #[error(
        "{name}: exists already in /dev/shm and belongs to user {owner}; remove it, ask them or root to, or set TT_ALLOC_PREFIX to another prefix"
    )]
    Exists {
        /// File name.
        name: String,
        /// Who has the name.
        owner: u32,
    },
    /// No room for it.
    #[error(
        "{name}: /dev/shm has no room for {bytes} bytes; remove files from it, start a container with a larger --shm-size, or make rings smaller by TT_ALLOC_RING_BYTES"
    )]
    NoSpace {
        /// File name.
        name: String,
        /// Bytes wanted.
        bytes: u64,
    },
    /// The process may not make files of this size.
    #[error(
        "{name}: this process may not make a file of {bytes} bytes (ulimit -f); raise the limit, or set TT_ALLOC_RING_BYTES"
    )]
    FileSizeLimit {
        /// File name.
        name: String,
        /// Bytes wanted.
        bytes: u64,
    },
    /// Access denied.
    #[error("{name}: permission denied; its owner or root may change that (chmod u+rw)")]
    Permission {
        /// File name.
        name: String,
    },
    /// Not a regular file, or a symbolic link.
    #[error("{name}: not a regular file")]
    NotRegular {
        /// File name.
        name: String,
    },
    /// Owned by somebody else than expected.
    #[error("{name}: owned by user {found}, who may not have it")]
    Owner {
        /// File name.
        name: String,
        /// Owner found.
        found: u32,
    },
    /// Too small, too large, or not the size announced.
    #[error("{name}: {found} bytes is not a size that such a segment has")]
    Size {
        /// File name.
        name: String,
        /// Size found.
        found: u64,
    },
    /// Has holes: reading them could kill the reader when /dev/shm is full.
    #[error("{name}: its blocks are not reserved")]
    Sparse {
        /// File name.
        name: String,
    },
    /// More than one name.
    #[error("{name}: has {found} names (hard links)")]
    Linked {
        /// File name.
        name: String,
        /// Links found.
        found: u64,
    },
    /// Anything else.
    #[error("{name}: {doing}: {source}")]
    Io {
        /// File name.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl SegmentError {
    /// That a file of this name exists, and whose it is.
    pub fn exists(name: String) -> Self {
        let owner = nix::sys::stat::lstat(format!("{}/{name}", crate::names::DIRECTORY).as_str());
        // Gone again by now: then it was as good as ours.
        let owner = owner.map_or_else(|_| nix::unistd::geteuid().as_raw(), |stat| stat.st_uid);
        Self::Exists { name, owner }
    }

    fn from_errno(name: &str, doing: &'static str, errno: nix::errno::Errno) -> Self {
        use nix::errno::Errno;
        let name = name.to_owned();
        match errno {
            Errno::ENOENT => Self::NotFound { name },
            Errno::EEXIST => Self::exists(name),
            Errno::EACCES | Errno::EPERM => Self::Permission { name },
            Errno::ELOOP | Errno::ENXIO | Errno::EISDIR => Self::NotRegular { name },
            _ => Self::Io { name, doing, source: errno.into() },
        }
    }
}
