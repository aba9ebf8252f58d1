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

fn at_every_size(dashboard: &mut Dashboard) -> String {
    let mut all = String::new();
    for (width, height) in SIZES {
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
                insta::assert_snapshot!(stringify!($name), at_every_size(&mut dashboard));
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
