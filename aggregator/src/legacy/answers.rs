//! What the original's viewers are told: from the snapshot that the aggregator publishes, as any other viewer reads it.

use super::message::{Answer, DEVICE_INFO_RESPONSE, RESPONSE};
use crate::sigbus::Guarded;
use core::sync::atomic::AtomicU64;
use shm_layout::event::{MEMORY_KINDS, Memory};
use shm_layout::names::Prefix;
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::{Chip, Presence, Snapshot, StatsHeader, StatsView, UNKNOWN, stats_bytes};

/// The snapshot of now; `None` if there is none.
pub fn snapshot(prefix: &Prefix) -> Option<Snapshot> {
    let bytes = stats_bytes();
    let owners = &[nix::unistd::geteuid().as_raw()];
    let expect = Expect { owners, least: bytes as u64, most: bytes as u64 };
    let opened = Guarded::new(segment::open(&prefix.stats(), Access::Read, expect).ok()?)?;
    let header = opened.mapping.one::<StatsHeader<AtomicU64>>(0)?;
    let at = size_of::<StatsHeader<AtomicU64>>();
    let view = StatsView::new(header, opened.mapping.array(at, (bytes - at) / 8)?)?;
    view.identity().check().ok()?;
    let mut words = Vec::new();
    let read = view.snapshots().read_within(&mut words, 64);
    if read { Snapshot::decode(&words).ok() } else { None }
}

/// The chips that tracked processes told of: what is known of the others has no number, or is in no sum.
fn tracked(snapshot: &Snapshot) -> impl Iterator<Item = &Chip> {
    snapshot.chips.iter().filter(|chip| chip.telemetry.presence <= Presence::Both as u32 && chip.device != u32::MAX)
}

/// Of these, the ones that are shown under this number: a number that several processes give different chips stands for all of them.
fn chips(snapshot: &Snapshot, device: i32) -> impl Iterator<Item = &Chip> {
    tracked(snapshot).filter(move |chip| i64::from(chip.device) == i64::from(device))
}

fn live(snapshot: &Snapshot, device: i32) -> [u64; MEMORY_KINDS] {
    let mut sums = [0_u64; MEMORY_KINDS];
    for chip in chips(snapshot, device) {
        sums.iter_mut().zip(&chip.memory).for_each(|(sum, of)| *sum = sum.saturating_add(of.footprint_bytes));
    }
    sums
}

/// One more than the largest number under which a chip is shown.
pub fn devices(snapshot: &Snapshot) -> u32 {
    tracked(snapshot).map(|chip| chip.device + 1).max().unwrap_or(0)
}

/// The totals of a device.
pub fn totals(snapshot: &Snapshot, device: i32) -> Answer {
    let of = live(snapshot, device);
    Answer {
        kind: RESPONSE,
        device,
        dram: of[Memory::Dram as usize],
        l1: of[Memory::L1 as usize],
        l1_small: of[Memory::L1Small as usize],
        trace: of[Memory::Trace as usize],
        cb: of[Memory::Cb as usize],
        kernel: of[Memory::Kernel as usize],
        ..Answer::default()
    }
}

/// What a device is; how many there are, of device -1. What nobody told is 0.
pub fn device_info(snapshot: &Snapshot, device: i32) -> Answer {
    let count = devices(snapshot);
    let mut answer = Answer { kind: DEVICE_INFO_RESPONSE, device, devices: count, ..Answer::default() };
    if device == -1 {
        answer.available = u32::from(count > 0);
        return answer;
    }
    let known = |bytes: u64| if bytes == UNKNOWN { 0 } else { bytes };
    for chip in chips(snapshot, device) {
        answer.available = 1;
        answer.arch = answer.arch.max(chip.arch);
        answer.total_dram = answer.total_dram.max(known(chip.memory[Memory::Dram as usize].capacity_bytes));
        let l1 = known(chip.memory[Memory::L1 as usize].capacity_bytes);
        answer.total_l1 = answer.total_l1.max(l1);
        let per_core = l1.checked_div(u64::from(chip.tensix_cores)).unwrap_or(0);
        answer.l1_per_core = answer.l1_per_core.max(u32::try_from(per_core).unwrap_or(0));
    }
    answer
}
