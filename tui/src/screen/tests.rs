//! Whole frames, compared with stored ones; every size; hostile names.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::dashboard::Dashboard;
use super::draw;
use super::keys::Action;
use super::theme::Theme;
use crate::clock::Zone;
use crate::sample;
use crate::selection::{Device, Selection};
use crate::source::{Connection, Feed, Observation, SourceError};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use shm_layout::stats::{Figures, IdentityError, Process, Reason, Refusal, Row, incomplete};
use shm_layout::text;

mod asking;
mod charts;
mod forged;
mod lists;
mod looks;
mod settings;
mod sizes;
mod views;

fn unnamed_users(mut seen: Observation) -> Observation {
    for process in &mut seen.snapshot.processes {
        // Without a name on any machine.
        process.uid = 4_123_456;
    }
    seen
}

fn dashboard(theme: Theme, connection: Connection, seen: Option<Observation>) -> Dashboard {
    let mut dashboard = Dashboard::new("quietbox".into(), Zone::utc(), theme, Selection::default(), 250);
    dashboard.update(Feed { connection, seen });
    dashboard
}

fn live(devices: usize) -> Dashboard {
    dashboard(Theme::new(true, false), Connection::Live, Some(unnamed_users(sample::observation(devices))))
}

fn frame(width: u16, height: u16, dashboard: &Dashboard) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| {
            let area = frame.area();
            draw(frame.buffer_mut(), area, dashboard);
        })
        .unwrap();
    terminal.backend().buffer().clone()
}

