//! What came after a mark and is still there.
//!
//! | module | the mark |
//! |---|---|
//! | [`baselines`] | baselines that somebody has set: what the account took then is known |
//! | [`moment`] | a moment that somebody names: what there was then is not known |

pub mod baselines;
pub mod moment;

use super::{Class, Held, Sum};
use crate::buffers::group_key::SizeClass;
use crate::clock::Zone;
use crate::ledger::Allocation;
use crate::units;
use std::collections::BTreeMap;

/// Without another word, what is younger than this part of the time since the mark may be work in progress.
const GRACE_PART: u64 = 10;

/// From when on something counts, and how it is told.
#[derive(Clone, Debug)]
pub struct Now {
    /// `CLOCK_MONOTONIC` ns.
    pub monotonic_ns: u64,
    /// The same moment, Unix time in ns.
    pub unix_ns: u64,
    /// In which marks are told.
    pub zone: Zone,
    /// What is younger may be work in progress, ns; `None`: a tenth of the time since the mark.
    pub grace_ns: Option<u64>,
}

impl Now {
    /// A moment of the wall clock, by the one of events.
    pub const fn monotonic(&self, unix_ns: u64) -> u64 {
        self.monotonic_ns.saturating_sub(self.unix_ns.saturating_sub(unix_ns))
    }

    /// "17:31:02 (5m10s ago)".
    fn told(&self, mark_ns: u64) -> String {
        let ago = self.monotonic_ns.saturating_sub(mark_ns);
        format!("{} ({} ago)", self.zone.time_of_day(self.unix_ns.saturating_sub(ago)), units::age(ago))
    }

    /// What is younger than this may be work in progress, ns.
    fn grace(&self, mark_ns: u64) -> u64 {
        self.grace_ns.unwrap_or_else(|| self.monotonic_ns.saturating_sub(mark_ns) / GRACE_PART)
    }

    fn is_settled(&self, allocation: &Allocation, mark_ns: u64) -> bool {
        allocation.age_ns(self.monotonic_ns) >= self.grace(mark_ns)
    }
}

fn next(held: &Held, class: Class, mark_ns: u64, now: &Now) -> String {
    let ago = now.monotonic_ns.saturating_sub(mark_ns).div_ceil(1_000_000_000);
    class.excuse().map_or_else(
        || format!("see them: `tt-alloc buffers --pid {} --younger-than {ago}s --sort age`", held.pid),
        str::to_owned,
    )
}

fn by<'a, K: Ord>(all: &[&'a Allocation], key: impl Fn(&Allocation) -> K) -> BTreeMap<K, Vec<&'a Allocation>> {
    let mut by: BTreeMap<K, Vec<&Allocation>> = BTreeMap::new();
    all.iter().for_each(|allocation| by.entry(key(allocation)).or_default().push(allocation));
    by
}

/// "10 of 1 MiB..2 MiB, 3 of 64 KiB..128 KiB and 7 others": those that take most first.
fn sizes(all: &[&Allocation]) -> String {
    const NAMED: usize = 3;
    let mut classes: Vec<(SizeClass, Sum)> =
        by(all, SizeClass::of).into_iter().map(|(class, all)| (class, Sum::of(all))).collect();
    classes.sort_by_key(|(class, sum)| (std::cmp::Reverse(sum.bytes), *class));
    let named: Vec<String> =
        classes.iter().take(NAMED).map(|(class, sum)| format!("{} of {}", sum.count, class.text())).collect();
    let others: u64 = classes.iter().skip(NAMED).map(|(_, sum)| sum.count).sum();
    named.join(", ") + &if others > 0 { format!(" and {others} others") } else { String::new() }
}

#[cfg(test)]
mod fixture {
    use super::super::fixture::SECOND;
    use super::*;

    /// Second 1000 is 22:13:20.
    pub fn now() -> Now {
        Now { monotonic_ns: 1000 * SECOND, unix_ns: unix(1000), zone: Zone::utc(), grace_ns: None }
    }

    /// This second as Unix time, ns.
    pub fn unix(second: u64) -> u64 {
        (1_700_000_000 - 1000 + second) * SECOND
    }
}
