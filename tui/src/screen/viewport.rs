//! What of a list is visible.

use super::keys::Action;
use std::cell::Cell;

/// A scrolled list: drawing tells how much of it is visible.
#[derive(Debug, Default)]
pub struct Viewport {
    /// Lines visible.
    pub lines: Cell<usize>,
    /// Lines there are.
    pub length: Cell<usize>,
    /// First line shown.
    pub offset: Cell<usize>,
}

impl Viewport {
    /// Told while drawing: so much is there, so much of it is visible. The first line to show.
    pub fn fit(&self, length: usize, lines: usize) -> usize {
        self.lines.set(lines);
        self.length.set(length);
        self.offset.set(self.offset.get().min(length.saturating_sub(lines)));
        self.offset.get()
    }

    /// Scrolls no further than needed for this line to be seen.
    pub fn show(&self, line: usize) {
        let (first, lines) = (self.offset.get(), self.lines.get().max(1));
        self.offset.set(first.clamp((line + 1).saturating_sub(lines), line));
    }

    /// Scrolls as a key asks for.
    pub fn scroll(&self, action: Action) {
        let (offset, page) = (self.offset.get(), self.lines.get().max(1));
        let offset = match action {
            Action::Up => offset.saturating_sub(1),
            Action::Down => offset + 1,
            Action::PageUp => offset.saturating_sub(page),
            Action::PageDown => offset + page,
            Action::First => 0,
            _ => self.length.get(),
        };
        self.offset.set(offset.min(self.length.get().saturating_sub(page)));
    }
}
