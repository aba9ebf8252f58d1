//! The recent past: a chart for every memory kind of every device, with its axes.

mod axes;

use super::canvas::{joined, mark_more, put, side_by_side, span};
use super::dashboard::Dashboard;
use super::devices::short_name;
use super::graph;
use crate::baseline;
use crate::source::Observation;
use crate::table::{capacity, shown_memories};
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use shm_layout::event::Memory;
use shm_layout::stats::Chip;

/// A chart narrower than this does not stand beside another one.
const WIDTH_LEAST: u16 = 56;
/// Lines of a chart, its title and its time axis included, at least.
const HEIGHT_LEAST: u16 = 8;
/// Columns of the figures beside the vertical axis, and of the axis.
const AXIS: u16 = units::SHORT_BYTES_WIDTH as u16 + 1;

/// One chart: a device by its place, and what of it.
type Which<'a> = (usize, &'a Chip, Memory);

/// Draws as many as there is room for, from the first that is not scrolled away.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    let theme = dashboard.theme;
    let chips = seen.snapshot.chips.iter().enumerate();
    let charts: Vec<Which<'_>> = chips
        .flat_map(|(at, chip)| shown_memories(std::slice::from_ref(chip)).into_iter().map(move |m| (at, chip, m)))
        .collect();
    if charts.is_empty() {
        put(buffer, area, 0, &Line::from(span(" no device has told of any memory yet", theme.dim())));
        return;
    }
    let columns = (area.width / WIDTH_LEAST).clamp(1, 4);
    let rows = charts.len().div_ceil(usize::from(columns));
    let visible = usize::from(area.height / HEIGHT_LEAST).clamp(1, rows);
    let height = area.height / visible as u16;
    let first = dashboard.sheet.fit(rows, visible);
    let shown = charts.chunks(usize::from(columns)).skip(first).take(visible);
    for (line, row) in (0..).zip(shown) {
        let strip = Rect { y: area.y + line * height, height, ..area };
        for (place, which) in side_by_side(strip, columns, 2).into_iter().zip(row) {
            chart(buffer, place, dashboard, seen, which);
        }
    }
    mark_more(buffer, area, theme, first > 0, first + visible < rows);
}

fn chart(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation, which: &Which<'_>) {
    let theme = dashboard.theme;
    let (at, _, memory) = *which;
    // The last column is for the marks.
    put(buffer, area, 0, &title(dashboard, seen, which, usize::from(area.width.saturating_sub(2))));
    let plot = Rect {
        x: area.x + AXIS,
        y: area.y + 1,
        width: area.width.saturating_sub(AXIS + 1),
        height: area.height.saturating_sub(2),
    };
    let past = seen.past(at, memory, dashboard.window, graph::columns(plot.width, theme));
    let drawn = graph::graph(&past, usize::from(plot.height), theme);
    let l1 = matches!(memory, Memory::L1 | Memory::L1Small | Memory::Cb);
    let height = usize::from(plot.height);
    for (line, dots) in (0..plot.height).zip(drawn.lines) {
        let style = theme.graph_line(l1, height - 1 - usize::from(line), height);
        put(buffer, plot, line, &Line::from(span(dots, style)));
    }
    axes::bytes(buffer, area, drawn.top, theme);
    let axis = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    axes::time(buffer, axis, dashboard.window, theme);
}

/// `0 DRAM  24.1 GiB / 32.0 GiB  75%  14.2 MiB baseline, +4.30 MiB  +1.20 GiB in 10m  peak 26.0 GiB`; where it is narrow the peak
/// goes first, then the words of the baseline, then the others, then the capacity, then the share.
fn title(dashboard: &Dashboard, seen: &Observation, (at, chip, memory): &Which<'_>, width: usize) -> Line<'static> {
    let (theme, window) = (dashboard.theme, dashboard.window);
    let figures = &chip.memory[*memory as usize];
    // What is sampled, which of CBs is what is registered.
    let (now, whole) = (figures.footprint_bytes, capacity(chip, *memory));
    let name = if *memory == Memory::Cb { "CB registered" } else { short_name(*memory) };
    let label = dashboard.labels.get(*at).map_or("", String::as_str);
    let grown = seen.growth(*at, *memory, window);
    let form = |shorter: usize| {
        let mut pieces: Vec<Vec<Span<'static>>> =
            vec![vec![span(format!("{label} {name}"), theme.title())], vec![span(units::bytes(now), theme.strong())]];
        if let (Some(piece), Some(_), true) = (pieces.last_mut(), whole, shorter < 4) {
            piece.push(span(format!(" / {}", units::maybe_bytes(whole)), theme.dim()));
        }
        // Programs in the cache may have registered more than there is.
        if *memory != Memory::Cb && whole.is_some() && shorter < 5 {
            pieces.push(vec![span(units::percent(now, whole), theme.fill(units::fill(now, whole)))]);
        }
        let since = match shorter {
            0 | 1 => baseline::words(figures),
            2 | 3 => baseline::short_since(figures).map(|since| format!("baseline {since}")),
            _ => baseline::short_since(figures),
        };
        pieces.extend(since.map(|words| vec![span(words, theme.text())]));
        let grown = grown.map(|grown| if shorter < 3 { grown.words(window) } else { grown.short(window) });
        pieces.push(vec![span(grown.unwrap_or_else(|| window.name()), theme.strong())]);
        if shorter == 0 {
            pieces.push(vec![span(format!("peak {}", units::bytes(figures.peak_footprint_bytes)), theme.dim())]);
        }
        pieces
    };
    let gap = || span("  ", theme.text());
    let fits = |pieces: &Vec<Vec<Span<'static>>>| {
        let wide: usize = pieces.iter().flatten().map(Span::width).sum();
        wide + gap().width() * (pieces.len() - 1) <= width
    };
    joined((0..5).map(form).find(fits).unwrap_or_else(|| form(5)), gap(), width)
}
