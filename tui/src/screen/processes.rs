//! The process table. Columns give way by weight when it is narrow.

use super::arrange::Arrangement;
use super::canvas::{fitted, frame, put, span};
use super::dashboard::{Dashboard, Focus, ProcessRow};
use super::meter::Meter;
use super::notice::{NO_PROCESS, wrap};
use super::order::SortColumn;
use super::views::columns::{self, Column, column, fitting};
use crate::totals::ProcessTotals;
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// What a column tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Sorted(SortColumn),
    Container,
    Chips,
    Peak,
    Since,
    Share,
    Age,
    Command,
}

const fn spec(of: Of, width: usize, right: bool, weight: u8) -> Column<Of> {
    column(of, of.title(), width, right, weight)
}

/// What a table of processes is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What has come since a baseline.
    pub since: bool,
    /// What the processes run in.
    pub containers: bool,
    /// Peaks and ages: where the table has the screen to itself.
    pub full: bool,
}

impl Wanted {
    /// As far as there is something to show.
    pub fn of(rows: &[ProcessRow], full: bool) -> Self {
        Self {
            since: rows.iter().any(|row| row.totals.since.is_some()),
            containers: full && rows.iter().any(|row| !row.totals.who.container().is_empty()),
            full,
        }
    }

    const fn has(self, column: Of) -> bool {
        match column {
            Of::Since => self.since,
            Of::Container => self.containers,
            Of::Peak | Of::Age => self.full,
            _ => true,
        }
    }
}

/// In the order in which they stand. The command takes what is left, and at least its width.
const COLUMNS: [Column<Of>; 16] = [
    spec(Of::Sorted(SortColumn::Pid), 7, true, 99),
    spec(Of::Sorted(SortColumn::User), 8, false, 60),
    spec(Of::Sorted(SortColumn::Name), 12, false, 90),
    spec(Of::Container, 19, false, 45),
    spec(Of::Chips, 6, false, 70),
    spec(Of::Sorted(SortColumn::Total), 8, true, 40),
    spec(Of::Peak, 8, true, 39),
    // There only where a baseline is set.
    spec(Of::Since, 7, true, 97),
    spec(Of::Share, 10, false, 10),
    spec(Of::Sorted(SortColumn::Dram), 8, true, 98),
    spec(Of::Sorted(SortColumn::L1), 8, true, 85),
    spec(Of::Sorted(SortColumn::Cb), 8, true, 55),
    spec(Of::Sorted(SortColumn::Other), 8, true, 30),
    spec(Of::Sorted(SortColumn::Events), 6, true, 20),
    spec(Of::Age, 6, true, 38),
    spec(Of::Command, 12, false, 50),
];

impl Of {
    const fn title(self) -> &'static str {
        match self {
            Self::Sorted(column) => column.title(),
            Self::Container => "CONTAINER",
            Self::Chips => "CHIPS",
            Self::Peak => "PEAK",
            Self::Since => "SINCE",
            Self::Share => "SHARE",
            Self::Age => "AGE",
            Self::Command => "COMMAND",
        }
    }

    /// Not of who the process is, but of what it holds.
    const fn is_of_figures(self) -> bool {
        !matches!(
            self,
            Self::Sorted(SortColumn::Pid | SortColumn::User | SortColumn::Name) | Self::Container | Self::Chips
        )
    }
}

/// The columns that fit. The command takes what is left.
fn chosen(width: usize, wanted: Wanted) -> Vec<Column<Of>> {
    let (mut columns, spare) = fitting(&COLUMNS, width, |of| wanted.has(of));
    for column in columns.iter_mut().filter(|column| column.of == Of::Command) {
        column.width += spare;
    }
    columns
}

/// Draws the table of the overview.
pub fn draw(buffer: &mut Buffer, places: &Arrangement, dashboard: &Dashboard) {
    let focused = dashboard.focus == Focus::Processes;
    let inside = boxed(buffer, places.processes, dashboard, places.framed, focused);
    table(buffer, inside, dashboard, Wanted::of(&dashboard.rows, false));
}

