//! Glyphs and styles. Colours are the terminal's own sixteen, so that they fit light and dark backgrounds alike.

use crate::units::Fill;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// The characters that everything is drawn with.
#[derive(Debug)]
pub struct Glyphs {
    /// Borders of the boxes.
    pub border: border::Set<'static>,
    /// Parts of a cell, from the emptiest to the fullest.
    pub parts: &'static [&'static str],
    /// A full cell of a bar.
    pub full: &'static str,
    /// A cell of what is registered beyond what is resident.
    pub beyond: &'static str,
    /// An empty cell of a bar.
    pub track: &'static str,
    /// The peak, on the track.
    pub peak: &'static str,
    /// Graphs have two by four dots a cell; else one of `levels` a column.
    pub braille: bool,
    /// Heights of one cell of a graph without braille.
    pub levels: &'static [&'static str],
    /// Between pieces of a line.
    pub dot: &'static str,
    /// The aggregator lives.
    pub alive: &'static str,
    /// It does not.
    pub trouble: &'static str,
    /// Updates are held.
    pub paused: &'static str,
    /// A recording is played.
    pub playing: &'static str,
    /// Sorted downwards, upwards.
    pub sorted: [&'static str; 2],
    /// Event lines by severity.
    pub severity: [&'static str; 3],
    /// A process that is gone.
    pub gone: &'static str,
    /// Before the name of a process under the one that started it.
    pub branch: &'static str,
    /// Something is cut off here.
    pub more: &'static str,
    /// The selected row.
    pub cursor: &'static str,
}

const UNICODE: Glyphs = Glyphs {
    border: border::ROUNDED,
    parts: &["▏", "▎", "▍", "▌", "▋", "▊", "▉"],
    full: "█",
    beyond: "▒",
    track: "·",
    peak: "╎",
    braille: true,
    levels: &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    dot: "·",
    alive: "●",
    trouble: "▲",
    paused: "‖",
    playing: "▶",
    sorted: ["▼", "▲"],
    severity: ["·", "▲", "✖"],
    gone: "†",
    branch: "└ ",
    more: "…",
    cursor: "▌",
};

const ASCII: Glyphs = Glyphs {
    border: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
    parts: &[],
    full: "#",
    beyond: "=",
    track: ".",
    peak: "|",
    braille: false,
    levels: &["_", ".", "-", "=", "+", "*", "#"],
    dot: "|",
    alive: "*",
    trouble: "!",
    paused: "=",
    playing: ">",
    sorted: ["v", "^"],
    severity: [" ", "!", "X"],
    gone: "x",
    branch: "`-",
    more: "~",
    cursor: ">",
};

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// Unless `NO_COLOR` is set or the terminal is dumb.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// As it is called on the command line and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// How the screen looks.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// The characters.
    pub glyphs: &'static Glyphs,
    colour: bool,
}

impl Theme {
    /// With or without colours, and with ASCII only or not.
    pub const fn new(colour: bool, ascii: bool) -> Self {
        Self { glyphs: if ascii { &ASCII } else { &UNICODE }, colour }
    }

    /// What this terminal can and its user wants.
    pub fn from_environment(colour: Colour, ascii: bool) -> Self {
        let theme = Self::for_terminal(colour, ascii, |name| std::env::var(name).ok());
        // crossterm looks at NO_COLOR by itself.
        crossterm::style::force_color_output(theme.colour);
        theme
    }

    fn for_terminal(colour: Colour, ascii: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let terminal = set("TERM").unwrap_or_default();
        let colour = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => set("NO_COLOR").is_none() && terminal != "dumb",
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        // The Linux console's font has no braille.
        Self::new(colour, ascii || !utf8 || matches!(terminal.as_str(), "dumb" | "linux"))
    }

    fn ink(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Ordinary text.
    pub const fn text(self) -> Style {
        Style::new()
    }

    /// Secondary text. Dimmed, not grey: "bright black" is invisible in some palettes.
    pub const fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Names and totals.
    pub const fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Titles of the boxes.
    pub fn title(self) -> Style {
        self.ink(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Keys in the footer and the help.
    pub fn key(self) -> Style {
        self.ink(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Borders; those of the box that the keys move in stand out.
    pub fn border(self, focused: bool) -> Style {
        if focused { self.ink(Color::Cyan) } else { self.dim() }
    }

    /// A bar, by how full it is.
    pub fn fill(self, fill: Fill) -> Style {
        match fill {
            Fill::Unknown => self.dim(),
            Fill::Calm => self.ink(Color::Green),
            Fill::High => self.ink(Color::Yellow),
            Fill::Critical => self.ink(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// What is registered beyond what is resident.
    pub fn beyond(self) -> Style {
        self.ink(Color::Blue)
    }

    /// The graph of DRAM, of L1.
    pub fn graph(self, l1: bool) -> Style {
        self.ink(if l1 { Color::Magenta } else { Color::Cyan })
    }

    /// All is well.
    pub fn good(self) -> Style {
        self.ink(Color::Green)
    }

    /// Somebody should look.
    pub fn warning(self) -> Style {
        self.ink(Color::Yellow)
    }

    /// A figure may be wrong or missing.
    pub fn error(self) -> Style {
        self.ink(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// The selected row.
    pub const fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A process that is gone.
    pub const fn gone(self) -> Style {
        Style::new().add_modifier(Modifier::DIM.union(Modifier::CROSSED_OUT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(colour: Colour, ascii: bool, variables: &[(&str, &str)]) -> (bool, bool) {
        let look = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let theme = Theme::for_terminal(colour, ascii, look);
        (theme.colour, theme.glyphs.braille)
    }

    #[test]
    fn the_environment_is_heard() {
        let utf8 = ("LANG", "en_US.UTF-8");
        assert_eq!(theme(Colour::Auto, false, &[utf8, ("TERM", "xterm")]), (true, true));
        assert_eq!(theme(Colour::Auto, false, &[utf8, ("NO_COLOR", "1")]), (false, true));
        assert_eq!(theme(Colour::Auto, false, &[utf8, ("NO_COLOR", "")]), (true, true));
        assert_eq!(theme(Colour::Always, true, &[utf8, ("NO_COLOR", "1")]), (true, false));
        assert_eq!(theme(Colour::Auto, false, &[utf8, ("TERM", "dumb")]), (false, false));
        assert_eq!(theme(Colour::Never, false, &[("LANG", "de_DE.utf8")]), (false, true));
        assert_eq!(theme(Colour::Auto, false, &[("LANG", "C.UTF-8"), ("LC_ALL", "C")]), (true, false));
        assert_eq!(theme(Colour::Auto, false, &[]), (true, false));
    }
}
