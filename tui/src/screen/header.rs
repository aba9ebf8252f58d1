//! The first line: which host, when, and how the aggregator is.

use super::canvas::{joined, put, put_right, span};
use super::dashboard::Dashboard;
use super::recording;
use crate::source::{Connection, Observation};
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    let width = usize::from(area.width);
    let gap = || span("  ", theme.text());
    let mut left = vec![vec![span(" alloc-top", theme.title())], vec![span(dashboard.host.clone(), theme.strong())]];
    if let Some(seen) = dashboard.seen.as_ref().filter(|_| dashboard.replay.is_none()) {
        left.push(vec![span(dashboard.zone.time_of_day(seen.unix_ns), theme.text())]);
    }
    if dashboard.paused && dashboard.replay.is_none() {
        left.insert(1, vec![span(format!("{} paused", dashboard.theme.glyphs.paused), theme.warning())]);
    }
    left.splice(1..1, recording::marks(dashboard));
    let name = left[0][0].width() + 3;
    let mut right = right(dashboard, false);
    if right.first().is_some_and(|state| name + state.iter().map(Span::width).sum::<usize>() > width) {
        right = self::right(dashboard, true);
    }
    // The aggregator's state is worth more than the time and the host's name.
    let state: usize = right.first().map_or(0, |piece| piece.iter().map(Span::width).sum());
    // Though not more than where one is in a recording.
    let state = if dashboard.replay.is_some() { 0 } else { state + 2 };
    let left = joined(left, gap(), width.saturating_sub(state + 1));
    let room = width.saturating_sub(left.width() + 2);
    let mut right = joined(right, gap(), room.saturating_sub(1));
    right.spans.push(span(" ", theme.text()));
    put(buffer, area, 0, &left);
    put_right(buffer, area, 0, &right);
}

/// The aggregator's state first, then its figures, the more urgent ones before the others. `brief`: the state in few columns.
fn right(dashboard: &Dashboard, brief: bool) -> Vec<Vec<Span<'static>>> {
    let theme = dashboard.theme;
    let glyphs = theme.glyphs;
    let who = match dashboard.embedded {
        _ if brief => "",
        true => "embedded ",
        false => "aggregator ",
    };
    let mut pieces = match (trouble(dashboard, brief), &dashboard.seen) {
        (None, Some(seen)) => {
            let up = seen.now_ns.saturating_sub(seen.identity.started_monotonic_ns);
            vec![vec![
                span(format!("{} ", glyphs.alive), theme.good()),
                span(format!("{who}up {}", units::age(up)), theme.text()),
            ]]
        }
        (trouble, _) => vec![vec![span(format!("{} {}", glyphs.trouble, trouble.unwrap_or_default()), theme.error())]],
    };
    if let Some(seen) = &dashboard.seen {
        pieces.extend(figures(dashboard, seen));
    }
    pieces
}

/// Why there are no figures, or why they are old; `None`: the aggregator lives. `brief`: in few columns.
pub fn trouble(dashboard: &Dashboard, brief: bool) -> Option<String> {
    let who = if brief { "" } else { "aggregator " };
    Some(match (&dashboard.connection, &dashboard.seen) {
        (Connection::Live, Some(_)) => return None,
        (Connection::Stale { age_ns, gone: true }, _) => format!("{who}died {} ago", units::age(*age_ns)),
        (Connection::Stale { age_ns, .. }, _) if brief => format!("silent {}", units::age(*age_ns)),
        (Connection::Stale { age_ns, .. }, _) => format!("aggregator silent for {}", units::age(*age_ns)),
        (Connection::Ended, _) => format!("{who}stopped"),
        (Connection::Unavailable(error), _) if error.is_absence() => "no aggregator".to_owned(),
        _ => "no figures".to_owned(),
    })
}

fn figures(dashboard: &Dashboard, seen: &Observation) -> Vec<Vec<Span<'static>>> {
    let theme = dashboard.theme;
    let health = &seen.snapshot.health;
    let figure = |word: &str, number: String| vec![span(format!("{word} "), theme.dim()), span(number, theme.text())];
    let mut pieces = Vec::new();
    pieces.push(figure("events", format!("{:>5}", units::count(health.events_total))));
    if let Some(rate) = dashboard.events_per_second {
        pieces.push(vec![span(format!("{:>5}", units::count(rate as u64)), theme.text()), span("/s", theme.dim())]);
    }
    pieces.push(figure("lag", units::count(health.lag_events)));
    pieces.push(figure("rings", units::count(health.rings)));
    if dashboard.replay.is_none() {
        pieces.push(figure("every", format!("{} ms", dashboard.refresh_ms)));
    }
    pieces
}
