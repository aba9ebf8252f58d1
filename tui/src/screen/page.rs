//! A page of facts: headings, and under them what a thing is called and what is known of it, in as many lines as the width asks for.

use super::canvas::span;
use super::meter::Meter;
use super::notice::wrap;
use super::theme::Theme;
use crate::table::width;
use ratatui::text::Line;

/// Columns of what things are called.
const LABEL: usize = 13;
/// Below this width they have fewer.
const NARROW: usize = 60;
const LABEL_NARROW: usize = 10;

/// Columns of the name beside a bar, and of the bar.
const BAR_LABEL: usize = 19;
const BAR_LEAST: usize = 6;
const BAR_MOST: usize = 40;

/// The page.
#[derive(Debug)]
pub struct Page {
    theme: Theme,
    label: usize,
    room: usize,
    /// Its lines so far.
    pub lines: Vec<Line<'static>>,
}

impl Page {
    /// An empty one of this width.
    pub fn new(width: usize, theme: Theme) -> Self {
        let label = if width < NARROW { LABEL_NARROW } else { LABEL };
        Self { theme, label, room: width.saturating_sub(label).max(1), lines: Vec::new() }
    }

    /// Another part.
    pub fn heading(&mut self, text: &str) {
        if !self.lines.is_empty() {
            self.lines.push(Line::default());
        }
        self.lines.push(Line::from(span(text, self.theme.title())));
    }

    /// One thing, and a sentence about it.
    pub fn say(&mut self, name: &str, text: &str) {
        let lines = wrap(text, self.room);
        self.put(name, lines);
    }

    /// One thing, and several facts about it, each in one piece where that is possible. None: the thing is left out.
    pub fn tell(&mut self, name: &str, facts: Vec<String>) {
        let mut lines: Vec<String> = Vec::new();
        for fact in facts {
            match lines.last_mut() {
                Some(last) if width(last) + 2 + width(&fact) <= self.room => {
                    last.push_str("  ");
                    last.push_str(&fact);
                }
                // Aligned with what stands above it, not with what it would have stood behind.
                Some(_) => lines.extend(wrap(fact.trim_start(), self.room)),
                None => lines.extend(wrap(&fact, self.room)),
            }
        }
        self.put(name, lines);
    }

    /// A part of a whole: its name, a bar, and figures behind it. The name has more room than elsewhere.
    pub fn bar(&mut self, name: &str, part: u64, whole: u64, figures: String) {
        let label = self.label.max(BAR_LABEL).min(self.label + self.room);
        let room = (self.label + self.room).saturating_sub(label + width(&figures) + 2);
        let name = super::canvas::fitted(name, label, false, self.theme);
        let mut line = Line::from(span(name, self.theme.text()));
        if room >= BAR_LEAST {
            let meter = Meter { used: part, capacity: Some(whole.max(1)), ..Meter::default() };
            let bar: String = meter.spans(room.min(BAR_MOST), self.theme).iter().map(|s| s.content.as_ref()).collect();
            line.spans.push(span(bar + "  ", self.theme.graph(false)));
        }
        line.spans.push(span(figures, self.theme.text()));
        self.lines.push(line);
    }

    fn put(&mut self, name: &str, lines: Vec<String>) {
        for (at, text) in lines.into_iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            let name = super::canvas::fitted(name, self.label - 1, false, self.theme) + " ";
            self.lines.push(Line::from(vec![span(name, self.theme.strong()), span(text, self.theme.text())]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(page: &Page) -> Vec<String> {
        page.lines.iter().map(|line| line.spans.iter().map(|span| span.content.as_ref()).collect()).collect()
    }

    #[test]
    fn facts_stay_whole_and_lines_inside() {
        let mut page = Page::new(32, Theme::new(false, false));
        page.heading("One");
        page.tell("DRAM", vec!["24.1 GiB of 32.0 GiB".into(), "75%".into(), "peak 26.1 GiB".into()]);
        page.tell("nothing", Vec::new());
        page.heading("Two");
        page.say("command", "漢字 -m very.long.module");
        assert_eq!(
            texts(&page),
            [
                "One",
                "DRAM      24.1 GiB of 32.0 GiB",
                "          75%  peak 26.1 GiB",
                "",
                "Two",
                "command   漢字 -m",
                "          very.long.module"
            ]
        );
        for columns in 0..80 {
            let mut page = Page::new(columns, Theme::new(false, true));
            page.tell("a-name-longer-than-its-place", vec!["漢字".repeat(30), "x".into()]);
            assert!(texts(&page).iter().all(|line| width(line) <= columns.max(12)), "{columns}: {page:?}");
        }
    }
}
