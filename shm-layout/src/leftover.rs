//! Files of dead owners that nobody drains: found, and removed by whoever comes next.

use crate::locks::{Lock, holder};
use crate::names::{DIRECTORY, Prefix, ProcessFile, Role};
use crate::procfs;
use crate::ring::Identity;
use crate::segment::{Access, Expect, Opened, SegmentError, open, remove_if_same, remove_own};
use crate::stats::StatsHeader;
use core::sync::atomic::AtomicU64;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Making a ring takes milliseconds.
const YOUNG: Duration = Duration::from_secs(2);

/// What a ring file in /dev/shm is to somebody who passes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its process lives, or nobody can tell that it does not.
    Alive,
    /// An aggregator has it.
    Drained,
    /// Its process is dead and nobody drains it.
    Leftover {
        /// Device and inode, for removing just this file.
        inode: (u64, u64),
        /// How large it is.
        bytes: u64,
    },
}

/// Looks at a ring, or at call stacks, whose file begins as a ring's. Death is only believed when the owner lock is free *and* the process cannot be found any more: a
/// process loses the lock by closing a descriptor, and a pid may be in a namespace that is not ours.
///
/// # Errors
/// When the file cannot be opened, or is not as a ring should be.
pub fn fate(prefix: &Prefix, file: &ProcessFile) -> Result<Fate, SegmentError> {
    let name = file.name(prefix);
    let expect = Expect { owners: &[file.uid], least: 1, most: u64::MAX };
    let opened = match open(&name, Access::Read, expect) {
        Err(SegmentError::Sparse { .. } | SegmentError::Size { .. }) => return Ok(unfinished(&name, file)),
        other => other?,
    };
    if !matches!(holder(&opened.file, Lock::Owner), Ok(None)) {
        return Ok(Fate::Alive);
    }
    if !matches!(holder(&opened.file, Lock::Consumer), Ok(None)) {
        return Ok(Fate::Drained);
    }
    let identity = read_identity(&opened);
    let (namespace, ticks) = identity.map_or((0, 0), |id| (id.pid_namespace, id.start_ticks));
    let ours = namespace == 0 || namespace == procfs::pid_namespace("self");
    // A ring without its magic is being made right now, if its maker lives.
    let announced = identity.is_some_and(|id| id.magic != 0);
    let running = runs(file.pid, announced.then_some(ticks));
    // In a namespace that is not ours the lock alone tells, and a maker that has not locked yet cannot be told by it.
    let alive = if ours && announced { running } else { !announced && (running || is_young(&name)) };
    Ok(if alive { Fate::Alive } else { Fate::Leftover { inode: opened.inode, bytes: opened.mapping.len() as u64 } })
}

/// A file whose maker was killed before it had reserved the blocks, or has not come that far yet.
fn unfinished(name: &str, file: &ProcessFile) -> Fate {
    let running = runs(file.pid, None);
    match nix::sys::stat::lstat(format!("{DIRECTORY}/{name}").as_str()) {
        Ok(stat) if stat.st_uid == file.uid && !running && !is_young(name) => {
            #[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
            let inode = (stat.st_dev as u64, stat.st_ino as u64);
            Fate::Leftover { inode, bytes: stat.st_size as u64 }
        }
        _ => Fate::Alive,
    }
}

/// Whether a process with this pid runs, one that started then, as far as that is known. One that /proc hides may be it.
fn runs(pid: u32, start_ticks: Option<u64>) -> bool {
    match procfs::stat(&pid.to_string()) {
        Some(stat) => stat.state != b'Z' && start_ticks.is_none_or(|ticks| stat.start_ticks == ticks),
        None => !procfs::is_gone(pid),
    }
}

/// Whether the file is so new that its maker, somewhere, may be at work on it.
fn is_young(name: &str) -> bool {
    let changed = std::fs::symlink_metadata(format!("{DIRECTORY}/{name}")).and_then(|meta| meta.modified());
    changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < YOUNG))
}

fn read_identity(opened: &Opened) -> Option<Identity> {
    read_at::<{ size_of::<Identity>() }>(opened, 0).map(|bytes| bytemuck::pod_read_unaligned(&bytes))
}

/// Bytes of the file, by read and not through the mapping: its owner may cut the file short at any moment, which must not end
/// whoever passes by.
fn read_at<const BYTES: usize>(opened: &Opened, at: usize) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    // SAFETY: reads at most as many bytes as the buffer has; the descriptor is open as long as `opened` lives.
    let got = unsafe { libc::pread(opened.file.as_raw_fd(), bytes.as_mut_ptr().cast(), BYTES, at as libc::off_t) };
    (usize::try_from(got) == Ok(BYTES)).then_some(bytes)
}

/// Removes rings of dead owners that nobody drains, and call stacks without a ring, of the given owner (`None`: of everybody). The
/// names removed.
pub fn collect(prefix: &Prefix, uid: Option<u32>) -> Vec<String> {
    let rings = procfs::process_files(prefix).into_iter().filter(|f| f.role == Role::Ring);
    let mine = rings.filter(|f| uid.is_none_or(|uid| uid == f.uid));
    let mut removed: Vec<String> = mine.filter_map(|file| remove_leftover(prefix, &file)).collect();
    removed.extend(orphaned_stacks(prefix, uid));
    removed
}

