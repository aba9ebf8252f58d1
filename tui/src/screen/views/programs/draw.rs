//! The table of programs.

use super::rows::{Key, Row, Totals};
use crate::screen::canvas::{joined, mark_more, put, span};
use crate::screen::dashboard::Dashboard;
use crate::screen::notice::wrap;
use crate::screen::theme::Theme;
use crate::screen::views::columns::{Column, column, filling, line, tight};
use crate::screen::views::{headed, ledgers};
use crate::source::Observation;
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use shm_layout::event::Memory;
use shm_layout::stats::Chip;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Pid,
    Name,
    Device,
    Program,
    Buffers,
    Registered,
    Resident,
    Application,
    Fabric,
    Dispatch,
    Newest,
}

const COLUMNS: [Column<Of>; 11] = [
    column(Of::Pid, "PID", 7, true, 95),
    column(Of::Name, "NAME", 10, false, 70),
    // Without it a program is as many equal rows as there are devices.
    column(Of::Device, "DEVICE", 8, false, 96),
    column(Of::Program, "PROGRAM", 7, true, 99),
    column(Of::Buffers, "CBS", 5, true, 40),
    column(Of::Registered, "CB REG", 8, true, 98),
    column(Of::Resident, "RESIDENT", 8, true, 90),
    column(Of::Application, "KERNELS", 8, true, 85),
    column(Of::Fabric, "FABRIC", 8, true, 30),
    column(Of::Dispatch, "DISPATCH", 8, true, 35),
    column(Of::Newest, "NEWEST", 6, true, 60),
];

impl Of {
    fn is_sorted_by(self, key: Key) -> bool {
        matches!(
            (self, key),
            (Self::Registered, Key::Registered)
                | (Self::Application, Key::Kernels)
                | (Self::Newest, Key::Newest)
                | (Self::Pid, Key::Pid)
                | (Self::Program, Key::Program)
        )
    }
}

/// What is said where it could not be made.
const BROKEN: &str = "the table of what was read or chosen last is not made: what made it has broken off; the next reading, or another order or process, tries again";

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    let (theme, state) = (dashboard.theme, &dashboard.views.programs);
    // Of another choice it may still be being made.
    let choice = state.table.choice;
    let of = choice.of;
    let whose = of.and_then(|of| state.table.rows.iter().find(|row| row.owner() == of));
    let whose = match (whose, of) {
        (Some(row), _) => format!("of PID {} {} ", row.pid, row.name),
        (None, Some(_)) => "of a process that has none any more ".to_owned(),
        (None, None) => String::new(),
    };
    let arrow = theme.glyphs.sorted[usize::from(choice.key.downwards() == choice.reversed)];
    let title = Line::from(vec![
        span(" Programs ", theme.title()),
        span(format!("{} ", units::count(state.table.totals.programs)), theme.text()),
        span(whose, theme.strong()),
    ]);
    let order = Line::from(span(format!(" by {} {arrow} ", choice.key.word()), theme.dim()));
    let is_readable = !ledgers::are_unreadable(dashboard);
    let age = if is_readable { ledgers::age(state.table.read_ns, seen.now_ns) } else { None };
    let inside = headed(buffer, area, theme, title, order, age);
    if !is_readable {
        ledgers::draw_absence(buffer, inside, dashboard);
        return;
    }
    if state.is_awaited() {
        put(buffer, inside, 0, &Line::from(span("many allocations: the table is being made", theme.dim())));
        return;
    }
    if state.table.rows.is_empty() {
        let text = match state.table.all.is_empty() {
            true if state.broken => BROKEN,
            true => "no process has a program: they come with the first operation that runs on a device",
            false => "this process has no program any more: left and right show others",
        };
        let mut lines = wrap(text, usize::from(inside.width));
        lines.extend(ledgers::missing(dashboard).iter().flat_map(|text| wrap(text, usize::from(inside.width))));
        for (at, text) in (0..inside.height).zip(lines) {
            put(buffer, inside, at, &Line::from(span(text, theme.dim())));
        }
        return;
    }
    table(buffer, inside, dashboard, seen);
}

