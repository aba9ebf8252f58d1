//! Programs: their circular buffers and kernels.

mod draw;
mod rows;
mod table;

use crate::beside::{AT_ONCE, Beside, Broken};
use crate::inventory::Inventory;
use crate::screen::keys::Action;
use crate::screen::view::Subject;
use crate::screen::viewport::Viewport;
use crate::source::Observation;
pub use draw::draw;
use std::sync::{Arc, Weak};
use table::{Choice, Table};

/// What is shown, and what the keys changed.
#[derive(Debug)]
pub struct State {
    choice: Choice,
    view: Viewport,
    /// What is shown is made of this, or will be; whoever reads it keeps it as long as it is the newest.
    inventory: Weak<Inventory>,
    table: Table,
    /// Makes what is too large for a frame.
    maker: Beside<Table, Choice>,
    /// It has broken off: what is shown is older than what was read, or of another choice.
    broken: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            choice: Choice::default(),
            view: Viewport::default(),
            inventory: Weak::new(),
            table: Table::default(),
            maker: Beside::new("programs"),
            broken: false,
        }
    }
}

impl State {
    /// Takes in what was read.
    pub fn see(&mut self, inventory: Option<&Arc<Inventory>>) {
        let Some(new) = inventory.filter(|new| !self.inventory.ptr_eq(&Arc::downgrade(new))) else { return };
        self.inventory = Arc::downgrade(new);
        let (new, choice) = (Arc::clone(new), self.choice);
        self.make(new.len(), move || Table::of(&new, choice));
    }

    /// Whose programs are shown, where it is one process's.
    pub fn subject(&self, seen: &Observation) -> Option<Subject> {
        let of = self.choice.of?;
        let mut processes = seen.snapshot.processes.iter();
        processes.find(|process| (process.ring_pid, process.nonce) == of).map(Subject::from)
    }

    /// Other rows of the same, or in another order.
    fn choose(&mut self) {
        let (all, read_ns, choice) = (Arc::clone(&self.table.all), self.table.read_ns, self.choice);
        if self.maker.is_awaited() || self.broken {
            // What is under way, or was, is newer than what is shown.
            let Some(newest) = self.inventory.upgrade() else { return };
            return self.make(newest.len(), move || Table::of(&newest, choice));
        }
        self.make(all.len(), move || Table::chosen(all, read_ns, choice));
    }

    /// Makes the table: of so many things at once, or beside the screen.
    fn make(&mut self, of: usize, make: impl FnOnce() -> Table + Send + 'static) {
        self.broken = false;
        self.maker.forget();
        if of > AT_ONCE {
            self.maker.ask(self.choice, make);
        } else {
            self.show(make());
        }
    }

    fn show(&mut self, table: Table) {
        let old = std::mem::replace(&mut self.table, table);
        self.maker.discard(old);
    }

    /// Takes what was made beside the screen. True: something else is shown.
    pub fn hear(&mut self) -> bool {
        match self.maker.heard() {
            None => return false,
            Some(Ok(made)) => self.show(made),
            Some(Err(Broken)) => self.broken = true,
        }
        true
    }

    /// What is being made panics.
    #[cfg(test)]
    pub fn breaks(&mut self) {
        self.maker = Beside::new("programs");
        self.maker.ask(self.choice, || panic!("on purpose"));
    }

    /// Whether there is nothing to show as long as it is being made.
    fn is_awaited(&self) -> bool {
        self.maker.is_awaited() && self.table.all.is_empty()
    }

    /// Does what a key asks for here; false: it is not a key of this view.
    pub fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Next | Action::Previous => self.step_owner(action == Action::Next),
            Action::Sort | Action::SortBack => {
                self.choice.key = self.choice.key.step(action == Action::Sort);
                self.choice.reversed = false;
                self.choose();
            }
            Action::Reverse => {
                self.choice.reversed = !self.choice.reversed;
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
        self.choice.of = step(&self.table.owners, self.choice.of, forward);
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
