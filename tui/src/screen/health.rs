//! The line under the first: what keeps figures from being right or complete. There only when there is something to say.

use super::canvas::{joined, put, span};
use super::dashboard::Dashboard;
use crate::diagnosis;
use crate::source::Observation;
use crate::table::{cut, width};
use crate::units::count;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;
use shm_layout::stats::Refusal;

/// Columns of a refused ring's reason.
const REASON: usize = 60;

/// One thing to say, in few words and in more.
struct Piece {
    short: String,
    long: String,
    style: Style,
}

/// Whether there is anything to say.
pub fn is_needed(seen: &Observation) -> bool {
    let health = &seen.snapshot.health;
    let numbers = [
        health.refused_rings,
        health.hidden_processes,
        health.hidden_rows,
        health.dropped_events_total,
        health.torn_events_total,
        health.anomalies.sum(),
        health.differences,
    ];
    numbers.iter().any(|number| *number > 0) || incomplete(seen) > 0 || diagnosis::is_behind(seen)
}

fn incomplete(seen: &Observation) -> u64 {
    seen.snapshot.processes.iter().filter(|process| process.incomplete != 0).count() as u64
}

fn refusal(refusals: &[Refusal], all: u64) -> String {
    let newest = refusals.iter().max_by_key(|refusal| refusal.since_unix_ns);
    let Some(newest) = newest else { return format!("{} rings refused", count(all)) };
    let reason = cut(&newest.words(), REASON);
    if all <= 1 {
        format!("ring of PID {} refused: {reason}", newest.pid)
    } else {
        format!("{} rings refused, the last one of PID {}: {reason}", count(all), newest.pid)
    }
}

fn plural(number: u64, one: &str, more: &str) -> String {
    if number == 1 { one } else { more }.to_owned()
}

/// What is wrong now first, then what was.
fn pieces(dashboard: &Dashboard, seen: &Observation) -> Vec<Piece> {
    let theme = dashboard.theme;
    let health = &seen.snapshot.health;
    let (now, before) = (theme.error(), theme.warning());
    let behind = if diagnosis::is_behind(seen) { health.lag_events } else { 0 };
    [
        (health.refused_rings, "refused", refusal(&seen.snapshot.refusals, health.refused_rings), now),
        (
            incomplete(seen),
            "incomplete",
            plural(incomplete(seen), "process", "processes") + " with incomplete details",
            now,
        ),
        (health.hidden_processes, "hidden", plural(health.hidden_processes, "process", "processes") + " hidden", now),
        (health.hidden_rows, "rows hidden", plural(health.hidden_rows, "row", "rows") + " hidden", now),
        (behind, "behind", "events behind".to_owned(), before),
        (health.dropped_events_total, "dropped", "dropped so far".to_owned(), before),
        (health.torn_events_total, "torn", "torn".to_owned(), before),
        (
            health.differences,
            "differ",
            plural(health.differences, "figure", "figures") + " of tt-metal's counters differ",
            before,
        ),
        (health.anomalies.sum(), "anomalies", plural(health.anomalies.sum(), "anomaly", "anomalies"), before),
    ]
    .into_iter()
    .filter(|(number, ..)| *number > 0)
    .map(|(number, short, long, style)| {
        let long = if short == "refused" { long } else { format!("{} {long}", count(number)) };
        Piece { short: format!("{} {short}", count(number)), long, style }
    })
    .collect()
}

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let Some(seen) = dashboard.seen.as_ref().filter(|_| area.height > 0) else { return };
    let theme = dashboard.theme;
    let all = pieces(dashboard, seen);
    let gap = format!(" {} ", theme.glyphs.dot);
    let room = usize::from(area.width).saturating_sub(3);
    let long_takes = all.iter().map(|piece| width(&piece.long) + width(&gap)).sum::<usize>();
    let long = long_takes <= room + width(&gap);
    let mut texts: Vec<Vec<Span<'static>>> = all
        .into_iter()
        .map(|Piece { short, long: words, style }| vec![span(if long { words } else { short }, style)])
        .collect();
    if long {
        texts.push(vec![span("tt-alloc doctor tells more", theme.dim())]);
    }
    let mut line = joined(texts, span(gap, theme.dim()), room);
    line.spans.insert(0, span(format!(" {} ", theme.glyphs.trouble), theme.error()));
    put(buffer, area, 0, &line);
}
