//! The map: rows of cells with a scale of addresses, who holds what, and the block under the cursor.

use super::State;
use super::cells::{Cell, Cells, each};
use super::words;
use crate::screen::canvas::{joined, put, span};
use crate::screen::dashboard::Dashboard;
use crate::screen::devices::short_name;
use crate::screen::notice::wrap;
use crate::screen::theme::Theme;
use crate::screen::views::columns::tight;
use crate::screen::views::{headed, ledgers};
use crate::source::Observation;
use crate::space::Space;
use crate::space::caveats::caveats;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// The letters of the holders; all the others have the last.
const LETTERS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "*"];

/// The same where less than half of a cell is taken.
const SMALL: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "*"];
/// Below this width the figures are said in short.
const NARROW: usize = 56;

/// What is said where it could not be made.
const BROKEN: &str = "the map of what was read last is not made: what made it has broken off; the next reading, or another device or memory kind, tries again";

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    let (theme, state) = (dashboard.theme, &dashboard.views.map);
    let memory = state.shown_memory();
    let place = state.place();
    let chips = seen.snapshot.chips.len();
    let label = place.and_then(|at| dashboard.labels.get(at)).map_or("?", String::as_str);
    let kinds: Vec<Span<'static>> = state
        .kinds()
        .iter()
        .flat_map(|kind| {
            let style = if *kind == memory { theme.selected() } else { theme.dim() };
            [span(format!(" {} ", short_name(*kind)), style)]
        })
        .collect();
    let mut title = vec![span(format!(" Map {label} "), theme.title())];
    title.extend(kinds);
    title.push(span(" ", theme.text()));
    let zoom = if state.zoom > 0 { format!("zoom {} {} ", state.zoom, theme.glyphs.dot) } else { String::new() };
    let right = place.map_or_else(String::new, |at| format!(" {zoom}device {} of {chips} ", at + 1));
    let is_readable = !ledgers::are_unreadable(dashboard);
    let age = state.made.as_ref().filter(|_| is_readable).and_then(|made| ledgers::age(made.read_ns, seen.now_ns));
    // Where they do not fit beside each other, the one that is shown stands alone.
    let beside = age.as_ref().map_or(2, |age| age.len() + 7);
    if title.iter().map(Span::width).sum::<usize>() + beside > usize::from(area.width) {
        title.truncate(1);
        title.push(span(format!(" {} ", short_name(memory)), theme.selected()));
        title.push(span(" ", theme.text()));
    }
    let (title, right) = (Line::from(title), Line::from(span(right, theme.dim())));
    let inside = headed(buffer, area, theme, title, right, age);
    if chips == 0 {
        put(buffer, inside, 0, &Line::from(span("no device has told of any memory yet", theme.dim())));
        return;
    }
    if state.is_awaited() {
        put(buffer, inside, 0, &Line::from(span("many allocations: the map is being made", theme.dim())));
        return;
    }
    if state.broken && state.made.is_none() {
        write_wrapped(buffer, inside, 0, &[BROKEN.to_owned()], theme);
        return;
    }
    let Some(space) = state.space().filter(|_| is_readable) else {
        ledgers::draw_absence(buffer, inside, dashboard);
        return;
    };
    let chip = place.and_then(|at| seen.snapshot.chips.get(at));
    let mut caveats = caveats(space, memory, chip, seen);
    if state.broken {
        caveats.insert(0, BROKEN.to_owned());
    }
    caveats.extend(ledgers::missing(dashboard));
    body(buffer, inside, dashboard, space, &caveats, seen.now_ns);
}

