//! Programs to their end: waited for, and what they have said.

use super::WATCHDOG;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// A program that has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn must_succeed(&self) {
        assert!(self.status.success(), "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.out, self.err);
    }

    /// What follows this word on the line that it begins.
    pub fn line(&self, word: &str) -> &str {
        let mut rest = self.out.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        rest.next().unwrap_or_else(|| panic!("no {word}\n{}\n{}", self.out, self.err))
    }

    /// Exit code, standard output and standard error, without the times in tt-metal's log lines.
    pub fn comparable(&self) -> (Option<i32>, String, String) {
        (self.status.code(), without_times(&self.out), without_times(&self.err))
    }
}

/// `2026-11-21 05:14:19.462 | info | …` without its first 23 characters. Some environments (CI=true) make tt-metal's logger
/// colour its lines, also in a file: without that, too.
fn without_times(text: &str) -> String {
    let plain = without_colours(text);
    let lines = plain.lines().map(|line| match line.split_at_checked(23) {
        Some((time, rest)) if rest.starts_with(" | ") && time.starts_with("20") => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Without `ESC [ … m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// Waits for a child; one that outlives the watchdog is killed, and the test with it.
pub fn wait(child: &mut Child, what: &str) -> ExitStatus {
    let deadline = Instant::now() + WATCHDOG;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{what} did not end within {WATCHDOG:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
