//! Drains every ring of the host, keeps the ledger of who holds what, publishes the figures.
//!
//! ```text
//!   discover ─► arrivals ─► attach ─► tracked: ring ─► books ─► ledger    one per process, in its seat
//!                        lookout, turns                │
//!                              │                    chips              the host's sums
//!                              └──────── host ────────┘
//!                                          │
//!                                 sheet ─► publish ─► stats segment
//! ```
//!
//! Data moves one way. Nothing here can slow, block, signal or end a tracked process.

mod account;
mod arrivals;
mod attach;
mod books;
mod chips;
mod clock;
pub mod daemon;
mod descriptors;
mod discover;
pub mod embedded;
pub mod host;
pub mod instance;
mod ledger;
mod lines;
pub mod lookout;
mod publish;
mod seats;
mod sheet;
mod sigbus;
mod tracked;
mod turns;
mod unlinked;
mod wake;

pub use attach::AttachError;
pub use daemon::Daemon;
pub use host::Now;
pub use lines::bytes_text;
