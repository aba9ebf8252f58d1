//! Drains every ring of the host, keeps the ledger of who holds what, publishes the figures.
//!
//! ```text
//!   discover ─► attach ─► tracked: ring ─► books ─► ledger          one per process
//!                            │                │
//!                          sweep            chips                   the host's sums
//!                            └──── host ──────┘
//!                                    │
//!                                 publish ─► stats segment
//! ```
//!
//! Data moves one way. Nothing here can slow, block, signal or end a tracked process.

mod account;
mod attach;
mod books;
mod chips;
pub mod daemon;
mod discover;
pub mod embedded;
pub mod host;
pub mod instance;
mod ledger;
mod lines;
mod publish;
mod sigbus;
mod tracked;
mod wake;

pub use attach::AttachError;
pub use daemon::Daemon;
pub use host::Now;
pub use lines::bytes_text;
