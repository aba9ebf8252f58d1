//! The views behind the keys 4 to 9, each with its state and how it is drawn.
//!
//! | module | what it shows |
//! |---|---|
//! | [`processes`] | every process, as a list or a tree |
//! | [`map`] | what lies where in a device's memory |
//! | [`programs`] | programs, their circular buffers and kernels |
//! | [`leaks`] | what has grown, what is old, what is left |
//! | [`events`] | what has happened |
//! | [`health`] | how the figures come about |
//! | [`columns`], [`ledgers`] | columns that give way; what is said where the ledgers tell nothing |

pub mod columns;
pub mod events;
pub mod health;
pub mod leaks;
#[cfg(test)]
pub(super) mod ledger_fixture;
pub mod ledgers;
pub mod map;
pub mod processes;
pub mod programs;

use super::dashboard::Dashboard;
use super::keys::Action;
use super::view::View;
use crate::clock::Zone;
use crate::inventory::Inventory;
use crate::source::Observation;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::Arc;

/// What the keys changed in each of them.
#[derive(Debug, Default)]
pub struct States {
    /// Of the processes.
    pub processes: processes::State,
    /// Of the map.
    pub map: map::State,
    /// Of the programs.
    pub programs: programs::State,
    /// Of the leaks.
    pub leaks: leaks::State,
    /// Of the events.
    pub events: events::State,
    /// Of the health.
    pub health: health::State,
}

impl States {
    /// Takes in what there is: what a view shows of single allocations is made now, not while drawing.
    pub fn see(&mut self, view: View, inventory: Option<&Arc<Inventory>>, seen: &Observation, zone: &Zone) {
        // Also where it is not shown: growth is counted from the first sight of a process.
        self.leaks.see_figures(seen);
        match view {
            View::Map => self.map.see(inventory, seen),
            View::Programs => self.programs.see(inventory),
            View::Leaks => self.leaks.see(inventory, seen, zone),
            _ => {}
        }
    }

    /// What was seen has not led to what comes: a recording was wound, or there is another aggregator.
    pub fn forget(&mut self) {
        self.events.forget();
        self.leaks.forget();
    }

    /// Does what a key asks for in this view; false: it is not a key of it.
    pub fn act(&mut self, view: View, action: Action) -> bool {
        match view {
            View::Processes => self.processes.act(action),
            View::Map => self.map.act(action),
            View::Programs => self.programs.act(action),
            View::Leaks => self.leaks.act(action),
            View::Events => self.events.act(action),
            View::Health => self.health.act(action),
            View::Overview | View::Charts | View::Detail => false,
        }
    }
}

/// Draws the one that is shown.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    match dashboard.view {
        View::Processes => processes::draw(buffer, area, dashboard, seen),
        View::Map => map::draw(buffer, area, dashboard, seen),
        View::Programs => programs::draw(buffer, area, dashboard, seen),
        View::Leaks => leaks::draw(buffer, area, dashboard, seen),
        View::Events => events::draw(buffer, area, dashboard, seen),
        View::Health => health::draw(buffer, area, dashboard, seen),
        View::Overview | View::Charts | View::Detail => {}
    }
}
