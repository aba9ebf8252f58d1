//! The functions of the C API. Their documentation is the header's.

use crate::guard::{note, tell};
use crate::live;
use crate::shard::OURS;
use crate::table::Which;
use crate::types::{self, Block, Device, Doubts};
use core::ffi::c_char;
use producer::process::record;
use shm_layout::event::{Event, Kind, Memory, flags};

/// Version of this library, such as "0.1.0". Never freed.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Version of the interface that this library has: TT_ALLOC_API_VERSION of its header.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_api_version() -> u32 {
    types::TT_ALLOC_API_VERSION
}

/// Whether tracking is on in this process: TT_ALLOC_TRACKING_ENABLED is 1, true, on or yes. Decided at the first call. Where it is off,
/// the other functions do nothing.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_enabled() -> bool {
    std::panic::catch_unwind(producer::process::enabled).unwrap_or(false)
}

fn told(kind: Kind, block: &Block) -> Event {
    Event {
        id: block.id & !OURS,
        address: block.address,
        size: block.size,
        footprint: block.footprint,
        context: block.program,
        flags: block.flags & types::FLAGS,
        memory: block.memory,
        ..Event::new(kind, Memory::Dram, block.device)
    }
}

/// Something was allocated. `block` is read before this returns; null does nothing.
///
/// # Safety
/// `block` is null or points to a block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_alloc_alloc(block: *const Block) {
    // SAFETY: the caller's promise.
    let Some(block) = (unsafe { block.as_ref() }) else { return };
    tell(|| record(told(Kind::Alloc, block)));
}

/// What tt_alloc_alloc() has told is freed: the same device, memory and id, and best the same of everything else. What is subtracted is
/// what was told at the allocation; size and footprint count where records had to be dropped.
///
/// # Safety
/// `block` is null or points to a block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_alloc_free(block: *const Block) {
    // SAFETY: the caller's promise.
    let Some(block) = (unsafe { block.as_ref() }) else { return };
    tell(|| record(told(Kind::Free, block)));
}

/// Everything of a memory kind and a program on a device is freed: the circular buffers of a program that is gone. `blocks` and `bytes`
/// say how much that is; 0: not known. Does nothing for program 0.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_free_group(device: u32, memory: u8, program: u32, blocks: u64, bytes: u64) {
    if program != 0 {
        let event = Event::new(Kind::FreeAll, Memory::Dram, device);
        tell(|| record(Event { memory, context: program, id: blocks, size: bytes, footprint: bytes, ..event }));
    }
}

/// A program was dispatched to a device that tt_alloc_device_info() has told: its circular buffers are the resident ones now.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_program_resident(device: u32, program: u32) {
    tell(|| record(Event { context: program, ..Event::new(Kind::ProgramResident, Memory::Cb, device) }));
}

/// A device was opened. `device` is read before this returns; null does nothing.
///
/// # Safety
/// `device` is null or points to a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_alloc_device_info(device: *const Device) {
    // SAFETY: the caller's promise.
    let Some(device) = (unsafe { device.as_ref() }) else { return };
    let unknown = device.chip_id == 0;
    tell(|| {
        record(Event {
            id: if unknown { u64::from(device.device) } else { device.chip_id },
            address: device.board_id,
            size: u64::from(device.cores),
            context: device.arch,
            flags: if unknown { flags::CHIP_ID_UNKNOWN } else { 0 },
            ..Event::new(Kind::DeviceInfo, Memory::Dram, device.device)
        });
    });
}

/// The capacity of one memory kind of a device: bytes of all banks together, and how many banks; 0 banks: not known.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_device_capacity(device: u32, memory: u8, bytes: u64, banks: u32) {
    let event = Event::new(Kind::Capacity, Memory::Dram, device);
    tell(|| record(Event { memory, size: bytes, footprint: u64::from(banks), ..event }));
}

/// A device was closed: whatever is live on it has ended.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_device_close(device: u32) {
    tell(|| live::closed(device));
}

