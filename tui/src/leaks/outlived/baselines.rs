//! Since the baselines that somebody has set. What an account took then is known: it must be more now, after what is told apart and
//! what may be work in progress.
//!
//! An account that came after the others of its process and device were marked held nothing then. A baseline that set itself holds what is
//! the system's, so more than that are a job's weights as well: it is no mark.

use super::super::{Class, Finding, Held, Kind, Look, Sum};
use super::{Now, by, next, sizes};
use crate::buffers::Query;
use crate::ledger::Allocation;
use crate::units;
use crate::unseen::Unseen;
use aggregator::bytes_text;
use shm_layout::event::Memory;
use shm_layout::ledger::Account;
use std::collections::BTreeSet;

/// Places without a mark that are named one by one; of more it is said how many.
const NAMED: usize = 5;

/// What comparing with the baselines has come to.
#[derive(Debug, Default)]
pub struct Compared {
    /// What is more than at them.
    pub findings: Vec<Finding>,
    /// Accounts that were compared.
    pub accounts: usize,
    /// More than at the baseline, and nobody can tell whether that is work in progress.
    pub undecided: Vec<Unseen>,
    /// Who holds something and has no such baseline there.
    unmarked: Vec<String>,
    /// Somebody has set one, anywhere.
    is_marked: bool,
    /// One has set itself where something was asked about.
    is_automatic: bool,
}

impl Compared {
    /// With what nothing was compared, and why; `None`: with everything.
    pub fn not_looked_for(&self) -> Option<String> {
        const WHAT: &str = "what came after a mark and stayed";
        if self.is_marked {
            let named = self.unmarked.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
            let more = self.unmarked.len().saturating_sub(NAMED);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            return (!named.is_empty())
                .then(|| format!("{WHAT}, of {named}{more}: no baseline is set there (`tt-alloc baseline set`)"));
        }
        if self.is_automatic {
            return Some(format!(
                "{WHAT}: baselines have set themselves only (--auto-baseline): they hold what is the system's, and more than that are a \
                 job's weights as well; `tt-alloc baseline set` when it has warmed up, or --since"
            ));
        }
        Some(format!("{WHAT}: no baseline is set (`tt-alloc baseline set`), and none was named (--since)"))
    }
}

/// What the account took, in bytes, and when, `CLOCK_MONOTONIC` ns.
#[derive(Clone, Copy)]
struct Mark {
    bytes: u64,
    at_ns: u64,
}

impl Mark {
    /// That somebody has set.
    fn of(account: &Account, now: &Now) -> Option<Self> {
        let bytes = account.baseline_bytes().filter(|_| !account.is_baseline_automatic())?;
        Some(Self { bytes, at_ns: now.monotonic(account.baseline_unix_ns) })
    }
}

/// Compares with them what was asked about.
pub fn compare(look: &Look, query: &Query, now: &Now) -> Compared {
    let mut compared = Compared::default();
    for held in &look.processes {
        let is_marked = held.accounts.iter().any(|account| Mark::of(account, now).is_some());
        compared.is_marked |= is_marked;
        let mut unmarked = Vec::new();
        let devices: BTreeSet<u32> = held.accounts.iter().map(|account| account.device).collect();
        for device in devices {
            unmarked.extend(compared.compare_device(held, device, query, now));
        }
        if !is_marked && !unmarked.is_empty() {
            unmarked = vec![held.who()];
        }
        compared.unmarked.append(&mut unmarked);
    }
    compared
}

impl Compared {
    /// Of one device of a process; what has no mark there.
    fn compare_device(&mut self, held: &Held, device: u32, query: &Query, now: &Now) -> Vec<String> {
        let mut unmarked = Vec::new();
        if !query.devices.has(device, held.chip_id(device)) {
            return unmarked;
        }
        let accounts = || held.accounts.iter().filter(|account| account.device == device);
        self.is_automatic |= accounts().any(|account| account.is_baseline_automatic());
        // Of whatever memory kind: all that there were then have one.
        let Some(last) = accounts().filter_map(|account| Mark::of(account, now)).map(|mark| mark.at_ns).max() else {
            if held.allocations.iter().any(|allocation| allocation.event.device == device) {
                unmarked.push(format!("{}, device {device}", held.who()));
            }
            return unmarked;
        };
        for account in accounts() {
            let Some(memory) = u8::try_from(account.memory).ok().and_then(Memory::from_u8) else { continue };
            if !query.memories.is_empty() && !query.memories.contains(&memory) {
                continue;
            }
            if account.is_baseline_automatic() {
                unmarked.push(format!("{}, device {device}, {}", held.who(), memory.name()));
                continue;
            }
            self.accounts += 1;
            let mark = Mark::of(account, now).unwrap_or(Mark { bytes: 0, at_ns: last });
            self.compare_account(held, account, memory, mark, now);
        }
        unmarked
    }

