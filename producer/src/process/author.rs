//! Who tells an event: this thread, in the phase that it has named.

use super::{is_made, made};
use crate::fork::PAGE;
use crate::host::gettid;
use crate::tag;
use core::cell::Cell;
use core::sync::atomic::Ordering::{Acquire, Release};
use shm_layout::event::{Event, flags};

thread_local! {
    static HERE: Cell<Here> = const { Cell::new(Here { generation: 0, author: Author { thread: 0, flags: 0 } }) };
}

/// What this thread's events carry, as of its last one.
#[derive(Clone, Copy, Debug)]
struct Here {
    generation: u32,
    author: Author,
}

/// Who tells an event: what is of the thread and not of the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// Its id, or the number of the call stack that it was in.
    pub(super) thread: u32,
    /// What stands in [`Event::flags`] of it: the number of its tag, and whether `thread` is a stack's.
    pub(super) flags: u16,
}

#[inline(always)]
pub(super) fn author_here(generation: u32) -> Author {
    // The thread-local may be gone in a thread that ends: 0 is "not told".
    let here = HERE.try_with(Cell::get).unwrap_or(Here { generation: 0, author: Author::default() });
    if here.generation == generation { here.author } else { arrive(generation) }
}

/// The first event of this thread in this ring.
#[cold]
#[inline(never)]
fn arrive(generation: u32) -> Author {
    let arrived = HERE.try_with(|here| {
        let author = Author { thread: gettid(), ..here.get().author };
        here.set(Here { generation, author });
        author
    });
    let author = arrived.unwrap_or_default();
    tell_tag((author.flags >> flags::TAG_SHIFT) as u8);
    author
}

/// From now on this thread's events carry this tag.
pub(crate) fn set_tag(number: u8) {
    // Otherwise with the first event of this thread.
    if is_made() {
        tell_tag(number);
    }
    let _gone = HERE.try_with(|here| {
        let Here { generation, author } = here.get();
        here.set(Here { generation, author: Author { flags: u16::from(number) << flags::TAG_SHIFT, ..author } });
    });
}

/// Writes the name of a tag into the ring of this process, unless it is there. Where it does not fit it is tried again the next time.
fn tell_tag(number: u8) {
    let (at, bit) = (usize::from(number) / 64, 1 << (number % 64));
    // SYNC(tag.told): its record has been claimed, so that whatever this thread writes comes after it; pairs with the Release below.
    if number != 0 && PAGE.told[at].load(Acquire) & bit == 0 {
        tell_new_tag(number, at, bit);
    }
}

#[cold]
fn tell_new_tag(number: u8, at: usize, bit: u64) {
    let (Some(current), Some(name)) = (made(), tag::name(number)) else { return };
    let event = Event { thread: gettid(), ..Event::tag(number, name) };
    if current.writer.try_record(event) {
        // SYNC(tag.told): after the record; pairs with the Acquire above.
        PAGE.told[at].fetch_or(bit, Release);
    }
}
