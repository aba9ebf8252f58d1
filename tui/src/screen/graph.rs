//! Graphs of the recent past: the newest on the right, scaled to the largest of what is shown.

use super::theme::Theme;
use shm_layout::stats::UNKNOWN;

/// A graph, ready to be written line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Its lines, the upper first; each as wide as asked for.
    pub lines: Vec<String>,
    /// What the full height stands for, bytes.
    pub top: u64,
    /// Samples that the full width stands for.
    pub samples: usize,
}

/// The samples' largest in groups of `size`; a group of which nothing is known is drawn like one in which nothing was held.
/// Groups end where the sample's number is a multiple of `size`, so that the
/// picture moves to the left and does not shimmer; `head` is the number behind the last sample.
fn grouped(samples: &[u64], head: u64, size: usize) -> Vec<u64> {
    let largest = |group: &[u64]| group.iter().copied().filter(|sample| *sample != UNKNOWN).max().unwrap_or(0);
    let behind = (head % size as u64) as usize;
    let (whole, newest) = samples.split_at(samples.len() - behind.min(samples.len()));
    let mut groups: Vec<u64> = whole.rchunks(size).rev().map(largest).collect();
    if !newest.is_empty() {
        groups.push(largest(newest));
    }
    groups
}

/// The graph of these samples in `width` columns and `height` lines.
pub fn graph(samples: &[u64], head: u64, width: usize, height: usize, theme: Theme) -> Graph {
    let across = if theme.glyphs.braille { 2 } else { 1 };
    let columns = width * across;
    if columns == 0 || height == 0 {
        return Graph { lines: vec![String::new(); height], top: 0, samples: 0 };
    }
    let size = samples.len().div_ceil(columns).max(1);
    let mut groups = grouped(samples, head, size);
    groups.drain(..groups.len().saturating_sub(columns));
    let top = groups.iter().max().copied().unwrap_or(0);
    let levels = if theme.glyphs.braille { 4 } else { theme.glyphs.levels.len() };
    let level = |value: u64| {
        let exact = u128::from(value) * (levels * height) as u128 / u128::from(top.max(1));
        if value > 0 { (exact as usize).max(1) } else { 0 }
    };
    let mut heights = vec![0; columns - groups.len()];
    heights.extend(groups.into_iter().map(level));
    let lines = (0..height).rev().map(|line| {
        let inside = |height: usize| height.saturating_sub(line * levels).min(levels);
        heights
            .chunks(across)
            .map(|cell| match cell {
                [left, right] => braille(inside(*left), inside(*right)),
                _ => inside(cell[0]).checked_sub(1).map_or(" ", |at| theme.glyphs.levels[at]).to_owned(),
            })
            .collect()
    });
    Graph { lines: lines.collect(), top, samples: size * columns }
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
        let drawn = graph(&[0, 1, 2, 3, 4], 5, 4, 1, UNICODE);
        assert_eq!((drawn.top, drawn.samples), (4, 8));
        // Right-aligned in eight columns of dots: . . . 0 | 1 2 | 3 4
        assert_eq!(dots(&drawn.lines[0]), [0, 0, 3, 7]);
        assert_eq!(graph(&[8, 4], 2, 1, 2, UNICODE).lines, ["⡇", "⣿"]);
        assert_eq!(graph(&[1, 7], 2, 3, 1, Theme::new(false, true)).lines, [" _#"]);
    }

    #[test]
    fn groups_keep_their_samples_when_a_new_one_comes() {
        let samples: Vec<u64> = (0..11).collect();
        assert_eq!(grouped(&samples[..10], 10, 4), [3, 7, 9]);
        assert_eq!(grouped(&samples, 11, 4), [3, 7, 10]);
        assert_eq!(grouped(&samples[2..10], 10, 4), [3, 7, 9], "the oldest group loses samples, no other does");
        assert_eq!(grouped(&samples[..1], 3, 4), [0]);
    }

    #[test]
    fn samples_that_nobody_took_are_a_gap_and_no_peak() {
        assert_eq!(grouped(&[4, UNKNOWN, UNKNOWN, UNKNOWN, 2], 5, 2), [4, 0, 2]);
        assert_eq!(graph(&[8, UNKNOWN, 4, 8], 4, 2, 1, UNICODE).top, 8);
    }

    #[test]
    fn any_size_and_any_samples() {
        for width in 0..7 {
            for height in 0..4 {
                for samples in [&[][..], &[0; 3], &[u64::MAX; 9], &[5; 300]] {
                    let drawn = graph(samples, samples.len() as u64 + 3, width, height, UNICODE);
                    assert_eq!(drawn.lines.len(), height);
                    assert!(drawn.lines.iter().all(|line| line.chars().count() == width));
                }
            }
        }
    }
}
