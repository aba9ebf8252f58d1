//! The devices: a panel each, or a line each when they are many or the terminal is small.

use super::arrange::{Arrangement, Devices};
use super::canvas::{fitted, frame, joined, put, side_by_side, span};
use super::dashboard::{Dashboard, Focus};
use super::graph;
use super::meter::Meter;
use super::theme::Theme;
use crate::baseline;
use crate::source::Observation;
use crate::table::{capacity, chip_name, used};
use crate::telemetry;
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use shm_layout::event::{Arch, Memory};
use shm_layout::stats::{Chip, Figures};

/// Columns of the names in a panel; bars and graphs start behind them.
const LABEL: usize = 10;
/// Width from which a panel's bars carry all their figures.
const FIGURES_FROM: usize = 50;
/// Width from which they also carry the peak; below, the mark on the bar must do.
const PEAK_FROM: usize = 66;
/// Width from which they carry the peak and what has come since the baseline.
const BOTH_FROM: usize = 85;
/// Width from which L1 has a graph of its own.
const TWO_GRAPHS_FROM: usize = 56;

/// Draws them; `kinds` are the memory kinds that any chip has.
pub fn draw(buffer: &mut Buffer, places: &Arrangement, dashboard: &Dashboard, seen: &Observation, kinds: &[Memory]) {
    let area = places.devices;
    let chips = &seen.snapshot.chips;
    if area.is_empty() || chips.is_empty() {
        return;
    }
    match places.style {
        Devices::Panels { columns, kinds: most, graph } => {
            let kinds = &kinds[..kinds.len().min(usize::from(most))];
            let height = 2 + most + graph;
            let rows =
                (0..).step_by(usize::from(columns)).map_while(|first| chips.get(first..).filter(|c| !c.is_empty()));
            for (line, chips_here) in (0..).zip(rows) {
                let strip = Rect { y: area.y + line * height, height, ..area };
                let cells = side_by_side(strip, columns, 0);
                for (at, (cell, chip)) in cells.iter().zip(chips_here).enumerate() {
                    let place = usize::from(line) * usize::from(columns) + at;
                    panel(buffer, *cell, dashboard, seen, place, chip, kinds, graph);
                }
            }
        }
        Devices::Lines => lines(buffer, places, dashboard, chips, kinds),
    }
}

/// `0 · 0x1c · blackhole p150b · 45 C 38 W 1350 MHz · 140 cores`, as much of it as fits; what the driver tells,
/// where so many columns are left beside it.
fn title(
    dashboard: &Dashboard,
    at: usize,
    chip: &Chip,
    now_unix_ns: u64,
    width: usize,
    beside: usize,
) -> Line<'static> {
    let theme = dashboard.theme;
    let label = dashboard.labels.get(at).cloned().unwrap_or_default();
    let board = shm_layout::text::load(&chip.board);
    let arch = Arch::from_u32(chip.arch).name();
    let kind = if board.is_empty() { arch.to_owned() } else { format!("{arch} {board}") };
    let mut pieces = vec![
        vec![span(format!(" {label}"), theme.title())],
        vec![span(chip_name(chip), theme.text())],
        vec![span(kind, theme.text())],
    ];
    if let Some(mark) = telemetry::mark(chip) {
        pieces.push(vec![span(mark, theme.dim())]);
    }
    // What the driver tells has room beside the rest or none, so that nothing else moves.
    let beside = beside + 1;
    let room = |pieces: &[Vec<Span<'_>>]| {
        let taken: usize = pieces.iter().flatten().map(|piece| piece.width() + 3).sum();
        width.saturating_sub(taken + beside)
    };
    let mut words = telemetry::words(&chip.telemetry, now_unix_ns);
    while !words.is_empty() && words.join(" ").len() > room(&pieces) {
        words.pop();
    }
    let told = !words.is_empty();
    if told {
        pieces.push(vec![span(words.join(" "), theme.text())]);
    }
    let cores = format!("{} cores", chip.tensix_cores);
    if chip.tensix_cores > 0 && (!told || cores.len() <= room(&pieces)) {
        pieces.push(vec![span(cores, theme.dim())]);
    }
    let gap = span(format!(" {} ", theme.glyphs.dot), theme.dim());
    let mut line = joined(pieces, gap, width.saturating_sub(1));
    line.spans.push(span(" ", theme.text()));
    line
}

#[allow(clippy::too_many_arguments, reason = "one caller, above")]
fn panel(
    buffer: &mut Buffer,
    area: Rect,
    dashboard: &Dashboard,
    seen: &Observation,
    at: usize,
    chip: &Chip,
    kinds: &[Memory],
    graph_lines: u16,
) {
    let theme = dashboard.theme;
    let processes = match (chip.processes, area.width >= 60) {
        (1, true) => " 1 process ".to_owned(),
        (n, true) => format!(" {n} processes "),
        (n, false) => format!(" {n} proc "),
    };
    let holders = Line::from(span(processes, theme.dim()));
    let title = title(dashboard, at, chip, seen.unix_ns, usize::from(area.width.saturating_sub(4)), holders.width());
    let inside = frame(buffer, area, theme, dashboard.focus == Focus::Devices, title, holders);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    for (line, memory) in (0..inside.height).zip(kinds) {
        let compared = kinds.iter().any(|memory| chip.memory[*memory as usize].baseline != 0);
        put(buffer, inside, line, &memory_line(chip, *memory, usize::from(inside.width), compared, theme));
    }
    let below = Rect {
        y: inside.y + inside.height.saturating_sub(graph_lines),
        height: graph_lines.min(inside.height),
        ..inside
    };
    graphs(buffer, below, dashboard, seen, at);
}

