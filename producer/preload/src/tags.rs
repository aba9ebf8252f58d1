//! `tt_alloc_tag_push` and `tt_alloc_tag_pop` of the C API (`producer/capi`), for jobs on stock tt-metal: whoever asks the loader for them
//! finds these first, and the next library's own, which may be the one that tells, learns of them, too.

use crate::guard::enabled;
use std::ffi::{CStr, c_char, c_void};
use std::panic::catch_unwind;
use std::ptr::{dangling_mut, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

type Push = unsafe extern "C" fn(*const c_char);
type Pop = extern "C" fn();

/// A function of this name behind this library's own, if there is one. Looked for at the first call.
struct Behind {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
}

impl Behind {
    const fn new(name: &'static CStr) -> Self {
        Self { name, at: AtomicPtr::new(null_mut()) }
    }

    fn get(&self) -> Option<*mut c_void> {
        // No function is there.
        let none = dangling_mut();
        // Relaxed: an address that is the same whoever finds it; the loader's locks order the library's own.
        let known = self.at.load(Ordering::Relaxed);
        if !known.is_null() {
            return (known != none).then_some(known);
        }
        // SAFETY: the address of this thread's errno, which lives as long as the thread.
        let errno = unsafe { *libc::__errno_location() };
        // SAFETY: dlsym with a C string; RTLD_NEXT starts after the object that holds this code.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = errno };
        // Relaxed: as above.
        self.at.store(if found.is_null() { none } else { found }, Ordering::Relaxed);
        (!found.is_null()).then_some(found)
    }
}

/// As in the C API's header.
///
/// # Safety
/// `name` is null or points to bytes that end with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_alloc_tag_push(name: *const c_char) {
    if !producer::process::enabled() {
        return;
    }
    if enabled() {
        // SAFETY: the caller's promise.
        let _ended = catch_unwind(|| unsafe { producer::tag::push_c(name) });
    }
    static BEHIND: Behind = Behind::new(c"tt_alloc_tag_push");
    if let Some(push) = BEHIND.get() {
        // SAFETY: whatever library has this name, it is this function of the C API.
        let push: Push = unsafe { std::mem::transmute(push) };
        // SAFETY: the caller's promise.
        unsafe { push(name) };
    }
}

/// As in the C API's header.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_tag_pop() {
    if !producer::process::enabled() {
        return;
    }
    if enabled() {
        let _ended = catch_unwind(producer::tag::pop);
    }
    static BEHIND: Behind = Behind::new(c"tt_alloc_tag_pop");
    if let Some(pop) = BEHIND.get() {
        // SAFETY: as above.
        let pop: Pop = unsafe { std::mem::transmute(pop) };
        pop();
    }
}
