//! What processes say of one chip, and whose word is shown where they do not agree.
//!
//! A chip's resident program is the one dispatched last, of all processes that have one there; its capacities are those that
//! the process tells which opened it last. Both moments are in the processes' ledgers, so that a next aggregator, which meets
//! them in any order, comes to the same answer.

use crate::chips::Chips;
use crate::tracked::Tracked;
use shm_layout::event::{MEMORY_KINDS, Memory};
use shm_layout::stats::{Chip, UNKNOWN};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A line about one chip comes no more often than this, whatever processes say of it.
const TELL_EVERY_NS: u64 = 60_000_000_000;

/// A chip's id, and whether that is a logical number only.
type ChipKey = (u64, u32);

/// Whose word it is. In order, for those of one moment: a clock word may be the same for milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Speaker {
    start_ticks: u64,
    pid: u32,
    nonce: u64,
    device: u32,
}

/// What one process says of one of its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    chip: ChipKey,
    /// Its place among the chips, as long as the device is open.
    at: usize,
    open: bool,
    opened_ns: u64,
    /// When its resident program was dispatched, and the bytes of that one's circular buffers.
    resident: Option<(u64, u64)>,
    capacity: [u64; MEMORY_KINDS],
    speaker: Speaker,
}

impl Claim {
    /// Of two claims about one chip's capacity, the greater one is believed.
    fn rank(&self) -> (bool, u64, Speaker) {
        (self.open, self.opened_ns, self.speaker)
    }

    /// Whether it says the same of the chip's capacities, with the same weight.
    fn tells_the_same(&self, other: &Self) -> bool {
        (self.chip, self.capacity, self.rank()) == (other.chip, other.capacity, other.rank())
    }
}

/// Two processes that have a chip open tell different capacities of it.
#[derive(Clone, Copy, Debug)]
struct Dispute {
    chip: Chip,
    memory: Memory,
    /// Believed: process and bytes.
    shown: (u32, u64),
    other: (u32, u64),
    told: bool,
}

/// All claims.
#[derive(Debug, Default)]
pub struct Claims {
    by_seat: Vec<Vec<Claim>>,
    scratch: Vec<Claim>,
    /// By chip: bytes of the resident program's circular buffers.
    resident: Vec<u64>,
    residents_stale: bool,
    capacities_stale: bool,
    disputes: Vec<Dispute>,
    /// When the last line was about each chip, `CLOCK_MONOTONIC` ns.
    told: HashMap<ChipKey, u64>,
}

impl Claims {
    /// What the process in this seat says now.
    pub fn hear(&mut self, seat: usize, tracked: &Tracked, chips: &Chips) {
        let mut said = core::mem::take(&mut self.scratch);
        said.clear();
        said.extend(tracked.books.devices.iter().filter_map(|device| {
            let resident = device.resident_program != 0;
            Some(Claim {
                chip: (device.chip_id, device.id_is_logical),
                at: chips.find(device.chip_id, device.id_is_logical != 0)?,
                open: device.open != 0,
                opened_ns: device.opened_ns,
                resident: resident.then(|| (device.dispatched_ns, tracked.books.resident(device.device))),
                capacity: device.capacity,
                speaker: Speaker {
                    start_ticks: tracked.ring.identity.start_ticks,
                    pid: tracked.ring.pid,
                    nonce: tracked.file.nonce,
                    device: device.device,
                },
            })
        }));
        self.put(seat, &mut said);
        self.scratch = said;
    }

    /// Puts these in the place of what the process in this seat said before; `said` is what was there then, or the same.
    fn put(&mut self, seat: usize, said: &mut Vec<Claim>) {
        if self.by_seat.len() <= seat {
            self.by_seat.resize_with(seat + 1, Vec::new);
        }
        let before = &mut self.by_seat[seat];
        if before != said {
            self.residents_stale = true;
            let same = before.len() == said.len() && before.iter().zip(said.iter()).all(|(a, b)| a.tells_the_same(b));
            self.capacities_stale |= !same;
            core::mem::swap(before, said);
        }
    }

    /// The process in this seat goes.
    pub fn forget(&mut self, seat: usize) {
        if let Some(said) = self.by_seat.get_mut(seat)
            && !said.is_empty()
        {
            said.clear();
            (self.residents_stale, self.capacities_stale) = (true, true);
        }
    }

    /// Writes what is believed into the chips. A capacity of which nobody says anything any more stays as it was.
    pub fn settle(&mut self, chips: &mut Chips) {
        if core::mem::take(&mut self.residents_stale) || self.resident.len() != chips.all().len() {
            self.find_residents(chips);
        }
        if core::mem::take(&mut self.capacities_stale) {
            self.find_capacities(chips);
        }
        for (chip, bytes) in chips.all_mut().iter_mut().zip(&self.resident) {
            chip.memory[Memory::Cb as usize].resident_bytes = *bytes;
        }
    }

    fn find_residents(&mut self, chips: &Chips) {
        let mut last: Vec<Option<(u64, Speaker)>> = vec![None; chips.all().len()];
        self.resident.clear();
        self.resident.resize(chips.all().len(), 0);
        for claim in self.by_seat.iter().flatten() {
            let Some((dispatched_ns, bytes)) = claim.resident else { continue };
            let rank = Some((dispatched_ns, claim.speaker));
            if let Some(before) = last.get_mut(claim.at).filter(|before| **before < rank) {
                *before = rank;
                self.resident[claim.at] = bytes;
            }
        }
    }

