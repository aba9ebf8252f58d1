//! Creating a segment: exclusive, reserved, mapped and pre-faulted before anybody hears of it.

use super::mapping::Mapping;
use super::{SegmentError, remove_if_same};
use crate::names::DIRECTORY;
use memmap2::MmapOptions;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, posix_fallocate};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, lstat};
use shared_memory::{ShmemConf, ShmemError};
use std::os::fd::{AsRawFd, OwnedFd};

/// A segment that this process created.
#[derive(Debug)]
pub struct Created {
    /// Its pages.
    pub mapping: Mapping,
    /// The descriptor for locks and `fchmod`. A POSIX lock on the file lives only until *any* descriptor of it is
    /// closed in this process, the mapping's own included: keep both, or drop both.
    pub file: OwnedFd,
    /// File name in /dev/shm.
    pub name: String,
    /// Device and inode, for removing it without removing a stranger's file.
    pub inode: (u64, u64),
}

/// Creates `/dev/shm/<name>` with mode 0600 and `bytes` bytes, all blocks reserved, mapped and pre-faulted.
///
/// # Errors
/// `Exists`, `NoSpace`, `Permission` or `Io`; nothing is left behind.
pub fn create(name: &str, bytes: usize) -> Result<Created, SegmentError> {
    create_in_part(name, bytes, bytes)
}

/// As [`create`], but only the first `prefaulted` bytes are pre-faulted: the others when they come near
/// ([`Mapping::prefault`]), so that the host does not wait for all of them at its first event.
///
/// # Errors
/// As [`create`].
pub fn create_in_part(name: &str, bytes: usize, prefaulted: usize) -> Result<Created, SegmentError> {
    check_size_limit(name, bytes)?;
    let _standard = occupy_standard_descriptors();
    // shared_memory opens with O_CREAT | O_EXCL, mode 0600, and glibc adds O_NOFOLLOW | O_CLOEXEC.
    let mut shmem = ShmemConf::new().size(bytes).os_id(format!("/{name}")).create().map_err(|error| match error {
        ShmemError::MappingIdExists => SegmentError::exists(name.to_owned()),
        ShmemError::MapCreateFailed(errno) | ShmemError::UnknownOsError(errno) => {
            SegmentError::from_errno(name, "create", Errno::from_raw(errno as i32))
        }
        _ => {
            SegmentError::Io { name: name.to_owned(), doing: "create", source: std::io::Error::other("shared_memory") }
        }
    })?;
    // Still its owner: should one of these fail (no descriptor left), its drop takes the name away again.
    let file = open(
        format!("{DIRECTORY}/{name}").as_str(),
        OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| SegmentError::from_errno(name, "open after create", errno))?;
    let stat = fstat(&file).map_err(|errno| SegmentError::from_errno(name, "fstat", errno))?;
    // From now on its drop would unlink whatever has this name by then.
    shmem.set_owner(false);
    let mapping = Mapping::created(shmem, bytes);
    let created = Created { mapping, file, name: name.to_owned(), inode: inode(&stat) };
    if let Err(errno) = reserve(&created.file, 0, bytes) {
        created.remove();
        return Err(match errno {
            Errno::ENOSPC => SegmentError::NoSpace { name: name.to_owned(), bytes: bytes as u64 },
            _ => SegmentError::from_errno(name, "posix_fallocate", errno),
        });
    }
    created.mapping.prefault(0, prefaulted);
    Ok(created)
}

/// Growing a file past this limit is a signal that ends the process, not an error.
fn check_size_limit(name: &str, bytes: usize) -> Result<(), SegmentError> {
    if getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft < bytes as u64) {
        return Err(SegmentError::FileSizeLimit { name: name.to_owned(), bytes: bytes as u64 });
    }
    Ok(())
}

#[allow(clippy::unnecessary_cast, reason = "the field's types differ by architecture")]
pub(super) fn inode(stat: &FileStat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// Where standard input, output or error are closed, the segment must not become one of them: what the host prints would land in
/// it. The descriptors are given up again by drop.
fn occupy_standard_descriptors() -> Vec<OwnedFd> {
    let mut occupied = Vec::new();
    while let Ok(fd) = open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        if fd.as_raw_fd() > libc::STDERR_FILENO {
            break;
        }
        occupied.push(fd);
    }
    occupied
}

