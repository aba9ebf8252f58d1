//! Hooks for stock tt-metal: a library that is loaded in front of libtt_metal.so, defines some of its
//! functions, calls the next definition of each and tells the [producer] what happened.
//!
//! ```text
//!   libtt_metal.so calls          this library tells
//!   ----------------------------  ------------------------------------------------------------
//!   AllocatorImpl  (buffers)      Alloc, Free; FreeAll when an allocator ends       one per chip
//!   Device         (devices)      DeviceInfo, Capacity, DeviceClose                 one per chip
//!   ProgramImpl    (dispatches,   Alloc, FreeAll of CBs; ProgramResident            one per chip
//!                   circular_buffers)
//!   Kernel         (kernels)      Alloc, FreeAll of KERNEL; its Capacity             one per chip
//! ```
//!
//! What is exact, what is not covered and what was seen of tt-metal is in docs/hooks.md.

mod blocks;
mod bracket;
mod buffer_layout;
mod buffers;
mod chips;
mod circular_buffers;
pub mod copies;
mod devices;
mod dispatches;
mod getters;
mod guard;
mod kernels;
mod next;
mod programs;
mod registry;
mod scopes;
pub mod symbols;
mod tags;

/// Runs after the destructors of tt-metal: they are registered when it is loaded, and those go first.
extern "C" fn at_exit() {
    if next::used() && guard::enabled() {
        guard::aside(producer::process::close);
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;
