//! The C API of the producer: for programs that tell their allocations themselves, such as a tt-metal that is built with it.
//!
//! | module | what it is |
//! |---|---|
//! | [`api`] | the functions of `include/tt_alloc.h`, which is made of this file and the next |
//! | [`types`] | their numbers and structures |
//! | `live` | what is live by address: for callers who free without saying what |
//! | `shard` | a part of it: one lock, one table, wiped in a forked child |
//! | `table` | what is live at each address of a shard |
//! | `gate` | the lock, for which one seldom waits |
//! | `guard` | what every function stands behind |
//!
//! `include/allocation_client.hpp` is tt-metal's `AllocationClient` over these functions.

pub mod api;
mod gate;
mod guard;
mod live;
#[cfg(test)]
mod memory;
mod shard;
mod table;
pub mod types;

/// Runs after the destructors of whatever is linked with this library.
extern "C" fn at_exit() {
    guard::at_exit();
}

/// Named by [`guard`], so that it is linked wherever the static library is.
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;