/// Reserves the blocks, with signals held back in this thread: the kernel gives back all that it has reserved when one comes, so
/// that a profiler's timer could keep us at it for ever.
fn reserve(file: &OwnedFd, from: usize, bytes: usize) -> Result<(), Errno> {
    if bytes == 0 {
        return Ok(());
    }
    let mut before = SigSet::empty();
    let held = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut before)).is_ok();
    let outcome = loop {
        match posix_fallocate(file, from as libc::off_t, bytes as libc::off_t) {
            Err(Errno::EINTR) => {}
            done => break done,
        }
    };
    if held {
        // Only an invalid argument is an error.
        let _restored = before.thread_set_mask();
    }
    outcome
}

/// Grows a segment of this process from its mapping's size to `bytes`: blocks reserved, mapped and pre-faulted, as at creation;
/// what was there is not touched. `room` bytes of addresses are taken, so that growing again up to there moves nothing.
/// The time it takes goes with the difference: let callers grow in steps that they can wait for.
///
/// # Errors
/// `NoSpace`, `FileSizeLimit` or `Io`; the mapping stays as it is then, and blocks may be reserved in part.
pub fn grow(name: &str, file: &OwnedFd, mapping: &mut Mapping, bytes: usize, room: usize) -> Result<(), SegmentError> {
    check_size_limit(name, bytes)?;
    let from = mapping.len().min(bytes);
    reserve(file, from, bytes - from).map_err(|errno| match errno {
        Errno::ENOSPC => SegmentError::NoSpace { name: name.to_owned(), bytes: bytes as u64 },
        _ => SegmentError::from_errno(name, "posix_fallocate", errno),
    })?;
    mapping.stretch(file, bytes, room).map_err(|source| SegmentError::Io {
        name: name.to_owned(),
        doing: "map more of it",
        source,
    })?;
    mapping.prefault(from, bytes - from);
    Ok(())
}

impl Created {
    /// Makes the file longer, from byte `from` (where it ends) to `bytes`: blocks reserved, and the whole mapped once more, while
    /// the first mapping stays where it is for whoever uses it. Nothing is pre-faulted.
    ///
    /// # Errors
    /// `NoSpace`, `FileSizeLimit` or `Io`; blocks may be reserved in part then.
    pub fn extend(&self, from: usize, bytes: usize) -> Result<Mapping, SegmentError> {
        check_size_limit(&self.name, bytes)?;
        let ours = || if self.has_its_descriptor() { Ok(()) } else { Err(self.descriptor_gone()) };
        ours()?;
        reserve(&self.file, from, bytes - from).map_err(|errno| match errno {
            Errno::ENOSPC => SegmentError::NoSpace { name: self.name.clone(), bytes: bytes as u64 },
            _ => SegmentError::from_errno(&self.name, "posix_fallocate", errno),
        })?;
        let map = MmapOptions::new().len(bytes).map_raw(&self.file);
        let map =
            map.map_err(|source| SegmentError::Io { name: self.name.clone(), doing: "map more of it", source })?;
        // Nothing is written into what may have become another file meanwhile.
        ours()?;
        Ok(Mapping::opened(map))
    }

    /// Whether its descriptor still is one of its file: a process may close all descriptors that it did not open, and use
    /// their numbers for files of its own, which must not be locked, lengthened or written.
    pub fn has_its_descriptor(&self) -> bool {
        fstat(&self.file).is_ok_and(|stat| inode(&stat) == self.inode)
    }

    fn descriptor_gone(&self) -> SegmentError {
        let source =
            std::io::Error::other("its descriptor was closed by the process, and may be another file's by now");
        SegmentError::Io { name: self.name.clone(), doing: "make it longer", source }
    }

    /// Lets everybody read it (stats and ledgers).
    ///
    /// # Errors
    /// The system's answer.
    pub fn publish_to_all(&self) -> Result<(), SegmentError> {
        fchmod(&self.file, Mode::from_bits_truncate(0o644))
            .map_err(|errno| SegmentError::from_errno(&self.name, "fchmod", errno))
    }

    /// Whether the name still leads to this file, in its full size, and everybody may read it. For what was
    /// [published](Self::publish_to_all).
    pub fn is_as_published(&self) -> bool {
        lstat(format!("{DIRECTORY}/{}", self.name).as_str()).is_ok_and(|stat| {
            let bytes = usize::try_from(stat.st_size).unwrap_or(0);
            inode(&stat) == self.inode && bytes >= self.mapping.len() && stat.st_mode & 0o777 == 0o644
        })
    }

    /// Unlinks the file, if the name still leads to it.
    pub fn remove(&self) {
        remove_if_same(&self.name, self.inode);
    }
}
