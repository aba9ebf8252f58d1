//! Mapped types without a mapping.

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

/// A mapped type on the heap: a `T` that consists of `W`s and nothing else.
pub struct Heap<T, W> {
    start: NonNull<W>,
    whole: PhantomData<(T, W)>,
}

// SAFETY: it owns its words; shared references give out `&T` and `&[W]` only.
unsafe impl<T: Send, W: Send> Send for Heap<T, W> {}
// SAFETY: as above.
unsafe impl<T: Sync, W: Sync> Sync for Heap<T, W> {}

impl<T, W> Heap<T, W> {
    const WORDS: usize = size_of::<T>() / size_of::<W>();

    /// Every word as `word` makes it, given its index.
    ///
    /// # Safety
    /// `T` is `#[repr(C)]` and made of `W` only, without padding.
    pub unsafe fn new(mut word: impl FnMut(usize) -> W) -> Self {
        assert_eq!(Self::WORDS * size_of::<W>(), size_of::<T>());
        let layout = Layout::new::<T>();
        // SAFETY: no mapped type is empty.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }.cast::<W>()) else { handle_alloc_error(layout) };
        for at in 0..Self::WORDS {
            // SAFETY: inside the allocation, which is aligned for `T` and so for `W`.
            unsafe { start.add(at).write(word(at)) };
        }
        Self { start, whole: PhantomData }
    }

    /// The same memory as words.
    pub fn words(&self) -> &[W] {
        // SAFETY: all of them were written by `new`.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), Self::WORDS) }
    }
}

impl<T, W> Deref for Heap<T, W> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: aligned for `T`, every word of it was written, and `new` was promised that `T` is nothing else.
        unsafe { self.start.cast().as_ref() }
    }
}

impl<T, W> Drop for Heap<T, W> {
    fn drop(&mut self) {
        for at in 0..Self::WORDS {
            // SAFETY: written by `new`, dropped once.
            unsafe { self.start.add(at).drop_in_place() };
        }
        // SAFETY: allocated by `new` with this layout.
        unsafe { dealloc(self.start.as_ptr().cast(), Layout::new::<T>()) };
    }
}
