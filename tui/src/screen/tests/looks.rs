//! Every view at eight sizes, the one line below them, and three levels of colour.
//!
//! The characters are the same at every level, and stand in a snapshot a view; how they are coloured stands in another one, as a letter a
//! cell: the same letter is the same look, and below stands which.

use super::views::{full, of_process, shown};
use super::*;
use crate::holdings::Holdings;
use crate::screen::palette::Level;
use crate::screen::view::View;
use crate::screen::views::ledger_fixture::{self, grown, host};
use std::fmt::Write;

const SIZES: [(u16, u16); 9] =
    [(200, 60), (160, 45), (120, 34), (100, 30), (80, 24), (60, 20), (40, 10), (20, 5), (30, 4)];
/// The size at which the looks are compared.
const LOOKS: (u16, u16) = (80, 24);
const LEVELS: [(Level, &str); 3] =
    [(Level::True, "truecolour"), (Level::Sixteen, "sixteen colours"), (Level::None, "no colour")];
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

const THEME: Theme = Theme::at(Level::True, false);

/// The details of the process that holds most, with its allocations.
fn process() -> Dashboard {
    let mut dashboard = of_process(THEME, full(4));
    let seen = full(4);
    dashboard.holdings = Holdings::default();
    dashboard.holdings.recall(&seen.snapshot.processes[0], Some(&host(&seen)));
    dashboard
}

fn with_ledgers(view: View) -> Dashboard {
    let seen = ledger_fixture::observation(4);
    let inventory = host(&seen);
    ledger_fixture::shown(THEME, seen, Some(inventory), view)
}

/// What is wrong is told in the health view, and in a line of every other.
fn unwell() -> Dashboard {
    let mut dashboard = dashboard(THEME, Connection::Live, Some(troubled()));
    dashboard.act(Action::Show(View::Health));
    dashboard
}

fn at_sizes(dashboard: &mut Dashboard, sizes: &[(u16, u16)]) -> String {
    let mut all = String::new();
    for &(width, height) in sizes {
        let pictures = LEVELS.map(|(level, _)| {
            dashboard.theme = Theme::at(level, false);
            picture(&frame(width, height, dashboard))
        });
        assert!(pictures.iter().all(|one| *one == pictures[0]), "{width}x{height}: nothing is told by colour alone");
        writeln!(all, "== {width} x {height}\n{}", pictures[0]).unwrap();
    }
    all
}

/// `cyan bold`; nothing for what is drawn as the terminal draws by itself.
fn look(cell: &ratatui::buffer::Cell) -> String {
    let colour = |colour: Color| match colour {
        Color::Reset => None,
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        named => Some(format!("{named:?}").to_lowercase()),
    };
    let ground = colour(cell.bg).map(|ground| format!("on {ground}"));
    let modifiers = cell.modifier.iter_names().map(|(name, _)| name.to_lowercase());
    colour(cell.fg).into_iter().chain(ground).chain(modifiers).collect::<Vec<_>>().join(" ")
}

fn styles(dashboard: &mut Dashboard) -> String {
    let mut all = String::new();
    for (level, name) in LEVELS {
        dashboard.theme = Theme::at(level, false);
        let buffer = frame(LOOKS.0, LOOKS.1, dashboard);
        let mut looks: Vec<String> = Vec::new();
        let mut letter = |cell: &ratatui::buffer::Cell| {
            let look = look(cell);
            // A blank has no colour to be seen, but a ground.
            let blank = cell.symbol() == " " && cell.bg == Color::Reset && !cell.modifier.contains(Modifier::REVERSED);
            match look.as_str() {
                _ if blank => ' ',
                "" => '.',
                _ => {
                    let at = looks.iter().position(|one| *one == look).unwrap_or_else(|| {
                        looks.push(look);
                        looks.len() - 1
                    });
                    LETTERS.chars().nth(at).unwrap()
                }
            }
        };
        writeln!(all, "== {name}").unwrap();
        for cells in buffer.content.chunks(LOOKS.0.into()) {
            writeln!(all, "{}", cells.iter().map(&mut letter).collect::<String>().trim_end()).unwrap();
        }
        for (letter, look) in LETTERS.chars().zip(&looks) {
            writeln!(all, "{letter} {look}").unwrap();
        }
        if level == Level::None {
            assert!(looks.iter().all(|look| !look.contains('#')), "{all}");
        }
    }
    all
}

macro_rules! looks {
    ($($name:ident: $view:ident, $dashboard:expr;)*) => {
        const SHOWN: &[View] = &[$(View::$view),*];
        $(
            #[test]
            fn $name() {
                let mut dashboard = $dashboard;
                assert_eq!(dashboard.view, View::$view);
                insta::assert_snapshot!(stringify!($name), at_sizes(&mut dashboard, &SIZES));
                insta::assert_snapshot!(concat!(stringify!($name), "_in_colour"), styles(&mut dashboard));
            }
        )*
    };
}