fn body(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, space: &Space, caveats: &[String], now_ns: u64) {
    let (theme, state) = (dashboard.theme, &dashboard.views.map);
    let width = usize::from(area.width);
    let memory = state.shown_memory();
    let gap = span("  ", theme.text());
    let roomy = area.height >= 10;
    let mut head = if width < NARROW {
        let pieces = words::short_figures(space).into_iter().map(|text| vec![span(text, theme.text())]).collect();
        vec![joined(pieces, span(" ", theme.text()), width)]
    } else {
        let mut pieces: Vec<Span<'static>> =
            words::figures(space).into_iter().map(|text| span(text, theme.text())).collect();
        if roomy {
            pieces.push(span(ascii(words::banks(space, memory), theme), theme.dim()));
        }
        flowed(pieces, width)
    };
    if !roomy {
        head.truncate(1);
    }
    let Some(range) = state.range() else {
        put(buffer, area, 0, &head[0]);
        let nothing = format!("nothing of {} is allocated on this device", short_name(memory));
        put(buffer, area, 2, &Line::from(span(nothing, theme.dim())));
        write_wrapped(buffer, area, 4, caveats, theme);
        return;
    };
    // Below the map: who holds it, the block under the cursor.
    let mut tail = vec![];
    if roomy {
        let mut pieces = legend(space, theme);
        pieces.extend(shades(space, theme));
        // As many lines as there will be, however the rest is arranged.
        let of_cell = tight(cell_bytes(range, area, head.len() + 3));
        pieces.push(vec![span(format!("{of_cell} a cell"), theme.dim())]);
        tail.push(joined(pieces, gap.clone(), width));
    }
    if let Some(block) = state.block() {
        let (first, second) = words::block(space, block, words::digits(range.1), now_ns);
        // Whose it is matters more than which of them.
        let whose = first.first().map_or(0, |text| crate::table::width(text));
        let count = format!(" {}/{}", state.at + 1, space.blocks.len());
        let count = if 1 + count.len() + 2 + whose > width { String::new() } else { count };
        let mut pieces = vec![vec![span(format!("{}{count}", theme.glyphs.cursor), theme.key())]];
        pieces.extend(first.into_iter().map(|text| vec![span(ascii(text, theme), theme.strong())]));
        tail.push(joined(pieces, gap.clone(), width));
        if roomy {
            let dim = |text: String| vec![span(text, theme.dim())];
            let mut pieces = vec![vec![span("  ", theme.text())]];
            pieces.extend(second.into_iter().map(dim));
            tail.push(joined(pieces, gap, width));
        }
    }
    let warned = if area.height >= 8 { caveats.iter().take(if roomy { 3 } else { 1 }).collect() } else { Vec::new() };
    for text in warned {
        for (at, part) in wrap(text, width.saturating_sub(2)).into_iter().take(if roomy { 2 } else { 1 }).enumerate() {
            let mark = if at == 0 { theme.glyphs.trouble } else { " " };
            let mark = span(format!("{mark} "), theme.warning());
            tail.push(Line::from(vec![mark, span(part, theme.dim())]));
        }
    }
    for (at, line) in (0..).zip(&head) {
        put(buffer, area, at, line);
    }
    let rows = usize::from(area.height).saturating_sub(head.len() + tail.len());
    let map = Rect { y: area.y + head.len() as u16, height: rows as u16, ..area };
    draw_cells(buffer, map, state, space, range, theme);
    let below = Rect { y: map.bottom(), height: area.bottom().saturating_sub(map.bottom()), ..area };
    for (at, line) in (0..).zip(&tail) {
        put(buffer, below, at, line);
    }
}

/// Columns of the scale on the left.
fn scale((_, end): (u64, u64)) -> u16 {
    words::digits(end) as u16 + 3
}

fn cell_bytes((first, end): (u64, u64), area: Rect, others: usize) -> u64 {
    let rows = u64::from(area.height).saturating_sub(others as u64 + 1).max(1);
    let columns = u64::from(area.width.saturating_sub(scale((first, end)))).max(1);
    each((first, end), (rows * columns) as usize)
}

fn draw_cells(buffer: &mut Buffer, area: Rect, state: &State, space: &Space, range: (u64, u64), theme: Theme) {
    let scale = scale(range);
    let columns = usize::from(area.width.saturating_sub(scale));
    let count = columns * usize::from(area.height);
    if count == 0 {
        return;
    }
    let Some(cells) = state.cells(count) else { return };
    let under = state.block().map_or(0..0, |block| cells.range(block.begin, block.end()));
    let digits = words::digits(range.1);
    for row in 0..area.height {
        let from = usize::from(row) * columns;
        let first = cells.first.saturating_add(cells.each.saturating_mul(from as u64));
        let mut line = Line::default();
        if first < range.1 {
            line.spans.push(span(format!("{} ", words::address(first, digits)), theme.dim()));
            line.spans.extend(spans(&cells, from, columns, space.who.len(), &under, range.1, theme));
        }
        put(buffer, area, row, &line);
    }
}

