//! Which of many like events are told one by one: whoever makes ten thousand refused rings, or asks for ten thousand resets, must
//! not push what matters out of the event lines and fill the log.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Lines begin anew after this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Lines of one user in that time, ...
const OF_ONE_USER: u32 = 4;
/// ... and of everybody's: names may claim any user, and there are 64 lines for all that happens.
const OF_ALL: u32 = 16;

/// What is to be said of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// A line of its own.
    Line,
    /// That further ones are counted only.
    Last,
    /// Nothing.
    Nothing,
}

/// Counts the lines.
#[derive(Debug)]
pub struct Ration {
    since: Instant,
    told: u32,
    by_user: HashMap<u32, u32>,
    last_told: bool,
}

impl Ration {
    /// None so far.
    pub fn new(now: Instant) -> Self {
        Self { since: now, told: 0, by_user: HashMap::new(), last_told: false }
    }

    /// One more, of this user, or of a name that claims this user.
    pub fn tell(&mut self, uid: u32, now: Instant) -> Telling {
        if now.duration_since(self.since) > WINDOW {
            *self = Self::new(now);
        }
        if self.told < OF_ALL {
            let of_user = self.by_user.entry(uid).or_default();
            if *of_user < OF_ONE_USER {
                *of_user += 1;
                self.told += 1;
                return Telling::Line;
            }
        }
        if core::mem::replace(&mut self.last_told, true) { Telling::Nothing } else { Telling::Last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_takes_a_few_lines_and_not_those_of_others() {
        let now = Instant::now();
        let mut ration = Ration::new(now);
        let told: Vec<_> = (0..10_000).map(|_| ration.tell(7, now)).collect();
        assert_eq!(told.iter().filter(|telling| **telling == Telling::Line).count() as u32, OF_ONE_USER);
        assert_eq!(told.iter().filter(|telling| **telling == Telling::Last).count(), 1);
        assert_eq!(ration.tell(8, now), Telling::Line, "somebody else's is told");
        // Whoever invents users gets no more than there is for all, and no memory.
        let told: Vec<_> = (100..10_000).map(|uid| ration.tell(uid, now)).collect();
        assert_eq!(told.iter().filter(|telling| **telling == Telling::Line).count() as u32, OF_ALL - OF_ONE_USER - 1);
        assert!(ration.by_user.len() as u32 <= OF_ALL);
        assert_eq!(ration.tell(7, now + 2 * WINDOW), Telling::Line);
    }
}
