//! The definition behind ours: where a hook finds the function that it stands in front of.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::mem::{size_of, transmute_copy};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// A function of tt-metal that a hook stands in front of; found at its first call, then one load.
pub(crate) struct Next<F> {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
    signature: PhantomData<F>,
}

impl<F: Copy> Next<F> {
    /// The next definition of this mangled name.
    ///
    /// # Safety
    /// `F` is a function pointer whose signature is the one that the mangled name says.
    pub(crate) const unsafe fn new(name: &'static CStr) -> Self {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        Self { name, at: AtomicPtr::new(null_mut()), signature: PhantomData }
    }

    /// The function. Somebody has just called the hook by this name, so there is one; if nevertheless
    /// there is none, going on would leave an object half made, so the process ends here.
    pub(crate) fn get(&self) -> F {
        let mut at = self.at.load(Ordering::Acquire);
        if at.is_null() {
            at = find(self.name);
            if at.is_null() {
                std::process::abort();
            }
            self.at.store(at, Ordering::Release);
        }
        // SAFETY: `at` is the address of a function of type F: whoever called `new` promised it.
        unsafe { transmute_copy(&at) }
    }
}

static USED: AtomicBool = AtomicBool::new(false);

/// Has tt-metal called a hook in this process?
pub(crate) fn used() -> bool {
    // Relaxed: a hint for the end of the process.
    USED.load(Ordering::Relaxed)
}

/// As [`used`], for the C API (`producer/capi`): a tt-metal that is built with it and runs with the hooks would be told of twice.
#[unsafe(export_name = "tt_alloc_preload_used")]
pub extern "C" fn hooks_are_used() -> bool {
    used() && crate::guard::enabled()
}

/// The next definition of `name` after this library: in the search order where it is visible
/// (`LD_PRELOAD`), else in libtt_metal.so itself, which Python opens with `RTLD_LOCAL`.
pub(crate) fn find(name: &CStr) -> *mut c_void {
    // Relaxed: see `used`.
    if !USED.swap(true, Ordering::Relaxed) {
        crate::guard::report_faults();
    }
    crate::copies::look();
    // SAFETY: dlsym with a C string; RTLD_NEXT starts after the object that holds this code.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if !next.is_null() {
        return next;
    }
    let metal = metal_handle();
    if metal.is_null() {
        return null_mut();
    }
    // SAFETY: `metal` is a handle that dlopen gave and nobody closes.
    unsafe { libc::dlsym(metal, name.as_ptr()) }
}

/// The libtt_metal.so of this process, if it has one by now.
fn metal_handle() -> *mut c_void {
    static HANDLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
    let known = HANDLE.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    let mut path: Option<std::ffi::CString> = None;
    // SAFETY: `visit` gets this pointer back only during the call, while `path` lives.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut path).cast()) };
    let Some(path) = path else { return null_mut() };
    // SAFETY: RTLD_NOLOAD only takes one more reference on a library that is loaded already.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
    HANDLE.store(handle, Ordering::Release);
    handle
}

unsafe extern "C" fn visit(object: *mut libc::dl_phdr_info, _size: usize, found: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid object whose name is a C string or null.
    let name: *const c_char = unsafe { (*object).dlpi_name };
    if name.is_null() {
        return 0;
    }
    // SAFETY: see above.
    let name = unsafe { CStr::from_ptr(name) };
    if !name.to_bytes().ends_with(b"/libtt_metal.so") {
        return 0;
    }
    // SAFETY: `found` is the Option that metal_handle passed.
    unsafe { *found.cast::<Option<std::ffi::CString>>() = Some(name.to_owned()) };
    1
}

/// Declares `NEXT`, the function behind a hook, with the signature of the hook.
macro_rules! next {
    ($name:literal, $signature:ty) => {{
        // SAFETY: the signature stands next to the mangled name that encodes it.
        static NEXT: $crate::next::Next<$signature> = unsafe { $crate::next::Next::new($name) };
        NEXT.get()
    }};
}
pub(crate) use next;
