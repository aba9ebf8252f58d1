//! Which processes and event lines are meant: a few words, as typed after `/` or given with `--filter`.

use crate::totals::ProcessTotals;

/// What has to be true of what is shown. Empty: everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
}

impl Filter {
    /// Understands what was typed.
    ///
    /// # Errors
    /// What is not understood, and what would be.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.trim().to_owned() })
    }

    /// As it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether everything is shown.
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether this event line is meant.
    pub fn has_line(&self, line: &shm_layout::stats::Line) -> bool {
        crate::table::line_text(line).contains(&self.text) || line.pid.to_string() == self.text
    }

    /// Whether this process is meant. `labels`: of the chips of its snapshot.
    pub fn has(&self, process: &ProcessTotals, _labels: &[String]) -> bool {
        [&process.who.name, &process.who.user, &process.who.command_line].iter().any(|text| text.contains(&self.text))
            || process.pid.to_string() == self.text
    }
}
