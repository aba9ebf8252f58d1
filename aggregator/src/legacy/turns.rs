//! Whose connections are read, and how much of each: what one user sends takes no time from another, however many connections it has.

use std::collections::HashMap;
use std::time::Duration;

/// Bytes that one user may send in a round, and all users together; then each has an equal part of it, if it is no less than the least.
const TURN: usize = 512 << 10;
const ROUND: usize = 4 << 20;
/// See [`ROUND`]; and what is read of a connection that is asked once more before it goes.
pub const LEAST: usize = 4 << 10;
/// Bytes read of one connection before the next one's turn.
pub const PIECE: usize = 64 << 10;
/// Time that one user's bytes may take in a round, and everybody's: bytes may be dear. It is looked at after each piece.
const TURN_TIME: Duration = Duration::from_millis(20);
const ROUND_TIME: Duration = Duration::from_millis(100);
/// A look at a connection costs no less than so many bytes.
const LOOK: usize = 1 << 10;

/// Where each user's turn goes on.
#[derive(Debug, Default)]
pub struct Turns {
    after: HashMap<u32, u64>,
    /// The user who was heard last: where a round ends before everybody had a turn, the next one begins behind.
    last: Option<u32>,
}

impl Turns {
    /// Gives each user of these connections (user and number) a turn: `hear` reads at most so many bytes of one, and says how many. `clock`
    /// tells the time that has passed since some moment.
    pub fn take(
        &mut self,
        ready: &mut [(u32, u64)],
        clock: impl Fn() -> Duration,
        mut hear: impl FnMut(u64, usize) -> usize,
    ) {
        ready.sort_unstable();
        let mut users: Vec<&[(u32, u64)]> = ready.chunk_by(|one, other| one.0 == other.0).collect();
        let turn = (ROUND / users.len().max(1)).clamp(LEAST, TURN);
        let begin = clock();
        let first = users.partition_point(|of_user| Some(of_user[0].0) <= self.last);
        users.rotate_left(first);
        let mut after = HashMap::new();
        for of_user in users {
            let uid = of_user[0].0;
            let last = self.after.get(&uid).copied().unwrap_or(0);
            let began = clock();
            if began.saturating_sub(begin) >= ROUND_TIME {
                after.insert(uid, last);
                continue;
            }
            self.last = Some(uid);
            let (before, behind) = of_user.split_at(of_user.partition_point(|(_, number)| *number <= last));
            let mut left = turn;
            for (_, number) in behind.iter().chain(before) {
                left = left.saturating_sub(hear(*number, left.min(PIECE)).max(LOOK));
                after.insert(uid, *number);
                if left == 0 || clock().saturating_sub(began) >= TURN_TIME {
                    break;
                }
            }
        }
        self.after = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_user_leaves_the_others_their_turn_in_every_round() {
        let mut turns = Turns::default();
        let mut heard: HashMap<u64, usize> = HashMap::new();
        for _ in 0..1000 {
            // As the kernel lists them: in any order. Number 5000 is another user's.
            let mut ready: Vec<(u32, u64)> = (1..=3072).map(|number| (1, number * 7919 % 3073)).collect();
            ready.push((2, 5000));
            let mut of_round: HashMap<u64, usize> = HashMap::new();
            turns.take(
                &mut ready,
                || Duration::ZERO,
                |number, bytes| {
                    *of_round.entry(number).or_default() += bytes;
                    bytes
                },
            );
            assert_eq!(of_round.remove(&5000), Some(PIECE), "heard in this round");
            assert_eq!(of_round.values().sum::<usize>(), TURN, "no more than its turn");
            of_round.into_iter().for_each(|(number, bytes)| *heard.entry(number).or_default() += bytes);
        }
        let (least, most) = (heard.values().min(), heard.values().max());
        assert!(heard.len() == 3072 && most.zip(least).is_some_and(|(most, least)| most - least <= PIECE));
    }

    #[test]
    fn a_round_ends_however_many_users_there_are_and_looks_are_not_free() {
        let (mut turns, mut bytes, mut looks) = (Turns::default(), 0, 0);
        let mut ready: Vec<(u32, u64)> = (0..4096).map(|number| (number as u32, number)).collect();
        turns.take(
            &mut ready,
            || Duration::ZERO,
            |_, most| {
                bytes += most;
                most
            },
        );
        assert_eq!(bytes, 4096 * LEAST);
        ready.iter_mut().for_each(|one| one.0 = 0);
        turns.take(
            &mut ready,
            || Duration::ZERO,
            |_, _| {
                looks += 1;
                0
            },
        );
        assert_eq!(looks, TURN / LOOK);
    }

    #[test]
    fn who_sends_what_is_dear_to_read_has_a_shorter_turn_and_everybody_has_one() {
        use std::cell::Cell;
        let (mut turns, time) = (Turns::default(), Cell::new(Duration::ZERO));
        let mut heard: HashMap<u32, usize> = HashMap::new();
        // Each piece of anybody takes a quarter of a turn.
        let mut ready: Vec<(u32, u64)> =
            (0..20).flat_map(|uid| (0..50).map(move |n| (uid, 1 + 50 * u64::from(uid) + n))).collect();
        for _ in 0..40 {
            let (before, mut pieces) = (time.get(), 0);
            turns.take(
                &mut ready,
                || time.get(),
                |number, _| {
                    time.set(time.get() + TURN_TIME / 4);
                    *heard.entry(((number - 1) / 50) as u32).or_default() += 1;
                    pieces += 1;
                    1
                },
            );
            assert!(time.get() - before <= ROUND_TIME && pieces == 20, "{pieces} pieces");
        }
        assert_eq!(heard.len(), 20);
        assert!(heard.values().all(|pieces| *pieces == 40), "everybody as much: {heard:?}");
    }
}
