//! The process table. Columns give way by weight when it is narrow.

use super::arrange::Arrangement;
use super::canvas::{fitted, frame, put, span};
use super::dashboard::{Dashboard, Focus, ProcessRow};
use super::meter::Meter;
use super::notice::NO_PROCESS;
use super::order::SortColumn;
use crate::totals::ProcessTotals;
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Sorted(SortColumn),
    Chips,
    Since,
    Share,
    Command,
}

struct Spec {
    column: Column,
    width: usize,
    right: bool,
    /// The larger, the longer it stays.
    weight: u8,
}

const fn spec(column: Column, width: usize, right: bool, weight: u8) -> Spec {
    Spec { column, width, right, weight }
}

/// In the order in which they stand. The command takes what is left, and at least its width.
const COLUMNS: [Spec; 13] = [
    spec(Column::Sorted(SortColumn::Pid), 7, true, 99),
    spec(Column::Sorted(SortColumn::User), 8, false, 60),
    spec(Column::Sorted(SortColumn::Name), 12, false, 90),
    spec(Column::Chips, 6, false, 70),
    spec(Column::Sorted(SortColumn::Total), 8, true, 40),
    // There only where a baseline is set.
    spec(Column::Since, 7, true, 97),
    spec(Column::Share, 10, false, 10),
    spec(Column::Sorted(SortColumn::Dram), 8, true, 98),
    spec(Column::Sorted(SortColumn::L1), 8, true, 85),
    spec(Column::Sorted(SortColumn::Cb), 8, true, 55),
    spec(Column::Sorted(SortColumn::Other), 8, true, 30),
    spec(Column::Sorted(SortColumn::Events), 6, true, 20),
    spec(Column::Command, 12, false, 50),
];

impl Column {
    const fn title(self) -> &'static str {
        match self {
            Self::Sorted(column) => column.title(),
            Self::Chips => "CHIPS",
            Self::Since => "SINCE",
            Self::Share => "SHARE",
            Self::Command => "COMMAND",
        }
    }
}

/// The columns that fit, with their widths; `compared`: with what has come since a baseline.
fn chosen(width: usize, compared: bool) -> Vec<(&'static Spec, usize)> {
    let mut by_weight: Vec<usize> =
        (0..COLUMNS.len()).filter(|at| compared || COLUMNS[*at].column != Column::Since).collect();
    by_weight.sort_by_key(|at| std::cmp::Reverse(COLUMNS[*at].weight));
    let mut kept = Vec::new();
    let mut used = 0;
    for at in by_weight {
        let needs = COLUMNS[at].width + usize::from(!kept.is_empty());
        // The first that does not fit ends it: what appears at which width stays predictable.
        if used + needs > width {
            break;
        }
        used += needs;
        kept.push(at);
    }
    kept.sort_unstable();
    let spare = width.saturating_sub(used);
    kept.into_iter()
        .map(|at| {
            let spec = &COLUMNS[at];
            let wider = if spec.column == Column::Command { spare } else { 0 };
            (spec, spec.width + wider)
        })
        .collect()
}

/// Draws it.
pub fn draw(buffer: &mut Buffer, places: &Arrangement, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    let area = places.processes;
    let focused = dashboard.focus == Focus::Processes;
    let inside = if places.framed {
        let count = dashboard.rows.iter().filter(|row| row.gone_since_ns.is_none()).count();
        let mut title = Line::from(vec![span(" Processes ", theme.title()), span(format!("{count} "), theme.text())]);
        if !dashboard.filter.is_empty() {
            title.push_span(span(format!("of {} ", dashboard.processes), theme.text()));
            let room = usize::from(area.width).saturating_sub(title.width() + dashboard.sort.title().len() + 14);
            let text = shm_layout::text::clean(dashboard.filter.text().as_bytes());
            let text = fitted(&text, room.min(crate::table::width(&text)), false, theme);
            title.push_span(span(format!("{} {text} ", theme.glyphs.dot), theme.key()));
        }
        let arrow = theme.glyphs.sorted[usize::from(dashboard.sort.downwards() == dashboard.reversed)];
        let order = Line::from(span(format!(" by {} {arrow} ", dashboard.sort.title()), theme.dim()));
        let inside = frame(buffer, area, theme, focused, title, order);
        Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside }
    } else {
        area
    };
    let compared = dashboard.rows.iter().any(|row| row.totals.since.is_some());
    let columns = chosen(usize::from(inside.width), compared);
    put(buffer, inside, 0, &titles(dashboard, &columns));
    let body = Rect { y: inside.y + 1, height: inside.height.saturating_sub(1), ..inside };
    if dashboard.rows.is_empty() && dashboard.processes > 0 {
        let text = format!("none of {} is meant by the filter; / and Esc clear it", dashboard.processes);
        put(buffer, body, 0, &Line::from(span(text, theme.dim())));
        return;
    }
    if dashboard.rows.is_empty() {
        for (at, text) in (0..).zip(NO_PROCESS) {
            put(buffer, body, at, &Line::from(span(text, if at == 0 { theme.dim() } else { theme.key() })));
        }
        return;
    }
    let view = &dashboard.process_view;
    view.fit(dashboard.rows.len(), usize::from(body.height));
    if let Some(at) = dashboard.selected_at() {
        view.show(at);
    }
    let whole = dashboard.rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.totals.total));
    for (at, row) in (0..body.height).zip(dashboard.rows.iter().skip(view.offset.get())) {
        put(buffer, body, at, &line(dashboard, row, &columns, whole));
        if dashboard.selected == Some(row.totals.key()) {
            let place = Rect { y: body.y + at, height: 1, ..body };
            buffer.set_style(place.intersection(buffer.area), theme.selected());
        }
    }
}

