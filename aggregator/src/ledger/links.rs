//! Lists of entries, without memory of their own but two numbers per entry: any member leaves in a moment.

use super::chunks::Chunks;

/// Nothing.
pub const NONE: u32 = u32::MAX;

/// Links by entry: 8 KiB a chunk.
pub type Links = Chunks<Link, 1024>;

/// Neighbours in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The one after it.
    pub next: u32,
    /// The one before it.
    pub previous: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self { next: NONE, previous: NONE }
    }
}

/// Entries with the same key, oldest first: each such queue a circle of links, known by its oldest member.
#[derive(Debug, Default)]
pub struct Twins {
    links: Links,
}

impl Twins {
    /// Begins a queue of one.
    pub fn begin(&mut self, at: u32) {
        *self.links.get_mut(at) = Link { next: at, previous: at };
    }

    /// Adds the youngest to the queue of this oldest.
    pub fn append(&mut self, oldest: u32, at: u32) {
        let youngest = self.links.get(oldest).previous;
        self.links.get_mut(youngest).next = at;
        self.links.get_mut(oldest).previous = at;
        *self.links.get_mut(at) = Link { next: oldest, previous: youngest };
    }

    /// Takes one out of a queue of at least two. The one after it, and whether that is alone now.
    pub fn leave(&mut self, at: u32) -> (u32, bool) {
        let Link { next, previous } = self.links.get(at);
        self.links.get_mut(previous).next = next;
        self.links.get_mut(next).previous = previous;
        (next, next == previous)
    }
}
