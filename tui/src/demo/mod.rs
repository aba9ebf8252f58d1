//! The demo: a recorded workload replayed by real producer processes, with nothing installed but this program.

pub mod cast;
pub mod replay;
pub mod trace;