fn titles(dashboard: &Dashboard, columns: &[(&Spec, usize)]) -> Line<'static> {
    let theme = dashboard.theme;
    let mut line = Line::default();
    for (spec, width) in columns {
        if !line.spans.is_empty() {
            line.spans.push(span(" ", theme.text()));
        }
        let sorted = spec.column == Column::Sorted(dashboard.sort);
        let arrow = theme.glyphs.sorted[usize::from(dashboard.sort.downwards() == dashboard.reversed)];
        let title = match (sorted, spec.right) {
            (false, _) => spec.column.title().to_owned(),
            (true, true) => format!("{arrow}{}", spec.column.title()),
            (true, false) => format!("{}{arrow}", spec.column.title()),
        };
        let style = if sorted { theme.key() } else { theme.strong().patch(theme.dim()) };
        line.spans.push(span(fitted(&title, *width, spec.right, theme), style));
    }
    line
}

fn line(dashboard: &Dashboard, row: &ProcessRow, columns: &[(&Spec, usize)], whole: u64) -> Line<'static> {
    let theme = dashboard.theme;
    let gone = row.gone_since_ns.is_some() || !row.totals.running;
    let mut line = Line::default();
    for (spec, width) in columns {
        if !line.spans.is_empty() {
            line.spans.push(span(" ", theme.text()));
        }
        if spec.column == Column::Share {
            let share = Meter { used: row.totals.total, capacity: Some(whole.max(1)), ..Meter::default() };
            let bar: String = share.spans(*width, theme).iter().map(|span| span.content.as_ref()).collect();
            line.spans.push(span(bar, if gone { theme.dim() } else { theme.graph(false) }));
            continue;
        }
        let (text, style) = cell(dashboard, row, spec.column, gone);
        line.spans.push(Span::styled(fitted(&text, *width, spec.right, theme), style));
    }
    line
}

fn cell(dashboard: &Dashboard, row: &ProcessRow, column: Column, gone: bool) -> (String, Style) {
    let theme = dashboard.theme;
    let p: &ProcessTotals = &row.totals;
    let amount = |bytes: u64| {
        let text = if p.is_known() { units::bytes(bytes) } else { "?".to_owned() };
        (text, if bytes == 0 || p.mark().is_some() { theme.dim() } else { theme.text() })
    };
    let (text, style) = match column {
        Column::Sorted(SortColumn::Pid) => (p.pid.to_string(), theme.text()),
        Column::Sorted(SortColumn::User) => (p.who.user.clone(), theme.dim()),
        Column::Sorted(SortColumn::Name) if gone => (format!("{} {}", theme.glyphs.gone, p.who.name), theme.text()),
        Column::Sorted(SortColumn::Name) if p.mark().is_some() => (p.who.name.clone(), theme.dim()),
        Column::Sorted(SortColumn::Name) => (p.who.name.clone(), theme.strong()),
        Column::Sorted(SortColumn::Total) => amount(p.total),
        Column::Sorted(SortColumn::Dram) => amount(p.dram),
        Column::Sorted(SortColumn::L1) => amount(p.l1),
        Column::Sorted(SortColumn::Cb) => amount(p.cb),
        Column::Sorted(SortColumn::Other) => amount(p.other),
        Column::Sorted(SortColumn::Events) if p.mark().is_some() => ("-".to_owned(), theme.dim()),
        Column::Sorted(SortColumn::Events) => (units::count(p.events), theme.dim()),
        Column::Chips => (row.chips(&dashboard.labels), theme.text()),
        Column::Since => (p.since.map_or_else(|| "-".to_owned(), units::short_change), theme.text()),
        Column::Share => (String::new(), theme.text()),
        Column::Command if gone => ("gone".to_owned(), theme.text()),
        Column::Command => (p.command_line(), theme.dim()),
    };
    let incomplete = p.incomplete && matches!(column, Column::Sorted(SortColumn::Events));
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
        let titles = |width| chosen(width, false).iter().map(|(spec, _)| spec.column.title()).collect::<Vec<_>>();
        assert_eq!(titles(38), ["PID", "NAME", "DRAM", "L1"]);
        assert_eq!(titles(76), ["PID", "USER", "NAME", "CHIPS", "DRAM", "L1", "CB", "COMMAND"]);
        assert_eq!(titles(156).len(), COLUMNS.len() - 1);
        assert_eq!(chosen(156, true).len(), COLUMNS.len());
        let compared: Vec<_> = chosen(38, true).iter().map(|(spec, _)| spec.column.title()).collect();
        assert_eq!(compared, ["PID", "NAME", "SINCE", "DRAM"]);
        assert_eq!(titles(6), [""; 0]);
        for width in 8..200 {
            let sum: usize = chosen(width, true).iter().map(|(_, width)| width + 1).sum::<usize>() - 1;
            assert!(sum <= width, "{width}");
        }
    }
}
