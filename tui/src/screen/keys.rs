//! The one table of keys: what they do, the footer and the help are made of it.

use super::view::View;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// Show or hide the help.
    Help,
    /// Close what lies on top. Never leaves.
    Back,
    /// Turn to this view.
    Show(View),
    /// Details of the next one.
    Next,
    /// Details of the one before.
    Previous,
    /// One up.
    Up,
    /// One down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// The keys move in the next box.
    NextBox,
    /// Sort by the next column.
    Sort,
    /// Turn the order round.
    Reverse,
    /// Hold or resume the updates.
    Pause,
    /// Look more often.
    Faster,
    /// Look less often.
    Slower,
    /// Stop the process as a shell's job.
    Suspend,
    /// Draw everything again.
    Redraw,
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [(KeyModifiers, KeyCode)],
    /// What they ask for.
    pub action: Action,
    /// How the keys are written.
    pub label: &'static str,
    /// A word for the footer; empty = not there.
    pub word: &'static str,
    /// A sentence for the help.
    pub help: &'static str,
}

const PLAIN: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;

const fn key(c: char) -> (KeyModifiers, KeyCode) {
    (PLAIN, KeyCode::Char(c))
}

/// Every key; those first in the footer come first.
pub const BINDINGS: &[Binding] = &[
    Binding {
        keys: &[key('q'), (CTRL, KeyCode::Char('c'))],
        action: Action::Quit,
        label: "q",
        word: "quit",
        help: "quit (also Ctrl-C)",
    },
    Binding {
        keys: &[key('?'), key('h'), (PLAIN, KeyCode::F(1))],
        action: Action::Help,
        label: "?",
        word: "help",
        help: "this help (also h, F1)",
    },
    Binding {
        keys: &[key('1')],
        action: Action::Show(View::Table),
        label: "1",
        word: "table",
        help: "devices, processes and events",
    },
    Binding {
        keys: &[key('2')],
        action: Action::Show(View::Charts),
        label: "2",
        word: "charts",
        help: "charts of the last minutes, by device and memory",
    },
    Binding {
        keys: &[key('3'), (PLAIN, KeyCode::Enter)],
        action: Action::Show(View::Detail),
        label: "3",
        word: "detail",
        help: "all about the selected process, or a device (also Enter)",
    },
    Binding {
        keys: &[(PLAIN, KeyCode::Right), key(']')],
        action: Action::Next,
        label: "right",
        word: "next",
        help: "details of the next device or process (also ])",
    },
    Binding {
        keys: &[(PLAIN, KeyCode::Left), key('[')],
        action: Action::Previous,
        label: "left",
        word: "",
        help: "details of the one before (also [)",
    },
    Binding {
        keys: &[key('s'), (PLAIN, KeyCode::F(6))],
        action: Action::Sort,
        label: "s",
        word: "sort",
        help: "sort by the next column",
    },
    Binding { keys: &[key('r')], action: Action::Reverse, label: "r", word: "reverse", help: "turn the order round" },
    Binding {
        keys: &[key(' ')],
        action: Action::Pause,
        label: "space",
        word: "pause",
        help: "hold the figures, and go on",
    },
    Binding {
        keys: &[(PLAIN, KeyCode::Tab)],
        action: Action::NextBox,
        label: "tab",
        word: "focus",
        help: "move the keys to the next box",
    },
    Binding {
        keys: &[key('+'), key('=')],
        action: Action::Slower,
        label: "+",
        word: "slower",
        help: "look less often",
    },
    Binding { keys: &[key('-')], action: Action::Faster, label: "-", word: "faster", help: "look more often" },
    Binding {
        keys: &[(PLAIN, KeyCode::Up), key('k')],
        action: Action::Up,
        label: "up",
        word: "",
        help: "one up (also k)",
    },
    Binding {
        keys: &[(PLAIN, KeyCode::Down), key('j')],
        action: Action::Down,
        label: "down",
        word: "",
        help: "one down (also j)",
    },
    Binding { keys: &[(PLAIN, KeyCode::PageUp)], action: Action::PageUp, label: "PgUp", word: "", help: "one page up" },
    Binding {
        keys: &[(PLAIN, KeyCode::PageDown)],
        action: Action::PageDown,
        label: "PgDn",
        word: "",
        help: "one page down",
    },
    Binding {
        keys: &[(PLAIN, KeyCode::Home), key('g')],
        action: Action::First,
        label: "Home",
        word: "",
        help: "to the first (also g)",
    },
    Binding {
        keys: &[(PLAIN, KeyCode::End), key('G')],
        action: Action::Last,
        label: "End",
        word: "",
        help: "to the last (also G)",
    },
    Binding {
        keys: &[(PLAIN, KeyCode::Esc)],
        action: Action::Back,
        label: "Esc",
        word: "",
        help: "close the help; back to the table; let the selection go",
    },
    Binding {
        keys: &[(CTRL, KeyCode::Char('z'))],
        action: Action::Suspend,
        label: "Ctrl-Z",
        word: "",
        help: "suspend; fg comes back",
    },
    Binding {
        keys: &[(CTRL, KeyCode::Char('l'))],
        action: Action::Redraw,
        label: "Ctrl-L",
        word: "",
        help: "draw everything again",
    },
];

impl Action {
    /// Whether it does something in this view that the footer may tell of.
    pub fn is_of(self, view: View) -> bool {
        match self {
            Self::Show(other) => other != view,
            Self::Next | Self::Previous => view == View::Detail,
            Self::Sort | Self::Reverse | Self::NextBox => view == View::Table,
            _ => true,
        }
    }
}

/// What this key asks for.
pub fn action(event: KeyEvent) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    // Shift is in the character already ('G', '?', '+').
    let modifiers = event.modifiers - KeyModifiers::SHIFT;
    BINDINGS.iter().find(|binding| binding.keys.contains(&(modifiers, event.code))).map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_table_works_once() {
        let mut seen = Vec::new();
        for binding in BINDINGS {
            assert!(!binding.keys.is_empty() && !binding.label.is_empty() && !binding.help.is_empty());
            for (modifiers, code) in binding.keys {
                assert!(!seen.contains(&(modifiers, code)), "{code:?} is bound twice");
                seen.push((modifiers, code));
                assert_eq!(action(KeyEvent::new(*code, *modifiers)), Some(binding.action));
            }
        }
        let shifted = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(action(shifted), Some(Action::Last));
        assert_eq!(action(KeyEvent::new(KeyCode::Char('x'), PLAIN)), None);
        assert_eq!(action(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT)), None);
        assert_eq!(action(KeyEvent { kind: KeyEventKind::Release, ..shifted }), None);
    }
}