fn picture(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn overview_160x45() {
    insta::assert_snapshot!(picture(&frame(160, 45, &live(4))));
}

#[test]
fn overview_80x24() {
    insta::assert_snapshot!(picture(&frame(80, 24, &live(4))));
}

#[test]
fn overview_60x20() {
    insta::assert_snapshot!(picture(&frame(60, 20, &live(4))));
}

#[test]
fn overview_40x10() {
    insta::assert_snapshot!(picture(&frame(40, 10, &live(4))));
}

#[test]
fn ascii_80x24() {
    let seen = unnamed_users(sample::observation(4));
    let picture = picture(&frame(80, 24, &dashboard(Theme::new(false, true), Connection::Live, Some(seen))));
    assert!(picture.is_ascii(), "{picture}");
    insta::assert_snapshot!(picture);
}

#[test]
fn without_colour_there_is_none() {
    let seen = || Some(sample::observation(4));
    let plain = frame(160, 45, &dashboard(Theme::new(false, false), Connection::Live, seen()));
    assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let coloured = frame(160, 45, &dashboard(Theme::new(true, false), Connection::Live, seen()));
    for colour in [Color::Green, Color::Yellow, Color::Red] {
        assert!(coloured.content.iter().any(|cell| cell.symbol() == "█" && cell.fg == colour), "{colour:?}");
    }
    assert_eq!(picture(&plain), picture(&coloured));
}

#[test]
fn no_size_panics() {
    let hosts: Vec<Dashboard> = [0, 1, 4, 33]
        .into_iter()
        .map(|devices| {
            let mut dashboard = live(devices);
            dashboard.act(Action::Last);
            dashboard.help = devices == 1;
            dashboard
        })
        .chain([dashboard(Theme::new(true, true), absent(), None)])
        .collect();
    // Every small size, where it is tight; then the others in steps.
    let sizes = (1..=200).flat_map(|width| (1..=60).map(move |height| (width, height)));
    for (width, height) in sizes.filter(|(w, h)| (*w <= 45 && *h <= 26) || (w % 9 == 2 && h % 7 == 4) || *w == 200) {
        for dashboard in &hosts {
            let mut buffer = Buffer::empty(ratatui::layout::Rect::new(0, 0, width, height));
            let area = buffer.area;
            draw(&mut buffer, area, dashboard);
        }
    }
}

fn absent() -> Connection {
    Connection::Unavailable(SourceError::NoAggregator { name: "tt_alloc.stats".into() })
}

#[test]
fn hostile_names_do_not_reach_the_screen() {
    let mut seen = sample::observation(2);
    let nasty = "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{202e}evil\u{200b}漢字漢字漢字漢字\r\n";
    // As another program might write them: not through `text::store`.
    let mut raw = [0; 240];
    raw[..nasty.len()].copy_from_slice(nasty.as_bytes());
    for process in &mut seen.snapshot.processes {
        process.name.copy_from_slice(&raw[..32]);
        process.command_line.copy_from_slice(&raw[..200]);
    }
    for line in &mut seen.snapshot.lines {
        line.text = raw;
    }
    seen.snapshot.chips[0].board.copy_from_slice(&raw[..24]);
    let mut refusal: Refusal = bytemuck::Zeroable::zeroed();
    refusal.text.copy_from_slice(&raw[..120]);
    seen.snapshot.refusals = vec![refusal];
    seen.snapshot.health.refused_rings = 1;
    for (width, height) in [(160, 45), (80, 24), (40, 10)] {
        let dashboard = dashboard(Theme::new(true, false), Connection::Live, Some(seen.clone()));
        let shown = picture(&frame(width, height, &dashboard));
        let bad =
            |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
        assert!(!shown.contains(bad), "{shown:?}");
        assert!(shown.contains("pwned"), "the harmless part is shown: {shown}");
    }
    assert!(!text::load(&raw).contains('\u{1b}'));
}

#[test]
fn an_absent_aggregator_is_explained() {
    let shown = picture(&frame(80, 24, &dashboard(Theme::new(true, false), absent(), None)));
    assert!(shown.contains("aggregator &") && shown.contains("alloc-top --embedded"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn other_troubles_are_explained() {
    for (error, words) in [
        (SourceError::Owner { name: "x.stats".into(), found: 1234 }, "belongs to user 1234"),
        (SourceError::Permission { name: "x.stats".into() }, "may not be read"),
        (SourceError::Foreign { name: "x.stats".into(), error: IdentityError::Version { found: 9 } }, "version 9"),
        (SourceError::NotReady { name: "x.stats".into() }, "not ready"),
    ] {
        let shown = picture(&frame(100, 24, &dashboard(Theme::new(true, false), Connection::Unavailable(error), None)));
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn old_figures_are_dim_and_their_age_is_told() {
    let stale = Connection::Stale { age_ns: 7_000_000_000, gone: false };
    let buffer = frame(120, 40, &dashboard(Theme::new(true, false), stale, Some(sample::observation(2))));
    assert!(picture(&buffer).contains("aggregator silent for 7s"));
    let bars: Vec<_> = buffer.content.iter().filter(|cell| cell.symbol() == "█").collect();
    assert!(!bars.is_empty() && bars.iter().all(|cell| cell.modifier.contains(Modifier::DIM)));
}

#[test]
fn a_host_without_processes_says_how_to_track_one() {
    let mut seen = sample::observation(0);
    seen.snapshot.processes.clear();
    let shown = picture(&frame(80, 24, &dashboard(Theme::new(true, false), Connection::Live, Some(seen))));
    assert!(shown.contains("TT_ALLOC_TRACKING_ENABLED=1 tt-alloc run -- python train.py"), "{shown}");
}

#[test]
fn the_gone_are_struck_out() {
    let mut dashboard = live(4);
    let mut seen = unnamed_users(sample::observation(4));
    seen.snapshot.processes.pop();
    seen.snapshot.rows.retain(|row| row.process != 2);
    dashboard.update(Feed { connection: Connection::Live, seen: Some(seen) });
    let buffer = frame(160, 45, &dashboard);
    let shown = picture(&buffer);
    assert!(shown.contains("† ttnn_bench"), "{shown}");
    assert!(shown.contains("Processes 2"), "{shown}");
    let struck = buffer.content.iter().filter(|cell| cell.modifier.contains(Modifier::CROSSED_OUT));
    assert!(struck.map(|cell| cell.symbol()).collect::<String>().contains("52011"));
}

#[test]
fn losses_are_told_when_there_are_any() {
    let mut seen = sample::observation(1);
    let quiet = dashboard(Theme::new(true, false), Connection::Live, Some(seen.clone()));
    assert!(!picture(&frame(160, 45, &quiet)).contains("dropped"));
    seen.snapshot.health.dropped_events_total = 12;
    seen.snapshot.health.anomalies.double_free = 2;
    seen.snapshot.health.anomalies.free_unknown = u64::MAX;
    let loud = dashboard(Theme::new(true, false), Connection::Live, Some(seen));
    let shown = picture(&frame(160, 45, &loud));
    assert!(shown.contains("12 dropped") && shown.contains("18.4E anomalies"), "{shown}");
}

/// A host on which something is wrong.
fn troubled() -> Observation {
    let mut seen = unnamed_users(sample::observation(4));
    let snapshot = &mut seen.snapshot;
    let refusal = |pid, seconds_ago: u64, words: &[u8]| Refusal {
        pid,
        reason: Reason::NotRegular as u32,
        since_unix_ns: sample::UNIX_NS - seconds_ago * 1_000_000_000,
        text: text::store(words),
        ..bytemuck::Zeroable::zeroed()
    };
    snapshot.refusals = vec![refusal(777, 60, b"not a regular file"), refusal(778, 5, b"layout version 9")];
    snapshot.health.refused_rings = 2;
    snapshot.health.dropped_events_total = 123_456;
    snapshot.processes[0].incomplete = incomplete::DROPPED;
    seen
}

#[test]
fn troubles_160x45() {
    let shown = picture(&frame(160, 45, &dashboard(Theme::new(true, false), Connection::Live, Some(troubled()))));
    insta::assert_snapshot!(shown);
}

#[test]
fn troubles_80x24() {
    insta::assert_snapshot!(picture(&frame(
        80,
        24,
        &dashboard(Theme::new(true, false), Connection::Live, Some(troubled()))
    )));
}

#[test]
fn troubles_40x10() {
    insta::assert_snapshot!(picture(&frame(
        40,
        10,
        &dashboard(Theme::new(true, false), Connection::Live, Some(troubled()))
    )));
}

#[test]
fn stale_troubles_60x20_ascii() {
    let stale = Connection::Stale { age_ns: 7_000_000_000, gone: false };
    let shown = picture(&frame(60, 20, &dashboard(Theme::new(false, true), stale, Some(troubled()))));
    assert!(shown.is_ascii(), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn only_the_devices_asked_for() {
    let selection = Selection(vec![Device::Number(3)]);
    let mut dashboard = Dashboard::new("quietbox".into(), Zone::utc(), Theme::new(true, false), selection, 250);
    dashboard.update(Feed { connection: Connection::Live, seen: Some(sample::observation(4)) });
    let shown = picture(&frame(120, 40, &dashboard));
    let third = format!("{:#x}", sample::host(4).chips[3].chip_id);
    assert!(shown.contains(&third) && !shown.contains(&format!("{:#x}", sample::host(4).chips[0].chip_id)));
    assert!(!shown.contains("api_server"), "it has nothing on that chip");
    assert_eq!(dashboard.seen.unwrap().history[0], sample::observation(4).history[3]);
}

#[test]
fn many_devices_scroll() {
    let mut dashboard = live(32);
    let first = picture(&frame(80, 24, &dashboard));
    assert!(first.contains("Devices 32") && !first.contains("\n│ 31 "));
    while dashboard.focus != super::dashboard::Focus::Devices {
        dashboard.act(Action::NextBox);
    }
    dashboard.act(Action::Last);
    let last = picture(&frame(80, 24, &dashboard));
    assert!(last.contains("│ 31 ") && !last.contains("│  0 "), "{last}");
}

/// A host with so many processes: names and figures that tell one from the other.
fn crowd(processes: u32) -> Observation {
    let mut seen = unnamed_users(sample::observation(4));
    let (process, row) = (seen.snapshot.processes[0], seen.snapshot.rows[0]);
    seen.snapshot.processes.clear();
    seen.snapshot.rows.clear();
    for n in 0..processes {
        let (pid, name) = (10_000 + n, format!("job{n:04}x"));
        let named = text::store(name.as_bytes());
        seen.snapshot.processes.push(Process { pid, start_ticks: u64::from(n), name: named, ..process });
        let figures = Figures { footprint_bytes: u64::from(processes - n) << 20, ..row.figures };
        seen.snapshot.rows.push(Row { process: n, chip: n % 4, device: n % 4, figures, ..row });
    }
    seen
}

/// The numbers of the crowd's jobs, as the screen lists them.
fn jobs(picture: &str) -> Vec<u32> {
    let number = |line: &str| line.split_once("job").and_then(|(_, rest)| rest.split_once('x')?.0.parse().ok());
    picture.lines().filter_map(number).collect()
}

#[test]
fn a_thousand_processes_scroll() {
    let mut dashboard = dashboard(Theme::new(true, false), Connection::Live, Some(crowd(1000)));
    let top = picture(&frame(160, 45, &dashboard));
    assert!(top.contains("Processes 1000"), "{top}");
    let page = jobs(&top).len() as u32;
    assert!(page > 5, "{top}");
    assert_eq!(jobs(&top), (0..page).collect::<Vec<_>>(), "the largest first, each on a line");
    let shown = |dashboard: &mut Dashboard, action| {
        dashboard.act(action);
        jobs(&picture(&frame(160, 45, dashboard)))
    };
    assert_eq!(shown(&mut dashboard, Action::Last), (1000 - page..1000).collect::<Vec<_>>());
    assert_eq!(shown(&mut dashboard, Action::PageUp), (999 - page..999).collect::<Vec<_>>());
    // New figures turn the order round: the selection stays with its process, and the list follows it.
    let mut seen = crowd(1000);
    for (n, row) in (0..).zip(&mut seen.snapshot.rows) {
        row.figures.footprint_bytes = (1 + n) << 20;
    }
    let selected = dashboard.selected;
    dashboard.update(Feed { connection: Connection::Live, seen: Some(seen) });
    assert_eq!(dashboard.selected, selected);
    let around = jobs(&picture(&frame(160, 45, &dashboard)));
    assert!(around.contains(&(999 - page)) && around.windows(2).all(|pair| pair[0] == pair[1] + 1), "{around:?}");
    // The others leave: the one that stays is on the screen, wherever the list was.
    dashboard.act(Action::Back);
    dashboard.update(Feed { connection: Connection::Live, seen: Some(crowd(1)) });
    let mut alone = crowd(1);
    alone.now_ns += super::dashboard::GONE_FOR_NS;
    dashboard.update(Feed { connection: Connection::Live, seen: Some(alone) });
    assert_eq!(jobs(&picture(&frame(160, 45, &dashboard))), [0]);
}

#[test]
fn help_shows_every_key() {
    let mut dashboard = live(4);
    dashboard.act(Action::Help);
    let shown = picture(&frame(100, 70, &dashboard));
    for binding in super::keys::BINDINGS {
        assert!(shown.contains(binding.help), "{}", binding.help);
    }
}

#[test]
fn the_selected_row_stands_out() {
    let mut dashboard = live(4);
    dashboard.act(Action::Last);
    let buffer = frame(80, 24, &dashboard);
    let row: String = buffer
        .content
        .iter()
        .filter(|cell| cell.modifier.contains(Modifier::REVERSED))
        .map(|cell| cell.symbol())
        .collect();
    assert!(row.contains("52011"), "{row}");
}
