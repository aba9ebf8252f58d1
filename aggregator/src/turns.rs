//! Whose turn it is: users in rotation, and each user's own in rotation. One user's ten thousand make another's one wait for
//! one of them, not for all.

use std::collections::VecDeque;

#[derive(Debug)]
struct User<T> {
    uid: u32,
    /// Not served in this round yet, or with more to do.
    waiting: VecDeque<T>,
    /// Served in this round, with nothing more to do in it.
    served: Vec<T>,
}

/// Everybody who takes part.
#[derive(Debug)]
pub struct Turns<T> {
    users: Vec<User<T>>,
    /// Whose turn is next.
    at: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { users: Vec::new(), at: 0 }
    }
}

impl<T: Copy + PartialEq> Turns<T> {
    /// Takes part from now on, behind the others of its user.
    pub fn join(&mut self, uid: u32, who: T) {
        self.user(uid).waiting.push_back(who);
    }

    fn user(&mut self, uid: u32) -> &mut User<T> {
        let at = self.users.iter().position(|user| user.uid == uid).unwrap_or_else(|| {
            self.users.push(User { uid, waiting: VecDeque::new(), served: Vec::new() });
            self.users.len() - 1
        });
        &mut self.users[at]
    }

    /// Takes part no more.
    pub fn leave(&mut self, uid: u32, who: T) {
        let user = self.user(uid);
        if let Some(at) = user.waiting.iter().position(|other| *other == who) {
            user.waiting.remove(at);
        }
        user.served.retain(|other| *other != who);
        if user.waiting.is_empty() && user.served.is_empty() {
            self.users.retain(|user| user.uid != uid);
        }
    }

    /// Whose turn it is; taken out until [`again`](Self::again) or [`served`](Self::served) puts it back. `None` when
    /// everybody was served in this round.
    pub fn next(&mut self) -> Option<(u32, T)> {
        for _ in 0..self.users.len() {
            self.at = (self.at + 1) % self.users.len();
            let user = &mut self.users[self.at];
            if let Some(who) = user.waiting.pop_front() {
                return Some((user.uid, who));
            }
        }
        None
    }

    /// Has more to do: another turn in this round, behind the others of its user.
    pub fn again(&mut self, uid: u32, who: T) {
        self.user(uid).waiting.push_back(who);
    }

    /// Has nothing more to do in this round.
    pub fn served(&mut self, uid: u32, who: T) {
        self.user(uid).served.push(who);
    }

    /// The next round: those who had no turn in this one come first.
    pub fn end_round(&mut self) {
        for user in &mut self.users {
            user.waiting.extend(user.served.drain(..));
        }
        self.users.retain(|user| !user.waiting.is_empty());
    }

    /// Everybody who takes part.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.users.iter().flat_map(|user| user.waiting.iter().chain(&user.served)).copied()
    }

    /// Whether nobody takes part. Between two rounds.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether somebody has not been served in this round.
    pub fn is_waiting(&self) -> bool {
        self.users.iter().any(|user| !user.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_does_not_wait_for_the_many_of_another_user() {
        let mut turns = Turns::default();
        (0..1000).for_each(|who| turns.join(666, who));
        turns.join(1, 5000);
        turns.join(2, 6000);
        let first: Vec<i32> = (0..4).filter_map(|_| turns.next()).map(|(_, who)| who).collect();
        assert!(first.contains(&5000) && first.contains(&6000), "{first:?}");
    }

    #[test]
    fn who_had_no_turn_comes_first_in_the_next_round() {
        let mut turns = Turns::default();
        (0..4).for_each(|who| turns.join(1, who));
        for expected in [0, 1] {
            let (uid, who) = turns.next().expect("somebody");
            assert_eq!(who, expected);
            if who == 0 { turns.again(uid, who) } else { turns.served(uid, who) }
        }
        turns.end_round();
        let order: Vec<i32> = core::iter::from_fn(|| turns.next()).map(|(_, who)| who).collect();
        assert_eq!(order, [2, 3, 0, 1]);
        assert!(turns.next().is_none());
    }

    #[test]
    fn who_has_left_has_no_turn() {
        let mut turns = Turns::default();
        (0..3).for_each(|who| turns.join(1, who));
        let (uid, who) = turns.next().expect("somebody");
        turns.served(uid, who);
        turns.leave(1, 0);
        turns.leave(1, 2);
        turns.end_round();
        assert_eq!(turns.iter().collect::<Vec<_>>(), [1]);
    }
}
