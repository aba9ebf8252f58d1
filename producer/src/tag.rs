//! The phase that each thread is in, by a name that the program gives it: what it allocates meanwhile carries the name's number.
//!
//! ```text
//!   push("decode") ──► number of the name ──► this thread's stack ──► its word beside the thread id, which `record` reads
//!                                                 └──► told in this process's ring, once, before anything carries it
//! ```
//!
//! A forked child goes on in the phase of the thread that forked. A thread begins in none. Nothing here makes a ring.

mod names;

pub(crate) use names::name;

use crate::process;
use core::cell::Cell;
use core::ffi::c_char;
use core::marker::PhantomData;
use shm_layout::tag::{NAME_BYTES, Name};

/// Phases within phases that are kept apart. What is allocated deeper is of the last of these.
pub const DEPTH: usize = 64;

struct Stack {
    depth: Cell<usize>,
    numbers: [Cell<u8>; DEPTH],
}

thread_local! {
    static STACK: Stack = const { Stack { depth: Cell::new(0), numbers: [const { Cell::new(0) }; DEPTH] } };
}

/// Until the next [`pop`], what this thread allocates is of this phase. The first 32 bytes are the name, up to a character's end or
/// the first NUL; an empty one is no phase. Costs one load where tracking is off.
#[inline]
pub fn push(name: &str) {
    if process::enabled() {
        begin(Name::new(name.as_bytes()));
    }
}

/// As [`push`], of a C string; null is as an empty one.
///
/// # Safety
/// `name` is null or points to bytes that end with a NUL.
#[inline]
pub unsafe fn push_c(name: *const c_char) {
    if process::enabled() {
        // SAFETY: the caller's promise.
        begin(unsafe { read(name) });
    }
}

/// The phase before the last [`push`] goes on. Does nothing if there is none.
#[inline]
pub fn pop() {
    if process::enabled() {
        end();
    }
}

/// Until it is dropped, what this thread allocates is of this phase.
pub fn scope(name: &str) -> Scope {
    push(name);
    Scope(PhantomData)
}

/// A phase of this thread: see [`scope`].
#[derive(Debug)]
#[must_use = "the phase ends when this is dropped"]
pub struct Scope(PhantomData<*mut ()>);

impl Drop for Scope {
    fn drop(&mut self) {
        pop();
    }
}

/// # Safety
/// As [`push_c`].
unsafe fn read(name: *const c_char) -> Name {
    let mut length = 0;
    // SAFETY: within the string: no byte before this one was its end. One more than is kept, to see where it may be cut.
    while !name.is_null() && length <= NAME_BYTES && unsafe { name.add(length).read() } != 0 {
        length += 1;
    }
    if length == 0 {
        return Name::default();
    }
    // SAFETY: so many bytes were read just now.
    Name::new(unsafe { core::slice::from_raw_parts(name.cast(), length) })
}

#[inline(never)]
fn begin(name: Name) {
    let number = if name.is_empty() { 0 } else { names::number(name) };
    let _gone = STACK.try_with(|stack| {
        let depth = stack.depth.get();
        // First, so that a signal handler's own push and pop leave this place alone.
        stack.depth.set(depth.saturating_add(1));
        if let Some(place) = stack.numbers.get(depth) {
            place.set(number);
            process::set_tag(number);
        }
    });
}

#[inline(never)]
fn end() {
    let _gone = STACK.try_with(|stack| {
        let Some(depth) = stack.depth.get().checked_sub(1) else { return };
        stack.depth.set(depth);
        if depth < DEPTH {
            let before = depth.checked_sub(1).and_then(|top| stack.numbers.get(top));
            process::set_tag(before.map_or(0, Cell::get));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_of_a_string_is_read_than_is_kept() {
        // SAFETY: null, or ends with a NUL, each.
        let name = |text: &[u8]| unsafe { read(text.as_ptr().cast()) };
        // SAFETY: null.
        assert!(unsafe { read(core::ptr::null()) }.is_empty() && name(b"\0").is_empty());
        assert_eq!(name(b"decode\0"), Name::new(b"decode"));
        let long = [[b'x'; 31].as_slice(), "é and more\0".as_bytes()].concat();
        assert_eq!(name(&long).text(), "x".repeat(31));
        // No end where it is not looked for.
        assert_eq!(name(&[b'y'; NAME_BYTES + 1]).text(), "y".repeat(32));
    }
}
