//! Which view the screen shows, and whom the detail view is about.

use super::dashboard::{Dashboard, recorded};
use crate::roster::ProcessKey;
use crate::source::trusted_owners;
use shm_layout::stats::{Chip, Process};

/// The views, in the order of their keys; the first three are those of the original's viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Devices, processes and events.
    #[default]
    Overview,
    /// The recent past of every memory kind of every device.
    Charts,
    /// Everything that is known of one device or process.
    Detail,
    /// Every process, with more columns than the overview has room for, as a list or a tree.
    Processes,
    /// The address space of a memory kind: what is occupied, by whom, and what is free.
    Map,
    /// Programs, their circular buffers and kernels.
    Programs,
    /// What has grown, what is old, what is left.
    Leaks,
    /// What has happened.
    Events,
    /// How the figures come about, and what is wrong with them.
    Health,
}

impl View {
    /// All of them, in order: the first is on the key `1`.
    pub const ALL: [Self; 9] = [
        Self::Overview,
        Self::Charts,
        Self::Detail,
        Self::Processes,
        Self::Map,
        Self::Programs,
        Self::Leaks,
        Self::Events,
        Self::Health,
    ];

    /// Its name, one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Charts => "charts",
            Self::Detail => "detail",
            Self::Processes => "processes",
            Self::Map => "map",
            Self::Programs => "programs",
            Self::Leaks => "leaks",
            Self::Events => "events",
            Self::Health => "health",
        }
    }

    /// The same in at most six columns.
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::Overview => "over",
            Self::Charts => "chart",
            Self::Processes => "procs",
            Self::Programs => "progs",
            _ => self.name(),
        }
    }

    /// Whether it shows single allocations, so that the ledgers have to be read for it.
    pub const fn needs_ledgers(self) -> bool {
        matches!(self, Self::Map | Self::Programs | Self::Leaks)
    }
}

/// Whom the detail view is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A device, by its chip's id and the kind of that id.
    Device(u64, u32),
    /// A process.
    Process(ProcessKey),
}

impl From<&Chip> for Subject {
    fn from(chip: &Chip) -> Self {
        Self::Device(chip.chip_id, chip.id_is_logical)
    }
}

impl From<&Process> for Subject {
    fn from(process: &Process) -> Self {
        Self::Process(process.into())
    }
}

impl Dashboard {
    /// Shows this view, from its beginning. Details are those of the selected process, where one is selected in the table.
    pub fn turn_to(&mut self, view: View) {
        if view == View::Detail {
            self.subject = self.meant_subject().or(self.subject);
        }
        if self.view != view {
            self.sheet.offset.set(0);
        }
        self.view = view;
        self.look_at_holdings();
        self.look_at_inventory();
    }

    /// Whom the shown view is about: of its details Enter tells.
    fn meant_subject(&self) -> Option<Subject> {
        let seen = self.seen.as_ref();
        match self.view {
            View::Overview | View::Processes => self.selected.map(Subject::Process),
            View::Map => self.views.map.subject(seen?),
            View::Programs => self.views.programs.subject(seen?),
            View::Leaks => self.views.leaks.subject(),
            _ => None,
        }
    }

    /// Hands what was read of the ledgers, and the figures, to the views that show it.
    pub fn look_at_inventory(&mut self) {
        let Some(seen) = &self.seen else { return };
        self.views.see(self.view, self.inventories.newest(), seen, &self.zone);
    }

    /// Reads what the process whose details are shown has allocated, if it is time.
    pub fn look_at_holdings(&mut self) {
        let Some(seen) = self.seen.as_ref().filter(|_| self.view == View::Detail) else { return };
        let Some((_, subject @ Subject::Process(_))) = self.shown_subject() else { return };
        let processes = &seen.snapshot.processes;
        let Some(at) = processes.iter().position(|process| Subject::from(process) == subject) else { return };
        if self.replay.is_some() {
            let process = processes[at];
            let inventory = recorded(self);
            return self.holdings.recall(&process, inventory.as_deref());
        }
        let live = seen.snapshot.rows_of(at).fold(0, |sum: u64, row| sum.saturating_add(row.figures.blocks));
        self.holdings.look(&seen.prefix, &trusted_owners(), &processes[at], live, seen.now_ns);
    }

    /// Whom there are details of: the devices, then the processes in the order of the table.
    pub fn subjects(&self) -> Vec<Subject> {
        let chips = self.seen.iter().flat_map(|seen| &seen.snapshot.chips).map(Subject::from);
        let there = self.rows.iter().filter(|row| row.gone_since_ns.is_none());
        chips.chain(there.map(|row| Subject::Process(row.totals.key()))).collect()
    }

    /// The one that is shown, and where it stands among all; the first where none was chosen. `None` if it is gone, or nobody is there.
    pub fn shown_subject(&self) -> Option<(usize, Subject)> {
        let all = self.subjects();
        let at = self.subject.map_or(Some(0), |wanted| all.iter().position(|one| *one == wanted))?;
        all.get(at).map(|subject| (at, *subject))
    }

    /// Shows the next or the previous one; after the last comes the first.
    pub fn step_subject(&mut self, forward: bool) {
        if self.view != View::Detail {
            return;
        }
        let all = self.subjects();
        let next = match (self.shown_subject(), forward) {
            (Some((at, _)), true) => at + 1,
            (Some((at, _)), false) => at + all.len() - 1,
            (None, _) => 0,
        };
        self.subject = all.get(next % all.len().max(1)).copied();
        self.sheet.offset.set(0);
        self.look_at_holdings();
    }
}