/// The box, with how many there are and what they are sorted by; what is inside of it.
pub fn boxed(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, framed: bool, focused: bool) -> Rect {
    if !framed {
        return area;
    }
    let theme = dashboard.theme;
    let count = dashboard.rows.iter().filter(|row| row.gone_since_ns.is_none()).count();
    let mut title = vec![span(" Processes ", theme.title()), span(format!("{count} "), theme.text())];
    if !dashboard.filter.is_empty() {
        title.push(span(format!("of {} ", dashboard.processes), theme.text()));
        let taken: usize = title.iter().map(Span::width).sum();
        let room = usize::from(area.width).saturating_sub(taken + dashboard.sort.title().len() + 22);
        let text = shm_layout::text::clean(dashboard.filter.text().as_bytes());
        let text = fitted(&text, room.min(crate::table::width(&text)), false, theme);
        title.push(span(format!("{} {text} ", theme.glyphs.dot), theme.key()));
    }
    let arrow = theme.glyphs.sorted[usize::from(dashboard.sort.downwards() == dashboard.reversed)];
    let peaks = if dashboard.peaks { " peaks," } else { "" };
    let order = Line::from(span(format!("{peaks} by {} {arrow} ", dashboard.sort.title()), theme.dim()));
    let inside = frame(buffer, area, theme, focused, Line::from(title), order);
    Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside }
}

/// The table: its head, and as many rows as there is room for, the selected one among them.
pub fn table(buffer: &mut Buffer, inside: Rect, dashboard: &Dashboard, wanted: Wanted) {
    let theme = dashboard.theme;
    let columns = chosen(usize::from(inside.width), wanted);
    put(buffer, inside, 0, &titles(dashboard, &columns));
    let mut x = inside.x;
    for column in &columns {
        let head = Rect { x, y: inside.y, width: column.width as u16, height: 1 };
        if let Of::Sorted(sorted) = column.of {
            dashboard.drawn.heads.borrow_mut().push((head, sorted));
        }
        x = x.saturating_add(head.width + 1);
    }
    let body = Rect { y: inside.y + 1, height: inside.height.saturating_sub(1), ..inside };
    if dashboard.rows.is_empty() && dashboard.processes > 0 {
        let text = format!("none of {} is meant by the filter; / and Esc clear it", dashboard.processes);
        wrapped(buffer, body, &[(&text, theme.dim())]);
        return;
    }
    if dashboard.rows.is_empty() {
        let [why, command] = NO_PROCESS;
        wrapped(buffer, body, &[(why, theme.dim()), (command, theme.key())]);
        return;
    }
    dashboard.drawn.rows.set(body);
    let view = &dashboard.process_view;
    view.fit(dashboard.rows.len(), usize::from(body.height));
    if let Some(at) = dashboard.selected_at() {
        view.show(at);
    }
    let of = |row: &ProcessRow| SortColumn::Total.amount(&row.totals, dashboard.peaks);
    let whole = dashboard.rows.iter().fold(0, |sum: u64, row| sum.saturating_add(of(row)));
    for (at, row) in (0..body.height).zip(dashboard.rows.iter().skip(view.offset.get())) {
        put(buffer, body, at, &line(dashboard, row, &columns, whole));
        if dashboard.selected == Some(row.totals.key()) {
            let place = Rect { y: body.y + at, height: 1, ..body };
            buffer.set_style(place.intersection(buffer.area), theme.selected());
        }
    }
}

/// Texts below each other, each in as many lines as it takes.
fn wrapped(buffer: &mut Buffer, area: Rect, texts: &[(&str, Style)]) {
    let room = usize::from(area.width).max(1);
    let lines = texts.iter().flat_map(|(text, style)| wrap(text, room).into_iter().map(|line| span(line, *style)));
    for (at, line) in (0..area.height).zip(lines) {
        put(buffer, area, at, &Line::from(line));
    }
}

fn titles(dashboard: &Dashboard, columns: &[Column<Of>]) -> Line<'static> {
    let theme = dashboard.theme;
    columns::line(columns, theme, |column| {
        let sorted = column.of == Of::Sorted(dashboard.sort);
        let arrow = theme.glyphs.sorted[usize::from(dashboard.sort.downwards() == dashboard.reversed)];
        let title = match (sorted, column.right) {
            (false, _) => column.title.to_owned(),
            (true, true) => format!("{arrow}{}", column.title),
            (true, false) => format!("{}{arrow}", column.title),
        };
        (title, if sorted { theme.key() } else { theme.strong().patch(theme.dim()) })
    })
}

