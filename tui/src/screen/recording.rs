//! What the first line tells of recordings.

use super::canvas::span;
use super::dashboard::{Dashboard, Replay};
use ratatui::text::Span;

/// Hours, minutes, seconds: `0:12:04`.
fn clock(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn speed(quarters: u64) -> String {
    match quarters {
        1 => "x1/4".to_owned(),
        2 => "x1/2".to_owned(),
        quarters => format!("x{}", quarters / 4),
    }
}

/// The marks of a replay or of a recording that is being made.
pub fn marks(dashboard: &Dashboard) -> Vec<Vec<Span<'static>>> {
    let theme = dashboard.theme;
    let mut marks = Vec::new();
    if let Some(replay) = &dashboard.replay {
        marks.extend(replayed(dashboard, replay));
    }
    if let Some(recorder) = &dashboard.recorder {
        let age = crate::units::age(u64::try_from(recorder.age().as_nanos()).unwrap_or(u64::MAX));
        let bytes = crate::units::short_bytes(recorder.progress().bytes);
        let text = format!("{} rec {age:>6} {bytes:>5}", theme.glyphs.alive);
        marks.push(vec![span(text, theme.error())]);
    }
    marks
}

fn replayed(dashboard: &Dashboard, replay: &Replay) -> Vec<Vec<Span<'static>>> {
    let theme = dashboard.theme;
    let (position, length) = (clock(replay.position_ns), clock(replay.length_ns));
    let glyph = if dashboard.paused || replay.at_end { theme.glyphs.paused } else { theme.glyphs.playing };
    let mut mark = vec![span(format!("{glyph} replay "), theme.warning())];
    mark.push(span(format!("{position:>width$}", width = length.len()), theme.strong()));
    mark.push(span(format!(" / {length}"), theme.text()));
    let state = if replay.at_end { "end".to_owned() } else { speed(replay.speed_quarters) };
    vec![
        mark,
        vec![span(format!("{state:<4}"), theme.key())],
        vec![span(dashboard.zone.date_and_time(replay.unix_ns), theme.text())],
    ]
}

#[cfg(test)]
mod tests;
