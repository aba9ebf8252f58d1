//! What the ttnn suite stands on: a provisioned Python with ttnn, our binaries, and a session per test.
//!
//! | module | what it is |
//! |---|---|
//! | [`bench`] | what all tests share: Python with ttnn, our binaries |
//! | [`session`] | a place for one test, and what it starts and compares there |
//! | [`daemon`] | its aggregator |
//! | [`worker`] | a ttnn process that does what it is told |
//! | [`ended`] | programs to their end |
//! | [`seat`] | how many tests run at a time |
#![allow(dead_code, unused_imports, reason = "each test target uses a part")]

mod bench;
mod daemon;
mod ended;
mod seat;
mod session;
mod worker;

pub use bench::{Bench, Wheel, provisioned};
pub use ended::Ended;
pub use session::Session;
pub use worker::Worker;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// The kinds that tt-metal's allocator can be asked about.
pub const KINDS: [&str; 4] = ["DRAM", "L1", "L1_SMALL", "TRACE"];

/// How long our side may take to show what has happened.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a workload may run: the first operation of each kind compiles kernels.
const WATCHDOG: Duration = Duration::from_secs(300);

/// Names the folder in which an aggregator looks for the host's devices and for tt-metal's counters.
pub const HOST_ROOT: &str = "TT_ALLOC_HOST_ROOT";

static NEXT: AtomicU32 = AtomicU32::new(0);

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
