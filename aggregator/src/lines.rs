//! The recent event lines: what a person is told, and the log as well.

use shm_layout::stats::{Line, MAX_LINES, Severity};
use shm_layout::text;
use std::collections::VecDeque;

/// The last [`MAX_LINES`] lines.
#[derive(Debug, Default)]
pub struct Lines(VecDeque<Line>);

impl Lines {
    /// Adds a line, and logs it.
    pub fn add(&mut self, unix_ns: u64, severity: Severity, pid: u32, what: &str) {
        match severity {
            Severity::Info => tracing::info!("{what}"),
            Severity::Warning => tracing::warn!("{what}"),
            Severity::Error => tracing::error!("{what}"),
        }
        if self.0.len() == MAX_LINES {
            self.0.pop_front();
        }
        self.0.push_back(Line { unix_ns, severity: severity as u32, pid, text: text::store(what.as_bytes()) });
    }

    /// The lines of an earlier aggregator, the oldest first.
    pub fn inherit(&mut self, lines: &[Line]) {
        self.0 = lines.iter().skip(lines.len().saturating_sub(MAX_LINES)).copied().collect();
    }

    /// Whether this was said already.
    pub fn has(&self, what: &str) -> bool {
        let text = text::store(what.as_bytes());
        self.0.iter().any(|line| line.text == text)
    }

    /// Takes the newest line away if it begins with this: what is added next tells more.
    pub fn retract(&mut self, beginning: &str) {
        if self.0.back().is_some_and(|line| line.text.starts_with(beginning.as_bytes())) {
            self.0.pop_back();
        }
    }

    /// The oldest first, in two pieces.
    pub fn as_slices(&self) -> [&[Line]; 2] {
        let (older, newer) = self.0.as_slices();
        [older, newer]
    }
}

/// Bytes for a person: three digits and an IEC unit.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.5 and up would print as 1024.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::bytes_text;

    #[test]
    fn three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (15_938_355, "15.2 MiB"),
            (1 << 30, "1.00 GiB"),
            ((1 << 30) - 1, "1.00 GiB"),
            (123 << 30, "123 GiB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
    }
}
