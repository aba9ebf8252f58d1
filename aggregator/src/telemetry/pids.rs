//! /proc/driver/tenstorrent/N/pids: a line for each open descriptor of a device, with the pid in the reader's namespace; 0 is
//! a process that cannot be seen from there.

use super::Root;
use crate::person::Person;
use shm_layout::procfs::read_bounded;
use shm_layout::stats::UNKNOWN;

/// Bytes read of it.
const BYTES: u64 = 1 << 16;
/// Processes told of a device.
const PROCESSES: usize = 256;

/// Who has a device open, and how many processes these are, those that cannot be seen counted once; [`UNKNOWN`] where the list
/// is too long to be read. `None` where the driver does not tell.
pub fn read(root: &Root, number: u32) -> Option<(Vec<Person>, u64)> {
    let path = root.path(&format!("proc/driver/tenstorrent/{number}/pids"));
    let mut told = read_bounded(path.to_str()?, BYTES).ok()?;
    let is_cut = told.len() as u64 == BYTES;
    if is_cut {
        // Its last line may be the beginning of a longer pid, which is another process.
        told.truncate(told.iter().rposition(|b| *b == b'\n').unwrap_or(0));
    }
    let mut pids: Vec<u32> =
        told.split(|b| *b == b'\n').filter_map(|line| str::from_utf8(line).ok()?.trim().parse().ok()).collect();
    pids.sort_unstable();
    pids.dedup();
    let people = pids.iter().filter(|pid| **pid != 0).take(PROCESSES).filter_map(|pid| Person::of(*pid)).collect();
    Some((people, if is_cut { UNKNOWN } else { pids.len() as u64 }))
}
