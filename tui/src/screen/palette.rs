//! Which colours there are, and what each is for. No other file names a colour.
//!
//! Truecolour is drawn on a ground that nobody knows: each of its colours has a contrast of 3 and more on black as on white, and on the
//! grounds of the schemes that many have (`#1e1e1e`, `#002b36`, `#fdf6e3`); the tests compute it. That leaves a band of middle lightness, in
//! which hues tell things apart. Ordinary text has no colour at all: it is the terminal's own.

use ratatui::style::Color;

/// How many colours the terminal is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// None: bold, dim, reversed and struck out only.
    None,
    /// The terminal's own sixteen.
    Sixteen,
    /// Any: those of this file.
    True,
}

/// Steps of a bar's run of colours, each for as many percent: 75 % is where the sixteenth begins, 90 % where the nineteenth does.
pub const STEPS: usize = 20;
/// Steps up to 75 %, up to 90 %.
const HIGH: usize = 15;
const CRITICAL: usize = 18;
/// Shades of a graph, from below.
pub const SHADES: usize = 8;

/// Holders on the map that are told apart; the last one is bold as well.
pub const HOLDERS: usize = 5;

/// A colour for each thing.
#[derive(Debug)]
pub struct Palette {
    /// Secondary text, and the borders of boxes; `None`: it is dimmed.
    pub secondary: Option<Color>,
    /// Titles, keys, the border of the box that the keys move in.
    pub accent: Color,
    /// All is well.
    pub good: Color,
    /// Somebody should look.
    pub warning: Color,
    /// A figure may be wrong or missing.
    pub error: Color,
    /// What is registered beyond what is resident.
    pub beyond: Color,
    /// How full something is: calm, high, critical.
    pub fill: [Color; 3],
    /// The same along a bar; `None`: a bar has the colour of the whole.
    pub run: Option<[Color; STEPS]>,
    /// Graphs of DRAM, of L1, from below.
    pub graphs: [[Color; SHADES]; 2],
    /// Who holds what on the map: blocks beside each other take turns.
    pub holders: [[Color; 2]; HOLDERS],
}

impl Level {
    /// Its colours; none have none.
    pub const fn palette(self) -> Option<&'static Palette> {
        match self {
            Self::None => None,
            Self::Sixteen => Some(&SIXTEEN),
            Self::True => Some(&TRUE),
        }
    }
}

const SIXTEEN: Palette = Palette {
    // Not grey: "bright black" is invisible in some palettes.
    secondary: None,
    accent: Color::Cyan,
    good: Color::Green,
    warning: Color::Yellow,
    error: Color::Red,
    beyond: Color::Blue,
    fill: [Color::Green, Color::Yellow, Color::Red],
    run: None,
    graphs: [[Color::Cyan; SHADES], [Color::Magenta; SHADES]],
    holders: [[Color::Cyan; 2], [Color::Green; 2], [Color::Magenta; 2], [Color::Blue; 2], [Color::Reset; 2]],
};

const TRUE: Palette = Palette {
    secondary: Some(rgb(0x7f_7f7f)),
    accent: rgb(0x1e_88d3),
    good: rgb(0x2b_944e),
    warning: rgb(0xb9_7705),
    error: rgb(0xea_382e),
    beyond: rgb(0x4f_7de6),
    fill: [rgb(0x35_9350), rgb(0xbe_7004), rgb(0xea_3739)],
    run: Some(run()),
    // Blue to cyan, violet to pink: far from what bars say by theirs.
    graphs: [between(0x52_75e0, 0x0d_96a2), between(0xa0_5dd0, 0xe5_4ca5)],
    holders: [
        [rgb(0x20_8ede), rgb(0x1b_78ba)],
        [rgb(0x34_9d46), rgb(0x2c_843a)],
        [rgb(0xc0_64d2), rgb(0xb1_40c8)],
        [rgb(0x8e_8e10), rgb(0x78_780d)],
        [rgb(0x7d_7dec), rgb(0x61_61e8)],
    ],
};

const fn rgb(code: u32) -> Color {
    let [_, red, green, blue] = code.to_be_bytes();
    Color::Rgb(red, green, blue)
}

/// From one colour to another in so many equal steps, both included.
const fn between<const N: usize>(from: u32, to: u32) -> [Color; N] {
    const fn part(from: u8, to: u8, at: usize, last: usize) -> u8 {
        ((from as usize * (last - at) + to as usize * at) / last) as u8
    }
    let ([_, r, g, b], [_, red, green, blue]) = (from.to_be_bytes(), to.to_be_bytes());
    let mut colours = [Color::Reset; N];
    let mut at = 0;
    while at < N {
        colours[at] = Color::Rgb(part(r, red, at, N - 1), part(g, green, at, N - 1), part(b, blue, at, N - 1));
        at += 1;
    }
    colours
}

/// Sea green to leaf green, amber to orange, red to crimson: where the meaning changes, the colour jumps.
const fn run() -> [Color; STEPS] {
    let calm: [Color; HIGH] = between(0x19_9073, 0x51_9520);
    let high: [Color; CRITICAL - HIGH] = between(0xaf_7b04, 0xcf_6405);
    let critical: [Color; STEPS - CRITICAL] = between(0xec_3f14, 0xe8_2f5e);
    let mut run = [Color::Reset; STEPS];
    let mut at = 0;
    while at < STEPS {
        run[at] = match at {
            ..HIGH => calm[at],
            HIGH..CRITICAL => high[at - HIGH],
            _ => critical[at - CRITICAL],
        };
        at += 1;
    }
    run
}

