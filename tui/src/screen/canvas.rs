//! Lines written inside an area, and the boxes around them.

use super::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

/// Writes a line into the area's line `at`; what is outside is left out.
pub fn put(buffer: &mut Buffer, area: Rect, at: u16, line: &Line<'_>) {
    let area = area.intersection(buffer.area);
    if at < area.height && area.width > 0 {
        buffer.set_line(area.x, area.y + at, line, area.width);
    }
}

/// Writes a line that ends where the area does.
pub fn put_right(buffer: &mut Buffer, area: Rect, at: u16, line: &Line<'_>) {
    let width = u16::try_from(line.width()).unwrap_or(u16::MAX).min(area.width);
    put(buffer, Rect { x: area.right() - width, width, ..area }, at, line);
}

/// Draws a box with a title on the left and one on the right; what is inside of it.
pub fn frame(
    buffer: &mut Buffer,
    area: Rect,
    theme: Theme,
    focused: bool,
    left: Line<'static>,
    right: Line<'static>,
) -> Rect {
    let room = usize::from(area.width.saturating_sub(4));
    let (left, right) = (over_border(left), over_border(right));
    let mut block = Block::bordered().border_set(theme.glyphs.border).border_style(theme.border(focused));
    let fits = left.width() + right.width() < room;
    block = block.title(left);
    if fits && right.width() > 0 {
        block = block.title(right.alignment(Alignment::Right));
    }
    let inside = block.inner(area);
    block.render(area.intersection(buffer.area), buffer);
    inside
}

/// A title for the border: the border's dimness is not for it.
fn over_border(mut title: Line<'static>) -> Line<'static> {
    for span in &mut title.spans {
        if !span.style.add_modifier.contains(Modifier::DIM) {
            span.style = span.style.remove_modifier(Modifier::DIM);
        }
    }
    title
}

/// The area in `count` columns of equal width, give or take one, with `gap` between them.
pub fn side_by_side(area: Rect, count: u16, gap: u16) -> Vec<Rect> {
    let room = area.width.saturating_sub(gap * count.saturating_sub(1));
    let end = |n: u16| area.x + (u32::from(room) * u32::from(n) / u32::from(count.max(1))) as u16 + gap * n;
    let columns = (0..count).map(|n| Rect { x: end(n), width: (end(n + 1) - gap).saturating_sub(end(n)), ..area });
    columns.map(|column| column.intersection(area)).collect()
}

/// Pieces with a gap between them, as many as fit into the width; the first ones are kept.
pub fn joined(pieces: Vec<Vec<Span<'static>>>, gap: Span<'static>, width: usize) -> Line<'static> {
    let mut line = Line::default();
    for piece in pieces {
        let between = if line.spans.is_empty() { 0 } else { gap.width() };
        let wide: usize = piece.iter().map(Span::width).sum();
        if line.width() + between + wide > width {
            break;
        }
        if between > 0 {
            line.spans.push(gap.clone());
        }
        line.spans.extend(piece);
    }
    line
}

/// A text in exactly this many columns: cut with a mark, or filled up with blanks.
pub fn fitted(text: &str, width: usize, right: bool, theme: Theme) -> String {
    let wide = crate::table::width(text);
    let mut fitted = if wide <= width {
        text.to_owned()
    } else if width == 0 {
        String::new()
    } else {
        crate::table::cut(text, width - 1) + theme.glyphs.more
    };
    let gap = " ".repeat(width.saturating_sub(crate::table::width(&fitted)));
    if right {
        fitted.insert_str(0, &gap);
    } else {
        fitted.push_str(&gap);
    }
    fitted
}

/// A span of its own text.
pub fn span(text: impl Into<String>, style: Style) -> Span<'static> {
    Span::styled(text.into(), style)
}
