//! Rings on their way in: announced, not ready yet, refused for now, refused for good.

use crate::refused::{Refused, Why};
use crate::turns::Turns;
use shm_layout::names::{Prefix, ProcessFile};
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

#[derive(Clone, Copy, Debug)]
enum Standing {
    /// To be tried at its turn. `told`: its refusal was.
    Queued { since: Instant, pause: Duration, told: bool },
    /// To be tried later.
    Later { since: Instant, pause: Duration, told: bool },
}

/// Everything between its announcement and its attachment.
#[derive(Debug, Default)]
pub struct Arrivals {
    standing: HashMap<ProcessFile, Standing>,
    turns: Turns<ProcessFile>,
    /// By when; the number tells equal moments apart.
    later: BTreeMap<(Instant, u64), ProcessFile>,
    count: u64,
    /// Those that are refused, for now or for good.
    pub refused: Refused,
}

impl Arrivals {
    /// Somebody says that this ring is there.
    pub fn announce(&mut self, file: ProcessFile) {
        if self.refused.is_final(&file) {
            return;
        }
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
        self.standing.remove(file);
        self.refused.remove(file);
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

    /// It is refused, for now if the reason may pass. True if that is to be told, false if it was.
    pub fn refuse(&mut self, prefix: &Prefix, file: ProcessFile, why: Why, now: Instant, unix_ns: u64) -> bool {
        let may_pass = why.passing;
        self.refused.add(prefix, &file, why, unix_ns);
        let told = matches!(self.standing.get(&file), Some(Standing::Queued { told: true, .. }));
        if may_pass {
            self.try_at(file, now + RETRY, Standing::Later { since: now + RETRY, pause: FIRST_PAUSE, told: true });
            return !told;
        }
        self.standing.remove(&file);
        !told
    }

    /// Looks whether refused rings are still there; what has taken a name over is announced. To be called now and then.
    pub fn sweep(&mut self, prefix: &Prefix) {
        for file in self.refused.sweep(prefix) {
            self.announce(file);
        }
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
    use shm_layout::stats::Reason;

    fn file(pid: u32) -> ProcessFile {
        ProcessFile { role: Role::Ring, uid: 1, pid, nonce: 7 }
    }

    /// Made where it has to be there to be refused; removed with the value.
    struct There(Prefix, ProcessFile);

    impl There {
        fn make(pid: u32) -> Self {
            let prefix = Prefix::new(&format!("arrivals_{}_{pid}", std::process::id())).expect("a prefix");
            let there = Self(prefix, file(pid));
            std::fs::write(there.path(), "").expect("a file");
            there
        }

        fn path(&self) -> String {
            format!("/dev/shm/{}", self.1.name(&self.0))
        }
    }

    impl Drop for There {
        fn drop(&mut self) {
            let _gone = std::fs::remove_file(self.path());
        }
    }

    fn why(passing: bool) -> Why {
        Why { reason: Reason::Busy, passing, words: String::new() }
    }

    #[test]
    fn one_that_is_not_ready_is_tried_ever_less_often_and_then_refused() {
        let (mut arrivals, there) = (Arrivals::default(), There::make(1));
        arrivals.announce(file(1));
        let begin = Instant::now();
        let mut now = begin;
        let mut tries = 0;
        while let Some(next) = arrivals.next(now) {
            tries += 1;
            arrivals.announce(next);
            if !arrivals.wait(next, now) {
                assert!(arrivals.refuse(&there.0, next, why(false), now, 1), "told once");
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
        let (mut arrivals, there) = (Arrivals::default(), There::make(2));
        arrivals.announce(file(2));
        let mut now = Instant::now();
        for round in 0..3 {
            let next = arrivals.next(now).expect("its time has come");
            assert_eq!(arrivals.refuse(&there.0, next, why(true), now, round), round == 0);
            assert_eq!(arrivals.refused.rows()[0].since_unix_ns, 0, "listed since the first time");
            now += RETRY;
        }
        let next = arrivals.next(now).expect("again");
        arrivals.forget(&next);
        assert!(arrivals.due().is_none() && arrivals.refused.rows().is_empty());
    }
}