/// The step of a bar's run at which `part` of `whole` lies: as exact as the thresholds.
pub fn step(part: u64, whole: u64) -> usize {
    let step = u128::from(part) * STEPS as u128 / u128::from(whole.max(1));
    step.min(STEPS as u128 - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Fill, fill};

    /// Grounds on which all of it is to be read: black, white, and those of schemes that many have.
    const GROUNDS: [u32; 5] = [0, 0x1e_1e1e, 0x00_2b36, 0xff_ffff, 0xfd_f6e3];

    fn every(palette: &Palette) -> Vec<Color> {
        let single = [palette.accent, palette.good, palette.warning, palette.error, palette.beyond];
        let groups = [&palette.fill[..], palette.run.as_ref().map_or(&[][..], |run| run)];
        let graphs = palette.graphs.iter().flatten();
        let all = palette.secondary.iter().chain(&single).chain(groups.into_iter().flatten()).chain(graphs);
        all.chain(palette.holders.iter().flatten()).copied().collect()
    }

    /// As WCAG 2.1 has it: 0 for black, 1 for white.
    fn luminance(colour: Color) -> f64 {
        let Color::Rgb(red, green, blue) = colour else { panic!("{colour:?} is another one on every terminal") };
        let [red, green, blue] = [red, green, blue].map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(one: Color, other: Color) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn every_true_colour_reads_on_dark_and_on_light() {
        assert!((contrast(rgb(0), rgb(0xff_ffff)) - 21.0).abs() < 0.001);
        assert!((contrast(rgb(0x77_7777), rgb(0xff_ffff)) - 4.48).abs() < 0.01, "as WCAG's own example has it");
        let colours = every(&TRUE);
        assert!(colours.len() > 50);
        for colour in colours {
            for ground in GROUNDS {
                let found = contrast(colour, rgb(ground));
                assert!(found >= 3.0, "{colour:?} on {ground:06x}: {found:.2}");
            }
        }
    }

    #[test]
    fn the_sixteen_are_the_terminals_own() {
        assert!(every(&SIXTEEN).iter().all(|colour| !matches!(colour, Color::Rgb(..) | Color::Indexed(_))));
        assert!(Level::None.palette().is_none());
    }

    #[test]
    fn things_that_stand_beside_each_other_have_colours_of_their_own() {
        let distance = |one: Color, other: Color| {
            let (Color::Rgb(r, g, b), Color::Rgb(red, green, blue)) = (one, other) else { panic!("{one:?} {other:?}") };
            [(r, red), (g, green), (b, blue)].map(|(one, other)| u32::from(one.abs_diff(other))).iter().sum::<u32>()
        };
        for apart in [
            &TRUE.fill[..],
            &[TRUE.good, TRUE.warning, TRUE.error, TRUE.accent][..],
            &TRUE.holders.map(|turns| turns[0])[..],
            &[TRUE.fill[0], TRUE.beyond][..],
            &[TRUE.graphs[0][0], TRUE.graphs[1][0]][..],
            &[TRUE.graphs[0][SHADES - 1], TRUE.graphs[1][SHADES - 1]][..],
        ] {
            for (at, one) in apart.iter().enumerate() {
                assert!(apart[..at].iter().all(|other| distance(*one, *other) >= 90), "{one:?} in {apart:?}");
            }
        }
        // Blocks of one holder by lightness, so that nobody needs to see hues for it.
        for [one, other] in TRUE.holders {
            assert!(contrast(one, other) >= 1.25, "{one:?} {other:?}: {:.2}", contrast(one, other));
        }
    }

    #[test]
    fn a_run_changes_its_meaning_where_the_thresholds_are() {
        let run = TRUE.run.unwrap_or([Color::Reset; STEPS]);
        assert!(run.windows(2).all(|two| two[0] != two[1]), "{run:?}");
        for whole in [1, 7, 100, 1000, 999_983, u64::MAX] {
            for part in (0..=2000).map(|n| (u128::from(whole) * n / 1000).min(u64::MAX.into()) as u64) {
                let meant = match step(part, whole) {
                    ..HIGH => Fill::Calm,
                    HIGH..CRITICAL => Fill::High,
                    _ => Fill::Critical,
                };
                assert_eq!(meant, fill(part, Some(whole)), "{part} of {whole}");
            }
        }
    }

    #[test]
    fn no_other_file_names_a_colour() {
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                if path.is_dir() && name != "tests" {
                    folders.push(path);
                // keyboard.rs has sequences that are typed, and writes nothing.
                } else if name.ends_with(".rs")
                    && !["tests.rs", "palette.rs", "theme.rs", "keyboard.rs"].contains(&name.as_str())
                {
                    let text = std::fs::read_to_string(&path).unwrap_or_default();
                    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                    assert!(!code.contains("Color::") && !code.contains("\\x1b["), "{}", path.display());
                    seen += 1;
                }
            }
        }
        assert!(seen > 60, "{seen}");
    }
}