fn line(dashboard: &Dashboard, row: &ProcessRow, columns: &[Column<Of>], whole: u64) -> Line<'static> {
    let theme = dashboard.theme;
    let gone = row.gone_since_ns.is_some() || !row.totals.running;
    let mut line = Line::default();
    let left_behind = if gone { dashboard.left_behind(&row.totals) } else { None };
    for (at, column) in columns.iter().enumerate() {
        if !line.spans.is_empty() {
            line.spans.push(span(" ", theme.text()));
        }
        // What was removed with it says more than its last figures, and takes more room.
        if let Some(what) = left_behind.as_ref().filter(|_| column.of.is_of_figures()) {
            let room = columns[at..].iter().map(|column| column.width + 1).sum::<usize>() - 1;
            line.spans.push(span(fitted(what, room, false, theme), theme.dim()));
            break;
        }
        if column.of == Of::Share {
            let used = SortColumn::Total.amount(&row.totals, dashboard.peaks);
            let share = Meter { used, capacity: Some(whole.max(1)), ..Meter::default() };
            let bar: String = share.spans(column.width, theme).iter().map(|span| span.content.as_ref()).collect();
            line.spans.push(span(bar, if gone { theme.dim() } else { theme.graph(false) }));
            continue;
        }
        let (text, style) = cell(dashboard, row, column.of, gone);
        line.spans.push(Span::styled(fitted(&text, column.width, column.right, theme), style));
    }
    line
}

fn cell(dashboard: &Dashboard, row: &ProcessRow, of: Of, gone: bool) -> (String, Style) {
    let theme = dashboard.theme;
    let p: &ProcessTotals = &row.totals;
    let amount = |bytes: u64| {
        let text = if p.is_known() { units::bytes(bytes) } else { "?".to_owned() };
        (text, if bytes == 0 || p.mark().is_some() { theme.dim() } else { theme.text() })
    };
    let name = || {
        let branch = if row.depth > 0 { theme.glyphs.branch } else { "" };
        // Deep ones would have no room for their names.
        " ".repeat(2 * (row.depth.clamp(1, 4) - 1)) + branch
    };
    let (text, style) = match of {
        Of::Sorted(SortColumn::Pid) => (p.pid.to_string(), theme.text()),
        Of::Sorted(SortColumn::User) => (p.who.user.clone(), theme.dim()),
        Of::Sorted(SortColumn::Name) => {
            let gone = if gone { format!("{} ", theme.glyphs.gone) } else { String::new() };
            let style = if p.mark().is_some() { theme.dim() } else { theme.strong() };
            (format!("{}{gone}{}", name(), p.who.name), style)
        }
        Of::Sorted(SortColumn::Events) if p.mark().is_some() => ("-".to_owned(), theme.dim()),
        Of::Sorted(SortColumn::Events) => (units::count(p.events), theme.dim()),
        Of::Sorted(sorted) => amount(sorted.amount(p, dashboard.peaks)),
        Of::Container => (p.who.container().to_owned(), theme.dim()),
        Of::Chips => (row.chips(&dashboard.labels), theme.text()),
        Of::Peak => amount(p.peak.total),
        Of::Since => (p.since.map_or_else(|| "-".to_owned(), units::short_change), theme.text()),
        Of::Share => (String::new(), theme.text()),
        Of::Age => {
            let now = dashboard.seen.as_ref().map_or(0, |seen| seen.unix_ns);
            let age = now.saturating_sub(p.started_unix_ns);
            (if p.started_unix_ns == 0 { "-".to_owned() } else { units::age(age) }, theme.dim())
        }
        Of::Command if gone => ("gone".to_owned(), theme.text()),
        Of::Command => (p.command_line(), theme.dim()),
    };
    let incomplete = p.incomplete && matches!(of, Of::Sorted(SortColumn::Events));
    if gone {
        (text, theme.gone())
    } else if incomplete {
        (text, theme.warning())
    } else {
        (text, style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_give_way_by_weight() {
        let some = Wanted::default();
        let all = Wanted { since: true, containers: true, full: true };
        let titles = |width, wanted| chosen(width, wanted).iter().map(|column| column.title).collect::<Vec<_>>();
        assert_eq!(titles(38, some), ["PID", "NAME", "DRAM", "L1"]);
        assert_eq!(titles(76, some), ["PID", "USER", "NAME", "CHIPS", "DRAM", "L1", "CB", "COMMAND"]);
        assert_eq!(titles(156, some).len(), COLUMNS.len() - 4);
        assert_eq!(titles(200, all).len(), COLUMNS.len());
        assert_eq!(titles(38, Wanted { since: true, ..some }), ["PID", "NAME", "SINCE", "DRAM"]);
        assert_eq!(titles(6, some), [""; 0]);
        for width in 8..220 {
            let sum: usize = chosen(width, all).iter().map(|column| column.width + 1).sum::<usize>() - 1;
            assert!(sum <= width, "{width}");
        }
    }
}
