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
    /// Sort by the column before.
    SortBack,
    /// Show or hide what processes started what.
    Tree,
    /// Show more of the past; after the most the least.
    Window,
    /// Show less of the past; after the least the most.
    WindowBack,
    /// Write the filter.
    Filter,
    /// The other units of bytes.
    Units,
    /// Peaks instead of what is there now.
    Peaks,
    /// Set a baseline for what is selected; asks first.
    Baseline,
    /// Begin peaks anew for what is selected; asks first.
    Reset,
    /// Begin or end a recording.
    Record,
    /// Of a recording: one look back, one on.
    StepBack,
    /// One look on.
    StepOn,
    /// Of a recording: a minute back.
    JumpBack,
    /// A minute on.
    JumpOn,
    /// Write what is set now into the configuration file.
    Save,
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

type Key = (KeyModifiers, KeyCode);

const fn key(c: char) -> Key {
    (PLAIN, KeyCode::Char(c))
}

const fn plain(code: KeyCode) -> Key {
    (PLAIN, code)
}

const fn ctrl(c: char) -> Key {
    (CTRL, KeyCode::Char(c))
}

const fn bind(
    keys: &'static [Key],
    action: Action,
    label: &'static str,
    word: &'static str,
    help: &'static str,
) -> Binding {
    Binding { keys, action, label, word, help }
}

/// Every key; those first in the footer come first.
pub const BINDINGS: &[Binding] = &[
    bind(&[key('q'), ctrl('c')], Action::Quit, "q", "quit", "quit (also Ctrl-C)"),
    bind(&[key('?'), key('h'), plain(KeyCode::F(1))], Action::Help, "?", "help", "this help (also h, F1)"),
    bind(&[key('1')], Action::Show(View::Overview), "1", "", "overview: devices, processes and events"),
    bind(&[key('2')], Action::Show(View::Charts), "2", "", "charts of the past, by device and memory"),
    bind(&[key('3')], Action::Show(View::Detail), "3", "", "detail: all about the selected process, or a device"),
    bind(&[key('4')], Action::Show(View::Processes), "4", "", "processes: every column, as a list or a tree"),
    bind(&[key('5')], Action::Show(View::Map), "5", "", "map: what lies where in a device's memory"),
    bind(&[key('6')], Action::Show(View::Programs), "6", "", "programs: their circular buffers and kernels"),
    bind(&[key('7')], Action::Show(View::Leaks), "7", "", "leaks: what has grown, what is old, what is left"),
    bind(&[key('8')], Action::Show(View::Events), "8", "", "events: what has happened"),
    bind(&[key('9')], Action::Show(View::Health), "9", "", "health: how the figures come about"),
    bind(&[plain(KeyCode::Enter)], Action::Show(View::Detail), "Enter", "detail", "details of what is selected"),
    bind(&[plain(KeyCode::Right)], Action::Next, "right", "next", "the next device or process"),
    bind(&[plain(KeyCode::Left)], Action::Previous, "left", "", "the one before"),
    bind(&[key('/')], Action::Filter, "/", "filter", "filter: words, or mem>1G user:ann dev:0"),
    bind(
        &[key('s'), key('>'), plain(KeyCode::F(6))],
        Action::Sort,
        "s",
        "sort",
        "sort by the next column (also >, F6)",
    ),
    bind(&[key('<')], Action::SortBack, "<", "", "sort by the column before"),
    bind(&[key('r'), key('I')], Action::Reverse, "r", "reverse", "turn the order round (also I)"),
    bind(
        &[key('t'), plain(KeyCode::F(5))],
        Action::Tree,
        "t",
        "tree",
        "processes under those that started them (also F5)",
    ),
    bind(&[key('z')], Action::Window, "z", "window", "more of the past in charts, up to four hours; then the least"),
    bind(&[key('Z')], Action::WindowBack, "Z", "", "less of the past in charts, down to 30 seconds; then the most"),
    bind(&[key('p')], Action::Peaks, "p", "peaks", "peaks instead of what is there now"),
    bind(&[key(' ')], Action::Pause, "space", "pause", "hold the figures, and go on"),
    bind(&[plain(KeyCode::Tab)], Action::NextBox, "tab", "focus", "move the keys to the next box"),
    bind(&[key('+'), key('=')], Action::Slower, "+", "slower", "look less often"),
    bind(&[key('-')], Action::Faster, "-", "faster", "look more often"),
    bind(&[key('b')], Action::Baseline, "b", "baseline", "set a baseline for what is selected; asks first"),
    bind(&[key('R')], Action::Reset, "R", "", "begin peaks anew for what is selected; asks first"),
    bind(&[key('u')], Action::Units, "u", "", "bytes in powers of 1024 or of 1000"),
    bind(&[key('w')], Action::Record, "w", "", "begin or end a recording"),
    bind(&[key('[')], Action::StepBack, "[", "", "in a recording: one look back"),
    bind(&[key(']')], Action::StepOn, "]", "", "in a recording: one look on"),
    bind(&[key('{')], Action::JumpBack, "{", "", "in a recording: a minute back"),
    bind(&[key('}')], Action::JumpOn, "}", "", "in a recording: a minute on"),
    bind(&[key('W')], Action::Save, "W", "", "write view, sort, filter and the like into the configuration file"),
    bind(&[plain(KeyCode::Up), key('k')], Action::Up, "up", "", "one up (also k)"),
    bind(&[plain(KeyCode::Down), key('j')], Action::Down, "down", "", "one down (also j)"),
    bind(&[plain(KeyCode::PageUp)], Action::PageUp, "PgUp", "", "one page up"),
    bind(&[plain(KeyCode::PageDown)], Action::PageDown, "PgDn", "", "one page down"),
    bind(&[plain(KeyCode::Home), key('g')], Action::First, "Home", "", "to the first (also g)"),
    bind(&[plain(KeyCode::End), key('G')], Action::Last, "End", "", "to the last (also G)"),
    bind(
        &[plain(KeyCode::Esc)],
        Action::Back,
        "Esc",
        "",
        "close what lies on top; back to the overview; let the selection go",
    ),
    bind(&[ctrl('z')], Action::Suspend, "Ctrl-Z", "", "suspend; fg comes back"),
    bind(&[ctrl('l')], Action::Redraw, "Ctrl-L", "", "draw everything again"),
];

