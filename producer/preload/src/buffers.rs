//! Buffers: the hooks in front of the allocator itself.
//!
//! What meets `AllocatorImpl::allocate_buffer` takes memory, and nothing else does: a buffer of a graph
//! capture that runs nothing, one of size zero, a view, one with a given address and one whose
//! allocation fails never get here. Both calls come with a live buffer and its live device.

use crate::getters::Getters;
use crate::guard::{aside, enabled, flags};
use crate::next::next;
use crate::{blocks, buffer_layout, scopes};
use shm_layout::event::{Event, Kind, Memory};
use std::ffi::c_void;

type Object = *const c_void;
type Allocate = unsafe extern "C-unwind" fn(Object, Object) -> u64;
type Deallocate = unsafe extern "C-unwind" fn(Object, Object);
type Clear = unsafe extern "C-unwind" fn(Object);

/// `DeviceAddr AllocatorImpl::allocate_buffer(Buffer*)`; throws when there is no room.
///
/// # Safety
/// Called by tt-metal with its own objects.
#[unsafe(export_name = "_ZN2tt8tt_metal13AllocatorImpl15allocate_bufferEPNS0_6BufferE")]
pub unsafe extern "C-unwind" fn allocate_buffer(allocator: Object, buffer: Object) -> u64 {
    let next = next!(c"_ZN2tt8tt_metal13AllocatorImpl15allocate_bufferEPNS0_6BufferE", Allocate);
    let tracked = enabled();
    if tracked {
        blocks::forget();
    }
    // SAFETY: the arguments are passed on as they came.
    let address = unsafe { next(allocator, buffer) };
    if tracked {
        // SAFETY: tt-metal holds both until this call returns.
        aside(|| unsafe { tell(Kind::Alloc, allocator, buffer, address) });
    }
    address
}

/// `void AllocatorImpl::deallocate_buffer(Buffer*)`.
///
/// # Safety
/// Called by tt-metal with its own objects.
#[unsafe(export_name = "_ZN2tt8tt_metal13AllocatorImpl17deallocate_bufferEPNS0_6BufferE")]
pub unsafe extern "C-unwind" fn deallocate_buffer(allocator: Object, buffer: Object) {
    let next = next!(c"_ZN2tt8tt_metal13AllocatorImpl17deallocate_bufferEPNS0_6BufferE", Deallocate);
    let tracked = enabled();
    if tracked {
        blocks::forget();
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(allocator, buffer) };
    if tracked {
        // SAFETY: tt-metal holds both until this call returns; the buffer has not forgotten its address yet.
        aside(|| unsafe {
            let address = Getters::get().buffer_address.map_or(0, |get| u64::from(get(buffer)));
            tell(Kind::Free, allocator, buffer, address);
        });
    }
}

/// `void AllocatorImpl::deallocate_buffers()`: everything of this allocator.
///
/// # Safety
/// Called by tt-metal with its own objects.
#[unsafe(export_name = "_ZN2tt8tt_metal13AllocatorImpl18deallocate_buffersEv")]
pub unsafe extern "C-unwind" fn deallocate_buffers(allocator: Object) {
    let next = next!(c"_ZN2tt8tt_metal13AllocatorImpl18deallocate_buffersEv", Clear);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(allocator) };
    if enabled() {
        aside(|| scopes::cleared(allocator));
    }
}

/// `void AllocatorImpl::clear()`: everything of this allocator.
///
/// # Safety
/// Called by tt-metal with its own objects.
#[unsafe(export_name = "_ZN2tt8tt_metal13AllocatorImpl5clearEv")]
pub unsafe extern "C-unwind" fn clear(allocator: Object) {
    let next = next!(c"_ZN2tt8tt_metal13AllocatorImpl5clearEv", Clear);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(allocator) };
    if enabled() {
        aside(|| scopes::cleared(allocator));
    }
}

/// `AllocatorImpl::~AllocatorImpl()`, of an object of its own.
///
/// # Safety
/// Called by tt-metal with its own objects.
#[unsafe(export_name = "_ZN2tt8tt_metal13AllocatorImplD1Ev")]
pub unsafe extern "C-unwind" fn destroy(allocator: Object) {
    let next = next!(c"_ZN2tt8tt_metal13AllocatorImplD1Ev", Clear);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(allocator) };
    if enabled() {
        aside(|| scopes::destroyed(allocator));
    }
}

/// `AllocatorImpl::~AllocatorImpl()`, of the base of a derived allocator.
///
/// # Safety
/// Called by tt-metal with its own objects.
#[unsafe(export_name = "_ZN2tt8tt_metal13AllocatorImplD2Ev")]
pub unsafe extern "C-unwind" fn destroy_base(allocator: Object) {
    let next = next!(c"_ZN2tt8tt_metal13AllocatorImplD2Ev", Clear);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(allocator) };
    if enabled() {
        aside(|| scopes::destroyed(allocator));
    }
}

unsafe fn tell(kind: Kind, allocator: Object, buffer: Object, address: u64) {
    // SAFETY: tt-metal calls the allocator with its own live buffer.
    let Some(about) = (unsafe { buffer_layout::about(allocator, buffer) }) else { return };
    // SAFETY: the allocator and the buffer's device are alive with it.
    let scope = unsafe { scopes::of(allocator, about.device) };
    let (Some(scope), Some(memory)) = (scope, u8::try_from(about.number).ok().and_then(Memory::from_u8)) else {
        return;
    };
    // SAFETY: as above.
    let footprint = unsafe { footprint(allocator, buffer, about.number) };
    let taken = if footprint == 0 { about.size } else { footprint };
    for (at, &chip) in scope.chips.iter().enumerate() {
        if kind == Kind::Alloc {
            scope.grow(at, memory, taken);
        } else if !scope.shrink(at, memory, taken) {
            continue;
        }
        let mut event = Event::new(kind, memory, chip);
        event.id = about.id;
        event.address = address;
        event.size = about.size;
        event.footprint = footprint;
        event.context = scope.number;
        event.flags = flags();
        producer::process::record(event);
    }
}

/// Bytes that the buffer takes from all banks together; 0 where this tt-metal does not say.
unsafe fn footprint(allocator: Object, buffer: Object, number: u32) -> u64 {
    let getters = Getters::get();
    let Some(banks) = getters.banks else { return 0 };
    // SAFETY: a const getter of a live allocator; the number of banks is the low half of the register.
    let banks = unsafe { banks(allocator, &raw const number) } & 0xffff_ffff;
    let bytes = blocks::first().or_else(|| {
        // SAFETY: a const getter of a live buffer.
        getters.buffer_bank_bytes.map(|get| unsafe { get(buffer) })
    });
    bytes.unwrap_or(0) * banks
}
