//! The help: the keys, made of the one table, and what the bars mean.

use super::canvas::{frame, mark_more, put, span};
use super::dashboard::Dashboard;
use super::keys::BINDINGS;
use super::meter::Meter;
use super::notice::{hanging, wrap};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Widget};

/// Columns below which what a key does goes on below the key.
const NARROW: usize = 30;

/// Draws it over everything else.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    // What is inside of the box, without the column of the marks.
    let room = usize::from(area.width.saturating_sub(3)).max(1);
    let mut lines: Vec<Line<'static>> = Vec::new();
    for binding in BINDINGS {
        let label = if room < NARROW { format!("{} ", binding.label) } else { format!("{:>8}  ", binding.label) };
        // What does nothing in the view that is shown is there, too, and dim.
        let heeded = binding.action.is_of(dashboard.view);
        let (key, plain) = if heeded { (theme.key(), theme.text()) } else { (theme.dim(), theme.dim()) };
        let indent = if room < NARROW { 2 } else { 10 };
        let texts = hanging(
            binding.help(dashboard.replay.is_some()),
            room.saturating_sub(label.len()),
            room.saturating_sub(indent),
        );
        for (at, text) in texts.into_iter().enumerate() {
            let front = if at == 0 { label.clone() } else { " ".repeat(indent) };
            lines.push(Line::from(vec![span(front, key), span(text, plain)]));
        }
    }
    lines.push(Line::default());
    for (share, text) in [(60, "below 75 %"), (80, "from 75 %"), (95, "from 90 %")] {
        let mut spans = vec![span("  ", theme.text())];
        spans.extend(Meter { used: share, capacity: Some(100), ..Meter::default() }.spans(8, theme));
        spans.push(span(format!("  {text} in use"), theme.text()));
        lines.push(Line::from(spans));
    }
    let mut spans = vec![span("  ", theme.text())];
    spans.extend(Meter { used: 40, beyond: 80, capacity: Some(100), peak: 0 }.spans(8, theme));
    spans.push(span("  CB: resident, and registered beyond it", theme.text()));
    lines.push(Line::from(spans));
    for text in [
        "Bytes are what the allocator gave out (footprints).",
        "TOTAL: DRAM + TRACE + L1 + L1_SMALL + resident CBs.",
        "SINCE: what has come of it since a baseline, without CBs.",
        "OTHER: L1_SMALL + TRACE + kernels. CB: registered.",
    ] {
        let texts = wrap(text, room.saturating_sub(2).max(1));
        lines.extend(texts.into_iter().map(|text| Line::from(span(format!("  {text}"), theme.dim()))));
    }

    let width = lines.iter().map(Line::width).max().unwrap_or(0) + 4;
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(place, buffer);
    let title = Line::from(span(" Help ", theme.title()));
    let inside = frame(buffer, place, theme, true, title, Line::default());
    let first = dashboard.help_view.fit(lines.len(), usize::from(inside.height));
    for (at, line) in (0..inside.height).zip(lines.iter().skip(first)) {
        put(buffer, inside, at, line);
    }
    let below = first + usize::from(inside.height) < lines.len();
    mark_more(buffer, inside, theme, first > 0, below);
}
