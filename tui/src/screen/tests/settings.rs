//! The filter, the units and the settings, as the screen shows them and keeps them.

use super::*;
use crate::configuration::{Settings, file};
use crate::filter::Filter;
use crate::screen::settings::Kept;
use crate::screen::view::View;
use crate::units::Units;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn filtered(text: &str) -> Dashboard {
    let mut dashboard = live(4);
    dashboard.meant(Filter::parse(text).unwrap());
    dashboard
}

fn press(dashboard: &mut Dashboard, c: char) {
    dashboard.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
}

/// Presses `W`, and waits for what is said of it.
fn keep(dashboard: &mut Dashboard) {
    press(dashboard, 'W');
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let slow =
        |dashboard: &Dashboard| dashboard.message.as_ref().is_some_and(|said| said.text.contains("not answered yet"));
    while !dashboard.hear() || slow(dashboard) {
        assert!(std::time::Instant::now() < until, "nothing is said");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn filtered_160x45() {
    insta::assert_snapshot!(picture(&frame(160, 45, &filtered("dram>1G !name:python"))));
}

#[test]
fn filtered_80x24_ascii() {
    let mut dashboard =
        super::dashboard(Theme::new(false, true), Connection::Live, Some(unnamed_users(sample::observation(4))));
    dashboard.meant(Filter::parse("dev:3 mem>50M").unwrap());
    dashboard.say("kept in /home/ann/.config/tt-alloc/alloc-top.toml", false);
    insta::assert_snapshot!(picture(&frame(80, 24, &dashboard)));
}

#[test]
fn filtered_80x24() {
    insta::assert_snapshot!(picture(&frame(80, 24, &filtered("user:nobody-of-that-name"))));
}

#[test]
fn filtered_40x10() {
    insta::assert_snapshot!(picture(&frame(40, 10, &filtered("events>1M"))));
}

#[test]
fn powers_of_ten_160x45() {
    let mut dashboard = live(4);
    press(&mut dashboard, 'u');
    insta::assert_snapshot!(picture(&frame(160, 45, &dashboard)));
}

#[test]
fn a_filter_hides_processes_and_their_lines_and_says_so() {
    let mut dashboard = filtered("vllm");
    let shown = picture(&frame(160, 45, &dashboard));
    assert!(shown.contains("Processes 1 of 3 · vllm") && shown.contains("Events 2 of 6"), "{shown}");
    assert!(shown.contains("12 frees of unknown"), "a line of its process that does not name it:\n{shown}");
    assert!(!shown.contains("ttnn_bench"), "{shown}");
    assert!(picture(&frame(40, 10, &dashboard)).contains("filter vllm"), "no box has a title there");
    assert!(picture(&frame(30, 1, &dashboard)).contains("filter: 13.2 GiB on 4 chips"));
    // It holds at the next look, too, and what it hid comes back.
    dashboard.update(Feed { connection: Connection::Live, seen: Some(sample::observation(4)) });
    assert_eq!((dashboard.rows.len(), dashboard.processes), (1, 3));
    dashboard.meant(Filter::default());
    assert_eq!(dashboard.rows.len(), 3);
    assert!(picture(&frame(160, 45, &dashboard)).contains("Processes 3 ─"));
    // A filter may be hostile, too: from somebody else's shell history, or a file.
    let shown = picture(&frame(160, 45, &filtered("\"\u{1b}[31m\u{202e}x\"")));
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
}

#[test]
fn what_is_typed_wrongly_leaves_the_last_filter() {
    let mut dashboard = live(4);
    press(&mut dashboard, '/');
    for c in "dram>1G ".chars() {
        press(&mut dashboard, c);
    }
    assert_eq!(dashboard.rows.len(), 2);
    for c in "mom>1".chars() {
        press(&mut dashboard, c);
    }
    assert_eq!((dashboard.rows.len(), dashboard.filter.text()), (0, "dram>1G mom"), "the last that was understood");
    let shown = picture(&frame(160, 45, &dashboard));
    assert!(shown.contains("mom>1: use mem dram l1 cb other since events age"), "{shown}");
}

#[test]
fn units_change_every_figure_and_move_nothing() {
    let mut dashboard = live(4);
    let before = picture(&frame(160, 45, &dashboard));
    assert!(before.contains("GiB") && !before.contains(" GB"));
    press(&mut dashboard, 'u');
    assert_eq!(dashboard.units, Units::Si);
    let after = picture(&frame(160, 45, &dashboard));
    assert!(after.contains(" GB") && !after.contains("iB  ") && after.contains("bytes in powers of 1000"), "{after}");
    let columns = |picture: &str| {
        let titles = picture.lines().find(|line| line.contains("TOTAL")).unwrap();
        titles.split_whitespace().map(|title| titles.find(title).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(columns(&before), columns(&after));
    press(&mut dashboard, 'u');
    assert!(picture(&frame(160, 45, &dashboard)).contains("bytes in powers of 1024"));
    // The next key takes the message away.
    press(&mut dashboard, 'k');
    assert_eq!(dashboard.message, None);
    // Exact bytes would be cut by their columns: 34359738368 would be read as 34359738.
    dashboard.units = Units::Bytes;
    assert!(picture(&frame(160, 45, &dashboard)).contains("GiB"));
}

#[test]
fn what_is_set_is_kept_and_begun_with() {
    let folder = std::env::temp_dir().join(format!("tt_alloc_settings_{}", std::process::id()));
    let path = folder.join("alloc-top.toml");
    let mut dashboard = filtered("mem>1G");
    dashboard.keeping = Kept { path: Some(path.clone()), mouse: Some(false), ascii: Some(true), color: None };
    for c in ['s', 'r', '+', 'u', 't', 'z', '6'] {
        press(&mut dashboard, c);
    }
    keep(&mut dashboard);
    let message = dashboard.message.clone().unwrap();
    assert!(!message.failed && message.text.starts_with("kept in ") && message.text.ends_with("alloc-top.toml"));
    let (settings, wrong) = file::read(&path);
    assert_eq!(wrong, [""; 0]);
    assert_eq!(settings, dashboard.settings());
    assert_eq!((settings.view, settings.refresh_ms, settings.color), (Some(View::Programs), Some(500), None));
    let mut next = live(4);
    next.keeping = dashboard.keeping.clone();
    next.set(&settings);
    assert_eq!(next.settings(), dashboard.settings());
    assert_eq!((next.rows.len(), next.units), (2, Units::Si));
    // A slip of a hand in the file: nothing is overwritten, and why is said.
    std::fs::write(&path, "units = =").unwrap();
    keep(&mut next);
    let message = next.message.clone().unwrap();
    assert!(message.failed && message.text.contains("is not written: it is to be mended first, line 1"), "{message:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "units = =");
    next.keeping.path = None;
    press(&mut next, 'W');
    assert!(next.message.unwrap().text.contains("--no-config"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_cannot_ask_for_too_much() {
    let mut dashboard = live(4);
    dashboard.set(&Settings { refresh_ms: Some(1), units: Some(Units::Bytes), ..Settings::default() });
    assert_eq!((dashboard.refresh_ms, dashboard.units), (50, Units::Iec));
}

#[test]
fn no_size_panics_with_a_filter_and_a_message() {
    let mut dashboard = filtered(&format!("!{}", "x".repeat(180)));
    dashboard.say(&"very long ".repeat(40), true);
    for (width, height) in (1..60).flat_map(|w| (1..16).map(move |h| (w, h))).chain([(300, 100), (20, 5)]) {
        frame(width, height, &dashboard);
    }
}
