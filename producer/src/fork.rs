//! The page that the kernel wipes in a child.
//!
//! A child of fork shares its parent's ring mapping and must never write into it. Libc's atfork handlers do not see a
//! raw clone(); `MADV_WIPEONFORK` does: the child finds zeros here, which means "not initialised".
//!
//! The page is a static, not a mapping of its own: its address is then a constant, and what an event costs is mostly the
//! loads that wait for each other.

use core::sync::atomic::Ordering::{Acquire, Release};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use shm_layout::tag::TAGS;

/// The words on the page. All zero in a new process and in a forked child.
#[cfg_attr(target_arch = "aarch64", repr(C, align(65536)))]
#[cfg_attr(not(target_arch = "aarch64"), repr(C, align(4096)))]
#[derive(Debug)]
pub(crate) struct WipedPage {
    /// Where this process is with its ring.
    pub(crate) state: AtomicU32,
    /// Thread that is making the ring.
    pub(crate) maker: AtomicU32,
    /// Tags whose names are in its ring, by number.
    pub(crate) told: [AtomicU64; TAGS / 64],
}

/// Nobody but this module's `wiped` may say that it is wiped: until then it is only zero.
pub(crate) static PAGE: WipedPage =
    WipedPage { state: AtomicU32::new(0), maker: AtomicU32::new(0), told: [const { AtomicU64::new(0) }; TAGS / 64] };

/// Answer of the kernel, which is the same in children: 0 not asked, 1 it wipes the page, 2 it does not.
static WIPED: AtomicUsize = AtomicUsize::new(0);

/// Whether the kernel wipes the page in a child; asked at the first call. Without it there is no tracking.
pub(crate) fn wiped() -> bool {
    // SYNC(fork.page): the page is advised; pairs with the Release below.
    match WIPED.load(Acquire) {
        0 => {}
        answer => return answer == 1,
    }
    // SAFETY: the range is exactly the static, which is aligned to pages and as long as one, so that nothing else lies there;
    // it is zero in this process, or its words are atomics, so a wipe in a child is a change of value.
    let answer =
        unsafe { libc::madvise((&raw const PAGE).cast_mut().cast(), size_of::<WipedPage>(), libc::MADV_WIPEONFORK) };
    let wiped = answer == 0;
    // SYNC(fork.page): after the advice; pairs with the Acquire above.
    WIPED.store(if wiped { 1 } else { 2 }, Release);
    wiped
}
