//! The last line: the keys, made of the one table.

use super::arrange::FRAMED_FROM;
use super::canvas::{fitted, joined, put, span};
use super::dashboard::Dashboard;
use super::keys::{Action, BINDINGS, Binding};
use super::tabs;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    if let Some(message) = &dashboard.message {
        let style = if message.failed { theme.error() } else { theme.strong() };
        let text = fitted(&message.text, usize::from(area.width).saturating_sub(2), false, theme);
        put(buffer, area, 0, &Line::from(span(format!(" {text}"), style)));
        return;
    }
    let replay = dashboard.replay.is_some();
    let mut told: Vec<&Binding> = BINDINGS
        .iter()
        .filter(|binding| !binding.word(replay).is_empty() && binding.action.is_told_in(dashboard.view))
        .collect();
    if replay {
        // Where one is matters more than the rest.
        told.sort_by_key(|binding| !(binding.action == Action::Quit || binding.action.is_of_replays()));
    }
    let piece =
        |label: &str, word: &str| vec![span(format!(" {label}"), theme.key()), span(format!(" {word}"), theme.dim())];
    let mut pieces: Vec<_> = told.iter().map(|binding| piece(binding.label, binding.word(replay))).collect();
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
