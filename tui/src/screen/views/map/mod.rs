//! What lies where in a device's memory.
//!
//! | module | what lies there |
//! |---|---|
//! | [`cells`] | a part of it as cells |
//! | `draw`, `words` | how it is drawn; what is said of it |

pub mod cells;
mod draw;
mod words;

use crate::beside::{AT_ONCE, Beside, Broken};
use crate::inventory::Inventory;
use crate::screen::keys::Action;
use crate::screen::view::Subject;
use crate::source::Observation;
use crate::space::report::is_mapped;
use crate::space::{Block, Space};
use cells::Cells;
pub use draw::draw;
use shm_layout::event::Memory;
use std::cell::{Ref, RefCell};
use std::sync::{Arc, Weak};

/// How often the map can be made larger.
const ZOOMS: u8 = 5;
/// Each time by so much.
const ZOOM_STEP: u64 = 8;

/// Of what a space is: a chip, by its id and the kind of it, and a memory kind.
type Of = ((u64, u32), Memory);

/// A space, of what it is, and when it was read, `CLOCK_MONOTONIC` ns.
#[derive(Debug)]
struct Made {
    of: Of,
    read_ns: u64,
    space: Space,
}

/// Cells, and what they are of: first and last address, how many.
type Drawn = ((u64, u64), usize, Cells);

/// What is shown, and what the keys changed.
#[derive(Debug)]
pub struct State {
    /// The chip, by its id and the kind of it; none: the first.
    chip: Option<(u64, u32)>,
    /// The memory kind; none: the first.
    memory: Option<Memory>,
    /// The address that the cursor is on, and the id of what is there.
    cursor: (u64, u64),
    /// The block that it is on.
    at: usize,
    /// 0: all of it.
    zoom: u8,
    /// What is there to choose from: each chip with its memory kinds.
    choices: Vec<((u64, u32), Vec<Memory>)>,
    /// What is shown is made of this, or will be; whoever reads it keeps it as long as it is the newest.
    inventory: Weak<Inventory>,
    /// None before anything was read, or while it is being made.
    made: Option<Made>,
    /// Makes what is too large for a frame.
    maker: Beside<Made, Of>,
    /// It has broken off: what is shown is older than what was read, if there is anything.
    broken: bool,
    drawn: RefCell<Option<Drawn>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            chip: None,
            memory: None,
            cursor: (0, 0),
            at: 0,
            zoom: 0,
            choices: Vec::new(),
            inventory: Weak::new(),
            made: None,
            maker: Beside::new("map"),
            broken: false,
            drawn: RefCell::default(),
        }
    }
}

impl State {
    /// Takes in what was read.
    pub fn see(&mut self, inventory: Option<&Arc<Inventory>>, seen: &Observation) {
        let kinds = |chip| {
            let shown = crate::table::shown_memories(std::slice::from_ref(chip));
            shown.into_iter().filter(|memory| is_mapped(*memory)).collect::<Vec<_>>()
        };
        let choices: Vec<_> =
            seen.snapshot.chips.iter().map(|chip| ((chip.chip_id, chip.id_is_logical), kinds(chip))).collect();
        let newest = inventory.map(Arc::downgrade).unwrap_or_default();
        if self.inventory.ptr_eq(&newest) && self.choices == choices {
            return;
        }
        (self.choices, self.inventory) = (choices, newest);
        self.make();
    }

    /// Where the shown chip stands among all.
    fn place(&self) -> Option<usize> {
        let at = self.chip.and_then(|chip| self.choices.iter().position(|(one, _)| *one == chip));
        at.or_else(|| (!self.choices.is_empty()).then_some(0))
    }

    fn kinds(&self) -> &[Memory] {
        self.place().map_or(&[], |at| &self.choices[at].1)
    }

    /// The memory kind that is shown.
    fn shown_memory(&self) -> Memory {
        self.memory.or_else(|| self.kinds().first().copied()).unwrap_or(Memory::Dram)
    }

    /// What is to be shown.
    fn wanted(&self) -> Option<Of> {
        Some((self.choices[self.place()?].0, self.shown_memory()))
    }

    /// Makes it; what is large is made beside the screen, and meanwhile the one before is shown if it was of the same.
    fn make(&mut self) {
        self.broken = false;
        self.maker.forget();
        let (Some(of), Some(inventory)) = (self.wanted(), self.inventory.upgrade()) else { return self.show(None) };
        let count = inventory.len();
        let make = move || Made { of, read_ns: inventory.read_ns, space: Space::of(&inventory, of.0, of.1) };
        if count <= AT_ONCE {
            return self.show(Some(make()));
        }
        if self.made.as_ref().is_some_and(|made| made.of != of) {
            self.show(None);
        }
        self.maker.ask(of, make);
    }

    fn show(&mut self, made: Option<Made>) {
        if let Some(old) = std::mem::replace(&mut self.made, made) {
            self.maker.discard(old);
        }
        *self.drawn.get_mut() = None;
        self.settle();
    }

