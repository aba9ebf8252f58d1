//! Lines written inside an area, and the boxes around them.

use super::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

/// Writes a line into the area's line `at`; what is outside is left out.
pub fn put(buffer: &mut Buffer, area: Rect, at: u16, line: &Line<'_>) {
    let area = area.intersection(buffer.area);
    if at >= area.height {
        return;
    }
    let y = area.y + at;
    let mut x = area.x;
    for span in line {
        let room = usize::from(area.right().saturating_sub(x));
        if room == 0 {
            break;
        }
        let style = line.style.patch(span.style);
        if span.content.chars().all(is_plain) {
            x = put_plain(buffer, (x, y), room, &span.content, style);
        } else {
            (x, _) = buffer.set_stringn(x, y, &span.content, room, style);
        }
    }
}

/// One column wide, and one grapheme whatever stands beside it: most of what is drawn.
const fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~' | '·' | '…' | '\u{2500}'..='\u{259f}' | '\u{2800}'..='\u{28ff}')
}

/// What `set_stringn` does, for text whose every character is plain: nothing to segment, nothing to measure.
fn put_plain(buffer: &mut Buffer, (x, y): (u16, u16), room: usize, text: &str, style: Style) -> u16 {
    let first = buffer.index_of(x, y);
    let cells = buffer.content.get_mut(first..first + room).unwrap_or_default();
    let mut end = x;
    for (cell, c) in cells.iter_mut().zip(text.chars()) {
        cell.set_char(c).set_style(style);
        end += 1;
    }
    end
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

/// A title for the border.
fn over_border(mut title: Line<'static>) -> Line<'static> {
    for span in &mut title.spans {
        span.style = Theme::over_border(span.style);
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

/// Marks at the right edge that there is more above or below.
pub fn mark_more(buffer: &mut Buffer, area: Rect, theme: Theme, above: bool, below: bool) {
    if area.height == 0 {
        return;
    }
    for (_, line) in [(above, 0), (below, area.height - 1)].into_iter().filter(|(more, _)| *more) {
        put_right(buffer, area, line, &Line::from(span(theme.glyphs.more, theme.warning())));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::{Color, Modifier};

    #[test]
    fn every_text_is_put_as_ratatui_puts_it() {
        let texts = [
            "",
            "plain ASCII ~",
            "█▌··╎…⣿ ⡇│",
            "漢字 wide",
            "e\u{301}te\u{301}",
            "·\u{301}x",
            "a\u{200d}b",
            "▲●†‖",
            "1\u{20e3}\u{fe0f}",
            "tab\there\r\n",
            "\u{1f468}\u{200d}\u{1f469}",
        ];
        let style = |n: usize| Style::new().fg(if n.is_multiple_of(2) { Color::Red } else { Color::Green });
        for (n, first) in texts.iter().enumerate() {
            for second in texts {
                let line = Line::from(vec![Span::styled(*first, style(n)), Span::styled(second, style(n + 1))]);
                let line = line.style(Style::new().add_modifier(Modifier::DIM));
                for (x, width) in (0..12).flat_map(|x| [0, 1, 2, 7, 12, 40].map(|width| (x, width))) {
                    let mut ours = Buffer::filled(Rect::new(2, 3, 12, 4), ratatui::buffer::Cell::new("#"));
                    let mut theirs = ours.clone();
                    let area = Rect { x: 2 + x, y: 3, width, height: 4 };
                    put(&mut ours, area, 1, &line);
                    theirs.set_line(area.x, area.y + 1, &line, width.min(12 - x));
                    assert_eq!(ours, theirs, "{first:?} {second:?} at {x} in {width}");
                }
            }
        }
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 2));
        put(&mut buffer, Rect::new(0, 0, 4, 9), 2, &Line::from("below"));
        put(&mut buffer, Rect::new(7, 0, 4, 2), 0, &Line::from("beside"));
        assert_eq!(buffer, Buffer::empty(Rect::new(0, 0, 4, 2)));
    }

    #[test]
    fn what_is_plain_is_one_column_and_joins_nothing() {
        for c in (0..=0x2_ffff).filter_map(char::from_u32).filter(|c| is_plain(*c)) {
            assert_eq!(crate::table::width(&c.to_string()), 1, "{c:?}");
            for text in [format!("a{c}b"), format!("{c}{c}")] {
                let line = Line::from(text.as_str());
                assert_eq!(line.styled_graphemes(Style::new()).count(), text.chars().count(), "{c:?}");
            }
        }
    }
}
