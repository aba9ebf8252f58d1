//! The walk up the stack, by libgcc's unwinder, which std is linked with already.

use core::ffi::{c_int, c_void};
use core::ops::Range;
use shm_layout::stacks::MOST_ADDRESSES;

/// `_URC_NO_REASON`: go on.
const GO_ON: c_int = 0;
/// `_URC_END_OF_STACK`: enough.
const ENOUGH: c_int = 5;

type Frame = extern "C-unwind" fn(context: *mut c_void, walk: *mut c_void) -> c_int;

// "C-unwind": a thread whose cancellation is asynchronous may end anywhere.
unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(each: Frame, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, before_instruction: *mut c_int) -> usize;
}

/// Addresses, as they are met.
#[derive(Debug)]
pub(super) struct Walk {
    addresses: [u64; MOST_ADDRESSES],
    count: usize,
    most: usize,
    cut: bool,
    /// Whether the next frame is the one that has called the unwinder.
    first: bool,
    /// Frames in this range come from our own library, and are left out as long as no other was met.
    own: Range<u64>,
}

impl Walk {
    pub(super) fn new(most: usize, own: Range<u64>) -> Self {
        let most = most.min(MOST_ADDRESSES);
        Self { addresses: [0; MOST_ADDRESSES], count: 0, most, cut: false, first: true, own }
    }

    pub(super) fn addresses(&self) -> &[u64] {
        self.addresses.get(..self.count).unwrap_or_default()
    }

    /// Whether the stack goes on.
    pub(super) const fn is_cut(&self) -> bool {
        self.cut
    }

    fn meet(&mut self, address: u64) -> c_int {
        if core::mem::take(&mut self.first) || self.count == 0 && self.own.contains(&address.wrapping_sub(1)) {
            return GO_ON;
        }
        if self.count == self.most {
            self.cut = true;
            return ENOUGH;
        }
        if let Some(to) = self.addresses.get_mut(self.count) {
            *to = address;
            self.count += 1;
        }
        GO_ON
    }
}

extern "C-unwind" fn frame(context: *mut c_void, walk: *mut c_void) -> c_int {
    let mut before_instruction = 0;
    // SAFETY: the context is the unwinder's, which calls this; the flag is a place for its answer.
    let address = unsafe { _Unwind_GetIPInfo(context, &raw mut before_instruction) };
    // SAFETY: the one `Walk` that `walk` below has given the unwinder, which it borrows mutably meanwhile.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    if address == 0 {
        return ENOUGH;
    }
    // What a signal interrupted has no call before it: made as if it had.
    walk.meet(address as u64 + u64::from(before_instruction != 0))
}

/// Walks from the caller of the function that this is inlined into.
#[inline(always)]
pub(super) fn walk(walk: &mut Walk) {
    // SAFETY: the callback takes the `Walk` that is given here, and neither panics nor unwinds. The answer tells only why it ended.
    unsafe { _Unwind_Backtrace(frame, (walk as *mut Walk).cast()) };
}
