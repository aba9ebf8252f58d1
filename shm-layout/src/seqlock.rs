//! A snapshot that one writer publishes and any number of readers copy, without either waiting for the other.
//!
//! Two buffers and an index: the writer fills the buffer that is not shown, marks it complete and shows it. A reader
//! copies the shown one and keeps the copy only if the buffer's sequence word did not move meanwhile. A writer that
//! dies in mid-write leaves the shown buffer whole: readers never hang on a dead writer.
//!
//! ```text
//!   active ──► 0 or 1
//!   buffer 0:  [ sequence | used words | payload … ]     sequence odd: being written
//!   buffer 1:  [ sequence | used words | payload … ]
//! ```

use crate::atomics::Word64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Words before the payload of each buffer.
pub const BUFFER_HEADER_WORDS: usize = 2;

/// The index word and the two buffers.
#[derive(Debug)]
pub struct Snapshots<'a, W> {
    active: &'a W,
    buffers: [&'a [W]; 2],
}

impl<W> Clone for Snapshots<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W> Copy for Snapshots<'_, W> {}

impl<'a, W: Word64> Snapshots<'a, W> {
    /// Over these words; `None` unless both buffers have one length and room for their header.
    pub fn new(active: &'a W, buffers: [&'a [W]; 2]) -> Option<Self> {
        let sound = buffers[0].len() == buffers[1].len() && buffers[0].len() >= BUFFER_HEADER_WORDS;
        sound.then_some(Self { active, buffers })
    }

    /// Payload words that fit.
    pub fn capacity(&self) -> usize {
        self.buffers[0].len() - BUFFER_HEADER_WORDS
    }

    /// Publishes these words (the first [`capacity`](Self::capacity) of them). One writer only.
    pub fn publish(&self, payload: &[u64]) {
        self.publish_parts(&[payload]);
    }

    /// [`publish`](Self::publish) of words that lie in several places, one after the other.
    pub fn publish_parts(&self, parts: &[&[u64]]) {
        // Relaxed: only this writer stores it.
        let next = 1 - (self.active.load(Relaxed) & 1) as usize;
        let [sequence, used, words @ ..] = self.buffers[next] else {
            return;
        };
        // Relaxed: only this writer stores it. Odd after a writer that died here: `| 1` starts from there.
        let odd = sequence.load(Relaxed) | 1;
        sequence.store(odd, Relaxed);
        // SYNC(seqlock.odd): whoever sees a word stored below and then fences sees the odd sequence; pairs with the
        // Acquire fence in `read_buffer`.
        W::fence(Release);
        let mut rest = words;
        for part in parts {
            let (here, behind) = rest.split_at(part.len().min(rest.len()));
            for (to, word) in here.iter().zip(*part) {
                // Relaxed: ordered by the fences around.
                to.store(*word, Relaxed);
            }
            rest = behind;
        }
        // Relaxed: as the words.
        used.store((words.len() - rest.len()) as u64, Relaxed);
        // SYNC(seqlock.even): publishes the payload; pairs with the first Acquire of the sequence in `read_buffer`.
        sequence.store(odd.wrapping_add(1), Release);
        // SYNC(seqlock.active): shows the buffer; pairs with the Acquire of the index in `read`.
        self.active.store(next as u64, Release);
    }

    /// Copies the shown snapshot into `into`. False if the writer was quicker than this copy: try again.
    pub fn read(&self, into: &mut Vec<u64>) -> bool {
        // SYNC(seqlock.active): pairs with the Release of the index in `publish_parts`.
        self.read_buffer((self.active.load(Acquire) & 1) as usize, into)
    }

    /// [`read`](Self::read) of this buffer, shown or not: for whoever finds what a dead writer left.
    pub fn read_buffer(&self, buffer: usize, into: &mut Vec<u64>) -> bool {
        into.clear();
        let [sequence, used, words @ ..] = self.buffers[buffer & 1] else {
            return false;
        };
        // SYNC(seqlock.even): the payload of this sequence is visible; pairs with the Release of the even sequence in
        // `publish_parts`.
        let before = sequence.load(Acquire);
        if before & 1 == 1 || before == 0 {
            return false;
        }
        // Relaxed: checked by the second look below. Cut, because a torn length may be anything.
        let used = (used.load(Relaxed) as usize).min(words.len());
        into.extend(words[..used].iter().map(|word| word.load(Relaxed)));
        // SYNC(seqlock.odd): had we copied a word of a newer write, this fence makes its odd sequence visible; pairs
        // with the Release fence in `publish_parts`.
        W::fence(Acquire);
        // Relaxed: ordered by the fence.
        sequence.load(Relaxed) == before
    }

    /// [`read`](Self::read), again and again, at most `tries` times.
    pub fn read_within(&self, into: &mut Vec<u64>, tries: usize) -> bool {
        (0..tries).any(|_| self.read(into))
    }
}