/// A memory kind's name, in at most eight columns.
pub const fn short_name(memory: Memory) -> &'static str {
    match memory {
        Memory::SystemMemory => "HOST",
        other => other.name(),
    }
}

fn meter(chip: &Chip, memory: Memory) -> Meter {
    let figures = &chip.memory[memory as usize];
    let (beyond, peak) = match memory {
        // The peak of CBs is of what is registered, another figure than the bar's.
        Memory::Cb => (figures.footprint_bytes, 0),
        _ => (0, figures.peak_footprint_bytes),
    };
    Meter { used: used(memory, figures), beyond, peak, capacity: capacity(chip, memory) }
}

/// `DRAM      ██████▌···  24.1 GiB / 32.0 GiB  75%  peak 26.0 GiB`; with `compared` what has come since the baseline stands beside the peak,
/// in its place, or in that of the capacity, by the room that there is.
fn memory_line(chip: &Chip, memory: Memory, width: usize, compared: bool, theme: Theme) -> Line<'static> {
    let meter = meter(chip, memory);
    let figures = &chip.memory[memory as usize];
    let mut spans = vec![span(format!("{:<LABEL$}", short_name(memory)), theme.strong())];
    let share = span(units::percent(meter.used, meter.capacity), theme.fill(meter.fill()));
    let mut tail = Vec::new();
    if width >= FIGURES_FROM {
        let (word, second) = match memory {
            Memory::Cb => ("reg ", figures.footprint_bytes),
            _ => ("peak", figures.peak_footprint_bytes),
        };
        tail.extend([
            span(format!(" {}", units::bytes(meter.used)), theme.strong()),
            span(format!(" / {}", units::maybe_bytes(meter.capacity)), theme.dim()),
            span(" ", theme.text()),
            share,
        ]);
        let peak = span(format!("  {word} {}", units::bytes(second)), theme.dim());
        let since = baseline::short(figures).map(|text| span(format!("  {text}"), theme.text()));
        // What is compared of CBs is what is registered: not without that figure beside it.
        let in_its_place = since.clone().filter(|_| memory != Memory::Cb);
        match (width, compared) {
            (..PEAK_FROM, false) => {}
            (..PEAK_FROM, true) => {
                let text = short_since(memory, figures).unwrap_or_default();
                tail.push(span(format!("  {text:>width$}", width = units::SHORT_CHANGE_WIDTH), theme.text()));
            }
            (_, false) => tail.push(peak),
            (..BOTH_FROM, true) => tail.push(padded(in_its_place.unwrap_or(peak))),
            (_, true) => tail.extend([peak, padded(since.unwrap_or_default())]),
        }
    } else {
        tail.push(span(format!(" {}", units::short_bytes(meter.used)), theme.strong()));
        tail.push(match short_since(memory, figures) {
            Some(since) => span(format!(" {since}"), theme.text()),
            None => span(format!("/{}", units::maybe_short_bytes(meter.capacity).trim_start()), theme.dim()),
        });
        let used: usize = tail.iter().map(Span::width).sum();
        tail.push(span(" ".repeat((12 + usize::from(compared)).saturating_sub(used)), theme.text()));
        tail.push(share);
    }
    let used: usize = spans.iter().chain(&tail).map(Span::width).sum();
    spans.extend(meter.spans(width.saturating_sub(used), theme));
    spans.extend(tail);
    Line::from(spans)
}

/// What has come since the baseline, where it is of the figure that stands beside it.
fn short_since(memory: Memory, figures: &Figures) -> Option<String> {
    if memory == Memory::Cb { None } else { baseline::short_since(figures) }
}

