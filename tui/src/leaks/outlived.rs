//! What came after a mark and is still there.
//!
//! With a baseline, what the account took then is known: it must be more now, after what is told apart and what may be work in
//! progress. With a moment that somebody names it is not; there every allocation that came since counts.

use super::{Class, Finding, Held, Kind, Look, Sum};
use crate::buffers::group_key::SizeClass;
use crate::clock::Zone;
use crate::ledger::Allocation;
use crate::units;
use aggregator::bytes_text;
use shm_layout::event::Memory;
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

    fn is_settled(&self, allocation: &Allocation, mark_ns: u64) -> bool {
        let grace = self.grace_ns.unwrap_or_else(|| self.monotonic_ns.saturating_sub(mark_ns) / GRACE_PART);
        allocation.age_ns(self.monotonic_ns) >= grace
    }
}

/// What is more than at the baselines. The second: accounts that have one.
pub fn since_baselines(look: &Look, now: &Now) -> (Vec<Finding>, usize) {
    let mut found = Vec::new();
    let mut marked = 0;
    for held in &look.processes {
        for account in held.accounts.iter().filter(|account| account.baseline != 0) {
            let Some(memory) = u8::try_from(account.memory).ok().and_then(Memory::from_u8) else { continue };
            marked += 1;
            let here =
                |allocation: &&Allocation| (allocation.event.device, allocation.memory) == (account.device, memory);
            let live: Vec<&Allocation> = held.allocations.iter().filter(here).collect();
            let mark_ns = now.monotonic(account.baseline_unix_ns);
            let footprint = Sum::of(live.iter().copied()).bytes.saturating_add_signed(account.unlisted_bytes);
            let more = footprint.saturating_sub(account.baseline - 1);
            let came = live.into_iter().filter(|allocation| allocation.event.time > mark_ns);
            found.extend(grown(held, account.device, memory, came.collect(), more, mark_ns, now));
        }
    }
    (found, marked)
}

/// Of one account that takes so much more than at its baseline.
fn grown(
    held: &Held,
    device: u32,
    memory: Memory,
    came: Vec<&Allocation>,
    more: u64,
    mark_ns: u64,
    now: &Now,
) -> Vec<Finding> {
    let by_class = by(&came, Class::of);
    let sum = |of: &[&Allocation]| Sum::of(of.iter().copied()).bytes;
    let told_apart: u64 = by_class
        .iter()
        .filter(|(class, _)| class.excuse().is_some())
        .map(|(_, all)| sum(all))
        .fold(0, u64::saturating_add);
    let mut found = Vec::new();
    for (class, all) in &by_class {
        let (settled, young): (Vec<&Allocation>, Vec<&Allocation>) =
            all.iter().copied().partition(|allocation| now.is_settled(allocation, mark_ns));
        let stay = Sum::of(settled.iter().copied());
        // What is told apart accounts for what it holds at most; the rest is the application's, if it holds so much.
        let net = match class.excuse() {
            Some(_) => more.min(stay.bytes),
            None => more.saturating_sub(told_apart).saturating_sub(sum(&young)),
        };
        if net == 0 || settled.is_empty() {
            continue;
        }
        let finding = Finding::of(Kind::Outlived, held, device, memory, *class, stay);
        let (mut finding, oldest) = finding.with_oldest(settled.iter().copied(), now.monotonic_ns);
        finding.text += &format!(
            ": {} more than at the baseline of {}; {} that came since {} still there ({}), the oldest for {}: {}",
            bytes_text(net),
            now.told(mark_ns),
            stay.count,
            if stay.count == 1 { "is" } else { "are" },
            bytes_text(stay.bytes),
            units::age(oldest),
            sizes(&settled),
        );
        finding.next = next(held, *class, mark_ns, now);
        found.push(finding);
    }
    found
}

