//! Graphs of the recent past: the newest on the right, scaled to the largest of what is shown.

use super::theme::Theme;
use shm_layout::stats::UNKNOWN;

/// A graph, ready to be written line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Its lines, the upper first; each as wide as there are figures.
    pub lines: Vec<String>,
    /// What the full height stands for, bytes.
    pub top: u64,
}

/// Figures that a graph of this width shows side by side.
pub fn columns(width: u16, theme: Theme) -> usize {
    usize::from(width) * across(theme)
}

/// Figures side by side in one cell.
const fn across(theme: Theme) -> usize {
    if theme.glyphs.braille { 2 } else { 1 }
}

/// The graph of these figures, bytes, in `height` lines; one that is [`UNKNOWN`] is drawn like nothing.
pub fn graph(figures: &[u64], height: usize, theme: Theme) -> Graph {
    let known = |figure: u64| if figure == UNKNOWN { 0 } else { figure };
    let top = figures.iter().copied().map(known).max().unwrap_or(0);
    let levels = if theme.glyphs.braille { 4 } else { theme.glyphs.levels.len() };
    let level = |value: u64| {
        let exact = u128::from(value) * (levels * height) as u128 / u128::from(top.max(1));
        if value > 0 { (exact as usize).max(1) } else { 0 }
    };
    let heights: Vec<usize> = figures.iter().copied().map(known).map(level).collect();
    let lines = (0..height).rev().map(|line| {
        let inside = |height: usize| height.saturating_sub(line * levels).min(levels);
        let cells = heights.chunks(across(theme)).map(|cell| match cell {
            [left, right] => braille(inside(*left), inside(*right)),
            _ => inside(cell[0]).checked_sub(1).map_or(" ", |at| theme.glyphs.levels[at]).to_owned(),
        });
        cells.collect()
    });
    Graph { lines: lines.collect(), top }
}

/// A braille cell with these many dots, from below, in its two columns.
fn braille(left: usize, right: usize) -> String {
    const LEFT: [u32; 5] = [0, 0x40, 0x44, 0x46, 0x47];
    const RIGHT: [u32; 5] = [0, 0x80, 0xa0, 0xb0, 0xb8];
    if left == 0 && right == 0 {
        return " ".to_owned();
    }
    char::from_u32(0x2800 + LEFT[left] + RIGHT[right]).map_or_else(|| " ".to_owned(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNICODE: Theme = Theme::new(false, false);

    fn dots(line: &str) -> Vec<u32> {
        line.chars().map(|c| (c as u32).saturating_sub(0x2800).count_ones()).collect()
    }

    #[test]
    fn newest_right_scaled_to_the_largest() {
        let drawn = graph(&[UNKNOWN, UNKNOWN, UNKNOWN, 0, 1, 2, 3, 4], 1, UNICODE);
        assert_eq!((dots(&drawn.lines[0]), drawn.top), (vec![0, 0, 3, 7], 4));
        assert_eq!(graph(&[8, 4], 2, UNICODE).lines, ["⡇", "⣿"]);
        assert_eq!(graph(&[0, 1, 7], 1, Theme::new(false, true)).lines, [" _#"]);
    }

    #[test]
    fn samples_that_nobody_took_are_a_gap_and_no_peak() {
        let drawn = graph(&[8, 8, UNKNOWN, UNKNOWN, 4, 4], 1, UNICODE);
        assert_eq!((drawn.top, dots(&drawn.lines[0])), (8, vec![8, 0, 4]));
    }

    #[test]
    fn any_size_and_any_samples() {
        for theme in [UNICODE, Theme::new(false, true)] {
            for (width, height) in (0..7).flat_map(|width| (0..4).map(move |height| (width, height))) {
                for figure in [0, 1, 5, u64::MAX - 1, UNKNOWN] {
                    let drawn = graph(&vec![figure; columns(width, theme)], height, theme);
                    assert_eq!(drawn.lines.len(), height);
                    assert!(drawn.lines.iter().all(|line| line.chars().count() == usize::from(width)));
                }
            }
        }
    }
}