/// As wide as what has come since a baseline.
fn padded(mut piece: Span<'static>) -> Span<'static> {
    let missing = (2 + baseline::SHORT_WIDTH).saturating_sub(piece.width());
    piece.content.to_mut().push_str(&" ".repeat(missing));
    piece
}

/// DRAM's graph, and L1's beside it where there is room.
fn graphs(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation, chip: usize) {
    if area.is_empty() {
        return;
    }
    let mut one = |area: Rect, memory: Memory| one_graph(buffer, area, dashboard, seen, chip, memory);
    if usize::from(area.width) < TWO_GRAPHS_FROM {
        one(area, Memory::Dram);
        return;
    }
    let halves = side_by_side(area, 2, 2);
    one(halves[0], Memory::Dram);
    one(halves[1], Memory::L1);
}

/// What it is, what its full height stands for, and how long its width lasts; then the graph.
fn one_graph(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation, chip: usize, memory: Memory) {
    let (theme, l1) = (dashboard.theme, memory == Memory::L1);
    let place = Rect { x: area.x + LABEL as u16, width: area.width.saturating_sub(LABEL as u16), ..area };
    let past = seen.past(chip, memory, dashboard.window, graph::columns(place.width, theme));
    let drawn = graph::graph(&past, usize::from(area.height), theme);
    let (name, window) = (short_name(memory), dashboard.window.name());
    // The time is told in any height: a key changes it.
    let (first, third) =
        if area.height < 3 { (format!("{name} {window}"), String::new()) } else { (name.to_owned(), window) };
    let caption = [
        span(first, theme.graph(l1)),
        span(format!("max {}", units::short_bytes(drawn.top).trim_start()), theme.dim()),
        span(third, theme.dim()),
    ];
    let height = usize::from(area.height);
    for (at, line) in (0..area.height).zip(drawn.lines) {
        put(buffer, place, at, &Line::from(span(line, theme.graph_line(l1, height - 1 - usize::from(at), height))));
    }
    for (at, text) in (0..area.height).zip(caption) {
        let area = Rect { width: area.width.min(LABEL as u16 - 1), ..area };
        put(buffer, area, at, &Line::from(text));
    }
}

fn lines(buffer: &mut Buffer, places: &Arrangement, dashboard: &Dashboard, chips: &[Chip], kinds: &[Memory]) {
    let theme = dashboard.theme;
    let focused = dashboard.focus == Focus::Devices;
    let inside = if places.framed {
        let title = Line::from(vec![span(" Devices ", theme.title()), span(format!("{} ", chips.len()), theme.text())]);
        let inside = frame(buffer, places.devices, theme, focused, title, Line::default());
        Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside }
    } else {
        places.devices
    };
    let first = dashboard.device_view.fit(chips.len(), usize::from(inside.height));
    let widest = dashboard.labels.iter().map(String::len).max().unwrap_or(1);
    let compared = chips.iter().any(|chip| kinds.iter().any(|memory| chip.memory[*memory as usize].baseline != 0));
    // A mark has columns of its own: on a figure it would be read as part of it.
    let marks = if chips.len() > usize::from(inside.height) { 2 } else { 0 };
    for (line, at) in (0..inside.height).zip(first..chips.len()) {
        let label = dashboard.labels.get(at).map_or("", String::as_str);
        let mut spans = vec![span(format!("{label:>widest$} "), theme.title())];
        let width = usize::from(inside.width).saturating_sub(widest + 1 + marks);
        spans.extend(device_line(&chips[at], kinds, width, compared, theme));
        let text = Line::from(spans);
        put(buffer, inside, line, &text);
    }
    // Marks that there is more above or below.
    let marks = [(first > 0, 0), (first + usize::from(inside.height) < chips.len(), inside.height.saturating_sub(1))];
    for (cut, line) in marks {
        if cut && inside.width > 0 && inside.height > 0 {
            let edge = Rect { x: inside.right() - 1, width: 1, ..inside };
            put(buffer, edge, line, &Line::from(span(theme.glyphs.more, theme.warning())));
        }
    }
}

/// `DRAM ████▌··· 24.1G/32.0G  75%  L1 …`: as many kinds as fit with their figures.
fn device_line(chip: &Chip, kinds: &[Memory], width: usize, compared: bool, theme: Theme) -> Vec<Span<'static>> {
    const BAR_LEAST: usize = 6;
    // "DRAM" + blank + bar + blank + " 24.1G" + blank + " 75%", and perhaps blank + "+4.30M"
    let since_width = if compared { 1 + units::SHORT_CHANGE_WIDTH } else { 0 };
    let fixed = 5 + 1 + 5 + since_width + 5;
    let kinds = &kinds[..kinds.len().min(3)];
    let fitting = (1..=kinds.len()).rev().find(|n| n * (fixed + BAR_LEAST) + (n - 1) * 2 <= width).unwrap_or(1);
    let each = (width.saturating_sub((fitting - 1) * 2)) / fitting;
    let mut spans = Vec::new();
    for memory in kinds.iter().take(fitting) {
        if !spans.is_empty() {
            spans.push(span("  ", theme.text()));
        }
        let meter = meter(chip, *memory);
        let with_figure = each >= fixed + BAR_LEAST - 2;
        let bar = each.saturating_sub(if with_figure { fixed } else { 5 + 5 });
        spans.push(span(fitted(short_name(*memory), 5, false, theme), theme.strong()));
        spans.extend(meter.spans(bar, theme));
        if with_figure {
            spans.push(span(format!(" {}", units::short_bytes(meter.used)), theme.text()));
            let since = short_since(*memory, &chip.memory[*memory as usize]).unwrap_or_default();
            spans.push(span(format!("{since:>since_width$}"), theme.text()));
        }
        spans.push(span(format!(" {}", units::percent(meter.used, meter.capacity)), theme.fill(meter.fill())));
    }
    spans
}
