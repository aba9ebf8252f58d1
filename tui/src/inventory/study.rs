//! What look after look tells about leaks: made by the thread that reads the ledgers, so that the screen waits for none of it.

use crate::buffers::Query;
use crate::clock::Zone;
use crate::leaks::growth::{LEAST_LOOKS, Watch};
use crate::leaks::outlived::{Now, baselines};
use crate::leaks::{Class, Finding, Look, closed};
use crate::ledger::Allocation;

/// One watch looks every two seconds, one every twenty, one every two hundred: what leaks slowly does not grow every second.
const EVERY_NS: [u64; 3] = [2_000_000_000, 20_000_000_000, 200_000_000_000];
/// After so many looks a watch begins anew: what it remembers is bounded, and what has stopped growing is forgotten.
const MOST_LOOKS: usize = 30;
/// Before so many looks it says nothing: a job that is loading grows at three in a row.
const FEWEST_LOOKS: usize = LEAST_LOOKS + 2;
/// So many of the oldest allocations are kept.
pub const OLDEST: usize = 50;

/// What all looks so far tell.
#[derive(Clone, Debug, Default)]
pub struct Study {
    /// What grew, what outlived a baseline, what is held on closed devices; suspects first.
    pub findings: Vec<Finding>,
    /// Looks so far.
    pub looks: u64,
    /// When the first was, `CLOCK_MONOTONIC` ns.
    pub since_ns: u64,
    /// Accounts (process, device, memory kind) that have a baseline.
    pub baselines: usize,
    /// The application's oldest allocations, the oldest first.
    pub oldest: Vec<Old>,
}

/// One allocation, and whose it is.
#[derive(Clone, Debug)]
pub struct Old {
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// Names its ledger.
    pub nonce: u64,
    /// Its name; empty once it is gone.
    pub name: String,
    /// The allocation.
    pub allocation: Allocation,
}

/// One watch.
#[derive(Debug, Default)]
struct Timed {
    watch: Watch,
    looks: usize,
    last_ns: u64,
    /// Of this watch, or of the one before as long as this one is too young to tell.
    findings: Vec<Finding>,
}

impl Timed {
    fn see(&mut self, look: &Look, every_ns: u64) {
        if self.looks > 0 && look.at_ns.saturating_sub(self.last_ns) < every_ns {
            return;
        }
        if self.looks == MOST_LOOKS {
            (self.watch, self.looks) = (Watch::default(), 0);
        }
        self.watch.see(look);
        self.looks += 1;
        self.last_ns = look.at_ns;
        if self.looks >= FEWEST_LOOKS {
            self.findings = self.watch.findings(look);
        }
    }
}

/// Looks, and remembers.
#[derive(Debug, Default)]
pub struct Watcher {
    watches: [Timed; 3],
    looks: u64,
    since_ns: u64,
}

impl Watcher {
    /// One more look, at this Unix time (ns); marks are told in this zone.
    pub fn see(&mut self, look: &Look, unix_ns: u64, zone: &Zone) -> Study {
        if self.looks == 0 {
            self.since_ns = look.at_ns;
        }
        self.looks += 1;
        let mut findings: Vec<Finding> = Vec::new();
        // The longest watch has the most to say about a place.
        for (timed, every_ns) in self.watches.iter_mut().zip(EVERY_NS).rev() {
            timed.see(look, every_ns);
            let lives = |one: &&Finding| look.processes.iter().any(|held| Some(held.pid) == one.pid);
            for one in timed.findings.iter().filter(lives) {
                if !findings.iter().any(|told| is_of_one_place(told, one)) {
                    findings.push(one.clone());
                }
            }
        }
        let now = Now { monotonic_ns: look.at_ns, unix_ns, zone: zone.clone(), grace_ns: None };
        let compared = baselines::compare(look, &Query::default(), &now);
        findings.extend(compared.findings);
        findings.extend(closed::findings(look));
        findings.sort_by_key(|one| (!one.suspect, one.kind, std::cmp::Reverse((one.footprint_bytes, one.count))));
        Study {
            findings,
            looks: self.looks,
            since_ns: self.since_ns,
            baselines: compared.accounts,
            oldest: oldest(look),
        }
    }
}

