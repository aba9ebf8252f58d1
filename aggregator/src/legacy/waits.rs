//! What questions wait for: that everything told before them is in the figures. All that are asked in one moment wait for the same, so that
//! it is written down once, however many ask.

use std::collections::{HashMap, VecDeque};

/// So long what was told before a question may take to be in the figures, ns.
pub const ANSWER_NS: u64 = 250_000_000;
/// A moment while others are waited for, ns.
const MOMENT_NS: u64 = 1_000_000;
/// Questions of one user that are not answered.
const MOST_OF_USER: usize = 1024;

/// A moment that is over.
#[derive(Debug)]
struct Wait {
    /// Records that are to be in the figures: the ring's number, and how many.
    after: Vec<(u64, u64)>,
    /// When it is not waited for any more, `CLOCK_MONOTONIC` ns.
    until_ns: u64,
}

/// Moments in which was asked.
#[derive(Debug, Default)]
pub struct Waits {
    /// The one that goes on.
    moment: u64,
    /// Somebody asked in it.
    asked: bool,
    /// The last ones before it, and when the last of these ended.
    past: VecDeque<Wait>,
    ended_ns: u64,
    by_user: HashMap<u32, usize>,
}

impl Waits {
    /// A question of this user. The moment it is of; `None` if the user asks too much.
    pub fn ask(&mut self, uid: u32) -> Option<u64> {
        let of_user = self.by_user.entry(uid).or_default();
        (*of_user < MOST_OF_USER).then(|| {
            *of_user += 1;
            self.asked = true;
            self.moment
        })
    }

    /// So many questions are there, by user.
    pub fn count(&mut self, all: impl Iterator<Item = (u32, usize)>) {
        self.by_user.clear();
        all.for_each(|(uid, questions)| *self.by_user.entry(uid).or_default() += questions);
    }

    /// Questions of moments before this one are to be answered. `written` tells what is to be in the figures from now on, `shown` what is.
    pub fn over(
        &mut self,
        now_ns: u64,
        written: impl FnOnce() -> Vec<(u64, u64)>,
        shown: impl Fn(&(u64, u64)) -> bool,
    ) -> u64 {
        if self.asked && (self.past.is_empty() || now_ns.saturating_sub(self.ended_ns) >= MOMENT_NS) {
            self.past.push_back(Wait { after: written(), until_ns: now_ns + ANSWER_NS });
            self.moment += 1;
            (self.asked, self.ended_ns) = (false, now_ns);
        }
        while let Some(first) = self.past.front_mut() {
            first.after.retain(|one| !shown(one));
            if !first.after.is_empty() && now_ns < first.until_ns {
                break;
            }
            self.past.pop_front();
        }
        self.moment - self.past.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn all_that_is_asked_in_a_moment_waits_for_one_list() {
        let (mut waits, mut lists, mut answered) = (Waits::default(), 0, 0);
        // Every tenth of a millisecond many ask; what they wait for is never shown.
        for tenth in 0..10_000_u64 {
            for uid in 0..50 {
                assert_eq!(waits.ask(uid), Some(waits.moment));
            }
            waits.count(core::iter::empty());
            let written = || {
                lists += 1;
                vec![(1, 1); 768]
            };
            answered = waits.over(tenth * MS / 10, written, |_| false);
            assert!(waits.past.len() as u64 <= ANSWER_NS / MOMENT_NS, "{} lists are kept", waits.past.len());
        }
        assert!(lists <= 1000, "{lists} lists in a second");
        assert!(answered >= 700, "what is not shown is not waited for any longer: {answered}");
    }

    #[test]
    fn a_question_is_answered_when_what_was_told_before_it_is_shown_and_not_before() {
        let mut waits = Waits::default();
        let first = waits.ask(0).unwrap_or(u64::MAX);
        assert!(waits.over(0, || vec![(7, 10)], |_| false) <= first);
        let second = waits.ask(0).unwrap_or(u64::MAX);
        let over = waits.over(2 * MS, || vec![(7, 20), (8, 1)], |(nonce, records)| *nonce == 7 && *records <= 10);
        assert!(first < over && over <= second);
        assert!(waits.over(3 * MS, Vec::new, |(nonce, _)| *nonce == 7) <= second);
        assert!(waits.over(4 * MS, Vec::new, |_| true) > second);
        // Nor longer than a quarter of a second.
        let third = waits.ask(0).unwrap_or(u64::MAX);
        assert!(waits.over(5 * MS, || vec![(7, 30)], |_| false) <= third);
        assert!(waits.over(5 * MS + ANSWER_NS, Vec::new, |_| false) > third);
    }

    #[test]
    fn one_user_asks_so_much_and_others_are_answered() {
        let mut waits = Waits::default();
        let taken = (0..10 * MOST_OF_USER).filter(|_| waits.ask(1).is_some()).count();
        assert_eq!((taken, waits.ask(2)), (MOST_OF_USER, Some(0)));
        waits.count([(1, 3), (1, 4)].into_iter());
        assert!(waits.ask(1).is_some());
    }
}
