//! The view on the key of its name: to be drawn.

use crate::screen::canvas::{put, span};
use crate::screen::dashboard::Dashboard;
use crate::screen::keys::Action;
use crate::source::Observation;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// What the keys changed.
#[derive(Debug, Default)]
pub struct State {}

impl State {
    /// Does what a key asks for here; false: it is not a key of this view.
    pub fn act(&mut self, _action: Action) -> bool {
        false
    }
}

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, _seen: &Observation) {
    put(buffer, area, 0, &Line::from(span(" nothing here yet", dashboard.theme.dim())));
}
