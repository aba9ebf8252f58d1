//! The ledger: what one process holds, in a file that outlives the aggregator.
//!
//! ```text
//!        0 +------------------------------------+
//!          | identity (written once)            |
//!      256 +------------------------------------+
//!          | commit | settled | capacity        |
//!     4096 +------------------------------------+
//!          | names of 256 tags, 32 bytes each   |  by number
//!    12288 +------------------------------------+
//!          | state block 0                      |  devices, accounts, counters as of a commit
//!    53248 +------------------------------------+
//!          | state block 1                      |
//!    94208 +------------------------------------+
//!          | entries, 64 bytes each             |  the Alloc records of what is live
//!          +------------------------------------+
//! ```
//!
//! An entry is the event record that announced the allocation, stamp included; stamp 0 is a free entry. That makes a
//! batch idempotent: an aggregator may be killed at any instruction and the next one continues exactly.
//!
//! | step | what is stored | if killed after it, the next aggregator |
//! |---|---|---|
//! | 1 | new entries, in entries that were free before the batch; names of tags | drops entries with stamp > applied; writes the names again |
//! | 2 | entries to be removed are marked [`DYING`] | clears the marks (commit = settled: not committed) |
//! | 3 | the state block that is not in force | ignores it |
//! | 4 | `commit` = (applied, state block) | finishes the removal of marked entries (commit ≠ settled) |
//! | 5 | marked entries' stamps = 0 | as after 4 |
//! | 6 | `settled` = `commit` | returns the ring's slots of the batch again |
//! | 7 | the ring's slots are returned | nothing is left to do |

mod header;
#[cfg(not(loom))]
mod progress;
mod state;
mod tags;

pub use header::{
    DYING, ENTRIES_OFFSET, Entries, HEADER_BYTES, Identity, IdentityError, LedgerHeader, MAGIC, STATE_WORDS, VERSION,
    ledger_bytes, state_offset,
};
#[cfg(not(loom))]
pub use progress::applied;
pub use state::{Account, BANKED, Banks, Counters, Device, LedgerState, MAX_ACCOUNTS, MAX_DEVICES};
pub use tags::{TAGS_OFFSET, TagNames};
