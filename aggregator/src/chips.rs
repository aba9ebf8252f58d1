//! The chips of the host: identity, capacity, and the sums over all processes.

use shm_layout::event::{Arch, MEMORY_KINDS, Memory};
use shm_layout::stats::{Chip, Figures, MAX_CHIPS, Telemetry, UNKNOWN};
use shm_layout::text;

/// Index of a chip in [`Chips`]; stable while the aggregator runs.
pub type ChipIndex = usize;

/// Every chip that some process has had open.
#[derive(Debug, Default)]
pub struct Chips {
    chips: Vec<Chip>,
    /// Whether a tracked process refers to it, as of the last [`mark_used`](Self::mark_used).
    used: Vec<bool>,
}

impl Chips {
    /// The chip with this id; added if it is new. When there are [`MAX_CHIPS`] already, one that nobody uses any more makes
    /// room; `None` when all are used.
    pub fn find_or_add(&mut self, chip_id: u64, id_is_logical: bool) -> Option<ChipIndex> {
        if let Some(at) = self.find(chip_id, id_is_logical) {
            self.used[at] = true;
            return Some(at);
        }
        let chip = nothing_known(chip_id, u32::from(id_is_logical));
        if self.chips.len() < MAX_CHIPS {
            self.chips.push(chip);
            self.used.push(true);
            return Some(self.chips.len() - 1);
        }
        let at = self.used.iter().position(|used| !used)?;
        self.chips[at] = chip;
        self.used[at] = true;
        Some(at)
    }

    /// The chips of an earlier aggregator, in its order: identity, capacities, peaks and cumulative sums. What is live is
    /// summed anew.
    pub fn inherit(&mut self, chips: &[Chip]) {
        self.chips = chips.iter().take(MAX_CHIPS).copied().collect();
        for chip in &mut self.chips {
            chip.processes = 0;
            // The driver is asked anew.
            chip.telemetry = Telemetry::NONE;
            chip.memory.iter_mut().for_each(Figures::clear_live);
        }
        self.used = vec![false; self.chips.len()];
    }

    /// Tells which chips tracked processes refer to.
    pub fn mark_used(&mut self, used: impl Fn(ChipIndex) -> bool) {
        for (at, mark) in self.used.iter_mut().enumerate() {
            *mark = used(at);
        }
    }

    /// The chip with this id, if it is known.
    pub fn find(&self, chip_id: u64, id_is_logical: bool) -> Option<ChipIndex> {
        self.chips.iter().position(|chip| chip.chip_id == chip_id && (chip.id_is_logical != 0) == id_is_logical)
    }

    /// What a process's `DeviceInfo` tells about a chip.
    pub fn describe(&mut self, at: ChipIndex, arch: u32, board_id: u64, tensix_cores: u32, device: u32) {
        let chip = &mut self.chips[at];
        if arch != 0 {
            chip.arch = arch;
        }
        if board_id != 0 {
            chip.board_id = board_id;
        }
        if chip.board == [0; 24] && chip.id_is_logical == 0 {
            chip.board = text::store(board_of(chip.arch, chip.board_id, chip.chip_id).as_bytes());
        }
        if tensix_cores != 0 {
            chip.tensix_cores = tensix_cores;
        }
        chip.device = chip.device.min(device);
    }

    /// The figures of one memory kind of a chip.
    pub fn figures(&mut self, at: ChipIndex, memory: Memory) -> &mut Figures {
        &mut self.chips[at].memory[memory as usize]
    }

    /// Every chip, in the order in which they were first seen.
    pub fn all(&self) -> &[Chip] {
        &self.chips
    }

    /// Every chip, to be changed.
    pub fn all_mut(&mut self) -> &mut [Chip] {
        &mut self.chips
    }
}

/// A chip of which nothing but its id is known, or its number (`id_is_logical`: as in [`Chip`]).
pub fn nothing_known(chip_id: u64, id_is_logical: u32) -> Chip {
    Chip {
        chip_id,
        arch: Arch::Unknown as u32,
        id_is_logical,
        board_id: 0,
        tensix_cores: 0,
        device: u32::MAX,
        processes: 0,
        reserved: 0,
        board: [0; 24],
        memory: [Figures { capacity_bytes: UNKNOWN, ..Figures::default() }; MEMORY_KINDS],
        telemetry: Telemetry::NONE,
    }
}

/// Board name by the type that a board id carries (UMD's table); empty when nothing that is known carries it.
///
/// UMD makes a Blackhole chip's unique id of its board id and its place on the board (`board << 5 | place`) or takes the
/// board id itself, so the chip's id tells the board where no board id was told.
pub fn board_of(arch: u32, board_id: u64, chip_id: u64) -> &'static str {
    let told = board_name(board_id);
    let mangled = if arch == Arch::Blackhole as u32 { board_name(chip_id >> 5) } else { "" };
    [told, mangled, board_name(chip_id)].into_iter().find(|name| !name.is_empty()).unwrap_or("")
}

fn board_name(board_id: u64) -> &'static str {
    match (board_id >> 36) & 0xF_FFFF {
        0x14 => "n300",
        0x18 => "n150",
        0x35 => "galaxy-wormhole",
        0x36 | 0x43 => "p100",
        0x40..=0x42 => "p150",
        0x44..=0x46 => "p300",
        0x47 => "galaxy-blackhole",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_of_ids_seen_in_the_wild() {
        let (wormhole, blackhole) = (Arch::WormholeB0 as u32, Arch::Blackhole as u32);
        assert_eq!(board_of(blackhole, 0, 4_476_187_513_037), "p150");
        assert_eq!(board_of(blackhole, 0, 143_238_000_422_112), "p150");
        assert_eq!(board_of(wormhole, 0, 72_059_269_368_820_857), "n150");
        assert_eq!(board_of(wormhole, 72_058_990_194_901_188, 9_956_278_468), "n300");
        assert_eq!(board_of(wormhole, 0, 9_956_278_468), "");
    }
}
