//! What a space does not tell.

use super::Space;
use crate::source::Observation;
use crate::units;
use shm_layout::event::Memory;
use shm_layout::stats::{Chip, UNKNOWN};

/// What the map does not tell, each in one sentence.
pub fn caveats(space: &Space, memory: Memory, chip: Option<&Chip>, seen: &Observation) -> Vec<String> {
    let mut told = Vec::new();
    let figures = chip.map(|chip| &chip.memory[memory as usize]);
    match memory {
        _ if space.blocks.is_empty() => {}
        Memory::SystemMemory => told.push("host memory: only where each buffer begins is known".to_owned()),
        Memory::Cb => told.push(
            "a record tells where a circular buffer begins on its cores, and its bytes on all of them, not how many cores: \
             its length is not known"
                .to_owned(),
        ),
        _ if space.banks.is_none() && space.unmeasured < space.blocks.len() => told.push(
            "the processes told different banks: each block is as long as its own process told; \
             so free runs and fragmentation are not known"
                .to_owned(),
        ),
        _ if space.banks.is_none() => told.push(
            "the processes did not tell one and the same number of banks: where buffers begin is known, not how long they are; \
             so free runs and fragmentation are not known"
                .to_owned(),
        ),
        _ if space.free.is_none() => told.push(
            "the processes told how many banks there are, and not how large: what is free is not known".to_owned(),
        ),
        _ => {}
    }
    if space.unmeasured > 0 && (space.banks.is_some() || space.unmeasured < space.blocks.len()) {
        let why = match space.of_fewer_banks {
            0 => "",
            _ => " (a sub-device's allocator has fewer banks, and no record tells how many)",
        };
        told.push(format!("{} blocks of unknown length{why}: what is free may be less", space.unmeasured));
    }
    if space.outside > 0 {
        told.push(format!("{} blocks lie outside of the bank that was told", space.outside));
    }
    if !space.shared.is_empty() {
        told.push("two processes hold the same addresses of this device".to_owned());
    }
    if figures.is_some_and(|figures| figures.detail_incomplete != 0) {
        told.push("detail incomplete: blocks are missing here, what is free may be less".to_owned());
    }
    let untracked = |at: usize| {
        let at = u32::try_from(at).ok();
        let here = seen.snapshot.rows.iter().filter(|row| Some(row.chip) == at && row.memory == memory as u32);
        here.filter(|row| row.figures.blocks == UNKNOWN).filter_map(|row| row.figures.held_bytes()).sum::<u64>()
    };
    let at = chip.and_then(|chip| seen.snapshot.chips.iter().position(|one| std::ptr::eq(one, chip)));
    if let Some(bytes) = at.map(untracked).filter(|bytes| *bytes > 0) {
        told.push(format!("{} of processes that are not tracked are not on the map", units::tight(bytes)));
    }
    told
}
