//! What a key does: into what is being typed, else by the table of keys.

use super::{Dashboard, Focus, Request};
use crate::filter::Filter;
use crate::screen::keys::{self, Action};
use crate::screen::order::SortColumn;
use crate::screen::prompt::{Outcome, Prompt};
use crate::screen::view::View;
use crate::totals;
use crossterm::event::KeyEvent;
use shm_layout::control::Action as Asked;

/// Refresh intervals that `+` and `-` step through, ms.
const INTERVALS_MS: [u64; 8] = [50, 100, 250, 500, 1000, 2000, 5000, 10_000];
impl Dashboard {
    /// Takes one key: into what is being typed, else by the table of keys.
    pub fn key(&mut self, key: KeyEvent) -> Request {
        self.message = None;
        match self.prompt.as_mut().map(|prompt| prompt.key(key)) {
            None => return keys::action(key).map_or(Request::None, |action| self.act(action)),
            Some(Outcome::Typing) => {}
            Some(Outcome::Cancelled) => {
                if let Some(Prompt::Filter(..)) = self.prompt.take() {
                    self.meant(Filter::default());
                }
            }
            Some(Outcome::Ask(request)) => {
                self.prompt = None;
                self.ask(request);
            }
            Some(outcome @ (Outcome::Filter(_) | Outcome::Done(_))) => self.typed(outcome),
        }
        Request::None
    }

    pub(in crate::screen) fn typed(&mut self, outcome: Outcome) {
        let done = matches!(outcome, Outcome::Done(_));
        let (Outcome::Filter(text) | Outcome::Done(text)) = outcome else { return };
        match Filter::parse(&text) {
            Ok(filter) => {
                self.meant(filter);
                self.prompt = (!done).then_some(Prompt::Filter(text, None));
            }
            // What was shown stays until the words mean something.
            Err(why) => self.prompt = Some(Prompt::Filter(text, Some(why))),
        }
    }

    /// From now on this is shown.
    pub fn meant(&mut self, filter: Filter) {
        if self.filter == filter {
            return;
        }
        self.filter = filter;
        if let Some(seen) = &self.seen {
            let all = totals::processes(&seen.snapshot, &self.roster);
            self.take_rows(all, true, self.labels.clone(), seen.now_ns);
        }
    }

    /// Does what a key asks for, if that is something in the view that is shown.
    pub fn act(&mut self, action: Action) -> Request {
        if !action.is_of(self.view) {
            return Request::None;
        }
        if let Some(request) = self.replay.is_some().then(|| self.act_in_replay(action)).flatten() {
            return request;
        }
        match action {
            Action::Quit => return Request::Quit,
            Action::Suspend => return Request::Suspend,
            Action::Redraw => return Request::Redraw,
            Action::Help => self.help = !self.help,
            Action::Units => self.turn_units(),
            Action::Save => self.save(),
            Action::Filter => self.prompt = Some(Prompt::Filter(self.filter.text().to_owned(), None)),
            action if self.help && action.scrolls() => self.help_view.scroll(action),
            action if self.views.act(self.view, action) => {}
            Action::Back if self.help => self.help = false,
            Action::Back if self.view != View::Overview => self.turn_to(View::Overview),
            Action::Back => self.selected = None,
            Action::Show(view) => self.turn_to(view),
            Action::Next => self.step_subject(true),
            Action::Previous => self.step_subject(false),
            Action::NextBox => {
                self.focus = match self.focus {
                    Focus::Processes => Focus::Events,
                    Focus::Events => Focus::Devices,
                    Focus::Devices => Focus::Processes,
                }
            }
            Action::Sort => {
                self.sort = self.sort.step(1);
                self.reversed = false;
                self.sort_rows();
            }
            Action::SortBack => {
                self.sort = self.sort.step(SortColumn::ALL.len() - 1);
                self.reversed = false;
                self.sort_rows();
            }
            Action::Reverse => {
                self.reversed = !self.reversed;
                self.sort_rows();
            }
            Action::Record => self.toggle_recording(),
            Action::StepBack | Action::StepOn | Action::JumpBack | Action::JumpOn => {
                self.say("this is no recording: alloc-top --replay FILE plays one", true);
            }
            Action::Baseline => self.confirm(Asked::SetBaseline),
            Action::Reset => self.confirm(Asked::Reset),
            Action::Tree => {
                self.tree = !self.tree;
                self.sort_rows();
            }
            Action::Peaks => {
                self.peaks = !self.peaks;
                self.sort_rows();
            }
            Action::Window => self.window = self.window.longer(),
            Action::WindowBack => self.window = self.window.shorter(),
            Action::Pause => self.paused = !self.paused,
            Action::Slower => {
                self.refresh_ms = INTERVALS_MS.into_iter().find(|ms| *ms > self.refresh_ms).unwrap_or(self.refresh_ms);
            }
            Action::Faster => {
                let next = INTERVALS_MS.into_iter().rev().find(|ms| *ms < self.refresh_ms);
                self.refresh_ms = next.unwrap_or(self.refresh_ms);
            }
            Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
                match (self.view, self.focus) {
                    (View::Processes, _) | (View::Overview, Focus::Processes) => self.select(action),
                    (View::Overview, Focus::Devices) => self.device_view.scroll(action),
                    (View::Overview, Focus::Events) => self.event_view.scroll(action),
                    _ => self.sheet.scroll(action),
                }
            }
        }
        Request::None
    }
}

#[cfg(test)]
mod tests;
