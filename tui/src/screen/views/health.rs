//! How the figures come about: the aggregator, the rings, what was lost or is not believed, what to do about it, and what watching costs.

use crate::diagnosis::{Finding, Verdict, findings};
use crate::screen::canvas::{frame, mark_more, put, span};
use crate::screen::dashboard::Dashboard;
use crate::screen::notice::wrap;
use crate::screen::theme::Theme;
use crate::source::Observation;
use crate::units;
use nix::sys::resource::{UsageWho, getrusage};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

/// From this height on the page has a frame.
const FRAMED_FROM: u16 = 14;
/// Columns of what a finding is about.
const LABEL: usize = 14;
/// Below this width they stand above what is said of them, where that takes more than a line.
const BESIDE_FROM: usize = 50;

/// What watching costs: this very process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Processor time since it began, ns.
    pub cpu_ns: u64,
    /// Largest resident memory so far, bytes.
    pub memory_bytes: u64,
}

/// What is kept for this view.
#[derive(Debug, Default)]
pub struct State {
    /// As of the last look; none where the system does not tell.
    pub cost: Option<Cost>,
}

impl State {
    /// Asks what this process has used so far.
    pub fn look(&mut self) {
        let amount = |number: i64| u64::try_from(number).unwrap_or(0);
        self.cost = getrusage(UsageWho::RUSAGE_SELF).ok().map(|usage| {
            let time = |t: nix::sys::time::TimeVal| amount(t.tv_sec()) * 1_000_000_000 + amount(t.tv_usec()) * 1000;
            // The system counts in KiB.
            Cost {
                cpu_ns: time(usage.user_time()) + time(usage.system_time()),
                memory_bytes: amount(usage.max_rss()) * 1024,
            }
        });
    }
}

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    let theme = dashboard.theme;
    let mut all = findings(&dashboard.connection, seen, dashboard.users());
    all.extend(dashboard.views.health.cost.map(|cost| {
        let (cpu, memory) = (cost.cpu_ns as f64 / 1e9, units::bytes(cost.memory_bytes));
        let text = format!("{cpu:.1} s of CPU, {} of memory; it only reads", memory.trim_start());
        Finding::new("this screen", Verdict::Good, text)
    }));
    // What is wrong first: where it is small the rest is out of sight.
    all.sort_by_key(|finding| match finding.verdict {
        Verdict::Bad => 0,
        Verdict::Note => 1,
        Verdict::Good => 2,
    });
    let bad = all.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    let inside = if area.height >= FRAMED_FROM {
        let title = Line::from(span(" Health ", theme.title()));
        let (text, style) = match bad {
            0 => (" figures are complete ".to_owned(), theme.good()),
            1 => (" 1 thing is wrong ".to_owned(), theme.error()),
            more => (format!(" {more} things are wrong "), theme.error()),
        };
        let inside = frame(buffer, area, theme, true, title, Line::from(span(text, style)));
        Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside }
    } else {
        area
    };
    let lines: Vec<Line<'static>> =
        all.iter().flat_map(|finding| lines(finding, usize::from(inside.width.saturating_sub(2)), theme)).collect();
    let height = usize::from(inside.height);
    let first = dashboard.sheet.fit(lines.len(), height);
    for (at, line) in (0..inside.height).zip(lines.iter().skip(first)) {
        put(buffer, inside, at, line);
    }
    mark_more(buffer, inside, theme, first > 0, first + height < lines.len());
}

/// `● aggregator  PID 12 of user root runs for 3h`, in as many lines as it takes; what to do next stands below it.
fn lines(finding: &Finding, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let (glyph, style) = match finding.verdict {
        Verdict::Good => (theme.glyphs.alive, theme.good()),
        Verdict::Note => (theme.glyphs.severity[1], theme.warning()),
        Verdict::Bad => (theme.glyphs.severity[2], theme.error()),
    };
    let beside = width >= BESIDE_FROM || crate::table::width(&finding.text) + LABEL + 2 <= width;
    let indent = if beside { LABEL + 2 } else { 2 };
    let room = width.saturating_sub(indent).max(1);
    let blank = || span(" ".repeat(indent), theme.text());
    let below = |text: &str, style: Style| -> Vec<Line<'static>> {
        wrap(text, room).into_iter().map(|text| Line::from(vec![blank(), span(text, style)])).collect()
    };
    let mut lines = below(&finding.text, theme.text());
    if !beside {
        lines.insert(0, Line::from(vec![span(format!("{glyph} "), style), span(finding.what, theme.strong())]));
    } else if let Some(first) = lines.first_mut() {
        let label = crate::screen::canvas::fitted(finding.what, LABEL, false, theme);
        first.spans.splice(..1, [span(format!("{glyph} "), style), span(label, theme.strong())]);
    }
    if !finding.next.is_empty() {
        lines.extend(below(&format!("next: {}", finding.next), theme.key()));
    }
    lines
}
