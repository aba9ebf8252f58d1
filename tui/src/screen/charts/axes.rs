//! The axes of a chart: bytes upwards, time across.

use super::AXIS;
use crate::history::{Window, round_time};
use crate::screen::canvas::{put, put_right, span};
use crate::screen::theme::Theme;
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Steps between two words on the axis of time, s.
const STEPS: [u64; 8] = [5, 10, 30, 60, 120, 300, 600, 3600];
/// Columns of the axis itself between two words, at least.
const BETWEEN: usize = 6;

/// What the top, the middle and the bottom stand for, and the axis.
pub fn bytes(buffer: &mut Buffer, area: Rect, top: u64, theme: Theme) {
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

/// `╰10m ago ────── 8m ────── 6m ────── 4m ────── 2m ────── now`: the middle of a word is where its time is.
pub fn time(buffer: &mut Buffer, axis: Rect, window: Window, theme: Theme) {
    let border = theme.glyphs.border;
    let from = Rect { x: axis.x + AXIS - 1, width: axis.width.saturating_sub(AXIS), ..axis };
    let plot = Rect { x: from.x + 1, width: from.width.saturating_sub(1), ..from };
    let width = usize::from(plot.width);
    let line = border.bottom_left.to_owned() + &border.horizontal_bottom.repeat(width);
    put(buffer, from, 0, &Line::from(span(line, theme.dim())));
    put_right(buffer, plot, 0, &Line::from(span(" now", theme.dim())));
    let begin = format!("{} ago ", window.name());
    put(buffer, plot, 0, &Line::from(span(&begin, theme.dim())));
    let Some(step) = step(window, width) else { return };
    let times = (1..).map(|n| n * step).take_while(|ago| *ago < window.seconds());
    for ago in times {
        let word = format!(" {} ", round_time(ago));
        // Of no more columns than a terminal has.
        let middle = width - (ago as u128 * width as u128 / u128::from(window.seconds())) as usize;
        let Some(first) = middle.checked_sub(word.len().div_ceil(2)) else { continue };
        let free = begin.len()..width.saturating_sub(" now".len());
        if free.contains(&first) && first + word.len() <= free.end {
            let place = Rect { x: plot.x + first as u16, width: word.len() as u16, ..plot };
            put(buffer, place, 0, &Line::from(span(word, theme.dim())));
        }
    }
}

/// The shortest step that divides the window and whose words have room beside each other.
fn step(window: Window, width: usize) -> Option<u64> {
    let seconds = window.seconds();
    let fits = |step: &u64| {
        let longest = (1..).map(|n| n * step).take_while(|ago| *ago < seconds).map(|ago| round_time(ago).len()).max();
        // No "150s", no "90m" beside "4h ago".
        longest.is_some_and(|longest| longest <= 3 && (longest + 2 + BETWEEN) as u64 * seconds <= *step * width as u64)
    };
    STEPS.into_iter().filter(|step| seconds.is_multiple_of(*step) && step * 12 >= seconds).find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(window: Window, width: u16, theme: Theme) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        let area = buffer.area;
        time(&mut buffer, area, window, theme);
        buffer.content.iter().map(|cell| cell.symbol()).collect()
    }

    #[test]
    fn times_are_round_and_evenly_spaced() {
        let ascii = |window: usize, width| shown(Window::ALL[window], width, Theme::new(false, true));
        for (window, width, words) in [
            (0, 80, "30s ago 25s 20s 15s 10s 5s now"),
            (1, 80, "1m ago 50s 40s 30s 20s 10s now"),
            (3, 80, "5m ago 4m 3m 2m 1m now"),
            (4, 80, "10m ago 8m 6m 4m 2m now"),
            (5, 80, "15m ago 10m 5m now"),
            (7, 80, "1h ago 50m 40m 30m 20m 10m now"),
            (8, 80, "4h ago 3h 2h 1h now"),
            (4, 40, "10m ago 5m now"),
            (4, 20, "10m ago now"),
        ] {
            let axis = ascii(window, width);
            let found: Vec<&str> = axis.split(['-', '+', ' ']).filter(|word| !word.is_empty()).collect();
            assert_eq!(found.join(" "), words, "{axis}");
        }
    }

    #[test]
    fn axes_fit_into_any_width() {
        for (width, height) in (0..170).flat_map(|width| [0, 1, 2, 3, 5, 8, 11].map(|height| (width, height))) {
            for theme in [Theme::new(false, false), Theme::new(false, true)] {
                let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                let area = buffer.area;
                bytes(&mut buffer, area, 25_000_000_000, theme);
                let axis = Rect { y: height.saturating_sub(1), height: height.min(1), ..area };
                Window::ALL.into_iter().for_each(|window| time(&mut buffer, axis, window, theme));
            }
        }
        // A word that is there is whole.
        for (window, width) in Window::ALL.into_iter().flat_map(|window| (30..170).map(move |width| (window, width))) {
            let axis = shown(window, width, Theme::new(false, true));
            let words = axis.split(['-', '+', ' ']).filter(|word| !matches!(*word, "" | "ago" | "now"));
            for word in words {
                let (digits, unit) = word.split_at(word.len() - 1);
                assert!(digits.parse::<u64>().is_ok() && matches!(unit, "s" | "m" | "h"), "{axis}");
            }
        }
    }
}
