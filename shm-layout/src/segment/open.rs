//! Opening somebody's segment: everything is checked on the descriptor that is then mapped.

use super::SegmentError;
use super::create::inode;
use super::mapping::Mapping;
use crate::names::DIRECTORY;
use memmap2::MmapOptions;
use nix::fcntl::{OFlag, open as open_path};
use nix::sys::stat::{Mode, SFlag, fstat, lstat};
use nix::unistd::Pid;
use std::os::fd::{AsRawFd, OwnedFd};

/// What the mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only looking: the mapping cannot be written.
    Read,
    /// Consuming a ring, continuing a ledger.
    ReadWrite,
}

/// What the file has to be like.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// Who may own it; empty = anybody.
    pub owners: &'a [u32],
    /// Smallest size in bytes.
    pub least: u64,
    /// Largest size in bytes.
    pub most: u64,
}

/// A segment that somebody else (or an earlier run) created.
#[derive(Debug)]
pub struct Opened {
    /// Its pages, as many as the file had when it was checked.
    pub mapping: Mapping,
    /// The descriptor, for locks and for looking again.
    pub file: OwnedFd,
    /// File name in /dev/shm.
    pub name: String,
    /// Owner.
    pub uid: u32,
    /// Device and inode.
    pub inode: (u64, u64),
}

/// Opens and maps `/dev/shm/<name>`.
///
/// # Errors
/// One for each way in which the file is not what was expected.
pub fn open(name: &str, access: Access, expect: Expect<'_>) -> Result<Opened, SegmentError> {
    let mode = match access {
        Access::Read => OFlag::O_RDONLY,
        Access::ReadWrite => OFlag::O_RDWR,
    };
    // O_NONBLOCK: a FIFO of this name must not hold us up.
    let flags = mode | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = open_path(format!("{DIRECTORY}/{name}").as_str(), flags, Mode::empty())
        .map_err(|errno| SegmentError::from_errno(name, "open", errno))?;
    map_checked(file, name, 1, access, expect)
}

/// Opens and maps what process `pid` has open as `fd`: a file of /dev/shm that was called `name` and has no name any more.
///
/// # Errors
/// One for each way in which the file is not what was expected; [`SegmentError::Linked`] if it has a name.
pub fn open_unlinked(
    name: &str,
    pid: Pid,
    fd: i32,
    access: Access,
    expect: Expect<'_>,
) -> Result<Opened, SegmentError> {
    let system = |doing| move |errno| SegmentError::from_errno(name, doing, errno);
    // Looked at before it is opened: the process may have anything there by now, and opening a device does something.
    let seen = open_path(format!("/proc/{pid}/fd/{fd}").as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(system("open"))?;
    let stat = fstat(&seen).map_err(system("fstat"))?;
    let home = nix::sys::stat::stat(DIRECTORY).map_err(system("stat"))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG || stat.st_dev != home.st_dev {
        return Err(SegmentError::NotRegular { name: name.to_owned() });
    }
    let mode = match access {
        Access::Read => OFlag::O_RDONLY,
        Access::ReadWrite => OFlag::O_RDWR,
    };
    let path = format!("/proc/self/fd/{}", seen.as_raw_fd());
    let file =
        open_path(path.as_str(), mode | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty()).map_err(system("open"))?;
    map_checked(file, name, 0, access, expect)
}

/// Checks what was opened, and maps it.
fn map_checked(
    file: OwnedFd,
    name: &str,
    links: u64,
    access: Access,
    expect: Expect<'_>,
) -> Result<Opened, SegmentError> {
    let stat = fstat(&file).map_err(|errno| SegmentError::from_errno(name, "fstat", errno))?;
    let name = name.to_owned();
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(SegmentError::NotRegular { name });
    }
    if !expect.owners.is_empty() && !expect.owners.contains(&stat.st_uid) {
        return Err(SegmentError::Owner { name, found: stat.st_uid });
    }
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs by architecture")]
    let found = stat.st_nlink as u64;
    if (found, links) == (0, 1) {
        // Removed between its opening and this look, as the files of the dead are.
        return Err(SegmentError::NotFound { name });
    }
    if found != links {
        return Err(SegmentError::Linked { name, found });
    }
    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
    if !(expect.least..=expect.most).contains(&bytes) || bytes == 0 {
        return Err(SegmentError::Size { name, found: bytes });
    }
    if u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < bytes {
        return Err(SegmentError::Sparse { name });
    }
    let len = usize::try_from(bytes).map_err(|_| SegmentError::Size { name: name.clone(), found: bytes })?;
    let mut options = MmapOptions::new();
    options.len(len);
    let map = match access {
        Access::Read => options.map_raw_read_only(&file),
        Access::ReadWrite => options.map_raw(&file),
    }
    .map_err(|source| SegmentError::Io { name: name.clone(), doing: "mmap", source })?;
    Ok(Opened { mapping: Mapping::opened(map), file, name, uid: stat.st_uid, inode: inode(&stat) })
}

