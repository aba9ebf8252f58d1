//! What processors offer and the language does not.

/// Asks for the cache line of this value, to be stored to soon: a line that another processor has just written takes longer to
/// come than many pushes. Reads nothing, changes nothing, never faults; nothing at all on machines other than those
/// tt-metal runs on.
#[inline(always)]
pub fn prefetch_for_write<T>(value: &T) {
    let _address = core::ptr::from_ref(value);
    #[cfg(all(target_arch = "x86_64", not(miri), not(loom)))]
    // SAFETY: a prefetch of any address is allowed, and touches neither memory nor flags nor stack; processors that do not know
    // this one take it for a no-op.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) _address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(miri), not(loom)))]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{}]", in(reg) _address, options(nostack, preserves_flags, readonly));
    }
}