/// One row, equal neighbours in one span.
fn spans(
    cells: &Cells,
    from: usize,
    columns: usize,
    holders: usize,
    under: &std::ops::Range<usize>,
    end: u64,
    theme: Theme,
) -> Vec<Span<'static>> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    for at in from..from + columns {
        let begin = cells.first.saturating_add(cells.each.saturating_mul(at as u64));
        if begin >= end {
            break;
        }
        let (glyph, mut style) = looks(&cells.cells[at], cells.each.min(end - begin), holders, theme);
        if under.contains(&at) {
            style = style.remove_modifier(Modifier::DIM).patch(theme.selected());
        }
        match spans.last_mut() {
            Some(last) if last.style == style => last.content.to_mut().push_str(glyph),
            _ => spans.push(span(glyph, style)),
        }
    }
    spans
}

/// How a cell looks: with one holder how full it is, with several whose most of it is.
fn looks(cell: &Cell, whole: u64, holders: usize, theme: Theme) -> (&'static str, Style) {
    if cell.shared {
        return ("!", theme.error());
    }
    let Some((who, most)) = cell.most else {
        return match cell.begins {
            Some(who) if holders > 1 => (letter(who), theme.holder(who, false)),
            Some(who) => (theme.glyphs.peak, theme.holder(who, false)),
            None => (theme.glyphs.track, theme.dim()),
        };
    };
    let half = whole.div_ceil(2);
    // Blocks that fill cells stand out from their neighbours.
    let style = theme.holder(who, cell.odd && most >= half);
    if holders > 1 {
        return (if cell.taken >= half { letter(who) } else { SMALL[who.min(SMALL.len() - 1)] }, style);
    }
    let levels = theme.glyphs.levels;
    // The fullest glyph is for full cells only.
    let level = (u128::from(cell.taken) * (levels.len() as u128 - 1) / u128::from(whole.max(1))) as usize;
    (levels[level.min(levels.len() - 1)], style)
}

fn letter(who: usize) -> &'static str {
    LETTERS[who.min(LETTERS.len() - 1)]
}

fn legend(space: &Space, theme: Theme) -> Vec<Vec<Span<'static>>> {
    let named = space.who.iter().enumerate().take(LETTERS.len() - 1);
    let mut pieces: Vec<Vec<Span<'static>>> = named
        .map(|(at, who)| {
            let mark = if space.who.len() > 1 { letter(at) } else { theme.glyphs.full };
            let name = if who.name.is_empty() { "?" } else { &who.name };
            let text = format!(" {} {name} {}", who.pid, tight(who.bytes));
            vec![span(mark, theme.holder(at, false).add_modifier(Modifier::BOLD)), span(text, theme.text())]
        })
        .collect();
    if space.who.len() >= LETTERS.len() {
        let others = space.who.len() + 1 - LETTERS.len();
        let mark = span(letter(usize::MAX), theme.holder(LETTERS.len() - 1, false));
        pieces.push(vec![mark, span(format!(" {others} others"), theme.text())]);
    }
    pieces
}

fn shades(space: &Space, theme: Theme) -> Vec<Vec<Span<'static>>> {
    let mut pieces = vec![vec![span(theme.glyphs.track, theme.dim()), span(" free", theme.dim())]];
    if space.who.len() > 1 {
        pieces.push(vec![span("a under half", theme.dim())]);
    }
    pieces
}

/// Pieces in as many lines as they need.
fn flowed(pieces: Vec<Span<'static>>, width: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = vec![Line::default()];
    for piece in pieces {
        let line = match lines.last_mut() {
            Some(line) if line.spans.is_empty() || line.width() + 2 + piece.width() <= width => line,
            _ => {
                lines.push(Line::default());
                let last = lines.len() - 1;
                &mut lines[last]
            }
        };
        if !line.spans.is_empty() {
            line.spans.push(Span::raw("  "));
        }
        line.spans.push(piece);
    }
    lines
}

/// The sign of multiplication has an ASCII twin.
fn ascii(text: String, theme: Theme) -> String {
    if theme.glyphs.braille { text } else { text.replace('×', "x") }
}

fn write_wrapped(buffer: &mut Buffer, area: Rect, from: u16, texts: &[String], theme: Theme) {
    let lines = texts.iter().flat_map(|text| wrap(text, usize::from(area.width)));
    for (at, text) in (from..area.height).zip(lines) {
        put(buffer, area, at, &Line::from(span(text, theme.dim())));
    }
}
