//! Recordings: what was seen, kept in a file, and seen again.
//!
//! ```text
//!    0 +------------------------------------------+
//!      | "TTALREC\n" | format 1 | 0               |  16 bytes
//!   16 +------------------------------------------+
//!      | frame | SESSION: host, release, boot id  |  each frame: 36 bytes of header, with a CRC of its own, then the content
//!      | frame | KEY: a look, whole               |  every 60 s
//!      | frame | INVENTORY: single allocations    |  every 30 s; whole every tenth minute
//!      | frame | DELTA: what has changed          |  every look at which something has
//!      | frame | DELTA  ...                       |
//!      | frame | END                              |  where it ended in good order
//!      | frame | SESSION: a further recording     |
//!      +------------------------------------------+
//! ```
//!
//! Only ever appended to. A frame that was not written to its end is the last of its session, and is left out, whatever was written behind it; one that is damaged is left out with what
//! is based on it, up to the next KEY. Frames of kinds, sections of looks and fields of records are numbered; a reader steps over numbers that it
//! does not know. The file tells nothing about the layout of the segments in /dev/shm, which may change.
//!
//! | module | what lies there |
//! |---|---|
//! | [`frame`] | frames as they lie in the file |
//! | [`wire`], [`element`], [`fields`] | numbers and texts; lists of records by their differences; the numbers of the fields |
//! | [`session`], [`look`], [`history`], [`allocations`] | the contents |
//! | [`writer`], [`recorder`] | the file while it is written; the thread that looks and writes |
//! | [`reader`], [`recorded_time`], [`player`] | the file while it is read; how time passes in it; where one is in it |

pub mod allocations;
pub mod element;
pub mod fields;
pub mod frame;
pub mod history;
pub mod look;
pub mod player;
pub mod reader;
pub mod recorded_time;
pub mod recorder;
pub mod session;
pub mod wire;
pub mod writer;

pub use player::{Move, Player};
pub use recorder::Recorder;
pub use session::Session;
pub use writer::{Begin, RecordingError};

#[cfg(test)]
mod tests;
