//! What processors offer and the language does not: asking for a cache line ahead, comparing sixteen numbers at once.

/// Asks for the line of this value, before it is needed. At a million live allocations every record needs half a dozen lines
/// that are in no cache; asked for a few records ahead, they arrive together instead of one after the other. Reads nothing, changes nothing, never faults; nothing at all on machines other than
/// those tt-metal runs on.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    let _address = core::ptr::from_ref(value);
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: SSE belongs to every x86-64, and a prefetch of any address is allowed.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(_address.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a prefetch of any address is allowed, and touches neither memory nor flags nor stack. (The intrinsic is not
    // stable on this architecture.)
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) _address, options(nostack, preserves_flags, readonly));
    }
}

/// One bit for each of the sixteen that is equal to `wanted`.
#[inline(always)]
pub fn equal(low: &[u32; 8], high: &[u32; 8], wanted: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 belongs to every x86-64; these work on values only.
    unsafe {
        use core::arch::x86_64::{
            __m128i, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi32,
        };
        let wanted = _mm_set1_epi32(wanted as i32);
        let eight = |all: &[u32; 8]| {
            let [low, high]: [__m128i; 2] = bytemuck::must_cast(*all);
            _mm_packs_epi32(_mm_cmpeq_epi32(low, wanted), _mm_cmpeq_epi32(high, wanted))
        };
        _mm_movemask_epi8(_mm_packs_epi16(eight(low), eight(high))) as u32
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let bit = |(at, found): (usize, &u32)| u32::from(*found == wanted) << at;
        low.iter().chain(high).enumerate().map(bit).fold(0, |bits, bit| bits | bit)
    }
}