fn allocated(device: u32, memory: u8, address: u64, size: u64, flags: u16) {
    tell(|| match Memory::from_u8(memory) {
        Some(memory) => live::allocated(device, memory, address, size, flags),
        // Told as it is, so that it is counted.
        None => record(Event { memory, id: address, size, ..Event::new(Kind::Alloc, Memory::Dram, device) }),
    });
}

fn freed(device: u32, memory: u8, address: u64, size: u64) {
    tell(|| match Memory::from_u8(memory) {
        Some(memory) => live::freed(device, Which::Of(memory), address, size),
        None => record(Event { memory, id: address, ..Event::new(Kind::Free, Memory::Dram, device) }),
    });
}

/// Something was allocated at an address, which is its only name. This library keeps in mind what it was until it is freed.
///
/// An address may be live several times: on several devices, in several memory kinds, and twice in one where the report of a free comes
/// after that of the next allocation.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_alloc_address(device: u32, memory: u8, address: u64, size: u64) {
    allocated(device, memory, address, size, 0);
}

/// The buffer at an address (of memory kinds 0 to 4) is freed. If several are live there, it is the oldest, whichever memory kind it is
/// of. Does nothing if none is.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_free_address(device: u32, address: u64) {
    tell(|| live::freed(device, Which::Buffer, address, 0));
}

/// What is live at an address in one memory kind is freed: the oldest, if there are several. Does nothing if nothing is.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_free_address_in(device: u32, memory: u8, address: u64) {
    freed(device, memory, address, 0);
}

/// A circular buffer of no known program: bytes of all cores together. Programs may have the same address.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_cb_alloc(device: u32, size: u64, cb: u64) {
    allocated(device, types::TT_ALLOC_CB, cb, size, 0);
}

/// A circular buffer of tt_alloc_cb_alloc() is freed. If several are live there, it is the oldest of this size, or the oldest if none
/// is of this size, or size is 0. What is subtracted is what was told at the allocation.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_cb_free(device: u32, size: u64, cb: u64) {
    freed(device, types::TT_ALLOC_CB, cb, size);
}

/// A kernel was loaded: bytes of its binary on all cores together, and its type. `kernel` names it, such as the address of its program.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_kernel_load(device: u32, size: u64, kernel: u64, kernel_type: u8) {
    let flags = match kernel_type {
        types::TT_ALLOC_KERNEL_FABRIC => flags::FABRIC | flags::SYSTEM,
        types::TT_ALLOC_KERNEL_DISPATCH => flags::DISPATCH | flags::SYSTEM,
        _ => 0,
    };
    allocated(device, types::TT_ALLOC_KERNEL, kernel, size, flags);
}

/// A kernel of tt_alloc_kernel_load() was unloaded. Of several with this name, which and how much as in tt_alloc_cb_free(); size 0 is as
/// good as any.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_kernel_unload(device: u32, size: u64, kernel: u64) {
    freed(device, types::TT_ALLOC_KERNEL, kernel, size);
}

/// Until tt_alloc_tag_pop(), what this thread allocates is of the phase of this name ("model load", "decode"): tt-alloc buffers shows it.
/// The name is read before this returns; its first 32 bytes count, up to a character's end. Null or "" is no phase. Phases lie within
/// each other, 64 deep; what is allocated deeper is of the 64th. A process has at most 255 names; further ones are no phase.
///
/// # Safety
/// `name` is null or points to bytes that end with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_alloc_tag_push(name: *const c_char) {
    // SAFETY: the caller's promise.
    note(|| unsafe { producer::tag::push_c(name) });
}

/// The phase before the last tt_alloc_tag_push() of this thread goes on. Does nothing if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn tt_alloc_tag_pop() {
    note(producer::tag::pop);
}

/// What the functions that name blocks by address had to leave open in this process so far. Null does nothing.
///
/// # Safety
/// `doubts` is null or points to where they may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_alloc_doubts(doubts: *mut Doubts) {
    let (unmatched_frees, ambiguous_frees) = live::doubts();
    // SAFETY: the caller's promise.
    if let Some(into) = unsafe { doubts.as_mut() } {
        *into = Doubts { unmatched_frees, ambiguous_frees };
    }
}