    fn compare_account(&mut self, held: &Held, account: &Account, memory: Memory, mark: Mark, now: &Now) {
        let here = |allocation: &&Allocation| (allocation.event.device, allocation.memory) == (account.device, memory);
        let live: Vec<&Allocation> = held.allocations.iter().filter(here).collect();
        let footprint = Sum::of(live.iter().copied()).bytes.saturating_add_signed(account.unlisted_bytes);
        let (came, before): (Vec<&Allocation>, Vec<&Allocation>) =
            live.into_iter().partition(|allocation| allocation.event.time > mark.at_ns);
        // What is from before the mark was there, read or not.
        let then = mark.bytes.max(Sum::of(before).bytes);
        let more = footprint.saturating_sub(then);
        if more > 0 {
            self.tell(held, account.device, memory, &came, more, mark.at_ns, now);
        }
    }

    /// Of one account that takes so much more than at its baseline.
    #[allow(clippy::too_many_arguments, reason = "what is told of it")]
    fn tell(
        &mut self,
        held: &Held,
        device: u32,
        memory: Memory,
        came: &[&Allocation],
        more: u64,
        mark_ns: u64,
        now: &Now,
    ) {
        let by_class = by(came, Class::of);
        let sum = |of: &[&Allocation]| Sum::of(of.iter().copied()).bytes;
        let told_apart: u64 = by_class
            .iter()
            .filter(|(class, _)| class.excuse().is_some())
            .map(|(_, all)| sum(all))
            .fold(0, u64::saturating_add);
        for (class, all) in &by_class {
            let (settled, young): (Vec<&Allocation>, Vec<&Allocation>) =
                all.iter().copied().partition(|allocation| now.is_settled(allocation, mark_ns));
            let stay = Sum::of(settled.iter().copied());
            let finding = Finding::of(Kind::Outlived, held, device, memory, *class, stay);
            // What is told apart accounts for what it holds at most; the rest is the application's, if it holds so much.
            let (net, young) = match class.excuse() {
                Some(_) => (more.min(stay.bytes), 0),
                None => (more.saturating_sub(told_apart), sum(&young)),
            };
            if net > 0 && young >= net {
                // As much may have been in work at the mark, and then it is what stays that is more.
                let text = format!(
                    "{}: {} more than at the baseline of {}, and as much is younger than {}: that may be work in progress, and may be not; look \
                     again, or say with --grace what is young",
                    finding.text,
                    bytes_text(net),
                    now.told(mark_ns),
                    units::age(now.grace(mark_ns)),
                );
                self.undecided.push(Unseen { pid: Some(held.pid), text });
            }
            let net = net.saturating_sub(young);
            if net == 0 || settled.is_empty() {
                continue;
            }
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
            self.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{buffer, held, look};
    use super::super::fixture::{now, unix};
    use super::*;
    use shm_layout::event::flags;
    use shm_layout::stats::BASELINE_AUTO;

    const KIB: u64 = 1024;

    fn account(memory: Memory, baseline: u64) -> Account {
        let baseline_unix_ns = if baseline == 0 { 0 } else { unix(900) };
        Account { memory: memory as u32, baseline, baseline_unix_ns, ..Account::default() }
    }

    fn compared(accounts: &[Account], allocations: Vec<Allocation>) -> Compared {
        let one = Held { accounts: accounts.to_vec(), ..held(7, allocations) };
        compare(&look(1000, vec![one]), &Query::default(), &now())
    }

    /// Holds these, and took `baseline` bytes of DRAM at second 900.
    fn marked(baseline: u64, allocations: Vec<Allocation>) -> Compared {
        let compared = compared(&[account(Memory::Dram, baseline + 1)], allocations);
        assert_eq!((compared.accounts, compared.not_looked_for()), (1, None));
        compared
    }

    fn dram(id: u64, bytes: u64, second: u64) -> Allocation {
        buffer(id, Memory::Dram, bytes, second)
    }

    #[test]
    fn what_is_more_than_at_the_baseline_is_told_with_what_came_since() {
        let found = marked(8 * KIB, vec![dram(1, 8 * KIB, 100), dram(2, 4 * KIB, 901), dram(3, 3 * KIB, 950)]).findings;
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
        let steady = marked(8 * KIB, vec![dram(2, 4 * KIB, 910), dram(3, 4 * KIB, 920)]);
        assert!(steady.findings.is_empty() && steady.undecided.is_empty());
        // More, but by what came in the last tenth of the time.
        let young = marked(8 * KIB, vec![dram(2, 4 * KIB, 910), dram(3, 4 * KIB, 920), dram(4, 99 * KIB, 995)]);
        assert!(young.findings.is_empty());
        // What was there before the mark is none of it: it must have been unread then.
        assert!(marked(0, vec![dram(1, KIB, 899)]).findings.is_empty());
        assert!(marked(0, vec![dram(1, 99 * KIB, 899), dram(2, KIB, 910)]).findings[0].text.contains("1.00 KiB more"));
    }

    #[test]
    fn what_the_young_hide_is_said() {
        // 100 KiB are in work at any time, also at the mark; 10 KiB have leaked.
        let hidden = marked(108 * KIB, vec![dram(1, 8 * KIB, 100), dram(2, 10 * KIB, 910), dram(3, 100 * KIB, 995)]);
        assert!(hidden.findings.is_empty(), "nobody knows");
        let expected = "PID 7 (python3), device 0 (0x1c), DRAM: 10.0 KiB more than at the baseline of 22:11:40 (1m40s ago), and as much is \
                        younger than 10s: that may be work in progress";
        let [one] = &hidden.undecided[..] else { panic!("{hidden:?}") };
        assert!(one.pid == Some(7) && one.text.starts_with(expected), "{}", one.text);
        // More than all that is young: that is told, and nothing is hidden.
        let more = marked(0, vec![dram(2, 10 * KIB, 910), dram(3, 4 * KIB, 995)]);
        assert!(more.undecided.is_empty() && more.findings[0].text.contains("10.0 KiB more"), "{more:?}");
        // What is told apart is no more of the application's.
        let mut of_system = dram(9, 64 * KIB, 910);
        of_system.event.flags |= flags::SYSTEM;
        assert!(marked(4 * KIB, vec![of_system, dram(3, 4 * KIB, 995)]).undecided.is_empty());
    }

    #[test]
    fn the_system_s_growth_is_not_the_application_s() {
        let mut of_system = dram(9, 64 * KIB, 910);
        of_system.event.flags |= flags::SYSTEM;
        let found = marked(8 * KIB, vec![dram(2, 8 * KIB, 910), of_system.clone()]).findings;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(!found[0].suspect && found[0].class == Some(Class::System) && found[0].footprint_bytes == 64 * KIB);
        let found = marked(8 * KIB, vec![dram(2, 9 * KIB, 910), of_system]).findings;
        assert_eq!(found.iter().filter(|one| one.suspect).count(), 1);
        assert!(found[0].text.contains("1.00 KiB more than"), "{}", found[0].text);
    }

    #[test]
    fn a_baseline_that_set_itself_is_no_mark() {
        let automatic = account(Memory::Dram, (8 * KIB + 1) | BASELINE_AUTO);
        let weights = vec![dram(1, 99 * KIB, 910)];
        let all = compared(&[automatic], weights.clone());
        assert_eq!((all.findings.len(), all.accounts), (0, 0));
        assert!(all.not_looked_for().is_some_and(|why| why.contains("have set themselves only (--auto-baseline)")));
        // Beside one that somebody set: what came while the device was being opened.
        let both = compared(&[account(Memory::L1, 1), automatic], weights);
        assert_eq!((both.findings.len(), both.accounts), (0, 1));
        assert!(
            both.not_looked_for().is_some_and(|why| why.contains("of PID 7 (python3), device 0, DRAM: no baseline"))
        );
    }

    #[test]
    fn what_begins_after_the_mark_held_nothing_then() {
        let l1 = buffer(2, Memory::L1, KIB, 950);
        let accounts = [account(Memory::Dram, 8 * KIB + 1), account(Memory::L1, 0)];
        let all = compared(&accounts, vec![dram(1, 8 * KIB, 100), l1.clone()]);
        let [one] = &all.findings[..] else { panic!("{all:?}") };
        assert!(one.suspect && one.memory == Some("L1"), "{one:?}");
        assert!(one.text.contains("L1: 1.00 KiB more than at the baseline of 22:11:40 (1m40s ago)"), "{}", one.text);
        assert_eq!((all.accounts, all.not_looked_for()), (2, None));
        // On a device that has no mark nobody knows.
        let other = Account { device: 1, ..account(Memory::L1, 0) };
        let mut there = l1;
        there.event.device = 1;
        let all = compared(&[accounts[0], other], vec![dram(1, 8 * KIB, 100), there.clone()]);
        assert!(all.findings.is_empty() && all.accounts == 1);
        assert!(
            all.not_looked_for().is_some_and(|why| why.contains(", of PID 7 (python3), device 1: no baseline is set"))
        );
        // A process that has none at all; and one that holds nothing.
        let one = Held { accounts: vec![accounts[0]], ..held(7, Vec::new()) };
        let new = Held { accounts: vec![other], ..held(8, vec![there]) };
        let idle = Held { accounts: vec![other], ..held(9, Vec::new()) };
        let all = compare(&look(1000, vec![one, new, idle]), &Query::default(), &now());
        assert!(all.not_looked_for().is_some_and(|why| why.contains(", of PID 8 (python3): no baseline is set")));
        let none = compare(&look(1000, vec![]), &Query::default(), &now());
        assert!(
            none.not_looked_for()
                .is_some_and(|why| why.contains("no baseline is set (`tt-alloc baseline set`), and none"))
        );
    }
}
