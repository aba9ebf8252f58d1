//! Rings without a name: `rm /dev/shm/*`, or logind at a user's last logout, takes the name of a ring whose process lives on.
//! Its owner still has it open, and /proc shows where.

use nix::unistd::Pid;
use shm_layout::names::{DIRECTORY, Prefix, ProcessFile, Role};
use shm_layout::segment::{self, Access, Expect, Opened, SegmentError};
use std::fs::{read_dir, read_link};

/// Descriptors of one process that are looked at: no process makes a look at it long.
const MOST_DESCRIPTORS: usize = 1 << 16;

/// Rings of living processes that have lost their names, as far as this user may see them.
pub fn scan(prefix: &Prefix) -> Vec<ProcessFile> {
    let Ok(processes) = read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.flat_map(|pid| descriptors(prefix, pid)).map(|(file, _)| file).collect()
}

/// Opens this ring through the descriptor that its owner has. As the pid in the file's name is the one that its owner knows,
/// owners in other pid namespaces are not found.
///
/// # Errors
/// `NotFound` if its owner has no such file; else as [`segment::open`].
pub fn open(prefix: &Prefix, file: &ProcessFile, access: Access, expect: Expect<'_>) -> Result<Opened, SegmentError> {
    let name = file.name(prefix);
    match descriptors(prefix, file.pid).find(|(found, _)| found == file) {
        Some((_, fd)) => segment::open_unlinked(&name, Pid::from_raw(file.pid.cast_signed()), fd, access, expect),
        None => Err(SegmentError::NotFound { name }),
    }
}

/// Unlinked rings of the process with this pid that it says are its own, not those of its parents, and their descriptors.
fn descriptors(prefix: &Prefix, pid: u32) -> impl Iterator<Item = (ProcessFile, i32)> {
    let entries = read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    entries.flatten().take(MOST_DESCRIPTORS).filter_map(move |entry| {
        let target = read_link(entry.path()).ok()?;
        let name = target.to_str()?.strip_prefix(DIRECTORY)?.strip_prefix('/')?.strip_suffix(" (deleted)")?;
        let file = ProcessFile::parse(name, prefix)?;
        let fd = entry.file_name().to_str()?.parse().ok()?;
        (file.role == Role::Ring && file.pid == pid).then_some((file, fd))
    })
}