/// What came since a moment (`CLOCK_MONOTONIC` ns) and is still there.
pub fn since(look: &Look, mark_ns: u64, now: &Now) -> Vec<Finding> {
    let mut found = Vec::new();
    for held in &look.processes {
        let came: Vec<&Allocation> = held
            .allocations
            .iter()
            .filter(|allocation| allocation.event.time > mark_ns && now.is_settled(allocation, mark_ns))
            .collect();
        let places = by(&came, |allocation| (allocation.event.device, allocation.memory, Class::of(allocation)));
        for ((device, memory, class), all) in places {
            let stay = Sum::of(all.iter().copied());
            let finding = Finding::of(Kind::Outlived, held, device, memory, class, stay);
            let (mut finding, oldest) = finding.with_oldest(all.iter().copied(), now.monotonic_ns);
            finding.text += &format!(
                ": {} that came since {} {} still there ({}), the oldest for {}: {}",
                stay.count,
                now.told(mark_ns),
                if stay.count == 1 { "is" } else { "are" },
                bytes_text(stay.bytes),
                units::age(oldest),
                sizes(&all),
            );
            finding.next = next(held, class, mark_ns, now);
            found.push(finding);
        }
    }
    found
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
mod tests {
    use super::super::fixture::{SECOND, buffer, held, look};
    use super::*;
    use shm_layout::event::flags;
    use shm_layout::ledger::Account;

    const KIB: u64 = 1024;
    /// Second 1000 is 22:13:20.
    fn now() -> Now {
        let zone = Zone::utc();
        Now { monotonic_ns: 1000 * SECOND, unix_ns: 1_700_000_000 * SECOND, zone, grace_ns: None }
    }

    /// Holds these, and took `baseline` bytes of DRAM at second 900.
    fn marked(baseline: u64, allocations: Vec<Allocation>) -> Vec<Finding> {
        let mut one = held(7, allocations);
        let baseline_unix_ns = (1_700_000_000 - 100) * SECOND;
        one.accounts = vec![Account { baseline: baseline + 1, baseline_unix_ns, ..Account::default() }];
        let (found, marked) = since_baselines(&look(1000, vec![one]), &now());
        assert_eq!(marked, 1);
        found
    }

    fn dram(id: u64, bytes: u64, second: u64) -> Allocation {
        buffer(id, Memory::Dram, bytes, second)
    }

    #[test]
    fn what_is_more_than_at_the_baseline_is_told_with_what_came_since() {
        let found = marked(8 * KIB, vec![dram(1, 8 * KIB, 100), dram(2, 4 * KIB, 901), dram(3, 3 * KIB, 950)]);
        assert_eq!(found.len(), 1);
        let one = &found[0];
        assert_eq!((one.suspect, one.count, one.footprint_bytes), (true, 2, 7 * KIB));
        assert_eq!(one.oldest_age_seconds, Some(99.0));
        let expected = "PID 7 (python3), device 0 (0x1c), DRAM: 7.00 KiB more than at the baseline of 22:11:40 (1m40s ago); \
                        2 that came since are still there (7.00 KiB), the oldest for 1m39s: 1 of 4 KiB..8 KiB, 1 of 2 KiB..4 KiB";
        assert_eq!(one.text, expected);
        assert!(one.next.contains("--pid 7 --younger-than 100s"));
    }

    #[test]
    fn a_steady_job_is_not_more_whatever_it_replaced() {
        // Everything was replaced since the mark; as much as before.
        assert!(marked(8 * KIB, vec![dram(2, 4 * KIB, 910), dram(3, 4 * KIB, 920)]).is_empty());
        // More, but by what came in the last tenth of the time.
        assert!(marked(8 * KIB, vec![dram(2, 4 * KIB, 910), dram(3, 4 * KIB, 920), dram(4, 99 * KIB, 995)]).is_empty());
        // What was there before the mark is none of it: it must have been unread then.
        assert!(marked(0, vec![dram(1, KIB, 899)]).is_empty());
    }

    #[test]
    fn the_system_s_growth_is_not_the_application_s() {
        let mut of_system = dram(9, 64 * KIB, 910);
        of_system.event.flags |= flags::SYSTEM;
        let found = marked(8 * KIB, vec![dram(2, 8 * KIB, 910), of_system.clone()]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(!found[0].suspect && found[0].class == Some(Class::System) && found[0].footprint_bytes == 64 * KIB);
        let found = marked(8 * KIB, vec![dram(2, 9 * KIB, 910), of_system]);
        assert_eq!(found.iter().filter(|one| one.suspect).count(), 1);
        assert!(found[0].text.contains("1.00 KiB more than"), "{}", found[0].text);
    }

    #[test]
    fn since_a_moment_everything_counts_but_the_young() {
        let holds = vec![dram(1, KIB, 899), dram(2, KIB, 901), dram(3, KIB, 995), buffer(4, Memory::Trace, KIB, 950)];
        let look = look(1000, vec![held(7, holds)]);
        let found = since(&look, 900 * SECOND, &now());
        assert_eq!(found.iter().map(|one| (one.suspect, one.count)).collect::<Vec<_>>(), [(true, 1), (false, 1)]);
        assert!(
            found[0].text.contains("1 that came since 22:11:40 (1m40s ago) is still there (1.00 KiB)"),
            "{}",
            found[0].text
        );
        let all = Now { grace_ns: Some(0), ..now() };
        assert_eq!(since(&look, 900 * SECOND, &all)[0].count, 2);
    }
}
