//! How far a ledger is, for the producing process: it may only take records out of its ring that are in no ledger.

use super::header::{COMMIT_OFFSET, Identity};
use crate::names::DIRECTORY;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::os::fd::AsRawFd;

/// Every ring record before this one is in the ledger `/dev/shm/<name>` of the ring with this nonce; `None` if there is none that
/// an aggregator would continue. Only one that one of `owners` wrote is believed. While no aggregator has the ring: then nobody
/// writes it. Reads, and maps nothing: its owner may cut it short at any moment.
///
/// # Errors
/// The system's answer when it cannot be told, as with no descriptor left: then nothing may be concluded.
pub fn applied(name: &str, owners: &[u32], nonce: u64) -> Result<Option<u64>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match open(format!("{DIRECTORY}/{name}").as_str(), flags, Mode::empty()) {
        Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Ok(None),
        other => other?,
    };
    let stat = fstat(&file)?;
    let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if !regular || !owners.contains(&stat.st_uid) {
        return Ok(None);
    }
    let mut bytes = [0; COMMIT_OFFSET + 8];
    // SAFETY: reads at most as many bytes as the buffer has.
    let got = unsafe { libc::pread(file.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if usize::try_from(Errno::result(got)?) != Ok(bytes.len()) {
        return Ok(None);
    }
    let identity: Identity = bytemuck::pod_read_unaligned(&bytes[..size_of::<Identity>()]);
    let same = identity.check().is_ok() && identity.nonce == nonce;
    let commit: u64 = bytemuck::pod_read_unaligned(&bytes[COMMIT_OFFSET..]);
    Ok(same.then_some(commit >> 1))
}
