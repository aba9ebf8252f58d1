//! The recent past: a chart for every memory kind of every device, with its axes.

use super::canvas::{joined, put, put_right, side_by_side, span};
use super::dashboard::Dashboard;
use super::devices::short_name;
use super::graph::graph;
use super::theme::Theme;
use crate::baseline;
use crate::source::Observation;
use crate::table::{capacity, shown_memories};
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use shm_layout::event::Memory;
use shm_layout::stats::{Chip, HISTORY_SAMPLES};

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
    // Marks that there is more above or below.
    let marks = [(first > 0, 0), (first + visible < rows, area.height.saturating_sub(1))];
    for (_, line) in marks.into_iter().filter(|(cut, _)| *cut) {
        put_right(buffer, area, line, &Line::from(span(theme.glyphs.more, theme.warning())));
    }
}

fn chart(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation, which: &Which<'_>) {
    let theme = dashboard.theme;
    let (at, _, memory) = *which;
    // The last column is for the marks.
    put(buffer, area, 0, &title(dashboard, which, usize::from(area.width.saturating_sub(2))));
    let plot = Rect {
        x: area.x + AXIS,
        y: area.y + 1,
        width: area.width.saturating_sub(AXIS + 1),
        height: area.height.saturating_sub(2),
    };
    let samples = seen.history.get(at).map_or(&[][..], |history| history.of(memory));
    // Whole samples in a column: of all that are kept, as many as fill the width.
    let columns = usize::from(plot.width) * if theme.glyphs.braille { 2 } else { 1 };
    let most = (HISTORY_SAMPLES / columns.max(1)).max(1) * columns;
    let samples = &samples[samples.len().saturating_sub(most)..];
    let drawn = graph(samples, seen.history_head, usize::from(plot.width), usize::from(plot.height), theme);
    let l1 = matches!(memory, Memory::L1 | Memory::L1Small | Memory::Cb);
    for (line, dots) in (0..plot.height).zip(drawn.lines) {
        put(buffer, plot, line, &Line::from(span(dots, theme.graph(l1))));
    }
    bytes_axis(buffer, area, drawn.top, theme);
    let axis = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    let span_s = (drawn.samples as u64).saturating_mul(Observation::SECONDS_PER_SAMPLE);
    time_axis(buffer, axis, span_s, theme);
}

/// `0 DRAM  24.1 GiB / 32.0 GiB  75%  14.2 MiB baseline, +4.30 MiB  peak 26.0 GiB`; where it is narrow the peak goes first, then the words, then
/// the capacity.
fn title(dashboard: &Dashboard, (at, chip, memory): &Which<'_>, width: usize) -> Line<'static> {
    let theme = dashboard.theme;
    let figures = &chip.memory[*memory as usize];
    // What is sampled, which of CBs is what is registered.
    let (now, whole) = (figures.footprint_bytes, capacity(chip, *memory));
    let name = if *memory == Memory::Cb { "CB registered" } else { short_name(*memory) };
    let label = dashboard.labels.get(*at).map_or("", String::as_str);
    let all = |with_whole: bool, since: Option<String>, peak: bool| {
        let mut pieces: Vec<Vec<Span<'static>>> =
            vec![vec![span(format!("{label} {name}"), theme.title())], vec![span(units::bytes(now), theme.strong())]];
        if let (Some(piece), Some(_), true) = (pieces.last_mut(), whole, with_whole) {
            piece.push(span(format!(" / {}", units::maybe_bytes(whole)), theme.dim()));
        }
        // Programs in the cache may have registered more than there is.
        if *memory != Memory::Cb && whole.is_some() {
            pieces.push(vec![span(units::percent(now, whole), theme.fill(units::fill(now, whole)))]);
        }
        pieces.extend(since.map(|words| vec![span(words, theme.text())]));
        pieces.extend(
            peak.then(|| vec![span(format!("peak {}", units::bytes(figures.peak_footprint_bytes)), theme.dim())]),
        );
        pieces
    };
    let gap = || span("  ", theme.text());
    let (words, short) = (|| baseline::words(figures), || baseline::short_since(figures));
    let forms = [all(true, words(), true), all(true, words(), false), all(true, short(), false)];
    let fits = |pieces: &&Vec<Vec<Span<'static>>>| {
        let wide: usize = pieces.iter().flatten().map(Span::width).sum();
        wide + gap().width() * (pieces.len() - 1) <= width
    };
    let form = forms.iter().find(fits).cloned().unwrap_or_else(|| all(false, short(), false));
    joined(form, gap(), width)
}

/// What the top, the middle and the bottom stand for, and the axis.
fn bytes_axis(buffer: &mut Buffer, area: Rect, top: u64, theme: Theme) {
    let height = area.height.saturating_sub(2);
    let vertical = theme.glyphs.border.vertical_left;
    for line in 0..height {
        let label = match line {
            0 => units::short_bytes(top),
            _ if line + 1 == height => units::short_bytes(0),
            // In the middle of an odd height only: elsewhere it would stand for another amount than it says.
            _ if height % 2 == 1 && height >= 5 && line == height / 2 => units::short_bytes(top / 2),
            _ => String::new(),
        };
        let text = format!("{label:>width$}{vertical}", width = units::SHORT_BYTES_WIDTH);
        put(buffer, area, line + 1, &Line::from(span(text, theme.dim())));
    }
}

/// `╰─5m20s ago ──── 2m40s ────── now`.
fn time_axis(buffer: &mut Buffer, axis: Rect, span_s: u64, theme: Theme) {
    let border = theme.glyphs.border;
    let from = Rect { x: axis.x + AXIS - 1, width: axis.width.saturating_sub(AXIS), ..axis };
    let width = usize::from(from.width).saturating_sub(1);
    let line = border.bottom_left.to_owned() + &border.horizontal_bottom.repeat(width);
    put(buffer, from, 0, &Line::from(span(line, theme.dim())));
    let age = |seconds: u64| units::age(seconds.saturating_mul(1_000_000_000));
    let first = format!("{} ago ", age(span_s));
    put(
        buffer,
        Rect { x: from.x + 1, width: from.width.saturating_sub(1), ..from },
        0,
        &Line::from(span(&first, theme.dim())),
    );
    put_right(buffer, from, 0, &Line::from(span(" now", theme.dim())));
    let middle = format!(" {} ", age(span_s / 2));
    if width >= 3 * (first.len() + middle.len()) / 2 + 8 {
        let x = from.x + 1 + (width / 2) as u16 - (middle.len() / 2) as u16;
        put(buffer, Rect { x, width: middle.len() as u16, ..from }, 0, &Line::from(span(middle, theme.dim())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_fit_into_any_width() {
        for width in 0..80 {
            for height in 0..12 {
                for ascii in [false, true] {
                    let theme = Theme::new(false, ascii);
                    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                    let area = buffer.area;
                    bytes_axis(&mut buffer, area, 25_000_000_000, theme);
                    time_axis(
                        &mut buffer,
                        Rect { y: height.saturating_sub(1), height: height.min(1), ..area },
                        320,
                        theme,
                    );
                }
            }
        }
    }
}
