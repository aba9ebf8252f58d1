//! Processes, events and health, each with the screen to itself.

use super::views::{colourful, full, shown};
use super::*;
use crate::screen::view::View;
use crate::screen::views::ledger_fixture::pictures;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use shm_layout::stats::{Line, Severity};

fn crashed() -> Dashboard {
    let mut dashboard = colourful(View::Processes);
    let mut seen = full(4);
    let dead = seen.snapshot.processes.remove(1);
    seen.snapshot.rows.retain(|row| row.process != 1);
    seen.snapshot.rows.iter_mut().for_each(|row| row.process = row.process.min(1));
    let words = "PID 41893 (vllm) died: removed 90 buffers (5.51 GiB), 3 CBs (1.52 MiB)";
    let severity = Severity::Warning as u32;
    seen.snapshot.lines.push(Line {
        unix_ns: seen.unix_ns,
        severity,
        pid: dead.pid,
        text: text::store(words.as_bytes()),
    });
    dashboard.update(Feed { connection: Connection::Live, seen: Some(seen) });
    dashboard
}

fn typed(dashboard: &mut Dashboard, text: &str) {
    for c in text.chars() {
        let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
        dashboard.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
}

pictures! {
    processes_160x45: 160 x 45, colourful(View::Processes);
    processes_80x24: 80 x 24, colourful(View::Processes);
    processes_40x10: 40 x 10, colourful(View::Processes);
    processes_80x24_ascii: 80 x 24, shown(Theme::new(false, true), full(4), View::Processes);
    one_that_died_120x30: 120 x 30, crashed();
    events_160x45: 160 x 45, colourful(View::Events);
    events_80x24: 80 x 24, colourful(View::Events);
    events_40x10: 40 x 10, colourful(View::Events);
    health_160x45: 160 x 45, colourful(View::Health);
    health_80x24: 80 x 24, colourful(View::Health);
    health_40x10_ascii: 40 x 10, shown(Theme::new(false, true), full(4), View::Health);
}

#[test]
fn peaks_are_shown_and_sorted_by() {
    let mut dashboard = colourful(View::Processes);
    // Of less, but it was more.
    let mut seen = full(4);
    for row in seen.snapshot.rows.iter_mut().filter(|row| row.process == 2 && row.memory == 0) {
        row.figures.peak_footprint_bytes = 200 << 30;
    }
    dashboard.update(Feed { connection: Connection::Live, seen: Some(seen) });
    let first = |dashboard: &Dashboard| dashboard.rows[0].totals.pid;
    let before = first(&dashboard);
    dashboard.act(Action::Peaks);
    assert!(first(&dashboard) == 52_011 && before != 52_011);
    assert!(picture(&frame(160, 45, &dashboard)).contains(" 200 GiB"));
    dashboard.act(Action::Peaks);
    assert_eq!(first(&dashboard), before);
}

#[test]
fn a_filter_is_typed_changed_and_cleared() {
    let mut dashboard = colourful(View::Overview);
    let pids = |dashboard: &Dashboard| dashboard.rows.iter().map(|row| row.totals.pid).collect::<Vec<_>>();
    let all = pids(&dashboard);
    typed(&mut dashboard, "/vll");
    assert_eq!(pids(&dashboard), [41_893], "while it is typed");
    assert!(picture(&frame(100, 30, &dashboard)).contains("filter vll"));
    // Keys of the table are letters now.
    typed(&mut dashboard, "mq\n");
    assert!(pids(&dashboard).is_empty() && dashboard.prompt.is_none());
    assert!(picture(&frame(100, 30, &dashboard)).contains("none of 3 is meant by the filter"));
    dashboard.update(Feed { connection: Connection::Live, seen: Some(full(4)) });
    assert!(pids(&dashboard).is_empty(), "also of what is seen later");
    typed(&mut dashboard, "/");
    dashboard.key(KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE));
    dashboard.key(KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE));
    assert_eq!(pids(&dashboard), [41_893]);
    dashboard.key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
    assert_eq!(pids(&dashboard), all);
    assert!(dashboard.rows.iter().all(|row| row.gone_since_ns.is_none()), "who was not meant has not gone");
}

#[test]
fn events_scroll_and_the_filter_is_for_them_too() {
    let mut dashboard = colourful(View::Events);
    let shown = |dashboard: &Dashboard| picture(&frame(80, 24, dashboard));
    assert!(shown(&dashboard).contains("PID 41207 (python3) attached") && shown(&dashboard).contains("52011"));
    typed(&mut dashboard, "/refused\n");
    assert!(shown(&dashboard).contains("777.00000000deadbeef") && !shown(&dashboard).contains("attached"));
    typed(&mut dashboard, "/zzz\n");
    assert!(shown(&dashboard).contains("no line is meant by the filter"));
    let mut dashboard = colourful(View::Events);
    let newest = |dashboard: &Dashboard| picture(&frame(40, 10, dashboard)).contains("52011");
    assert!(newest(&dashboard));
    dashboard.act(Action::Up);
    dashboard.act(Action::PageUp);
    assert!(!newest(&dashboard));
    dashboard.act(Action::Last);
    assert!(newest(&dashboard));
}

#[test]
fn clicks_and_the_wheel_do_what_keys_do() {
    let at = |dashboard: &Dashboard, words: &str| -> (u16, u16) {
        let shown = picture(&frame(120, 40, dashboard));
        let (row, line) = shown.lines().enumerate().find(|(_, line)| line.contains(words)).unwrap();
        (line[..line.find(words).unwrap()].chars().count() as u16, row as u16)
    };
    let event = |(column, row): (u16, u16), kind| MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    let press = MouseEventKind::Down(MouseButton::Left);
    let mut dashboard = colourful(View::Overview);
    let place = at(&dashboard, "4 processes");
    dashboard.mouse(event(place, press));
    assert_eq!(dashboard.view, View::Processes);
    let place = at(&dashboard, " L1");
    dashboard.mouse(event((place.0 + 1, place.1), press));
    assert_eq!((dashboard.sort, dashboard.reversed), (super::super::order::SortColumn::L1, false));
    dashboard.mouse(event((place.0 + 1, place.1), press));
    assert!(dashboard.reversed, "the same head again");
    let place = at(&dashboard, "41893");
    dashboard.mouse(event(place, press));
    assert_eq!(dashboard.selected_at().map(|at| dashboard.rows[at].totals.pid), Some(41_893));
    let place = at(&dashboard, "41893");
    dashboard.mouse(event(place, press));
    assert_eq!(dashboard.view, View::Detail, "a second click");
    dashboard.act(Action::Show(View::Overview));
    let place = at(&dashboard, "Events");
    frame(120, 40, &dashboard);
    dashboard.mouse(event(place, MouseEventKind::ScrollUp));
    assert_eq!(dashboard.focus, super::super::dashboard::Focus::Events);
}
