//! Where the tracked processes sit: each keeps its place as long as it is tracked, and places are used again.

use crate::tracked::Tracked;
use crate::wake::Token;
use shm_layout::names::ProcessFile;
use std::collections::{HashMap, HashSet};

/// A dead process whose ring is being read to its end.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Where its ring ends.
    pub end: u64,
    /// What the event line says it did.
    pub how: &'static str,
}

/// What the host remembers of a process besides its books.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// A pidfd tells of its death.
    pub watched: bool,
    /// It is not drained, only looked at: nothing has happened for a while.
    pub resting: bool,
    /// Its row is out of date, and that was told.
    pub changed: bool,
    /// `CLOCK_MONOTONIC` ns of the last round that found something in its ring.
    pub found_ns: u64,
    /// It is dead.
    pub ending: Option<Ending>,
}

#[derive(Debug, Default)]
struct Seat {
    tracked: Option<Box<Tracked>>,
    /// How many had it so far.
    generation: u32,
    state: State,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Seats {
    seats: Vec<Seat>,
    free: Vec<usize>,
    by_file: HashMap<ProcessFile, usize>,
    by_user: HashMap<u32, usize>,
    /// Devices and inodes of their rings.
    inodes: HashSet<(u64, u64)>,
}

impl Seats {
    /// Gives this process a seat.
    pub fn sit(&mut self, tracked: Box<Tracked>, now_ns: u64) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.seats.push(Seat::default());
            self.seats.len() - 1
        });
        self.by_file.insert(tracked.file, at);
        self.inodes.insert(tracked.ring.inode());
        *self.by_user.entry(tracked.owner()).or_default() += 1;
        let seat = &mut self.seats[at];
        *seat = Seat {
            tracked: Some(tracked),
            // Never 0, so that no token is one of the fixed ones.
            generation: seat.generation.wrapping_add(1).max(1),
            state: State { found_ns: now_ns, ..State::default() },
        };
        at
    }

    /// Takes the process out of this seat.
    pub fn leave(&mut self, at: usize) -> Option<Box<Tracked>> {
        let tracked = self.seats.get_mut(at)?.tracked.take()?;
        self.by_file.remove(&tracked.file);
        self.inodes.remove(&tracked.ring.inode());
        if let Some(count) = self.by_user.get_mut(&tracked.owner()) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(&tracked.owner());
            }
        }
        self.free.push(at);
        Some(tracked)
    }

    /// The name by which [`Wake`](crate::wake::Wake) knows whoever sits here now.
    pub fn token(&self, at: usize) -> Token {
        Token { seat: at as u32, generation: self.seats[at].generation }
    }

    /// The seat that this token names, if the same process still has it.
    pub fn find(&self, token: Token) -> Option<usize> {
        let at = token.seat as usize;
        self.seats
            .get(at)
            .is_some_and(|seat| seat.generation == token.generation && seat.tracked.is_some())
            .then_some(at)
    }

    /// Whether this ring's process sits here.
    pub fn contains(&self, file: &ProcessFile) -> bool {
        self.by_file.contains_key(file)
    }

    /// Whether this file is the ring of a process that sits here, under whatever name.
    pub fn has_inode(&self, inode: (u64, u64)) -> bool {
        self.inodes.contains(&inode)
    }

    /// Whoever sits here; `None` if nobody does.
    pub fn get(&mut self, at: usize) -> Option<(&mut Tracked, &mut State)> {
        let Seat { tracked, state, .. } = self.seats.get_mut(at)?;
        Some((tracked.as_deref_mut()?, state))
    }

    /// What is remembered of whoever sits here, or sat here last.
    pub fn state(&self, at: usize) -> State {
        self.seats.get(at).map_or(State::default(), |seat| seat.state)
    }

    /// Every process with its seat.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Tracked)> {
        self.seats.iter_mut().enumerate().filter_map(|(at, seat)| Some((at, seat.tracked.as_deref_mut()?)))
    }

    /// Seats, free ones included.
    pub fn places(&self) -> usize {
        self.seats.len()
    }

    /// Processes.
    pub fn len(&self) -> usize {
        self.by_file.len()
    }

    /// Processes of this user.
    pub fn len_of(&self, uid: u32) -> usize {
        self.by_user.get(&uid).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::AttachedRing;
    use crate::chips::Chips;
    use producer::Ring;
    use producer::environment::Options;
    use shm_layout::names::Prefix;

    #[test]
    fn a_token_does_not_name_whoever_sits_there_next() -> Result<(), Box<dyn std::error::Error>> {
        let prefix = Prefix::new(&format!("test_seats_{}", std::process::id()))?;
        let mut seats = Seats::default();
        let sit = |seats: &mut Seats| -> Result<(usize, Ring), Box<dyn std::error::Error>> {
            let ring = Ring::create(&Options { prefix: prefix.clone(), slots: 64, ..Options::default() })?;
            let file = ProcessFile::parse(ring.name(), &prefix).ok_or("a ring's name")?;
            let attached = AttachedRing::attach(&prefix, &file)?;
            let met = Tracked::meet(&prefix, file, attached, &mut Chips::default())?;
            Ok((seats.sit(Box::new(met.tracked), 0), ring))
        };
        let (one, _ring) = sit(&mut seats)?;
        let token = seats.token(one);
        assert_eq!(seats.find(token), Some(one));
        let left = seats.leave(one).ok_or("nobody sat there")?;
        assert_eq!((seats.find(token), seats.len(), seats.contains(&left.file)), (None, 0, false));
        left.bury(&prefix);
        let (other, _ring) = sit(&mut seats)?;
        assert_eq!(other, one, "the place is used again");
        assert_eq!(seats.find(token), None, "stale");
        assert!(seats.find(seats.token(other)).is_some());
        let uid = nix::unistd::geteuid().as_raw();
        assert_eq!((seats.len(), seats.len_of(uid)), (1, 1));
        if let Some(tracked) = seats.leave(other) {
            tracked.bury(&prefix);
        }
        assert_eq!(seats.len_of(uid), 0);
        Ok(())
    }
}