fn is_of_one_place(a: &Finding, b: &Finding) -> bool {
    (a.pid, a.device, a.memory, a.class, a.size_class, a.program, &a.tag)
        == (b.pid, b.device, b.memory, b.class, b.size_class, b.program, &b.tag)
}

fn oldest(look: &Look) -> Vec<Old> {
    let of = |at: usize| look.processes[at].allocations.iter().map(move |allocation| (at, allocation));
    let mut all: Vec<(usize, &Allocation)> = (0..look.processes.len()).flat_map(of).collect();
    all.retain(|(_, allocation)| Class::of(allocation) == Class::Application);
    let key = |(at, allocation): &(usize, &Allocation)| (allocation.event.time, *at, allocation.event.id);
    if all.len() > OLDEST {
        all.select_nth_unstable_by_key(OLDEST, key);
        all.truncate(OLDEST);
    }
    all.sort_unstable_by_key(key);
    let told = |(at, allocation): (usize, &Allocation)| {
        let held = &look.processes[at];
        Old { pid: held.pid, nonce: held.nonce, name: held.name.clone(), allocation: allocation.clone() }
    };
    all.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::{Held, Kind};
    use crate::ledger::fixture::alloc;
    use shm_layout::event::{Event, Memory};

    const SECOND: u64 = 1_000_000_000;

    fn made(id: u64, memory: Memory, second: u64) -> Allocation {
        let event = Event { footprint: 4096, ..alloc(id, 0, memory, 4096, second * SECOND) };
        Allocation { event, memory, chip_id: Some(0x1c), tag: None }
    }

    fn look(second: u64, allocations: Vec<Allocation>) -> Look {
        let held = Held {
            began_unix_ns: 0,
            pid: 7,
            uid: 1000,
            nonce: 7,
            name: "python3".into(),
            devices: Vec::new(),
            accounts: Vec::new(),
            allocations,
        };
        Look { at_ns: second * SECOND, processes: vec![held] }
    }

    /// One more at each even second, for so many seconds, and one look a second.
    fn watched(seconds: u64, leaks_until: u64) -> Study {
        let (mut watcher, mut study) = (Watcher::default(), Study::default());
        for second in 0..seconds {
            let held = (0..=second.min(leaks_until) / 2).map(|n| made(n, Memory::Dram, 100 + n * 2));
            study = watcher.see(&look(100 + second, held.collect()), 0, &Zone::utc());
        }
        study
    }

    #[test]
    fn what_grows_is_told_after_some_looks_and_forgotten_once_it_has_stopped() {
        let grew = |study: &Study| study.findings.iter().filter(|one| one.kind == Kind::Grew).count();
        assert_eq!(grew(&watched(8, 1000)), 0, "four looks, two seconds apart");
        let study = watched(9, 1000);
        assert_eq!((grew(&study), study.looks, study.since_ns), (1, 9, 100 * SECOND));
        // Sixty seconds of growth, then it stands still: the next watch of the same kind sees that.
        assert_eq!(grew(&watched(80, 59)), 0);
    }

    #[test]
    fn what_a_slow_watch_tells_is_told_once() {
        let study = watched(240, 10_000);
        assert_eq!(study.findings.len(), 1, "{:#?}", study.findings);
        assert!(study.findings[0].looks.len() > 3 && study.findings[0].text.contains("in 3m40s"));
    }

    #[test]
    fn watches_remember_no_more_than_they_look_at() {
        let mut watcher = Watcher::default();
        for second in 0..500 {
            watcher.see(&look(second, vec![made(1, Memory::Dram, 1)]), 0, &Zone::utc());
        }
        assert!(watcher.watches.iter().all(|timed| timed.looks <= MOST_LOOKS));
        assert_eq!(watcher.watches.each_ref().map(|timed| timed.looks), [10, 25, 3]);
    }

    #[test]
    fn the_oldest_of_the_application_come_first() {
        let many = (0..200).rev().map(|n| made(n, if n % 2 == 0 { Memory::L1 } else { Memory::Cb }, n));
        let oldest = Watcher::default().see(&look(500, many.collect()), 0, &Zone::utc()).oldest;
        assert_eq!(oldest.len(), OLDEST);
        assert_eq!(oldest.iter().take(3).map(|old| old.allocation.event.id).collect::<Vec<_>>(), [0, 2, 4]);
        assert_eq!(oldest.last().map(|old| old.allocation.event.id), Some(98));
    }
}
