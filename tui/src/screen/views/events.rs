//! What has happened: event lines since this screen was opened, and those that the aggregator still had then.

use crate::screen::canvas::{frame, mark_more, put, span};
use crate::screen::dashboard::Dashboard;
use crate::screen::keys::Action;
use crate::screen::notice::{hanging, wrap};
use crate::screen::viewport::Viewport;
use crate::source::Observation;
use crate::table::line_text;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use shm_layout::stats::{Line as Told, Severity};
use std::collections::VecDeque;

/// Lines kept; the aggregator keeps far fewer.
const KEPT: usize = 2000;
/// From this height on there is a frame.
const FRAMED_FROM: u16 = 10;
/// Below this width what goes on stands below the time, not beside it.
const NARROW: usize = 50;

/// The lines so far.
#[derive(Debug, Default)]
pub struct State {
    kept: VecDeque<Told>,
    view: Viewport,
}

impl State {
    /// The keys scroll, away from the newest: it is followed as long as nothing is scrolled.
    pub fn act(&mut self, action: Action) -> bool {
        // Counted from the newest, which stands below.
        let turned = match action {
            Action::Up => Action::Down,
            Action::Down => Action::Up,
            Action::PageUp => Action::PageDown,
            Action::PageDown => Action::PageUp,
            Action::First => Action::Last,
            Action::Last => Action::First,
            _ => return false,
        };
        self.view.scroll(turned);
        true
    }

    /// Takes in the lines that are new. They come in one order, and the aggregator drops the oldest.
    pub fn take(&mut self, lines: &[Told]) {
        // What was kept last, where it still is among them: what follows it is new.
        let known = self.kept.back().and_then(|last| lines.iter().rposition(|line| line == last));
        let new = known.map_or(0, |at| at + 1);
        // Where the last one is gone, those are new that are younger than it.
        let after = if known.is_some() { 0 } else { self.kept.back().map_or(0, |last| last.unix_ns) };
        let new = || lines[new..].iter().filter(|line| line.unix_ns >= after);
        if let (None, Some(_), Some(first)) = (known, self.kept.back(), new().next()) {
            // The aggregator keeps only so many, and there were more since the last look.
            let words = shm_layout::text::store(b"lines are missing here: more came than one look can tell");
            self.kept.push_back(Told { severity: Severity::Warning as u32, pid: 0, text: words, ..*first });
        }
        self.kept.extend(new());
        let over = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..over);
    }

    /// There are none; those of the next look are all that there are.
    pub fn forget(&mut self) {
        self.kept.clear();
    }

    /// All lines, the oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Told> {
        self.kept.iter()
    }
}

/// Draws them, the newest below.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    let theme = dashboard.theme;
    let state = &dashboard.views.events;
    let meant: Vec<&Told> = state.lines().filter(|line| dashboard.has_line(line)).collect();
    let inside = if area.height >= FRAMED_FROM {
        let mut title = vec![span(" Events ", theme.title()), span(format!("{} ", meant.len()), theme.text())];
        if !dashboard.filter.is_empty() {
            let filter = shm_layout::text::clean(dashboard.filter.text().as_bytes());
            title.push(span(format!("of {}: {filter} ", state.kept.len()), theme.warning()));
        }
        let right = Line::from(span(" newest below ", theme.dim()));
        let inside = frame(buffer, area, theme, true, Line::from(title), right);
        Rect { width: inside.width.saturating_sub(1), ..inside }
    } else {
        area
    };
    if meant.is_empty() {
        let words = if state.kept.is_empty() { " nothing happened yet" } else { " no line is meant by the filter" };
        put(buffer, inside, 0, &Line::from(span(words, theme.dim())));
        return;
    }
    let mut lines: Vec<Line<'static>> = Vec::with_capacity(meant.len());
    let mut day = None;
    for told in meant {
        let date = dashboard.zone.date(told.unix_ns);
        if day.as_ref() != Some(&date) && date != dashboard.zone.date(seen.unix_ns) {
            lines.push(Line::from(span(format!(" {date}"), theme.title())));
        }
        day = Some(date);
        lines.extend(told_in(told, usize::from(inside.width), dashboard));
    }
    let height = usize::from(inside.height);
    let newer = state.view.fit(lines.len(), height);
    let end = lines.len() - newer;
    let first = end.saturating_sub(height);
    for (at, line) in (0..inside.height).zip(&lines[first..end]) {
        put(buffer, inside, at, line);
    }
    mark_more(buffer, inside, theme, first > 0, newer > 0);
}

/// The time, how grave it is, and the words, in as many lines as they take.
fn told_in(told: &Told, width: usize, dashboard: &Dashboard) -> Vec<Line<'static>> {
    let theme = dashboard.theme;
    let severity = (told.severity as usize).min(2);
    let style = [theme.text(), theme.warning(), theme.error()][severity];
    let time = dashboard.zone.time_of_day(told.unix_ns);
    let (text, room) = (line_text(told), width.saturating_sub(14).max(1));
    // Behind the time, where that leaves enough beside it; else the words go on below the time.
    let (words, indent) = if width < NARROW {
        (hanging(&text, room, width.saturating_sub(5).max(1)), 3)
    } else {
        (wrap(&text, room), 12)
    };
    let line = |(at, text): (usize, String)| {
        let front = if at == 0 {
            [span(format!(" {time} "), theme.dim()), span(format!("{} ", theme.glyphs.severity[severity]), style)]
        } else {
            [span(" ".repeat(indent), theme.text()), span("", theme.text())]
        };
        Line::from(front.into_iter().chain([span(text, style)]).collect::<Vec<_>>())
    };
    words.into_iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn what_is_forgotten_does_not_come_back() {
        let lines = sample::host(1).lines;
        let mut state = State::default();
        state.take(&lines);
        state.forget();
        assert_eq!(state.lines().count(), 0);
        // Wound back: those that came later are not there yet.
        state.take(&lines[..2]);
        assert_eq!(state.lines().copied().collect::<Vec<_>>(), lines[..2]);
    }

    #[test]
    fn each_line_is_kept_once_and_the_oldest_go_first() {
        let lines = sample::host(1).lines;
        let mut state = State::default();
        state.take(&lines[..3]);
        state.take(&lines[..3]);
        assert_eq!(state.lines().count(), 3);
        // The aggregator has dropped the first two.
        state.take(&lines[2..]);
        assert_eq!(state.lines().copied().collect::<Vec<_>>(), lines);
        // It has dropped all of them, and has new ones.
        let newer = Told { unix_ns: lines.iter().map(|line| line.unix_ns).max().unwrap_or(0) + 1, ..lines[0] };
        state.take(&[newer]);
        assert_eq!(state.lines().count(), lines.len() + 2);
        assert!(state.lines().rev().nth(1).is_some_and(|line| line_text(line).contains("missing")), "which is said");
        let many: Vec<Told> = (0..KEPT as u64 + 5).map(|n| Told { unix_ns: newer.unix_ns + 1 + n, ..newer }).collect();
        state.take(&many);
        assert_eq!((state.lines().count(), state.lines().next()), (KEPT, many.get(5)));
    }
}
