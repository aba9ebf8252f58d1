//! The block that a buffer takes in each bank: what the free list of the allocator really hands out.
//!
//! It can be larger than `Buffer::aligned_size_per_bank`: in L1 the free list rounds blocks up to a
//! coarser alignment than buffers have. The hooks here run inside those of [`crate::buffers`], on the
//! same thread.

use crate::getters::Getters;
use crate::guard::{aside, enabled};
use crate::next::next;
use std::cell::Cell;
use std::ffi::c_void;

type Object = *const c_void;

/// `std::optional<uint64_t>`: the value in rax, and in the low byte of rdx whether there is one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Maybe {
    value: u64,
    there: u64,
}

impl Maybe {
    pub(crate) fn get(self) -> Option<u64> {
        (self.there & 0xff != 0).then_some(self.value)
    }
}

thread_local! {
    /// Bytes of the first block that this thread took or gave back since `forget`; 0 is none. A later one
    /// mirrors it in another allocator.
    static BLOCK: Cell<u64> = const { Cell::new(0) };
}

/// Forgets the block, before a call into the allocator.
pub(crate) fn forget() {
    let _ = BLOCK.try_with(|block| block.set(0));
}

/// Bytes of the block that was taken or given back since then.
pub(crate) fn first() -> Option<u64> {
    BLOCK.try_with(Cell::get).ok().filter(|&bytes| bytes != 0)
}

/// # Safety
/// `list` is a live `FreeListOpt*`.
unsafe fn note(list: Object, address: u64) {
    if first().is_some() {
        return;
    }
    // SAFETY: a const getter of a live free list.
    let bytes = Getters::get().block_size.and_then(|get| unsafe { get(list, address) }.get());
    if let Some(bytes) = bytes {
        let _ = BLOCK.try_with(|block| block.set(bytes));
    }
}

type Allocate = unsafe extern "C-unwind" fn(Object, u64, bool, u64) -> Maybe;
type AllocateAt = unsafe extern "C-unwind" fn(Object, u64, u64) -> Maybe;
type Deallocate = unsafe extern "C-unwind" fn(Object, u64);

/// `std::optional<DeviceAddr> FreeListOpt::allocate(DeviceAddr size, bool bottom_up, DeviceAddr limit)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal9allocator11FreeListOpt8allocateEmbm")]
pub unsafe extern "C-unwind" fn allocate(list: Object, size: u64, bottom_up: bool, limit: u64) -> Maybe {
    let next = next!(c"_ZN2tt8tt_metal9allocator11FreeListOpt8allocateEmbm", Allocate);
    // SAFETY: the arguments are passed on as they came.
    let address = unsafe { next(list, size, bottom_up, limit) };
    if enabled() {
        // SAFETY: tt-metal holds the list until this call returns.
        aside(|| unsafe { address.get().into_iter().for_each(|address| note(list, address)) });
    }
    address
}

/// `std::optional<DeviceAddr> FreeListOpt::allocate_at_address(DeviceAddr address, DeviceAddr size)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal9allocator11FreeListOpt19allocate_at_addressEmm")]
pub unsafe extern "C-unwind" fn allocate_at_address(list: Object, at: u64, size: u64) -> Maybe {
    let next = next!(c"_ZN2tt8tt_metal9allocator11FreeListOpt19allocate_at_addressEmm", AllocateAt);
    // SAFETY: the arguments are passed on as they came.
    let address = unsafe { next(list, at, size) };
    if enabled() {
        // SAFETY: tt-metal holds the list until this call returns.
        aside(|| unsafe { address.get().into_iter().for_each(|address| note(list, address)) });
    }
    address
}

/// `void FreeListOpt::deallocate(DeviceAddr address)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal9allocator11FreeListOpt10deallocateEm")]
pub unsafe extern "C-unwind" fn deallocate(list: Object, address: u64) {
    let next = next!(c"_ZN2tt8tt_metal9allocator11FreeListOpt10deallocateEm", Deallocate);
    if enabled() {
        // SAFETY: tt-metal holds the list until this call returns.
        aside(|| unsafe { note(list, address) });
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(list, address) }
}
