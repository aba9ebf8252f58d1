//! What is said when there is nothing to show: why, and what to do.

use super::canvas::{frame, put, span};
use super::dashboard::Dashboard;
use super::header;
use super::theme::Theme;
use super::views::columns::tight;
use crate::source::{Connection, SourceError};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

/// Lines, centred in a box if there is room for one.
fn centred(buffer: &mut Buffer, area: Rect, theme: Theme, title: &'static str, lines: &[(String, Style)]) {
    let widest = lines.iter().map(|(text, _)| crate::table::width(text)).max().unwrap_or(0);
    let needed = u16::try_from(widest).unwrap_or(u16::MAX);
    let width = area.width.min(needed.saturating_add(6).clamp(30, 84));
    // Wrapped by words to what the box has inside.
    let room = usize::from(width.saturating_sub(6)).max(1);
    let wrapped: Vec<(String, Style)> =
        lines.iter().flat_map(|(text, style)| wrap(text, room).into_iter().map(|line| (line, *style))).collect();
    let needed = u16::try_from(wrapped.len()).unwrap_or(u16::MAX).saturating_add(4);
    let height = area.height.min(needed);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let (inside, above) = if height < needed {
        (place, 0)
    } else {
        let title = Line::from(span(format!(" {title} "), theme.title()));
        (frame(buffer, place, theme, true, title, Line::default()), 1)
    };
    for (at, (text, style)) in (above..).zip(&wrapped) {
        put(buffer, inside, at, &Line::from(vec![span("  ", *style), span(text.clone(), *style)]));
    }
}

/// The text in lines of at most `width` columns, broken between words where that is possible.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    // `None`: nothing on this line yet, not even a blank.
    let mut line: Option<String> = None;
    for word in text.split(' ') {
        let longer = line.as_ref().map_or_else(|| word.to_owned(), |line| format!("{line} {word}"));
        if crate::table::width(&longer) <= width {
            line = Some(longer);
            continue;
        }
        lines.extend(line.take());
        let mut word = word;
        while crate::table::width(word) > width {
            let head = crate::table::cut(word, width);
            // A character wider than the line: nothing can be done.
            if head.is_empty() {
                word = "";
                break;
            }
            word = &word[head.len()..];
            lines.push(head);
        }
        line = Some(word.to_owned());
    }
    lines.extend(line);
    lines
}

/// The same with the first line in so many columns, the others in as many as `rest`.
pub fn hanging(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = wrap(text, first);
    lines.truncate(1);
    let behind = lines.first().and_then(|line| text.get(line.len()..)).unwrap_or_default().trim_start();
    if !behind.is_empty() {
        lines.extend(wrap(behind, rest));
    }
    lines
}

/// Draws what is said instead of figures.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    let Connection::Unavailable(error) = &dashboard.connection else { return };
    let blank = || (String::new(), theme.text());
    let retrying =
        (format!("Looking again every {} ms; this screen changes by itself.", dashboard.refresh_ms), theme.dim());
    if let SourceError::NoAggregator { .. } = error {
        let lines = [
            ("No aggregator runs on this host.".to_owned(), theme.strong()),
            blank(),
            ("Start one:".to_owned(), theme.text()),
            ("  aggregator &".to_owned(), theme.key()),
            ("or look without one:".to_owned(), theme.text()),
            ("  alloc-top --embedded".to_owned(), theme.key()),
            blank(),
            retrying,
        ];
        centred(buffer, area, theme, "Waiting", &lines);
    } else if dashboard.replay.is_some() {
        centred(buffer, area, theme, "No figures", &[(error.to_string(), theme.text())]);
    } else {
        let style = if error.is_absence() { theme.text() } else { theme.error() };
        centred(buffer, area, theme, "No figures", &[(error.to_string(), style), blank(), retrying]);
    }
}

/// What a host without tracked processes is told.
pub const NO_PROCESS: [&str; 2] =
    ["no tracked process yet; start one with", "TT_ALLOC_TRACKING_ENABLED=1 tt-alloc run -- python train.py"];

/// The one line of a terminal that is too small for more.
pub fn draw_tiny(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let text = match &dashboard.seen {
        Some(seen) => {
            let used = dashboard.rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.totals.total));
            let chips = seen.snapshot.chips.len();
            let of = if dashboard.filter.is_empty() { "" } else { "filter: " };
            let s = if chips == 1 { "" } else { "s" };
            // Old figures are said to be old before they are told.
            let old = header::trouble(dashboard, true).map_or_else(String::new, |words| format!("{words}: "));
            format!("{old}{of}{} on {chips} chip{s}", tight(used))
        }
        None => header::trouble(dashboard, true).unwrap_or_default(),
    };
    let text = crate::table::cut(&text, usize::from(area.width));
    let width = u16::try_from(crate::table::width(&text)).unwrap_or(0);
    let middle = Rect { x: area.x + area.width.saturating_sub(width) / 2, width: width.min(area.width), ..area };
    put(buffer, middle, area.height.saturating_sub(1) / 2, &Line::from(span(text, dashboard.theme.text())));
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn words_are_kept_whole_where_possible() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("  aggregator &", 20), ["  aggregator &"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("漢字", 1), [""]);
    }
}
