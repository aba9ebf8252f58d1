//! One test once more, in a process of its own: what it may do to its process happens to no other test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// This test file started again with one of its tests only; a variable has to tell it that it plays a part.
pub fn once_more(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

/// How it ended. One that takes longer than `most` is killed, and that is a failure: `late`.
pub fn end_of(child: &mut Child, most: Duration, late: &str) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > most {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{late}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
