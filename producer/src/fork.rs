//! A page that the kernel wipes in a child: that of this process's ring, and whoever keeps words of the same kind has another.
//!
//! A child of fork shares its parent's ring mapping and must never write into it. Libc's atfork handlers do not see a
//! raw clone(); `MADV_WIPEONFORK` does: the child finds zeros here, which means "not initialised".
//!
//! The page is a static, not a mapping of its own: its address is then a constant, and what an event costs is mostly the
//! loads that wait for each other.

use core::ops::Deref;
use core::sync::atomic::Ordering::{Acquire, Release};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use shm_layout::tag::TAGS;

/// Words that are all zero in a new process and in a forked child, alone on their page.
#[cfg_attr(target_arch = "aarch64", repr(C, align(65536)))]
#[cfg_attr(not(target_arch = "aarch64"), repr(C, align(4096)))]
#[derive(Debug)]
pub struct WipedPage<T>(T);

impl<T> WipedPage<T> {
    /// Until its [`Wipe`] says that it is wiped, it is only what it is made of.
    ///
    /// # Safety
    /// For a static alone. `words` are atomics, all zero.
    pub const unsafe fn new(words: T) -> Self {
        const { assert!(size_of::<Self>() == align_of::<Self>(), "one page") };
        Self(words)
    }
}

impl<T> Deref for WipedPage<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// The kernel's answer about one [`WipedPage`], which is the same in children: 0 not asked, 1 it wipes the page, 2 it does not.
#[derive(Debug)]
pub struct Wipe(AtomicU8);

impl Wipe {
    /// Not asked.
    #[allow(clippy::new_without_default, reason = "for statics")]
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Whether the kernel wipes this page in a child; asked at the first call.
    pub fn is_of<T>(&self, page: &'static WipedPage<T>) -> bool {
        // SYNC(fork.page): the page is advised; pairs with the Release below.
        match self.0.load(Acquire) {
            0 => {}
            answer => return answer == 1,
        }
        // SAFETY: the range is exactly the static, which is aligned to pages and as long as one, so that nothing else lies there;
        // it is zero in this process, or its words are atomics, so a wipe in a child is a change of value.
        let answer = unsafe {
            libc::madvise((&raw const *page).cast_mut().cast(), size_of::<WipedPage<T>>(), libc::MADV_WIPEONFORK)
        };
        let wiped = answer == 0;
        // SYNC(fork.page): after the advice; pairs with the Acquire above.
        self.0.store(if wiped { 1 } else { 2 }, Release);
        wiped
    }
}

/// What this process's ring is found by.
#[derive(Debug)]
pub(crate) struct Words {
    /// Where this process is with its ring.
    pub(crate) state: AtomicU32,
    /// Thread that is making the ring.
    pub(crate) maker: AtomicU32,
    /// Tags whose names are in its ring, by number.
    pub(crate) told: [AtomicU64; TAGS / 64],
}

// SAFETY: a static; atomics, all zero.
pub(crate) static PAGE: WipedPage<Words> = unsafe {
    WipedPage::new(Words {
        state: AtomicU32::new(0),
        maker: AtomicU32::new(0),
        told: [const { AtomicU64::new(0) }; TAGS / 64],
    })
};

static WIPE: Wipe = Wipe::new();

/// Whether the kernel wipes [`PAGE`] in a child. Without it there is no tracking.
pub(crate) fn wiped() -> bool {
    WIPE.is_of(&PAGE)
}
