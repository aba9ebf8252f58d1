//! /proc/driver/tenstorrent/N/pids: a line for each open descriptor of a device, with the pid in the reader's namespace; 0 is
//! a process that cannot be seen from there.

use super::{Person, Root};
use shm_layout::procfs::read_bounded;

/// Bytes read of it.
const BYTES: u64 = 1 << 16;
/// Processes told of a device.
const PROCESSES: usize = 256;

/// Who has a device open, and how many processes these are, those that cannot be seen counted once. `None` where the driver
/// does not tell.
pub fn read(root: &Root, number: u32) -> Option<(Vec<Person>, u64)> {
    let path = root.path(&format!("proc/driver/tenstorrent/{number}/pids"));
    let told = read_bounded(path.to_str()?, BYTES).ok()?;
    let mut pids: Vec<u32> =
        told.split(|b| *b == b'\n').filter_map(|line| str::from_utf8(line).ok()?.trim().parse().ok()).collect();
    pids.sort_unstable();
    pids.dedup();
    let people = pids.iter().filter(|pid| **pid != 0).take(PROCESSES).filter_map(|pid| Person::of(*pid)).collect();
    Some((people, pids.len() as u64))
}
