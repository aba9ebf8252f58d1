//! What a buffer says about itself: through getters, or, before 0.79, from its members.
//!
//! ttnn 0.75 to 0.78 export few getters of `Buffer`; the others are inlined there. Its members are read
//! instead, and only of a buffer that proves the layout: the word at the allocator's place is the
//! allocator that was called with it, and size and page size agree with the getters that there are.

use crate::getters::Getters;
use std::ffi::c_void;

type Object = *const c_void;

/// What a record needs to know of a buffer.
pub(crate) struct About {
    /// Unique in the process while the buffer lives: `Buffer::unique_id`, or its address before 0.79.
    pub(crate) id: u64,
    pub(crate) size: u64,
    /// The number of its BufferType.
    pub(crate) number: u32,
    pub(crate) device: Object,
}

/// The members of `Buffer` in 0.75 to 0.78, after `std::enable_shared_from_this` (two words).
#[repr(C)]
struct Members {
    shared: [usize; 2],
    device: Object,
    size: u64,
    number: u32,
    between: [u32; 7],
    allocator: Object,
    status: [u8; 8],
    address: u64,
    page_size: u64,
}

const _: () = assert!(std::mem::offset_of!(Members, number) == 0x20);
const _: () = assert!(std::mem::offset_of!(Members, allocator) == 0x40);
const _: () = assert!(std::mem::offset_of!(Members, page_size) == 0x58);

/// What this buffer says; `None` where this version of tt-metal cannot be asked.
///
/// # Safety
/// `buffer` is a live `Buffer*` that the live `AllocatorImpl*` was called with.
pub(crate) unsafe fn about(allocator: Object, buffer: Object) -> Option<About> {
    let getters = Getters::get();
    if let (Some(id), Some(size), Some(number), Some(device)) =
        (getters.buffer_id, getters.buffer_size, getters.buffer_type, getters.buffer_device)
    {
        // SAFETY: const getters of a live buffer.
        return Some(unsafe {
            About { id: id(buffer), size: size(buffer), number: number(buffer), device: device(buffer) }
        });
    }
    let (pages, page_size) = (getters.buffer_pages?, getters.buffer_page_size?);
    // SAFETY: a Buffer of these versions is larger than this; nothing is followed before it is checked.
    let members = unsafe { buffer.cast::<Members>().as_ref()? };
    // SAFETY: const getters of a live buffer; the number of pages is the low half of the register.
    let (pages, page_size) = unsafe { (pages(buffer), page_size(buffer)) };
    let proven = members.allocator == allocator
        && members.page_size == page_size
        && page_size.checked_mul(u64::from(pages)) == Some(members.size)
        && !members.device.is_null();
    proven.then_some(About { id: buffer as u64, size: members.size, number: members.number, device: members.device })
}
