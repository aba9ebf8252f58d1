//! Since a moment that somebody names. What there was then is not known: every allocation that came since and stays counts.
//!
//! Of a process, or an opening of a device, that is younger than the moment all of it came since, its weights as well. There nothing
//! can be told, and nothing is suspect.

use super::super::{Class, Finding, Held, Kind, Look, Sum};
use super::{Now, by, next, sizes};
use crate::ledger::Allocation;
use crate::units;
use aggregator::bytes_text;

/// The start of a process is told no more exactly, ns.
const START_STEP_NS: u64 = 10_000_000;

/// What came since a moment (`CLOCK_MONOTONIC` ns) and is still there.
pub fn findings(look: &Look, mark_ns: u64, now: &Now) -> Vec<Finding> {
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
            if let Some(younger) = younger(held, device, mark_ns, now).filter(|_| finding.suspect) {
                finding.suspect = false;
                finding.text += &format!("; {younger}: what it loaded to work with is among them");
                finding.next = format!(
                    "once it has warmed up `tt-alloc baseline set --pid {}`, later `tt-alloc leaks`; or name a later moment",
                    held.pid
                );
            }
            found.push(finding);
        }
    }
    found
}

/// What is younger than the moment, in words.
fn younger(held: &Held, device: u32, mark_ns: u64, now: &Now) -> Option<String> {
    let ago = |ns| units::age(now.monotonic_ns.saturating_sub(ns));
    let began = now.monotonic(held.began_unix_ns);
    if began.saturating_add(START_STEP_NS) > mark_ns && held.began_unix_ns > 0 {
        return Some(format!("the process began only {} ago", ago(began)));
    }
    let opened = held.device(device)?.opened_ns;
    (opened > mark_ns).then(|| format!("it opened the device only {} ago", ago(opened)))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{SECOND, buffer, held, look};
    use super::super::fixture::{now, unix};
    use super::*;
    use shm_layout::event::Memory;

    const KIB: u64 = 1024;

    fn dram(id: u64, second: u64) -> Allocation {
        buffer(id, Memory::Dram, KIB, second)
    }

    #[test]
    fn since_a_moment_everything_counts_but_the_young() {
        let holds = vec![dram(1, 899), dram(2, 901), dram(3, 995), buffer(4, Memory::Trace, KIB, 950)];
        let look = look(1000, vec![held(7, holds)]);
        let found = findings(&look, 900 * SECOND, &now());
        assert_eq!(found.iter().map(|one| (one.suspect, one.count)).collect::<Vec<_>>(), [(true, 1), (false, 1)]);
        assert!(
            found[0].text.contains("1 that came since 22:11:40 (1m40s ago) is still there (1.00 KiB)"),
            "{}",
            found[0].text
        );
        let all = Now { grace_ns: Some(0), ..now() };
        assert_eq!(findings(&look, 900 * SECOND, &all)[0].count, 2);
    }

    #[test]
    fn what_a_younger_process_or_opening_holds_is_no_suspect() {
        let mut one = held(7, vec![dram(1, 920)]);
        let found = |one: &Held| findings(&look(1000, vec![one.clone()]), 900 * SECOND, &now()).remove(0);
        one.began_unix_ns = unix(899);
        one.devices[0].opened_ns = 899 * SECOND;
        assert!(found(&one).suspect, "both were there");
        one.devices[0].opened_ns = 910 * SECOND;
        let opened = found(&one);
        assert!(!opened.suspect && opened.text.contains("; it opened the device only 1m30s ago"), "{}", opened.text);
        assert!(opened.next.contains("baseline set --pid 7"), "{}", opened.next);
        one.devices[0].opened_ns = 0;
        one.began_unix_ns = unix(901);
        let began = found(&one);
        assert!(!began.suspect && began.text.contains("; the process began only 1m39s ago"), "{}", began.text);
        // A moment before this host was there.
        let all = Now { grace_ns: Some(0), ..now() };
        let never = findings(&look(1000, vec![one]), 0, &all).remove(0);
        assert!(!never.suspect && never.count == 1);
    }
}