looks! {
    overview: Overview, shown(THEME, full(4), View::Overview);
    charts: Charts, shown(THEME, full(4), View::Charts);
    detail_of_a_device: Detail, shown(THEME, full(4), View::Detail);
    detail_of_a_process: Detail, process();
    processes: Processes, {
        let mut dashboard = shown(THEME, full(4), View::Processes);
        dashboard.act(Action::Down);
        dashboard
    };
    map: Map, with_ledgers(View::Map);
    programs: Programs, with_ledgers(View::Programs);
    leaks: Leaks, grown(THEME);
    events: Events, shown(THEME, full(4), View::Events);
    health: Health, unwell();
}

#[test]
fn every_view_has_its_looks() {
    assert!(View::ALL.iter().all(|view| SHOWN.contains(view)));
}

/// What is seen where there is nothing to see, and what lies on top.
fn states() -> Vec<(&'static str, Dashboard)> {
    let nothing = |error| dashboard(THEME, Connection::Unavailable(error), None);
    let name = || "tt_alloc.stats".to_owned();
    let foreign = SourceError::Foreign { name: name(), error: IdentityError::Version { found: 9 } };
    let with = |change: fn(&mut Dashboard)| {
        let mut dashboard = shown(THEME, full(4), View::Overview);
        change(&mut dashboard);
        dashboard
    };
    let mut empty = sample::observation(0);
    (empty.snapshot.processes, empty.snapshot.rows, empty.snapshot.lines) = (Vec::new(), Vec::new(), Vec::new());
    vec![
        ("no aggregator", nothing(SourceError::NoAggregator { name: name() })),
        ("it is being made", nothing(SourceError::NotReady { name: name() })),
        ("a newer layout", nothing(foreign)),
        ("it may not be read", nothing(SourceError::Permission { name: name() })),
        ("somebody else's", nothing(SourceError::Owner { name: name(), found: 1234 })),
        ("silent", with(|seen| seen.connection = Connection::Stale { age_ns: 7_000_000_000, gone: false })),
        ("died", with(|seen| seen.connection = Connection::Stale { age_ns: 7_000_000_000, gone: true })),
        ("an empty host", shown(THEME, empty, View::Overview)),
        ("nobody meant", with(|seen| seen.meant(crate::filter::Filter::parse("nobody").unwrap()))),
        ("help", with(|seen| seen.help = true)),
        (
            "a filter",
            with(|seen| {
                for c in "/mom>1".chars() {
                    seen.key(crossterm::event::KeyEvent::from(crossterm::event::KeyCode::Char(c)));
                }
            }),
        ),
        (
            "a question",
            with(|seen| {
                seen.act(Action::Down);
                seen.act(Action::Baseline);
            }),
        ),
    ]
}

#[test]
fn every_state_where_it_is_small() {
    let mut all = String::new();
    for (name, mut dashboard) in states() {
        writeln!(all, "==== {name}\n{}", at_sizes(&mut dashboard, &[(60, 20), (40, 10), (20, 5), (30, 1)])).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_first_line_says_how_the_aggregator_is_in_any_width() {
    for (name, dashboard) in states() {
        let words: &[&str] = match name {
            "no aggregator" => &["no aggregator"],
            "silent" => &["silent for 7s", "silent 7s"],
            "died" => &["died 7s ago"],
            "an empty host" | "a filter" => &["up 3h12m"],
            _ => continue,
        };
        for width in 20..=200 {
            let shown = picture(&frame(width, 60, &dashboard));
            let first = shown.lines().next().unwrap();
            assert!(words.iter().any(|word| first.contains(word)), "{name} in {width}: {first:?}");
            assert!(width < 34 || first.contains("alloc-top"), "{name} in {width}: {first:?}");
        }
    }
}

#[test]
fn the_end_of_what_is_typed_stays_in_sight() {
    let mut dashboard = shown(THEME, full(4), View::Overview);
    for before in [0, 3, 17, 90] {
        let text = "漢x".repeat(before) + "END";
        dashboard.prompt = Some(crate::screen::prompt::Prompt::Filter(text, None));
        for width in 20..=120 {
            let buffer = frame(width, 24, &dashboard);
            let last = &buffer.content[usize::from(width) * 23..];
            let cursor = last.iter().position(|cell| cell.modifier.contains(Modifier::REVERSED)).unwrap();
            let typed: String = last[cursor - 3..cursor].iter().map(|cell| cell.symbol()).collect();
            assert_eq!(typed, "END", "{before} in {width}");
        }
    }
}
