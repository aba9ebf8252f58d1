//! How the allocations of a process are spread: by size, by age, by the phase that they were made in.

use crate::buffers::group_key::{SizeClass, age_class, age_name};
use crate::leaks::Sum;
use crate::ledger::Allocation;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Phases listed; a process has at most 255.
const PHASES: usize = 16;

/// The sums, each over all allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// From the smallest to the largest; none that is empty.
    pub sizes: Vec<(String, Sum)>,
    /// From the youngest to the oldest; none that is empty.
    pub ages: Vec<(&'static str, Sum)>,
    /// The largest first; empty where none was ever named.
    pub phases: Vec<(String, Sum)>,
}

impl Spread {
    /// Of these, at this moment.
    pub fn of(all: &[Allocation], now_ns: u64) -> Self {
        let mut sizes: BTreeMap<SizeClass, Sum> = BTreeMap::new();
        let mut ages: BTreeMap<usize, Sum> = BTreeMap::new();
        let mut phases: BTreeMap<Option<&str>, Sum> = BTreeMap::new();
        for allocation in all {
            sizes.entry(SizeClass::of(allocation)).or_default().add(allocation);
            ages.entry(age_class(allocation.age_ns(now_ns))).or_default().add(allocation);
            phases.entry(allocation.tag()).or_default().add(allocation);
        }
        let named = phases.keys().any(Option::is_some);
        let mut phases: Vec<(String, Sum)> =
            phases.into_iter().map(|(tag, sum)| (tag.unwrap_or("(none)").to_owned(), sum)).collect();
        phases.sort_by_key(|(_, sum)| Reverse(sum.bytes));
        phases.truncate(if named { PHASES } else { 0 });
        Self {
            sizes: sizes.into_iter().map(|(class, sum)| (class.text(), sum)).collect(),
            ages: ages.into_iter().map(|(step, sum)| (age_name(step), sum)).collect(),
            phases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::fixture::alloc;
    use shm_layout::event::Memory;

    #[test]
    fn every_allocation_is_in_each_of_them() {
        let made = |id, size, time, tag: Option<&str>| Allocation {
            event: alloc(id, 0, Memory::Dram, size, time),
            memory: Memory::Dram,
            chip_id: None,
            tag: tag.map(Into::into),
        };
        const S: u64 = 1_000_000_000;
        // Footprints are 64 bytes more than what was asked for.
        let mut all = vec![
            made(1, 1000, 100 * S, None),
            made(2, 1100, 39 * S, None),
            made(3, 4000, 0, None),
            made(4, 0, 0, None),
        ];
        let plain = Spread::of(&all, 100 * S);
        let count = |sums: Vec<Sum>| sums.iter().map(|sum| sum.count).collect::<Vec<_>>();
        let sizes: Vec<_> = plain.sizes.iter().map(|(name, sum)| (name.as_str(), sum.count)).collect();
        assert_eq!(sizes, [("64 B..128 B", 1), ("1 KiB..2 KiB", 2), ("2 KiB..4 KiB", 1)]);
        assert_eq!(count(plain.ages.iter().map(|(_, sum)| *sum).collect()), [1, 3]);
        assert!(plain.phases.is_empty(), "nobody named any");
        all.push(made(5, 9000, 0, Some("decode")));
        let named = Spread::of(&all, 100 * S);
        assert_eq!(named.phases.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["decode", "(none)"]);
        assert_eq!(count(named.phases.iter().map(|(_, sum)| *sum).collect()), [1, 4]);
        assert_eq!(named.sizes.iter().map(|(_, sum)| sum.count).sum::<u64>(), 5);
    }
}
