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
#[cfg(test)]
mod large;
pub mod leaks;
#[cfg(test)]
pub(crate) mod ledger_fixture;
pub mod ledgers;
pub mod map;
pub mod processes;
pub mod programs;

use super::canvas::{frame, put, put_right, span};
use super::dashboard::Dashboard;
use super::keys::Action;
use super::theme::Theme;
use super::view::View;
use crate::clock::Zone;
use crate::inventory::Inventory;
use crate::source::Observation;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::sync::Arc;

/// What is kept for those of them that keep anything. What is selected in the processes is selected in the overview as well.
#[derive(Debug, Default)]
pub struct States {
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

    /// Takes what was made beside the screen for any of them. True: something else is shown.
    pub fn hear(&mut self) -> bool {
        self.map.hear() | self.programs.hear()
    }

    /// What was seen has not led to what comes: a recording was wound, or there is another aggregator.
    pub fn forget(&mut self) {
        self.events.forget();
        self.leaks.forget();
    }

    /// Does what a key asks for in this view; false: it is not a key of its own.
    pub fn act(&mut self, view: View, action: Action) -> bool {
        match view {
            View::Map => self.map.act(action),
            View::Programs => self.programs.act(action),
            View::Leaks => self.leaks.act(action),
            View::Events => self.events.act(action),
            View::Overview | View::Charts | View::Detail | View::Processes | View::Health => false,
        }
    }
}

/// From this height on there is a frame around a view of single allocations.
const FRAMED_FROM: u16 = 14;

/// What such a view is of, and what of it is shown, in the frame or in a line of its own; the area for the rest.
/// `age`: of what is shown, where that has to be said; it matters more than what else stands on the right.
fn headed(
    buffer: &mut Buffer,
    area: Rect,
    theme: Theme,
    title: Line<'static>,
    mut right: Line<'static>,
    age: Option<String>,
) -> Rect {
    let is_framed = area.height >= FRAMED_FROM;
    if let Some(age) = age {
        let room = usize::from(area.width).saturating_sub(title.width() + if is_framed { 5 } else { 0 });
        let alone = format!(" {age} ");
        let both = Line::from_iter(
            [span(format!("{alone}{}", theme.glyphs.dot), theme.warning())].into_iter().chain(right.spans),
        );
        right = if both.width() <= room { both } else { Line::from(span(alone, theme.warning())) };
    }
    if is_framed {
        let inside = frame(buffer, area, theme, true, title, right);
        return Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    }
    put(buffer, area, 0, &title);
    if title.width() + right.width() <= usize::from(area.width) {
        put_right(buffer, area, 0, &right);
    }
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
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