/// Removes this file if its owner is dead and nobody drains it. Its name, if so.
fn remove_leftover(prefix: &Prefix, file: &ProcessFile) -> Option<String> {
    let name = file.name(prefix);
    match fate(prefix, file) {
        Ok(Fate::Leftover { inode, .. }) => remove_if_same(&name, inode).then_some(name),
        _ => None,
    }
}

/// Removes call stacks whose ring is gone and whose owner is dead, of the given owner (`None`: of everybody). The names removed.
pub fn orphaned_stacks(prefix: &Prefix, uid: Option<u32>) -> Vec<String> {
    let files = procfs::process_files(prefix);
    let mine = files.iter().filter(|f| f.role == Role::Stacks && uid.is_none_or(|uid| uid == f.uid));
    let alone = mine.filter(|file| !files.contains(&file.of_role(Role::Ring)));
    alone.filter_map(|file| remove_leftover(prefix, file)).collect()
}

/// Removes the call stacks of the process with this ring, which is dead; if it has any, and they are its user's.
pub fn remove_stacks(prefix: &Prefix, ring: &ProcessFile) {
    let path = format!("{DIRECTORY}/{}", ring.of_role(Role::Stacks).name(prefix));
    // Between the look and the unlink only the file's owner could swap it: /dev/shm is sticky.
    if nix::sys::stat::lstat(path.as_str()).is_ok_and(|stat| stat.st_uid == ring.uid) {
        // It may be gone by now, or be a directory: then it is none of ours.
        let _removed = nix::unistd::unlink(path.as_str());
    }
}

/// As [`collect`], by a process in passing: only where no aggregator does it, and only rings whose process is plainly gone. Its
/// host waits for this, so it is bounded: by what is looked at, not by time, which on a busy machine is over before anything is done.
/// What is beyond the bounds is left to the next process, an aggregator, or `tt-alloc gc`.
pub fn collect_in_passing(prefix: &Prefix, uid: u32) {
    /// Names, a quarter of a microsecond each, in the kernel's order.
    const NAMES: usize = 2048;
    /// Rings opened, some 20 µs each.
    const RINGS: usize = 16;
    /// Of these removed, and how large they may be: the kernel frees 2 MiB in some 100 µs.
    const REMOVED: usize = 2;
    const BYTES: u64 = 8 << 20;
    if aggregator_runs(prefix, uid) {
        return;
    }
    let Ok(entries) = std::fs::read_dir(DIRECTORY) else { return };
    let names = entries.flatten().take(NAMES).map(|entry| entry.file_name());
    let files = names.filter_map(|name| ProcessFile::parse(name.to_str()?, prefix));
    let gone = files.filter(|file| file.role == Role::Ring && file.uid == uid && procfs::is_gone(file.pid));
    // The user in a name is a claim: another's files take no turn from its own.
    let own = gone.filter(|file| {
        let stat = nix::sys::stat::lstat(format!("{DIRECTORY}/{}", file.name(prefix)).as_str());
        stat.is_ok_and(|stat| stat.st_uid == uid)
    });
    let leftovers = own.take(RINGS).filter_map(|file| match fate(prefix, &file) {
        Ok(Fate::Leftover { inode, bytes }) if bytes <= BYTES => Some((file, inode)),
        _ => None,
    });
    for (file, inode) in leftovers.take(REMOVED) {
        remove_stacks(prefix, &file);
        remove_if_same(&file.name(prefix), inode);
    }
}

/// Whether an aggregator that reads this user's rings ran a moment ago, by the heartbeat of its segment: one that was killed
/// leaves the segment.
fn aggregator_runs(prefix: &Prefix, uid: u32) -> bool {
    const FRESH_NS: u64 = 2_000_000_000;
    let expect = Expect { owners: &[0, uid], least: size_of::<StatsHeader<AtomicU64>>() as u64, most: u64::MAX };
    let Ok(opened) = open(&prefix.stats(), Access::Read, expect) else { return false };
    let at = core::mem::offset_of!(StatsHeader<AtomicU64>, heartbeat);
    let heartbeat = read_at::<8>(&opened, at).map_or(0, u64::from_ne_bytes);
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    let now = now.map_or(0, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64);
    heartbeat != 0 && now.saturating_sub(heartbeat) < FRESH_NS
}

/// Whether no ring is there that an aggregator would drain: then nobody needs what an earlier one published.
pub fn nobody_is_continued(prefix: &Prefix) -> bool {
    !procfs::process_files(prefix).iter().any(|file| file.role == Role::Ring)
}

/// Removes ledgers that this user's aggregator wrote and whose ring is gone. Only for whoever knows that no aggregator
/// of this prefix runs. The names removed.
pub fn orphaned_ledgers(prefix: &Prefix) -> Vec<String> {
    let files = procfs::process_files(prefix);
    let orphan = |file: &&ProcessFile| file.role == Role::Ledger && !files.contains(&file.of_role(Role::Ring));
    let names = files.iter().filter(orphan).map(|file| file.name(prefix));
    names.filter(|name| remove_own(name)).collect()
}
