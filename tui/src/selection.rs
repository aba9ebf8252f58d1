//! The chips that the user asked for.

use shm_layout::stats::{Chip, Difference, Row, Snapshot};
use std::str::FromStr;

/// One `--device`: a logical number, or a chip's unique id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The smallest logical number under which a process knows the chip.
    Number(u32),
    /// The unique id.
    ChipId(u64),
}

/// Why a `--device` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device: use a logical number (0) or a chip id in hex (0x1c)")]
pub struct DeviceError(String);

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let refused = || DeviceError(shm_layout::text::clean(text.as_bytes()));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            return Some(hex)
                .filter(|h| digits(h))
                .and_then(|h| u64::from_str_radix(h, 16).ok())
                .map(Self::ChipId)
                .ok_or_else(refused);
        }
        // "+1" is a number to Rust, not to a person.
        Some(text).filter(|t| digits(t)).and_then(|t| t.parse().ok()).map(Self::Number).ok_or_else(refused)
    }
}

/// The devices asked for; none = every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection(pub Vec<Device>);

impl Selection {
    /// Whether this chip was asked for.
    pub fn has_chip(&self, chip: &Chip) -> bool {
        self.has(chip.device, Some(chip.chip_id))
    }

    /// Whether a chip with this logical number and this id was asked for.
    pub fn has(&self, number: u32, chip_id: Option<u64>) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|wanted| match wanted {
                Device::Number(n) => *n == number,
                Device::ChipId(id) => Some(*id) == chip_id,
            })
    }

    /// The snapshot without the chips that were not asked for, and without the processes that have none of the others;
    /// also which of the snapshot's chips are left.
    pub fn apply(&self, snapshot: Snapshot) -> (Snapshot, Vec<usize>) {
        if self.0.is_empty() {
            let all = (0..snapshot.chips.len()).collect();
            return (snapshot, all);
        }
        let kept: Vec<usize> = (0..snapshot.chips.len()).filter(|at| self.has_chip(&snapshot.chips[*at])).collect();
        let chips = places(&kept, snapshot.chips.len());
        let on = |row: &&Row| chips.get(row.chip as usize).copied().flatten().is_some();
        let mut holders: Vec<usize> = snapshot.rows.iter().filter(on).map(|row| row.process as usize).collect();
        holders.sort_unstable();
        holders.dedup();
        let processes = places(&holders, snapshot.processes.len());
        let rows = snapshot.rows.iter().filter_map(|row| {
            let process = processes.get(row.process as usize).copied().flatten()?;
            Some(Row { process, chip: chips.get(row.chip as usize).copied().flatten()?, ..*row })
        });
        let left = Snapshot {
            health: snapshot.health,
            rows: rows.collect(),
            chips: kept.iter().map(|at| snapshot.chips[*at]).collect(),
            processes: holders.iter().map(|at| snapshot.processes[*at]).collect(),
            lines: snapshot.lines,
            refusals: snapshot.refusals,
            differences: (snapshot.differences.iter())
                .filter_map(|d| Some(Difference { chip: chips.get(d.chip as usize).copied().flatten()?, ..*d }))
                .collect(),
        };
        (left, kept)
    }
}

/// By index of all: the place among those that are kept.
fn places(kept: &[usize], all: usize) -> Vec<Option<u32>> {
    let mut places = vec![None; all];
    for (place, at) in (0..).zip(kept) {
        if let Some(to) = places.get_mut(*at) {
            *to = Some(place);
        }
    }
    places
}

/// What the chips are called on the screen: their logical number, with a letter when several have the same (two
/// processes with different `TT_VISIBLE_DEVICES` both call theirs 0).
/// One of which no process told a number is `-`.
pub fn chip_labels(chips: &[Chip]) -> Vec<String> {
    let same = |chip: &Chip| chips.iter().filter(|c| c.device == chip.device).count();
    chips
        .iter()
        .enumerate()
        .map(|(at, chip)| {
            if chip.device == u32::MAX {
                return "-".to_owned();
            }
            let number = chip.device.to_string();
            if same(chip) == 1 {
                return number;
            }
            let nth = chips[..at].iter().filter(|c| c.device == chip.device).count();
            let letter = u8::try_from(nth).ok().filter(|n| *n < 26).map(|n| char::from(b'a' + n));
            letter.map_or_else(|| format!("{number}.{nth}"), |l| format!("{number}{l}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn devices_are_numbers_or_ids() {
        assert_eq!("3".parse(), Ok(Device::Number(3)));
        assert_eq!("0x1C".parse(), Ok(Device::ChipId(0x1c)));
        for bad in ["", "0x", "+1", "-1", "1c", "a", "0x11111111111111111", "4294967296", "\u{1b}[2J"] {
            assert!(bad.parse::<Device>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_filtered_snapshot_is_consistent() {
        let whole = sample::host(4);
        let (left, kept) = Selection(vec![Device::Number(2)]).apply(whole.clone());
        assert_eq!(kept, [2]);
        assert_eq!(left.chips, [whole.chips[2]]);
        assert!(!left.rows.is_empty() && left.rows.iter().all(|row| row.chip == 0));
        for row in &left.rows {
            let process = left.processes[row.process as usize].pid;
            let same =
                |r: &&Row| whole.processes[r.process as usize].pid == process && r.chip == 2 && r.memory == row.memory;
            assert_eq!(whole.rows.iter().find(same).map(|r| r.figures), Some(row.figures));
        }
        let by_id = Selection(vec![Device::ChipId(whole.chips[2].chip_id)]).apply(whole.clone());
        assert_eq!(by_id.0, left);
        assert_eq!(Selection::default().apply(whole.clone()).0, whole);
        assert!(Selection(vec![Device::Number(77)]).apply(whole).0.chips.is_empty());
    }

    #[test]
    fn equal_numbers_get_letters() {
        let mut chips = sample::host(3).chips;
        assert_eq!(chip_labels(&chips), ["0", "1", "2"]);
        chips[2].device = 0;
        assert_eq!(chip_labels(&chips), ["0a", "1", "0b"]);
    }
}
