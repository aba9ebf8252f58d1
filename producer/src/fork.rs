//! The page that the kernel wipes in a child.
//!
//! A child of fork shares its parent's ring mapping and must never write into it. Libc's atfork handlers do not see a
//! raw clone(); `MADV_WIPEONFORK` does: the child finds zeros here, which means "not initialised".

use core::sync::atomic::AtomicPtr;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Release};

/// The words on the page. All zero in a new process and in a forked child.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct WipedPage {
    /// Where this process is with its ring.
    pub(crate) state: AtomicU32,
    /// Thread that is making the ring.
    pub(crate) maker: AtomicU32,
}

static PAGE: AtomicPtr<WipedPage> = AtomicPtr::new(core::ptr::null_mut());
const PAGE_BYTES: usize = 4096;

/// The page; made at the first call, `None` if the kernel cannot (then there is no tracking).
#[inline(always)]
pub(crate) fn wiped_page() -> Option<&'static WipedPage> {
    // SYNC(fork.page): the page is mapped and advised; pairs with the Release in `make`.
    let page = PAGE.load(Acquire);
    if page.is_null() {
        return make();
    }
    // SAFETY: a non-null PAGE is a mapping that is never unmapped, zero-filled or written as atomics only.
    Some(unsafe { &*page })
}

#[cold]
fn make() -> Option<&'static WipedPage> {
    // SAFETY: a new private anonymous mapping, whose address the kernel chooses, touches nothing that exists.
    let page = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            PAGE_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is the mapping made above, which nobody else knows yet.
    if unsafe { libc::madvise(page, PAGE_BYTES, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above.
        unsafe { libc::munmap(page, PAGE_BYTES) };
        return None;
    }
    // SYNC(fork.page): publishes the mapping; pairs with the Acquire in `wiped_page`. Acquire on failure: the other
    // thread's page.
    let ours = match PAGE.compare_exchange(core::ptr::null_mut(), page.cast(), Release, Acquire) {
        Ok(_) => page.cast::<WipedPage>(),
        Err(theirs) => {
            // SAFETY: our page lost the race and nobody else knows it.
            unsafe { libc::munmap(page, PAGE_BYTES) };
            theirs
        }
    };
    // SAFETY: as in `wiped_page`.
    Some(unsafe { &*ours })
}
