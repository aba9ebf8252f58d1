//! The mouse: what was drawn where, and what a click or the wheel asks for there.

use super::dashboard::{Dashboard, Focus};
use super::keys::Action;
use super::order::SortColumn;
use super::view::View;
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;
use std::cell::{Cell, RefCell};

/// Lines that a step of the wheel scrolls.
const WHEEL: usize = 3;

/// Where things that can be clicked were drawn last.
#[derive(Debug, Default)]
pub struct Drawn {
    /// The rows of the process table.
    pub rows: Cell<Rect>,
    /// The heads of its columns: the area, and what a click sorts by.
    pub heads: RefCell<Vec<(Rect, SortColumn)>>,
    /// The names of the views.
    pub tabs: RefCell<Vec<(Rect, View)>>,
    /// The boxes of the overview.
    pub boxes: RefCell<Vec<(Rect, Focus)>>,
}

impl Drawn {
    /// A frame begins: nothing is drawn yet.
    pub fn clear(&self) {
        self.rows.set(Rect::default());
        self.heads.borrow_mut().clear();
        self.tabs.borrow_mut().clear();
        self.boxes.borrow_mut().clear();
    }
}

fn hit<T: Copy>(places: &RefCell<Vec<(Rect, T)>>, at: (u16, u16)) -> Option<T> {
    places.borrow().iter().find(|(place, _)| place.contains(at.into())).map(|(_, what)| *what)
}

impl Dashboard {
    /// Does what a click or the wheel asks for. While something is typed or the help is shown, only the wheel does. True: something may have
    /// changed; terminals tell of every motion, too.
    pub fn mouse(&mut self, event: MouseEvent) -> bool {
        let at = (event.column, event.row);
        match event.kind {
            MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
                if let (View::Overview, Some(focus)) = (self.view, hit(&self.drawn.boxes, at)) {
                    self.focus = focus;
                }
                let action = if event.kind == MouseEventKind::ScrollUp { Action::Up } else { Action::Down };
                for _ in 0..WHEEL {
                    self.act(action);
                }
            }
            MouseEventKind::Down(MouseButton::Left) if self.prompt.is_none() && !self.help => self.click(at),
            _ => return false,
        }
        true
    }

    fn click(&mut self, at: (u16, u16)) {
        if let Some(view) = hit(&self.drawn.tabs, at) {
            self.turn_to(view);
        } else if let Some(column) = hit(&self.drawn.heads, at) {
            self.sort_by(column);
        } else if self.drawn.rows.get().contains(at.into()) {
            let row = self.process_view.offset.get() + usize::from(at.1 - self.drawn.rows.get().y);
            let clicked = self.rows.get(row).map(|row| row.totals.key());
            // A second click shows the details.
            if clicked.is_some() && clicked == self.selected {
                self.turn_to(View::Detail);
            }
            self.selected = clicked;
            self.focus = Focus::Processes;
        } else if let Some(focus) = hit(&self.drawn.boxes, at) {
            self.focus = focus;
        }
    }
}