impl Opened {
    /// Maps the file up to this byte: it has grown since it was opened. The mapping may move.
    ///
    /// # Errors
    /// When it has not grown so far, has holes, or cannot be mapped; everything is as it was then.
    pub fn follow(&mut self, bytes: usize) -> Result<(), SegmentError> {
        let name = || self.name.clone();
        let stat = fstat(&self.file).map_err(|errno| SegmentError::from_errno(&self.name, "fstat", errno))?;
        let found = u64::try_from(stat.st_size).unwrap_or(0);
        if found < bytes as u64 {
            return Err(SegmentError::Size { name: name(), found });
        }
        if u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < bytes as u64 {
            return Err(SegmentError::Sparse { name: name() });
        }
        let stretched = self.mapping.stretch(&self.file, bytes, bytes);
        stretched.map_err(|source| SegmentError::Io { name: self.name.clone(), doing: "map more of it", source })
    }
}

/// Unlinks `/dev/shm/<name>` if it is this user's (as root: anybody's), finished or not, and whatever it is: a directory if it
/// is empty. True if removed. For names that only this user's aggregator writes, by whoever knows that none runs.
pub fn remove_own(name: &str) -> bool {
    let path = format!("{DIRECTORY}/{name}");
    let Ok(stat) = lstat(path.as_str()) else { return false };
    let me = nix::unistd::geteuid();
    if !me.is_root() && stat.st_uid != me.as_raw() {
        return false;
    }
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
        return std::fs::remove_dir(path).is_ok();
    }
    nix::unistd::unlink(path.as_str()).is_ok()
}

/// Unlinks `/dev/shm/<name>` if it still is the file with this device and inode. True if it was removed.
pub fn remove_if_same(name: &str, expected: (u64, u64)) -> bool {
    let path = format!("{DIRECTORY}/{name}");
    // Between the look and the unlink only the file's owner could swap it: /dev/shm is sticky.
    lstat(path.as_str()).is_ok_and(|stat| inode(&stat) == expected) && nix::unistd::unlink(path.as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::create;

    #[test]
    #[cfg_attr(miri, ignore = "makes a file")]
    fn what_was_removed_just_now_is_not_there() {
        let name = format!("test_{}_removed_just_now", std::process::id());
        let created = create(&name, 4096).unwrap_or_else(|error| panic!("{error}"));
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let open = || open_path(format!("{DIRECTORY}/{name}").as_str(), flags, Mode::empty());
        let file = open().unwrap_or_else(|error| panic!("{error}"));
        created.remove();
        let expect = Expect { owners: &[], least: 1, most: 4096 };
        let found = map_checked(file, &name, 1, Access::Read, expect);
        assert!(matches!(found, Err(SegmentError::NotFound { .. })), "{found:?}");
    }
}
