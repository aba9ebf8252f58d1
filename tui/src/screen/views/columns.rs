//! Columns of a table that give way by weight where it is narrow.

use crate::screen::canvas::{fitted, span};
use crate::screen::theme::Theme;
pub use crate::units::tight;
use ratatui::style::Style;
use ratatui::text::Line;

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column<K: 'static> {
    /// What is in it.
    pub of: K,
    /// Its title.
    pub title: &'static str,
    /// Its width, at least.
    pub width: usize,
    /// Right-aligned.
    pub right: bool,
    /// The larger, the longer it stays.
    pub weight: u8,
}

/// One column of a table.
pub const fn column<K>(of: K, title: &'static str, width: usize, right: bool, weight: u8) -> Column<K> {
    Column { of, title, width, right, weight }
}

/// Those that fit into this width, in order, and the width that is left over.
pub fn fitting<K: Copy>(all: &'static [Column<K>], width: usize, wants: impl Fn(K) -> bool) -> (Vec<Column<K>>, usize) {
    let mut by_weight: Vec<usize> = (0..all.len()).filter(|at| wants(all[*at].of)).collect();
    by_weight.sort_by_key(|at| std::cmp::Reverse(all[*at].weight));
    let (mut kept, mut used) = (Vec::new(), 0);
    for at in by_weight {
        let needs = all[at].width + usize::from(!kept.is_empty());
        // The first that does not fit ends it: what appears at which width stays predictable.
        if used + needs > width {
            break;
        }
        used += needs;
        kept.push(at);
    }
    kept.sort_unstable();
    (kept.into_iter().map(|at| all[at]).collect(), width - used)
}

/// All of them as far as they fit; names and what stands last on the left take what is left over.
pub fn filling<K: Copy>(all: &'static [Column<K>], width: usize) -> Vec<Column<K>> {
    let (mut columns, spare) = fitting(all, width, |_| true);
    let left: Vec<usize> = (0..columns.len()).filter(|at| !columns[*at].right).collect();
    for at in [left.first(), left.last()].into_iter().flatten() {
        columns[*at].width += (spare / 2).min(14);
    }
    columns
}

/// One line of cells, each with its style.
pub fn line<K>(columns: &[Column<K>], theme: Theme, cell: impl Fn(&Column<K>) -> (String, Style)) -> Line<'static> {
    let mut line = Line::default();
    for column in columns {
        if !line.spans.is_empty() {
            line.spans.push(span(" ", theme.text()));
        }
        let (text, style) = cell(column);
        line.spans.push(span(fitted(&text, column.width, column.right, theme), style));
    }
    line
}