fn table(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    let (theme, state) = (dashboard.theme, &dashboard.views.programs);
    // The last column is for the marks.
    let width = usize::from(area.width.saturating_sub(2));
    let choice = state.table.choice;
    let mut notes = Vec::new();
    if state.broken {
        notes.push(BROKEN.to_owned());
    }
    if let Some(note) = cumulative(&seen.snapshot.chips, &dashboard.labels) {
        notes.push(note);
    }
    notes.extend(ledgers::missing(dashboard));
    let parts = |note: &String| wrap(note, width.saturating_sub(2)).into_iter().take(2).enumerate().collect::<Vec<_>>();
    let notes: Vec<(usize, String)> = notes.iter().flat_map(parts).collect();
    let noted = if area.height >= 8 { notes.len().min(3) as u16 } else { 0 };
    let totals = u16::from(area.height >= 4);
    let columns = filling(&COLUMNS, width);
    let arrow = theme.glyphs.sorted[usize::from(choice.key.downwards() == choice.reversed)];
    let head = line(&columns, theme, |column| {
        let sorted = column.of.is_sorted_by(choice.key);
        let style = if sorted { theme.key() } else { theme.strong().patch(theme.dim()) };
        (if sorted { format!("{arrow}{}", column.title) } else { column.title.to_owned() }, style)
    });
    put(buffer, area, 0, &head);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1 + totals + noted), ..area };
    let first = state.view.fit(state.table.rows.len(), usize::from(body.height));
    for (at, row) in (0..body.height).zip(state.table.rows.iter().skip(first)) {
        let line = line(&columns, theme, |column| cell(row, column.of, dashboard, seen));
        put(buffer, body, at, &line);
    }
    let below = first + usize::from(body.height) < state.table.rows.len();
    mark_more(buffer, body, theme, first > 0, below);
    if totals > 0 {
        put(buffer, Rect { y: body.bottom(), height: 1, ..area }, 0, &sums(&state.table.totals, width, theme));
    }
    let below = Rect { y: body.bottom() + totals, height: noted, ..area };
    for (at, (part, note)) in (0..noted).zip(notes) {
        let mark = span(format!("{} ", if part == 0 { theme.glyphs.trouble } else { " " }), theme.warning());
        put(buffer, below, at, &Line::from(vec![mark, span(note, theme.dim())]));
    }
}

fn cell(row: &Row, of: Of, dashboard: &Dashboard, seen: &Observation) -> (String, Style) {
    let theme = dashboard.theme;
    let amount = |bytes: u64| {
        if bytes == 0 { (format!("{:>6}", "-"), theme.dim()) } else { (units::bytes(bytes), theme.text()) }
    };
    match of {
        Of::Pid => (row.pid.to_string(), theme.text()),
        Of::Name => (if row.name.is_empty() { "?".to_owned() } else { row.name.clone() }, theme.strong()),
        Of::Device => (label(row, dashboard, &seen.snapshot.chips), theme.text()),
        Of::Program if row.program == 0 => ("-".to_owned(), theme.dim()),
        Of::Program => (row.program.to_string(), theme.text()),
        Of::Buffers => (units::count(row.buffers), theme.dim()),
        // More than is known.
        Of::Registered if row.size_unknown => (units::short_bytes(row.registered) + "+?", theme.warning()),
        Of::Registered => amount(row.registered),
        Of::Resident if row.resident => (units::bytes(row.registered), theme.good()),
        Of::Resident => amount(0),
        Of::Application => amount(row.application),
        Of::Fabric => amount(row.fabric),
        Of::Dispatch => amount(row.dispatch),
        Of::Newest => (units::age(seen.now_ns.saturating_sub(row.newest_ns)), theme.dim()),
    }
}

fn label(row: &Row, dashboard: &Dashboard, chips: &[Chip]) -> String {
    let at = chips.iter().position(|chip| Some((chip.chip_id, chip.id_is_logical)) == row.chip);
    at.and_then(|at| dashboard.labels.get(at)).cloned().unwrap_or_else(|| format!("{} ?", row.device))
}

fn sums(totals: &Totals, width: usize, theme: Theme) -> Line<'static> {
    let piece =
        |word: &str, bytes: u64| vec![span(format!("{word} "), theme.dim()), span(tight(bytes), theme.strong())];
    let pieces = vec![
        vec![span("all", theme.strong())],
        piece("registered", totals.registered),
        piece("resident", totals.resident),
        piece("kernels", totals.application),
        piece("fabric", totals.fabric),
        piece("dispatch", totals.dispatch),
        vec![span(format!("{} CBs", units::count(totals.buffers)), theme.dim())],
    ];
    joined(pieces, span("  ", theme.text()), width)
}

/// On which devices the application's kernels are more than their region holds at a time.
fn cumulative(chips: &[Chip], labels: &[String]) -> Option<String> {
    let is_more = |chip: &Chip| {
        let figures = &chip.memory[Memory::Kernel as usize];
        let application =
            figures.footprint_bytes.saturating_sub(figures.fabric_bytes).saturating_sub(figures.dispatch_bytes);
        figures.capacity().is_some_and(|capacity| application > capacity)
    };
    let on: Vec<&str> =
        chips.iter().zip(labels).filter(|(chip, _)| is_more(chip)).map(|(_, label)| label.as_str()).collect();
    (!on.is_empty()).then(|| {
        format!("kernels on {} are cumulative: loaded so far, more than their region holds at a time", on.join(", "))
    })
}
