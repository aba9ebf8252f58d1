//! Drains every ring of the host, keeps the ledger of who holds what, publishes the figures.
//!
//! ```text
//!   discover ─► arrivals ─► attach ─► tracked: ring ─► books ─► ledger    one per process, in its seat
//!                        lookout, turns                │
//!                              │                    chips              the host's sums
//!                              └──────── host ────────┘
//!        telemetry, counters ─► bystanders ─┤
//!                                          │
//!                                 sheet ─► publish ─► stats segment
//! ```
//!
//! Data moves one way. Nothing here can slow, block, signal or end a tracked process.

mod account;
mod arrivals;
mod attach;
mod books;
mod boot;
mod bystanders;
mod chips;
mod claims;
mod clock;
pub mod control;
mod counters;
pub mod daemon;
mod descriptors;
mod discover;
pub mod embedded;
mod heritage;
pub mod host;
pub mod instance;
mod ledger;
pub mod legacy;
mod lines;
pub mod lookout;
mod person;
mod publish;
mod ration;
mod refused;
mod seats;
mod sections;
mod sheet;
pub mod sigbus;
mod succession;
pub mod telemetry;
mod tracked;
mod turns;
mod unlinked;
mod wake;

pub use attach::AttachError;
pub use boot::start_unix_ns;
pub use daemon::Daemon;
pub use host::Now;
pub use lines::bytes_text;

/// What the fuzz targets (fuzz/) call: the daemon's own steps, one at a time, without its threads and sleeps. Behind a feature
/// because none of it is an interface.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::attach::AttachedRing;
    pub use crate::books::Books;
    pub use crate::chips::Chips;
    pub use crate::descriptors::Places;
    pub use crate::heritage::{Heritage, Refusal, believable};
    pub use crate::ledger::{Batch, Ledger, Recovered};
    pub use crate::wake::Wake;
}
