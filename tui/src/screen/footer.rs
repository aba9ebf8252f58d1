//! The last line: the keys, made of the one table.

use super::arrange::FRAMED_FROM;
use super::canvas::{fitted, joined, put, span};
use super::dashboard::Dashboard;
use super::keys::BINDINGS;
use super::tabs;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    if let Some(message) = &dashboard.message {
        let style = if message.failed { theme.error() } else { theme.strong() };
        put(buffer, area, 0, &Line::from(span(format!(" {}", message.text), style)));
        return;
    }
    let told = BINDINGS.iter().filter(|binding| !binding.word.is_empty() && binding.action.is_of(dashboard.view));
    let piece =
        |label: &str, word: &str| vec![span(format!(" {label}"), theme.key()), span(format!(" {word}"), theme.dim())];
    let mut pieces: Vec<_> = told.map(|binding| piece(binding.label, binding.word)).collect();
    if buffer.area.height < tabs::FROM_HEIGHT {
        pieces.insert(2, piece("1-9", "views"));
    }
    // Boxes say it in their titles; where there are none it stands here.
    if !dashboard.filter.is_empty() && buffer.area.height < FRAMED_FROM {
        let text = shm_layout::text::clean(dashboard.filter.text().as_bytes());
        let text = fitted(&text, crate::table::width(&text).min(usize::from(area.width / 2)), false, theme);
        pieces.insert(0, vec![span(format!(" filter {text}"), theme.warning())]);
    }
    let line = joined(pieces, span("  ", theme.text()), usize::from(area.width));
    put(buffer, area, 0, &line);
}