impl Binding {
    /// The word for the footer, as it is while a recording is played or else.
    pub const fn word(&self, replay: bool) -> &'static str {
        match self.action {
            _ if !replay => self.word,
            Action::Slower => "faster",
            Action::Faster => "slower",
            Action::StepBack => "back",
            Action::StepOn => "on",
            Action::JumpBack => "-1m",
            Action::JumpOn => "+1m",
            Action::Record | Action::Baseline | Action::Reset => "",
            _ => self.word,
        }
    }

    /// The sentence for the help, likewise.
    pub const fn help(&self, replay: bool) -> &'static str {
        match self.action {
            Action::Slower if replay => "play faster, up to 64 times",
            Action::Faster if replay => "play slower, down to a quarter",
            _ => self.help,
        }
    }
}

impl Action {
    /// Whether it moves in a recording.
    pub const fn is_of_replays(self) -> bool {
        matches!(
            self,
            Self::Pause | Self::StepBack | Self::StepOn | Self::JumpBack | Self::JumpOn | Self::Slower | Self::Faster
        )
    }

    /// Whether it does something in this view. Where it does not, its keys are not heeded: they would change what another view shows.
    pub const fn is_of(self, view: View) -> bool {
        match self {
            Self::Next | Self::Previous => matches!(view, View::Detail | View::Map | View::Programs | View::Leaks),
            Self::Sort | Self::SortBack | Self::Reverse => {
                matches!(view, View::Overview | View::Processes | View::Programs)
            }
            Self::NextBox => matches!(view, View::Overview | View::Map),
            Self::Tree | Self::Peaks => matches!(view, View::Overview | View::Processes),
            Self::Window | Self::WindowBack => matches!(view, View::Overview | View::Charts | View::Map),
            Self::Filter => matches!(view, View::Overview | View::Processes | View::Events),
            _ => true,
        }
    }

    /// Whether the footer tells of it in this view: of what does something in every one, where it is of most use.
    pub const fn is_told_in(self, view: View) -> bool {
        self.is_of(view)
            && match self {
                Self::Show(View::Detail) => matches!(view, View::Overview | View::Processes | View::Map),
                Self::Baseline => matches!(view, View::Leaks | View::Detail | View::Processes),
                _ => true,
            }
    }

    /// Whether it moves in a list, or scrolls.
    pub const fn scrolls(self) -> bool {
        matches!(self, Self::Up | Self::Down | Self::PageUp | Self::PageDown | Self::First | Self::Last)
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