    fn find_capacities(&mut self, chips: &mut Chips) {
        let mut by_chip: HashMap<ChipKey, Vec<&Claim>> = HashMap::new();
        for claim in self.by_seat.iter().flatten() {
            by_chip.entry(claim.chip).or_default().push(claim);
        }
        let before = core::mem::take(&mut self.disputes);
        for chip in chips.all_mut() {
            let Some(claims) = by_chip.get_mut(&(chip.chip_id, chip.id_is_logical)) else { continue };
            claims.sort_unstable_by_key(|claim| core::cmp::Reverse(claim.rank()));
            let mut dispute = None;
            for memory in Memory::ALL {
                let mut telling = claims.iter().filter(|claim| claim.capacity[memory as usize] != UNKNOWN);
                let Some(shown) = telling.next() else { continue };
                let bytes = shown.capacity[memory as usize];
                chip.memory[memory as usize].capacity_bytes = bytes;
                let other = telling.find(|other| shown.open && other.open && other.capacity[memory as usize] != bytes);
                let of = |claim: &Claim| (claim.speaker.pid, claim.capacity[memory as usize]);
                dispute = dispute.or(other.map(|other| (memory, of(shown), of(other))));
            }
            if let Some((memory, shown, other)) = dispute {
                let same = |d: &&Dispute| (d.memory, d.shown, d.other) == (memory, shown, other) && d.is_about(chip);
                let told = before.iter().find(same).is_some_and(|dispute| dispute.told);
                self.disputes.push(Dispute { chip: *chip, memory, shown, other, told });
            }
        }
    }

    /// Lines about capacities in dispute that were not told yet, with the process whose word is shown.
    pub fn news(&mut self, now_ns: u64) -> Vec<(u32, String)> {
        let mut lines = Vec::new();
        if self.disputes.iter().all(|dispute| dispute.told) {
            return lines;
        }
        self.told.retain(|_, told_ns| now_ns.saturating_sub(*told_ns) < TELL_EVERY_NS);
        for dispute in self.disputes.iter_mut().filter(|dispute| !dispute.told) {
            if let Entry::Vacant(entry) = self.told.entry((dispute.chip.chip_id, dispute.chip.id_is_logical)) {
                entry.insert(now_ns);
                dispute.told = true;
                lines.push((dispute.shown.0, dispute.text()));
            }
        }
        lines
    }
}

impl Dispute {
    fn is_about(&self, chip: &Chip) -> bool {
        (self.chip.chip_id, self.chip.id_is_logical) == (chip.chip_id, chip.id_is_logical)
    }

    /// The same from whichever aggregator, so that a next one knows whether it was said.
    fn text(&self) -> String {
        let Self { chip, memory, shown: (pid, bytes), other: (other, others), .. } = self;
        format!(
            "chip {:#x}: PID {pid} says that it has {bytes} bytes of {}, PID {other} {others}: shown is the former, which opened it last",
            chip.chip_id,
            memory.name(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const L1_SMALL: usize = Memory::L1Small as usize;

    /// A process that opened the only chip at one moment, dispatched at another, and tells so many bytes of both.
    fn claim(pid: u32, opened_ns: u64, dispatched_ns: u64, bytes: u64) -> Claim {
        let mut capacity = [UNKNOWN; MEMORY_KINDS];
        capacity[L1_SMALL] = bytes;
        let speaker = Speaker { start_ticks: 7, pid, nonce: 0, device: 0 };
        let resident = Some((dispatched_ns, bytes));
        Claim { chip: (0xC0, 0), at: 0, open: true, opened_ns, resident, capacity, speaker }
    }

    /// Resident bytes, capacity and lines where they are heard in this order.
    fn shown(order: &[Claim]) -> (u64, u64, Vec<String>) {
        let (mut claims, mut chips) = (Claims::default(), Chips::default());
        assert_eq!(chips.find_or_add(0xC0, false), Some(0));
        for (seat, claim) in order.iter().enumerate() {
            claims.put(seat, &mut vec![*claim]);
            claims.settle(&mut chips);
        }
        let news = claims.news(0).into_iter().map(|(_, text)| text).collect();
        let memory = &chips.all()[0].memory;
        (memory[Memory::Cb as usize].resident_bytes, memory[L1_SMALL].capacity_bytes, news)
    }

    #[test]
    fn the_order_in_which_processes_are_met_decides_nothing() {
        // The last two at the same moments, as where both copied one clock word.
        let [a, b, c] = [claim(1, 30, 10, 100), claim(2, 40, 50, 200), claim(3, 40, 50, 300)];
        let expected = shown(&[a, b, c]);
        assert_eq!((expected.0, expected.1, expected.2.len()), (300, 300, 1));
        for order in [[a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
            assert_eq!(shown(&order), expected);
        }
    }

    #[test]
    fn who_closed_it_is_heard_where_nobody_has_it_open() {
        let open = claim(1, 10, 0, 100);
        let closed = Claim { open: false, ..claim(2, 20, 0, 200) };
        assert_eq!(shown(&[open, closed]).1, 100);
        assert_eq!(shown(&[closed]).1, 200);
        assert_eq!(shown(&[open, closed]).2, Vec::<String>::new(), "no dispute");
    }

    #[test]
    fn a_dispute_that_changes_all_the_time_is_told_once_a_minute() {
        let (mut claims, mut chips) = (Claims::default(), Chips::default());
        assert_eq!(chips.find_or_add(0xC0, false), Some(0));
        claims.put(0, &mut vec![claim(1, 10, 0, 1)]);
        let mut told = 0;
        for second in 0..120 {
            claims.put(1, &mut vec![claim(2, 20, 0, second + 2)]);
            claims.settle(&mut chips);
            told += claims.news(second * 1_000_000_000).len();
        }
        assert_eq!(told, 2);
        // And one that stays, not again.
        assert_eq!(claims.news(500_000_000_000).len(), 1);
        assert_eq!(claims.news(900_000_000_000).len(), 0);
    }
}
