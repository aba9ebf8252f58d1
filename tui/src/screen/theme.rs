//! Glyphs and styles: what each thing looks like, at every level of colours.

use super::palette::{HOLDERS, Level, Palette, SHADES, STEPS};
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

/// Which colours to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// As many as the terminal says it has; none where `NO_COLOR` is set or the terminal is dumb.
    #[default]
    Auto,
    /// The same, whatever `NO_COLOR` says.
    Always,
    /// None: bold, dim and reversed only.
    Never,
    /// Truecolour, whatever the terminal says.
    Truecolor,
    /// The terminal's own sixteen.
    #[value(name = "16")]
    Sixteen,
}

impl Colour {
    /// As it is called on the command line and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
            Self::Truecolor => "truecolor",
            Self::Sixteen => "16",
        }
    }
}

/// How the screen looks.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// The characters.
    pub glyphs: &'static Glyphs,
    level: Level,
}

impl Theme {
    /// With the terminal's sixteen colours or none, and with ASCII only or not.
    pub const fn new(colour: bool, ascii: bool) -> Self {
        Self::at(if colour { Level::Sixteen } else { Level::None }, ascii)
    }

    /// With so many colours, and with ASCII only or not.
    pub const fn at(level: Level, ascii: bool) -> Self {
        Self { glyphs: if ascii { &ASCII } else { &UNICODE }, level }
    }

    /// What this terminal can and its user wants.
    pub fn from_environment(colour: Colour, ascii: bool) -> Self {
        let theme = Self::for_terminal(colour, ascii, |name| std::env::var(name).ok());
        // crossterm looks at NO_COLOR by itself.
        crossterm::style::force_color_output(theme.level != Level::None);
        theme
    }

    fn for_terminal(colour: Colour, ascii: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let terminal = set("TERM").unwrap_or_default();
        let poor = matches!(terminal.as_str(), "dumb" | "linux");
        // GNU screen hands the variable on, and takes the parts of a colour that it does not know for attributes: text would blink.
        let inside = set("STY").is_some() && set("TMUX").is_none();
        let many = set("COLORTERM").is_some_and(|value| matches!(value.as_str(), "truecolor" | "24bit"));
        let found = if many && !poor && !inside { Level::True } else { Level::Sixteen };
        let level = match colour {
            Colour::Never => Level::None,
            Colour::Auto if set("NO_COLOR").is_some() || terminal == "dumb" => Level::None,
            Colour::Auto | Colour::Always => found,
            Colour::Truecolor => Level::True,
            Colour::Sixteen => Level::Sixteen,
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        // The Linux console's font has no braille.
        Self::at(level, ascii || !utf8 || poor)
    }

    fn ink(self, of: impl Fn(&Palette) -> Color) -> Style {
        self.level.palette().map_or_else(Style::new, |palette| Style::new().fg(of(palette)))
    }

    /// Ordinary text.
    pub const fn text(self) -> Style {
        Style::new()
    }

    /// Secondary text. Dimmed where there is no grey that can be relied on.
    pub fn dim(self) -> Style {
        match self.level.palette().and_then(|palette| palette.secondary) {
            Some(grey) => Style::new().fg(grey),
            None => Style::new().add_modifier(Modifier::DIM),
        }
    }

    /// Names and totals.
    pub const fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Titles of the boxes.
    pub fn title(self) -> Style {
        self.ink(|palette| palette.accent).add_modifier(Modifier::BOLD)
    }

    /// Keys in the footer and the help.
    pub fn key(self) -> Style {
        self.title()
    }

    /// Borders; those of the box that the keys move in stand out.
    pub fn border(self, focused: bool) -> Style {
        if focused { self.ink(|palette| palette.accent) } else { self.dim() }
    }

    /// What stands on a border, in this style: how the border looks is not for it.
    pub fn over_border(style: Style) -> Style {
        let dim = style.add_modifier.contains(Modifier::DIM);
        let style = if dim { style } else { style.remove_modifier(Modifier::DIM) };
        Style { fg: style.fg.or(Some(Color::Reset)), ..style }
    }

    /// A share, by how full it says that something is.
    pub fn fill(self, fill: Fill) -> Style {
        match fill {
            Fill::Unknown => self.dim(),
            Fill::Calm => self.ink(|palette| palette.fill[0]),
            Fill::High => self.ink(|palette| palette.fill[1]),
            Fill::Critical => self.ink(|palette| palette.fill[2]).add_modifier(Modifier::BOLD),
        }
    }

    /// What a bar's colours run through from its beginning to its end; `None`: it has the one of the whole.
    pub fn run(self) -> Option<&'static [Color; STEPS]> {
        self.level.palette().and_then(|palette| palette.run.as_ref())
    }

    /// What is registered beyond what is resident.
    pub fn beyond(self) -> Style {
        self.ink(|palette| palette.beyond)
    }

    /// The name of DRAM's graph or of L1's, and bars that are parts of a sum.
    pub fn graph(self, l1: bool) -> Style {
        self.graph_line(l1, 0, 1)
    }

