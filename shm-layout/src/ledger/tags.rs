//! The names of a process's tags, in its ledger: an allocation's entry has only the number.
//!
//! Written before the commit of the batch that told them: what is read again after a kill writes the same again. A name is never
//! taken back; one that is told anew (no process of ours does) replaces the other, which a viewer may see half done, cleaned as ever.

use super::header::{HEADER_BYTES, STATES_OFFSET};
use crate::atomics::Word64;
use crate::tag::{NAME_WORDS, Name, TAGS};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Where the table lies.
pub const TAGS_OFFSET: usize = HEADER_BYTES;

/// By number; all zero has no name. Number 0 has none.
#[repr(C)]
#[derive(Debug)]
pub struct TagNames<W>(pub [[W; NAME_WORDS]; TAGS]);

const _: () = assert!(size_of::<TagNames<AtomicU64>>() == 8192);
const _: () = assert!(TAGS_OFFSET + size_of::<TagNames<AtomicU64>>() == STATES_OFFSET);

impl<W: Word64> TagNames<W> {
    /// Gives a number its name.
    pub fn set(&self, number: u8, name: Name) {
        let words = &self.0[usize::from(number)];
        for (to, word) in words.iter().zip(name.0).skip(1) {
            // Relaxed: published by the first word.
            to.store(word, Relaxed);
        }
        // SYNC(ledger.tag): publishes the rest of the name; pairs with the Acquire in `get`.
        words[0].store(name.0[0], Release);
    }

    /// The name of a number, if it has one.
    pub fn get(&self, number: u8) -> Option<Name> {
        let words = &self.0[usize::from(number)];
        // SYNC(ledger.tag): pairs with the Release in `set`.
        let mut name = Name([words[0].load(Acquire); NAME_WORDS]);
        if number == 0 || name.is_empty() {
            return None;
        }
        for (word, from) in name.0.iter_mut().zip(words).skip(1) {
            // Relaxed: ordered by the first word.
            *word = from.load(Relaxed);
        }
        Some(name)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_name_that_it_was_given_last() {
        let names = TagNames(core::array::from_fn(|_| core::array::from_fn(|_| AtomicU64::new(0))));
        assert!((0..=255).all(|number| names.get(number).is_none()));
        names.set(255, Name::new(b"a long name of some phase"));
        names.set(255, Name::new(b"decode"));
        names.set(0, Name::new(b"none"));
        assert_eq!((names.get(255), names.get(0), names.get(254)), (Some(Name::new(b"decode")), None, None));
    }
}
