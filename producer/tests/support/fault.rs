//! A child of a test in which work of ours panics, and what became of it.
//!
//! For the tests of both libraries whose functions catch panics: each has its own copy of std, so each has to be seen.

use shm_layout::ring::RingHeader;
use shm_layout::segment::{Access, Expect, open};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const CHILD: &str = "TEST_FAULTY";

/// In the child: does this, then ends the process with the count of what was not told. Elsewhere nothing.
pub(crate) fn ends_with_what_was_lost(faulty: impl FnOnce()) {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    faulty();
    let name = producer::process::ring_name().unwrap();
    let ring = open(name, Access::Read, Expect { owners: &[], least: 1, most: u64::MAX }).unwrap();
    let lost = ring.mapping.one::<RingHeader<AtomicU64>>(0).unwrap().lost_controls.load(Relaxed);
    producer::process::close();
    std::process::exit(i32::try_from(lost).unwrap());
}

/// Runs `guard::tests::faulty` in a child that is tracked. Gives its exit code and the lines that it said.
pub(crate) fn child(prefix: &str) -> (Option<i32>, Vec<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let prefix = format!("{prefix}_{}", std::process::id());
    child.args(["--exact", "guard::tests::faulty", "--nocapture"]);
    child.envs([(CHILD, "1"), ("TT_ALLOC_TRACKING_ENABLED", "1"), ("TT_ALLOC_PREFIX", &prefix)]);
    let output = child.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said.lines().map(str::to_owned).collect())
}

/// Whether this line is what is said of a panic of ours with the message `a<tab>fault`.
pub(crate) fn is_of_ours(line: &str) -> bool {
    line.starts_with("tt-alloc: a fault of tt-alloc at ") && line.contains(" (a?fault): ")
}
