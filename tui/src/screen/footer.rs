//! The last line: the keys, made of the one table.

use super::canvas::{joined, put, span};
use super::dashboard::Dashboard;
use super::keys::BINDINGS;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    let told = BINDINGS.iter().filter(|binding| !binding.word.is_empty() && binding.action.is_of(dashboard.view));
    let pieces = told.map(|binding| {
        vec![span(format!(" {}", binding.label), theme.key()), span(format!(" {}", binding.word), theme.dim())]
    });
    let line = joined(pieces.collect(), span("  ", theme.text()), usize::from(area.width));
    put(buffer, area, 0, &line);
}
