//! Recent event lines, the newest below.

use super::arrange::Arrangement;
use super::canvas::{fitted, frame, put, span};
use super::dashboard::{Dashboard, Focus};
use crate::source::Observation;
use crate::table::line_text;
use ratatui::buffer::Buffer;
use ratatui::text::Line;

/// Draws them.
pub fn draw(buffer: &mut Buffer, places: &Arrangement, dashboard: &Dashboard, seen: &Observation) {
    if places.events.is_empty() {
        return;
    }
    let theme = dashboard.theme;
    let lines: Vec<_> = seen.snapshot.lines.iter().filter(|line| dashboard.has_line(line)).collect();
    let mut title = Line::from(span(" Events ", theme.title()));
    if !dashboard.filter.is_empty() {
        title.push_span(span(format!("{} of {} ", lines.len(), seen.snapshot.lines.len()), theme.text()));
    }
    let inside = frame(buffer, places.events, theme, dashboard.focus == Focus::Events, title, Line::default());
    let room = usize::from(inside.height);
    let newer = dashboard.event_view.fit(lines.len(), room);
    let end = lines.len() - newer;
    let shown = &lines[end.saturating_sub(room)..end];
    if lines.is_empty() {
        let text =
            if seen.snapshot.lines.is_empty() { " nothing happened yet" } else { " none is meant by the filter" };
        put(buffer, inside, 0, &Line::from(span(text, theme.dim())));
    }
    for (at, line) in (0..inside.height).zip(shown) {
        let severity = (line.severity as usize).min(2);
        let style = [theme.text(), theme.warning(), theme.error()][severity];
        let time = dashboard.zone.time_of_day(line.unix_ns);
        let text = fitted(&line_text(line), usize::from(inside.width).saturating_sub(13), false, theme);
        let spans = vec![
            span(format!(" {time} "), theme.dim()),
            span(format!("{} ", theme.glyphs.severity[severity]), style),
            span(text, style),
        ];
        put(buffer, inside, at, &Line::from(spans));
    }
}
