//! Every key in every view, beside what the table of keys says of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;
use crate::inventory::Inventory;
use crate::screen::keys::BINDINGS;
use crate::screen::theme::Theme;
use crate::screen::views::ledger_fixture::{frame, observation, picture, shown, studied};
use ratatui::buffer::Cell;
use ratatui::style::Modifier;

/// Keys before the one that is tried, and the size at which all is drawn: at some of these there is something for it to do.
const BEFORE: [(&[Action], (u16, u16)); 5] = [
    (&[], (100, 40)),
    (&[], (60, 8)),
    (&[Action::Down, Action::Down], (60, 8)),
    (&[Action::Last], (60, 8)),
    (&[Action::Help], (100, 20)),
];

fn dashboard(inventory: &Inventory, view: View, before: &[Action], size: (u16, u16)) -> Dashboard {
    let mut dashboard = shown(Theme::new(true, false), observation(2), Some(inventory.clone()), view);
    frame(size.0, size.1, &dashboard);
    for action in before {
        dashboard.act(*action);
        frame(size.0, size.1, &dashboard);
    }
    dashboard
}

/// All that a key may change.
fn state(dashboard: &Dashboard) -> String {
    let d = dashboard;
    let shown = (d.view, d.subject, d.window, d.focus, d.sort, d.reversed, d.tree, d.peaks, d.selected, &d.views);
    let lists = (&d.process_view, &d.device_view, &d.event_view, &d.sheet, &d.help_view, d.rows.len());
    let said = (&d.prompt, d.message.as_ref().map(|message| &message.text), &d.filter, d.units);
    format!("{:?}", (shown, lists, said, d.refresh_ms, d.paused, d.help, &d.recorder, d.asked.is_some()))
}

/// What of it belongs to other views than this one.
fn of_others(dashboard: &Dashboard, view: View) -> String {
    let d = dashboard;
    let tables = (!matches!(view, View::Overview | View::Processes))
        .then_some((d.focus, d.sort, d.reversed, d.tree, d.peaks, d.selected));
    format!("{tables:?} {:?}", (!matches!(view, View::Overview | View::Charts)).then_some(d.window))
}

#[test]
fn a_key_does_something_exactly_in_the_views_that_it_is_of() {
    let inventory = studied(&observation(2));
    for view in View::ALL {
        let mut begun: Vec<Dashboard> =
            BEFORE.into_iter().map(|(before, size)| dashboard(&inventory, view, before, size)).collect();
        let fresh = dashboard(&inventory, view, &[], (100, 40));
        let mut before: Vec<String> = begun.iter().map(state).collect();
        for binding in BINDINGS {
            // The one that is shown is shown; and a file is not made for the sake of a test.
            if binding.action == Action::Show(view) || binding.action == Action::Record {
                continue;
            }
            for (modifiers, code) in binding.keys {
                let tried = BEFORE.into_iter().enumerate().filter(|(at, (keys, size))| {
                    let (at, size) = (*at, *size);
                    let request = begun[at].key(KeyEvent::new(*code, *modifiers));
                    let does = request != Request::None || state(&begun[at]) != before[at];
                    let [now, then] = [&begun[at], &fresh].map(|dashboard| of_others(dashboard, view));
                    assert_eq!(now, then, "{} in {view:?} is of another view", binding.label);
                    if does {
                        begun[at] = dashboard(&inventory, view, keys, size);
                        before[at] = state(&begun[at]);
                    }
                    does
                });
                assert_eq!(tried.count() > 0, binding.action.is_of(view), "{} in {view:?}", binding.label);
            }
        }
    }
}

#[test]
fn the_footer_and_the_help_tell_what_the_table_says() {
    let inventory = studied(&observation(2));
    for view in View::ALL {
        let dashboard = dashboard(&inventory, view, &[], (300, 60));
        let text = picture(300, 60, &dashboard);
        let footer = format!("{}  ", text.lines().last().unwrap());
        for binding in BINDINGS.iter().filter(|binding| !binding.word.is_empty()) {
            let told = footer.contains(&format!(" {} {}  ", binding.label, binding.word));
            assert_eq!(told, binding.action.is_told_in(view), "{} in {view:?}: {footer}", binding.label);
            assert!(!told || binding.action.is_of(view), "{} in {view:?}", binding.label);
        }
        let mut dashboard = dashboard;
        dashboard.act(Action::Help);
        let buffer = frame(300, 80, &dashboard);
        let lines: Vec<&[Cell]> = buffer.content.chunks(300).collect();
        for binding in BINDINGS {
            let words: Vec<String> =
                format!(" {}  {} ", binding.label, binding.help).chars().map(String::from).collect();
            let stands = |part: &&[Cell]| part.iter().map(Cell::symbol).eq(words.iter().map(String::as_str));
            let found = lines.iter().find_map(|line| line.windows(words.len()).find(stands));
            let dim = found.unwrap()[1].modifier.contains(Modifier::DIM);
            assert_eq!(!dim, binding.action.is_of(view), "{} in {view:?}", binding.label);
        }
    }
}
