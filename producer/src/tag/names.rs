//! Numbers for names: the first 255 names of a process, each written once and never again.
//!
//! Nobody waits for anybody else but a moment: a thread that finds a place being written looks a few times and goes on to the next one.
//! So two threads that bring the same new name at once, or one in a forked child whose parent was just writing, may give it two
//! numbers, which are shown under one name. A name is looked for from a place on that its bytes tell, so that one push costs the same among
//! many names as among few.

use crate::warning::warn;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};
use shm_layout::tag::{NAME_WORDS, Name, TAGS};

const FREE: u32 = 0;
const WRITING: u32 = 1;
const WRITTEN: u32 = 2;

/// Looks at a place that is being written; four stores take no longer, unless their thread lost its processor.
const LOOKS: u32 = 64;

struct Place {
    state: AtomicU32,
    words: [AtomicU64; NAME_WORDS],
}

/// That of number 1 first.
static PLACES: [Place; TAGS - 1] =
    [const { Place { state: AtomicU32::new(FREE), words: [const { AtomicU64::new(0) }; NAME_WORDS] } }; TAGS - 1];

impl Place {
    fn name(&self) -> Name {
        // Relaxed: ordered by the state.
        Name(core::array::from_fn(|at| self.words[at].load(Relaxed)))
    }

    #[inline(always)]
    fn is(&self, name: Name) -> bool {
        // Relaxed: as above.
        self.words.iter().zip(name.0).all(|(here, word)| here.load(Relaxed) == word)
    }

    /// Whether this name is here now: it was, or there was room.
    #[inline(always)]
    fn is_or_becomes(&self, name: Name) -> bool {
        // SYNC(tag.name): the name is there; pairs with the Release below.
        let mut state = self.state.load(Acquire);
        if state == FREE {
            // SYNC(tag.name): as above, where another thread was faster.
            match self.state.compare_exchange(FREE, WRITING, Relaxed, Acquire) {
                Ok(_) => {
                    for (to, word) in self.words.iter().zip(name.0) {
                        // Relaxed: published by the state.
                        to.store(word, Relaxed);
                    }
                    // SYNC(tag.name): publishes the name; pairs with the Acquires here and in `name`.
                    self.state.store(WRITTEN, Release);
                    return true;
                }
                Err(found) => state = found,
            }
        }
        for _ in 0..LOOKS {
            if state == WRITTEN {
                return self.is(name);
            }
            core::hint::spin_loop();
            // SYNC(tag.name): as above.
            state = self.state.load(Acquire);
        }
        false
    }
}

/// The number of this name; 0 if there are too many.
pub(super) fn number(name: Name) -> u8 {
    let first = place_of(name);
    // From there on to the end, and from the beginning.
    let (before, from) = PLACES.split_at(first);
    for (at, place) in (first..).zip(from).chain((0..).zip(before)) {
        if place.is_or_becomes(name) {
            return u8::try_from(at + 1).unwrap_or(0);
        }
    }
    too_many(name);
    0
}

/// Where a name is looked for first.
fn place_of(name: Name) -> usize {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let hash = name.0.into_iter().fold(0, mix);
    // The upper half, as a fraction of the places: less than all of them.
    (((hash >> 32) * PLACES.len() as u64) >> 32) as usize
}

/// The name of this number, if it has one.
pub(crate) fn name(number: u8) -> Option<Name> {
    let place = PLACES.get(usize::from(number).checked_sub(1)?)?;
    // SYNC(tag.name): the name is there; pairs with the Release in `is_or_becomes`.
    (place.state.load(Acquire) == WRITTEN).then(|| place.name())
}

#[cold]
fn too_many(name: Name) {
    warn(|| {
        let (most, name) = (TAGS - 1, name.text());
        format!("more than {most} tags: {name:?} and every further name is no tag; use fewer names")
    });
}