    /// Line `at`, from below, of such a graph of `height` lines.
    pub fn graph_line(self, l1: bool, at: usize, height: usize) -> Style {
        let shade = (2 * at + 1) * SHADES / (2 * height.max(1));
        self.ink(|palette| palette.graphs[usize::from(l1)][shade.min(SHADES - 1)])
    }

    /// What this one of several holds; `odd`: the second of two blocks beside each other, by its shade or dimmed.
    pub fn holder(self, who: usize, odd: bool) -> Style {
        let who = who % HOLDERS;
        let mut style = self.ink(|palette| palette.holders[who][usize::from(odd)]);
        if who == HOLDERS - 1 {
            style = style.patch(self.strong());
        }
        if odd && self.level != Level::True { style.add_modifier(Modifier::DIM) } else { style }
    }

    /// All is well.
    pub fn good(self) -> Style {
        self.ink(|palette| palette.good)
    }

    /// Somebody should look.
    pub fn warning(self) -> Style {
        self.ink(|palette| palette.warning)
    }

    /// A figure may be wrong or missing.
    pub fn error(self) -> Style {
        self.ink(|palette| palette.error).add_modifier(Modifier::BOLD)
    }

    /// The selected row.
    pub const fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A process that is gone.
    pub fn gone(self) -> Style {
        self.dim().add_modifier(Modifier::CROSSED_OUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(colour: Colour, ascii: bool, variables: &[(&str, &str)]) -> (Level, bool) {
        let look = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let theme = Theme::for_terminal(colour, ascii, look);
        (theme.level, theme.glyphs.braille)
    }

    #[test]
    fn the_environment_is_heard() {
        let (utf8, sixteen) = (("LANG", "en_US.UTF-8"), Level::Sixteen);
        assert_eq!(theme(Colour::Auto, false, &[utf8, ("TERM", "xterm")]), (sixteen, true));
        assert_eq!(theme(Colour::Auto, false, &[utf8, ("NO_COLOR", "1")]), (Level::None, true));
        assert_eq!(theme(Colour::Auto, false, &[utf8, ("NO_COLOR", "")]), (sixteen, true));
        assert_eq!(theme(Colour::Always, true, &[utf8, ("NO_COLOR", "1")]), (sixteen, false));
        assert_eq!(theme(Colour::Auto, false, &[utf8, ("TERM", "dumb")]), (Level::None, false));
        assert_eq!(theme(Colour::Never, false, &[("LANG", "de_DE.utf8")]), (Level::None, true));
        assert_eq!(theme(Colour::Auto, false, &[("LANG", "C.UTF-8"), ("LC_ALL", "C")]), (sixteen, false));
        assert_eq!(theme(Colour::Auto, false, &[]), (sixteen, false));
    }

    #[test]
    fn as_many_colours_as_the_terminal_says_it_has() {
        let level = |colour, variables: &[(&str, &str)]| theme(colour, false, variables).0;
        let many = ("COLORTERM", "truecolor");
        for (variables, found) in [
            (&[many, ("TERM", "xterm-256color")][..], Level::True),
            (&[("COLORTERM", "24bit"), ("TERM", "tmux-256color")], Level::True),
            (&[("COLORTERM", "yes"), ("TERM", "xterm-256color")], Level::Sixteen),
            (&[("COLORTERM", ""), ("TERM", "xterm-direct")], Level::Sixteen),
            (&[many, ("TERM", "linux")], Level::Sixteen),
            (&[many, ("TERM", "screen"), ("STY", "1.pts")], Level::Sixteen),
            (&[many, ("TERM", "tmux"), ("STY", "1.pts"), ("TMUX", "/tmp/x")], Level::True),
            (&[many, ("TERM", "xterm"), ("NO_COLOR", "1")], Level::None),
            (&[many, ("TERM", "dumb")], Level::None),
        ] {
            assert_eq!(level(Colour::Auto, variables), found, "{variables:?}");
            assert_eq!(level(Colour::Never, variables), Level::None);
            assert_eq!(level(Colour::Sixteen, variables), Level::Sixteen);
            assert_eq!(level(Colour::Truecolor, variables), Level::True);
            assert_ne!(level(Colour::Always, variables), Level::None);
        }
        assert_eq!(level(Colour::Always, &[many, ("NO_COLOR", "1")]), Level::True);
        assert_eq!(level(Colour::Always, &[many, ("TERM", "dumb")]), Level::Sixteen);
    }

    #[test]
    fn every_value_has_the_name_that_the_command_line_knows() {
        use clap::ValueEnum;
        for colour in Colour::value_variants() {
            assert_eq!(Colour::from_str(colour.name(), false), Ok(*colour));
        }
    }

    #[test]
    fn a_graph_has_its_darkest_below_and_its_brightest_on_top() {
        let theme = Theme::at(Level::True, false);
        for l1 in [false, true] {
            let lines: Vec<Style> = (0..20).map(|at| theme.graph_line(l1, at, 20)).collect();
            let ends = Level::True.palette().map(|palette| palette.graphs[usize::from(l1)]).unwrap_or_default();
            assert_eq!((lines[0].fg, lines[19].fg), (Some(ends[0]), Some(ends[SHADES - 1])));
        }
        assert_eq!(Theme::new(true, false).graph_line(true, 3, 4), Theme::new(true, false).graph(true));
    }
}
