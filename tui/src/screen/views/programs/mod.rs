//! Programs: their circular buffers and kernels.

mod draw;
mod rows;

use crate::inventory::Inventory;
use crate::screen::keys::Action;
use crate::screen::viewport::Viewport;
pub use draw::draw;
use rows::{Key, Row, Totals};
use std::sync::Arc;

/// What is shown, and what the keys changed.
#[derive(Debug, Default)]
pub struct State {
    /// Of this process only, by the pid and the nonce of its ring.
    of: Option<(u32, u64)>,
    /// What the rows are sorted by.
    key: Key,
    /// The other way round.
    reversed: bool,
    view: Viewport,
    inventory: Option<Arc<Inventory>>,
    /// Who has programs: the same, in the order of their pids.
    owners: Vec<(u32, u64)>,
    /// All rows, sorted.
    all: Vec<Row>,
    /// Those that are shown.
    rows: Vec<Row>,
    totals: Totals,
}

impl State {
    /// Takes in what was read.
    pub fn see(&mut self, inventory: Option<&Arc<Inventory>>) {
        let (Some(new), ours) = (inventory, &self.inventory) else { return };
        if ours.as_ref().is_some_and(|ours| Arc::ptr_eq(ours, new)) {
            return;
        }
        self.all = rows::of(new);
        self.owners = self.all.iter().map(Row::owner).collect();
        self.owners.sort_unstable();
        self.owners.dedup();
        self.inventory = Some(Arc::clone(new));
        self.choose();
    }

    /// Which rows are shown, and in which order.
    fn choose(&mut self) {
        let chosen = |row: &&Row| self.of.is_none_or(|of| row.owner() == of);
        self.rows = self.all.iter().filter(chosen).cloned().collect();
        let (key, reversed) = (self.key, self.reversed);
        self.rows.sort_by(|a, b| {
            let order = key.compare(a, b);
            let order = if reversed { order.reverse() } else { order };
            order.then_with(|| a.place().cmp(&b.place()))
        });
        self.totals = Totals::of(&self.rows);
    }

    /// Does what a key asks for here; false: it is not a key of this view.
    pub fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Next | Action::Previous => self.step_owner(action == Action::Next),
            Action::Sort | Action::SortBack => {
                self.key = self.key.step(action == Action::Sort);
                self.reversed = false;
                self.choose();
            }
            Action::Reverse => {
                self.reversed = !self.reversed;
                self.choose();
            }
            Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
                self.view.scroll(action);
            }
            _ => return false,
        }
        true
    }

    /// All processes, then each; after the last come all again.
    fn step_owner(&mut self, forward: bool) {
        self.of = step(&self.owners, self.of, forward);
        self.view.offset.set(0);
        self.choose();
    }
}

/// All, then each of these, then all again; one that is gone is as good as all.
pub fn step<T: Copy + PartialEq>(of: &[T], shown: Option<T>, forward: bool) -> Option<T> {
    let at = shown.and_then(|shown| of.iter().position(|one| *one == shown));
    match (at, forward) {
        (None, true) => of.first().copied(),
        (None, false) => of.last().copied(),
        (Some(at), true) => of.get(at + 1).copied(),
        (Some(at), false) => at.checked_sub(1).map(|at| of[at]),
    }
}

#[cfg(test)]
mod tests;
