//! Which of the files are read: anybody can make any number of them.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Read at most, of all, and of one owner: as many as a host has chips.
const MOST: usize = 128;
const MOST_OF_ONE: usize = 64;

/// One of them, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// UMD's unique id of the chip.
    pub chip_id: u64,
    pub owner: u32,
    pub path: PathBuf,
}

/// Those that are read, and how many are not.
#[derive(Debug, Default)]
pub struct Files {
    pub chosen: Vec<Found>,
    pub beyond: u64,
}

impl Files {
    /// Those in this folder; what belongs to root or to these users first.
    pub fn look(folder: &Path, first: &HashSet<u32>) -> Self {
        let Ok(entries) = std::fs::read_dir(folder) else { return Self::default() };
        let found = entries.flatten().filter_map(|entry| {
            let chip_id = chip_of(entry.file_name().to_str()?)?;
            // Of the name itself, not of what a link points to.
            Some(Found { chip_id, owner: entry.metadata().ok()?.uid(), path: entry.path() })
        });
        Self::choose(found, first)
    }

    /// Owners take turns, so that nobody's files push out another's.
    pub fn choose(found: impl Iterator<Item = Found>, first: &HashSet<u32>) -> Self {
        let mut by_owner: BTreeMap<u32, Vec<Found>> = BTreeMap::new();
        for one in found {
            by_owner.entry(one.owner).or_default().push(one);
        }
        let mut all = Vec::new();
        for (owner, mut files) in by_owner {
            files.sort_unstable_by_key(|file| file.chip_id);
            let is_last = owner != 0 && !first.contains(&owner);
            all.extend(files.into_iter().enumerate().map(|(turn, file)| (is_last, turn, file)));
        }
        let count = all.len();
        all.retain(|(_, turn, _)| *turn < MOST_OF_ONE);
        all.sort_by_key(|(is_last, turn, _)| (*is_last, *turn));
        let chosen: Vec<Found> = all.into_iter().take(MOST).map(|(_, _, file)| file).collect();
        Self { beyond: (count - chosen.len()) as u64, chosen }
    }
}

/// The chip of a file of this name. `+7` and `007` are numbers as well; tt-metal writes neither.
fn chip_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("tt_device_")?.strip_suffix("_memory")?;
    digits.parse().ok().filter(|id: &u64| id.to_string() == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_s_many_files_push_out_another_s() {
        let file = |owner, chip_id| Found { chip_id, owner, path: PathBuf::new() };
        let hostile = (0..10_000).map(|id| file(666, id));
        let honest = [file(0, 1 << 40), file(1000, 1 << 41), file(1001, 1 << 42)];
        let mut all: Vec<Found> = hostile.chain((2000..2200).map(|owner| file(owner, 5))).collect();
        all.extend(honest.clone());
        let Files { chosen, beyond } = Files::choose(all.into_iter(), &HashSet::from([1000]));
        assert_eq!((chosen.len(), beyond), (MOST, 10_203 - MOST as u64));
        assert_eq!(chosen[..2], honest[..2], "root's and those of who uses a device come first");
        assert!(chosen.contains(&honest[2]), "the others have one each before anybody has two");
        let many = Files::choose((0..10_000).map(|id| file(666, id)), &HashSet::new());
        assert_eq!((many.chosen.len(), many.beyond), (MOST_OF_ONE, 10_000 - MOST_OF_ONE as u64));
    }
}