    /// Takes what was made beside the screen. True: something else is shown.
    pub fn hear(&mut self) -> bool {
        match self.maker.heard() {
            None => return false,
            Some(Ok(made)) => self.show(Some(made)),
            Some(Err(Broken)) => self.broken = true,
        }
        true
    }

    /// Whether something is being made, wanted or not.
    #[cfg(test)]
    pub const fn is_making(&self) -> bool {
        self.maker.is_busy()
    }

    /// What is being made panics.
    #[cfg(test)]
    pub fn breaks(&mut self) {
        let of = self.wanted().expect("a device");
        self.maker = Beside::new("map");
        self.maker.ask(of, || panic!("on purpose"));
    }

    /// Whether what is to be shown is still being made.
    const fn is_awaited(&self) -> bool {
        self.maker.is_awaited() && self.made.is_none()
    }

    fn space(&self) -> Option<&Space> {
        self.made.as_ref().map(|made| &made.space)
    }

    /// The cursor stays where it was, or as near as there is something.
    fn settle(&mut self) {
        let blocks = self.blocks();
        let at = blocks.partition_point(|block| place(block) < self.cursor).min(blocks.len().saturating_sub(1));
        self.at = at;
    }

    fn blocks(&self) -> &[Block] {
        self.space().map_or(&[], |space| &space.blocks)
    }

    /// The block under the cursor.
    fn block(&self) -> Option<&Block> {
        self.blocks().get(self.at)
    }

    /// Whose the block under the cursor is, among these.
    pub fn subject(&self, seen: &Observation) -> Option<Subject> {
        let who = self.space()?.who.get(self.block()?.who)?;
        let mut processes = seen.snapshot.processes.iter();
        processes.find(|process| (process.ring_pid, process.nonce) == (who.ring_pid, who.nonce)).map(Subject::from)
    }

    /// What of the space is drawn.
    fn range(&self) -> Option<(u64, u64)> {
        let space = self.space()?;
        let (first, end) = space.bounds()?;
        if self.zoom == 0 {
            return Some((first, end));
        }
        // First to what is used, then into it, around the cursor.
        let (first, end) = space.used().unwrap_or((first, end));
        let width = (end - first) / ZOOM_STEP.pow(u32::from(self.zoom) - 1);
        let width = width.max(64).min(end - first);
        let from = self.block().map_or(first, |block| block.begin).saturating_sub(width / 2);
        let from = from.clamp(first, end - width);
        Some((from, from + width))
    }

    /// So many cells of what is drawn: made again only when something has changed.
    fn cells(&self, count: usize) -> Option<Ref<'_, Cells>> {
        let (space, range) = (self.space()?, self.range()?);
        let is_made = self.drawn.borrow().as_ref().is_some_and(|(of, cells, _)| (*of, *cells) == (range, count));
        if !is_made {
            *self.drawn.borrow_mut() = Some((range, count, Cells::of(space, range, count)));
        }
        Ref::filter_map(self.drawn.borrow(), |drawn| drawn.as_ref().map(|(_, _, cells)| cells)).ok()
    }

    /// Does what a key asks for here; false: it is not a key of this view.
    pub fn act(&mut self, action: Action) -> bool {
        let last = self.blocks().len().saturating_sub(1);
        let page = (last / 10).max(1);
        let to = match action {
            Action::Next | Action::Previous => {
                self.step_chip(action == Action::Next);
                return true;
            }
            Action::NextBox => {
                self.step_memory();
                return true;
            }
            Action::Window => {
                self.zoom = (self.zoom + 1) % ZOOMS;
                return true;
            }
            Action::WindowBack => {
                self.zoom = (self.zoom + ZOOMS - 1) % ZOOMS;
                return true;
            }
            Action::Up => self.at.saturating_sub(1),
            Action::Down => self.at + 1,
            Action::PageUp => self.at.saturating_sub(page),
            Action::PageDown => self.at + page,
            Action::First => 0,
            Action::Last => last,
            _ => return false,
        };
        self.at = to.min(last);
        self.cursor = self.block().map_or((0, 0), place);
        true
    }

    fn step_chip(&mut self, forward: bool) {
        let (Some(at), all) = (self.place(), self.choices.len()) else { return };
        let to = if forward { at + 1 } else { at + all - 1 } % all;
        self.chip = Some(self.choices[to].0);
        self.turn();
    }

    fn step_memory(&mut self) {
        let (kinds, shown) = (self.kinds(), self.shown_memory());
        let next = kinds.iter().position(|memory| *memory == shown).map_or(0, |at| at + 1);
        self.memory = kinds.get(next % kinds.len().max(1)).copied();
        self.turn();
    }

    /// To another space: from its beginning, all of it.
    fn turn(&mut self) {
        (self.cursor, self.at, self.zoom) = ((0, 0), 0, 0);
        self.make();
    }
}

/// By what blocks are in order.
const fn place(block: &Block) -> (u64, u64) {
    (block.begin, block.allocation.event.id)
}

#[cfg(test)]
mod tests;
