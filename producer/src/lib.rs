//! Writes the allocation events of this process into its own ring in /dev/shm.
//!
//! | module | what it is |
//! |---|---|
//! | [`process`] | the ring of this process: made at the first event, remade in a forked child; what hooks call |
//! | [`tag`] | names of phases: what each thread allocates carries the one that it is in |
//! | [`ring`] | one ring: create, push, close |
//! | `growth` | what is done when it is full: compacted, continued in a further section, or counted |
//! | [`environment`] | the variables that decide whether and how |
//! | `clock` | the time of an event, for a tenth of a nanosecond where an aggregator keeps it |
//! | `stacks` | call stacks of allocations, where they are asked for |
//! | `host` | the host's thread: its errno, cancellation and signals are as they were after our slow paths |
//! | [`warning`] | the one line that a tracked process may say |
//! | [`fork`] | pages that the kernel wipes in a child |
//!
//! Nothing here waits for a reader, panics, or ends a process that is tracked; a thread waits at most 100 ms for another one that
//! makes the ring, or room in it (and, through the C API, at a device's close). What cannot be written is counted.

mod clock;
pub mod environment;
pub mod fork;
mod growth;
mod host;
pub mod process;
pub mod ring;
mod stacks;
pub mod tag;
pub mod warning;

pub use ring::{CreateError, Ring, Writer};
