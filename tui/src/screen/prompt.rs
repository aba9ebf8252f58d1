//! What is typed or answered in the last line: the filter, or whether something is to be done.

use super::arrange::LEAST;
use super::canvas::{fitted, put, span};
use super::dashboard::Dashboard;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use shm_layout::control::{Action, Request};

/// Characters of a filter, at most.
const MOST: usize = 200;

/// What stands in the last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// The filter, as typed so far, and why it is not understood.
    Filter(String, Option<String>),
    /// Whether this is to be asked of the aggregator, and whom it is about, in words.
    Confirm(Request, String),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Typing,
    /// Closed, and nothing is to be done.
    Cancelled,
    /// This filter is to be used; the prompt stays open while it is typed.
    Filter(String),
    /// The same, and it is typed to its end.
    Done(String),
    /// This is to be asked of the aggregator.
    Ask(Request),
}

impl Prompt {
    /// Takes one key.
    pub fn key(&mut self, key: KeyEvent) -> Outcome {
        if key.kind == KeyEventKind::Release {
            return Outcome::Typing;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let text = match self {
            Self::Filter(text, _) => text,
            Self::Confirm(request, _) => return answer(*request, key),
        };
        match key.code {
            KeyCode::Esc => return Outcome::Cancelled,
            KeyCode::Char('c' | 'g') if control => return Outcome::Cancelled,
            KeyCode::Enter => return Outcome::Done(text.clone()),
            KeyCode::Char('u') if control => text.clear(),
            KeyCode::Char('w') if control => {
                let kept = text.trim_end().rfind(' ').map_or(0, |at| at + 1);
                text.truncate(kept);
            }
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char(c) if !control && !c.is_control() && text.chars().count() < MOST => text.push(c),
            _ => return Outcome::Typing,
        }
        Outcome::Filter(text.clone())
    }

    /// Takes what was pasted: as text, where text is typed, and never as an answer.
    fn paste(&mut self, pasted: &str) -> Outcome {
        let Self::Filter(text, _) = self else { return Outcome::Typing };
        let room = MOST.saturating_sub(text.chars().count());
        text.extend(pasted.chars().map(|c| if c.is_control() { ' ' } else { c }).take(room));
        Outcome::Filter(text.clone())
    }
}

impl Dashboard {
    /// Takes what was pasted: no key of it is one that somebody has pressed.
    pub fn paste(&mut self, pasted: &str) {
        match self.prompt.as_mut().map(|prompt| prompt.paste(pasted)) {
            Some(outcome @ Outcome::Filter(_)) => self.typed(outcome),
            _ => self.say("pasted text presses no keys: it can be pasted behind /", true),
        }
    }
}

/// Only a clear yes does anything: Ctrl-C is none, nor is any other key with Ctrl or Alt.
fn answer(request: Request, key: KeyEvent) -> Outcome {
    match key.code {
        _ if !(key.modifiers - KeyModifiers::SHIFT).is_empty() => Outcome::Cancelled,
        KeyCode::Char('y' | 'Y') => Outcome::Ask(request),
        KeyCode::Char('c' | 'C') if request.action == Action::SetBaseline => {
            Outcome::Ask(Request { action: Action::ClearBaseline, ..request })
        }
        _ => Outcome::Cancelled,
    }
}

/// Draws it in the last line, if there is one.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    let (text, wrong) = match &dashboard.prompt {
        None => return,
        Some(Prompt::Filter(text, wrong)) => (text, wrong),
        Some(Prompt::Confirm(request, whom)) => {
            let (what, keys) = match request.action {
                Action::Reset => ("begin peaks anew", "y yes   any other key no"),
                _ => ("set a baseline", "y yes   c clear it   any other key no"),
            };
            let question = format!("{what} of {whom}?");
            let (width, all) = (usize::from(area.width), crate::table::width(&question) + keys.len() + 4);
            let line = if all <= width {
                vec![span(format!(" {question} "), theme.warning()), span(format!(" {keys}"), theme.key())]
            } else {
                // Which keys answer matters more than the end of the question.
                let keys = if request.action == Action::SetBaseline { " y/n/c " } else { " y/n " };
                let keys = if width < LEAST.0.into() { keys.trim_start() } else { keys };
                let question = fitted(&question, width.saturating_sub(keys.len()), false, theme);
                vec![span(keys, theme.key()), span(question, theme.warning())]
            };
            return put(buffer, area, 0, &Line::from(line));
        }
    };
    // The end of what is typed stays in sight.
    let room = usize::from(area.width).saturating_sub(" filter ".len() + 1);
    let mut shown = shm_layout::text::clean(text.as_bytes());
    if crate::table::width(&shown) > room {
        let mut rest = shown.chars();
        while crate::table::width(rest.as_str()) >= room.max(1) && rest.next().is_some() {}
        shown = theme.glyphs.more.to_owned() + rest.as_str();
    }
    let mut spans = vec![span(" filter ", theme.title()), span(shown, theme.strong()), span(" ", theme.selected())];
    spans.push(match wrong {
        Some(wrong) => span(format!("  {wrong}"), theme.error()),
        None => span("  Enter keeps it, Esc clears it".to_owned(), theme.dim()),
    });
    put(buffer, area, 0, &Line::from(spans));
}
