//! Watching rings in which nothing happens: one compact row per ring, one cache line of the ring touched per look.
//!
//! A ring at rest shows its next event in one word, the stamp of the slot that its producer will fill next. All of these
//! words are kept side by side with what they will hold then, so that a look at a thousand rings is a thousand
//! independent loads, which the processor overlaps.

use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// What an empty seat watches: never holds what is awaited.
static NOTHING: AtomicU64 = AtomicU64::new(0);
const NEVER: u64 = 1;

#[derive(Clone, Copy, Debug)]
struct Watched<'a> {
    word: &'a AtomicU64,
    awaited: u64,
}

const NOBODY: Watched<'static> = Watched { word: &NOTHING, awaited: NEVER };

/// Words that are watched, by seat.
#[derive(Debug, Default)]
pub struct Lookout<'a> {
    seats: Vec<Watched<'a>>,
}

impl<'a> Lookout<'a> {
    /// Watches this word in this seat, until it holds `awaited`.
    pub fn watch(&mut self, seat: usize, word: &'a AtomicU64, awaited: u64) {
        if self.seats.len() <= seat {
            self.seats.resize(seat + 1, NOBODY);
        }
        self.seats[seat] = Watched { word, awaited };
    }

    /// Watches nothing in this seat any more.
    pub fn leave(&mut self, seat: usize) {
        if let Some(watched) = self.seats.get_mut(seat) {
            *watched = NOBODY;
        }
        while self.seats.last().is_some_and(|last| core::ptr::eq(last.word, &raw const NOTHING)) {
            self.seats.pop();
        }
    }

    /// Seats, those that watch nothing included.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Looks at these seats once (those beyond the last do not exist); adds each whose word holds what is awaited to `found`.
    pub fn look(&self, seats: Range<usize>, found: &mut Vec<usize>) {
        let end = seats.end.min(self.seats.len());
        let start = seats.start.min(end);
        for (at, watched) in self.seats[start..end].iter().enumerate() {
            // Relaxed: tells only that there is something to read; reading it acquires the stamp again.
            if watched.word.load(Relaxed) == watched.awaited {
                found.push(start + at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_come_is_found() {
        let words: Vec<AtomicU64> = (0..5).map(|_| AtomicU64::new(0)).collect();
        let mut lookout = Lookout::default();
        for (seat, word) in words.iter().enumerate() {
            lookout.watch(seat, word, 7);
        }
        let mut found = Vec::new();
        lookout.look(0..5, &mut found);
        assert!(found.is_empty());
        words[1].store(7, Relaxed);
        words[4].store(7, Relaxed);
        words[2].store(6, Relaxed);
        lookout.look(0..4, &mut found);
        lookout.look(4..99, &mut found);
        assert_eq!(found, [1, 4]);
        lookout.leave(1);
        lookout.leave(4);
        assert_eq!(lookout.len(), 4);
        found.clear();
        lookout.look(0..5, &mut found);
        assert!(found.is_empty(), "an empty seat has nothing");
        (0..4).for_each(|seat| lookout.leave(seat));
        assert!(lookout.is_empty());
    }
}
