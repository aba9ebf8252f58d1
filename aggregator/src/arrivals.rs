//! Rings on their way in: announced, not ready yet, refused for now, refused for good.

use crate::turns::Turns;
use shm_layout::names::ProcessFile;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// How long a ring may be "not ready" before it is refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// First pause before one that is not ready is tried again; it doubles each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LAST_PAUSE: Duration = Duration::from_millis(100);
/// When a ring is tried again that could not be attached for a passing reason.
const RETRY: Duration = Duration::from_secs(5);
/// Names of refused rings that are remembered, so that none is tried and counted again: some 5 MiB at most.
const REMEMBERED_REFUSALS: usize = 1 << 16;

#[derive(Clone, Copy, Debug)]
enum Standing {
    /// To be tried at its turn. `told`: its refusal was.
    Queued { since: Instant, pause: Duration, told: bool },
    /// To be tried later.
    Later { since: Instant, pause: Duration, told: bool },
    /// Not to be tried again.
    Refused,
}

/// Everything between its announcement and its attachment.
#[derive(Debug, Default)]
pub struct Arrivals {
    standing: HashMap<ProcessFile, Standing>,
    turns: Turns<ProcessFile>,
    /// By when; the number tells equal moments apart.
    later: BTreeMap<(Instant, u64), ProcessFile>,
    count: u64,
    refused: usize,
}

impl Arrivals {
    /// Somebody says that this ring is there.
    pub fn announce(&mut self, file: ProcessFile) {
        if let Entry::Vacant(new) = self.standing.entry(file) {
            new.insert(Standing::Queued { since: Instant::now(), pause: FIRST_PAUSE, told: false });
            self.turns.join(file.uid, file);
        }
    }

    /// The next to be tried; `None` when there is none now.
    pub fn next(&mut self, now: Instant) -> Option<ProcessFile> {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let file = first.remove();
            if let Some(Standing::Later { since, pause, told }) = self.standing.get(&file).copied() {
                self.standing.insert(file, Standing::Queued { since, pause, told });
                self.turns.join(file.uid, file);
            }
        }
        let next = self.turns.next().map(|(_, file)| file);
        if next.is_none() {
            self.turns.end_round();
        }
        next
    }

    /// It is attached, or it is gone.
    pub fn forget(&mut self, file: &ProcessFile) {
        if matches!(self.standing.remove(file), Some(Standing::Refused)) {
            self.refused -= 1;
        }
    }

    /// It is not ready: it will be tried again soon. False if it has had its time.
    pub fn wait(&mut self, file: ProcessFile, now: Instant) -> bool {
        let Some(Standing::Queued { since, pause, told }) = self.standing.get(&file).copied() else { return false };
        if now.duration_since(since) > PATIENCE {
            return false;
        }
        self.try_at(file, now + pause, Standing::Later { since, pause: (pause * 2).min(LAST_PAUSE), told });
        true
    }

    /// It is refused, for now if the reason `may_pass`. True if that is to be told, false if it was.
    pub fn refuse(&mut self, file: ProcessFile, may_pass: bool, now: Instant) -> bool {
        let told = matches!(self.standing.get(&file), Some(Standing::Queued { told: true, .. }));
        if may_pass {
            self.try_at(file, now + RETRY, Standing::Later { since: now + RETRY, pause: FIRST_PAUSE, told: true });
            return !told;
        }
        if self.refused >= REMEMBERED_REFUSALS {
            self.standing.retain(|_, standing| !matches!(standing, Standing::Refused));
            self.refused = 0;
        }
        self.refused += 1;
        self.standing.insert(file, Standing::Refused);
        !told
    }

    fn try_at(&mut self, file: ProcessFile, at: Instant, standing: Standing) {
        self.standing.insert(file, standing);
        self.count += 1;
        self.later.insert((at, self.count), file);
    }

    /// When the next is to be tried; `None` if nobody waits.
    pub fn due(&self) -> Option<Instant> {
        if self.turns.is_waiting() {
            return Some(Instant::now());
        }
        self.later.first_key_value().map(|((at, _), _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_layout::names::Role;

    fn file(pid: u32) -> ProcessFile {
        ProcessFile { role: Role::Ring, uid: 1, pid, nonce: 7 }
    }

    #[test]
    fn one_that_is_not_ready_is_tried_ever_less_often_and_then_refused() {
        let mut arrivals = Arrivals::default();
        arrivals.announce(file(1));
        let begin = Instant::now();
        let mut now = begin;
        let mut tries = 0;
        while let Some(next) = arrivals.next(now) {
            tries += 1;
            arrivals.announce(next);
            if !arrivals.wait(next, now) {
                assert!(arrivals.refuse(next, false, now), "told once");
                break;
            }
            assert!(arrivals.next(now).is_none(), "not at once");
            now = arrivals.due().expect("a next time");
        }
        assert!((100..130).contains(&tries), "{tries}");
        assert!(now - begin > PATIENCE);
        arrivals.announce(file(1));
        assert!(arrivals.next(now + RETRY).is_none(), "refused is refused");
    }

    #[test]
    fn a_passing_reason_is_told_once_and_tried_again() {
        let mut arrivals = Arrivals::default();
        arrivals.announce(file(1));
        let mut now = Instant::now();
        for round in 0..3 {
            let next = arrivals.next(now).expect("its time has come");
            assert_eq!(arrivals.refuse(next, true, now), round == 0);
            now += RETRY;
        }
        let next = arrivals.next(now).expect("again");
        arrivals.forget(&next);
        assert!(arrivals.due().is_none());
    }
}
