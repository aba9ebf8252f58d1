//! Charts and details, and what has come since a baseline, in every size.

use super::*;
use crate::screen::view::{Subject, View};
use crate::screen::views::ledger_fixture::pictures;
use shm_layout::event::Memory;
use shm_layout::stats::{BASELINE_AUTO, Telemetry};

/// With everything that the driver may tell of the first chip, and with baselines: set by themselves on the first two chips, by hand on the third.
pub(super) fn full(devices: usize) -> Observation {
    let mut seen = unnamed_users(sample::observation(devices));
    let telemetry = &mut seen.snapshot.chips[0].telemetry;
    *telemetry = Telemetry {
        pci: 0x01 << 8,
        asic_id: 0x0471_c1a5_0000_0000,
        serial: 0x0461,
        temperature_limit_millicelsius: 90_000,
        power_limit_microwatts: 300_000_000,
        current_milliamperes: 47_400,
        current_limit_milliamperes: 350_000,
        voltage_millivolts: 812,
        axi_clock_mhz: 960,
        arc_clock_mhz: 800,
        fan_rpm: 2345,
        heartbeat: 1_234_567,
        thermal_trips: 1,
        open_by: 2,
        card: text::store(b"p150b"),
        firmware: text::store(b"18.6.0.0"),
        ..*telemetry
    };
    for row in &mut seen.snapshot.rows {
        let is = |memory: Memory| row.memory == memory as u32;
        let (dram, others) = (is(Memory::Dram), is(Memory::L1Small) || is(Memory::Cb));
        row.figures.baseline = match row.chip {
            0 | 1 if dram => ((14 << 20) + 1) | BASELINE_AUTO,
            2 if dram || others => row.figures.footprint_bytes + (5 << 20) + 1,
            _ => 0,
        };
    }
    for (at, chip) in (0..).zip(&mut seen.snapshot.chips) {
        for row in seen.snapshot.rows.iter().filter(|row| row.chip == at) {
            chip.memory[row.memory as usize].add_baseline(&row.figures);
        }
    }
    seen
}

pub(super) fn shown(theme: Theme, seen: Observation, view: View) -> Dashboard {
    let mut dashboard = dashboard(theme, Connection::Live, Some(seen));
    dashboard.act(Action::Show(view));
    dashboard
}

pub(super) fn colourful(view: View) -> Dashboard {
    shown(Theme::new(true, false), full(4), view)
}

/// The details of the largest process.
pub(super) fn of_process(theme: Theme, seen: Observation) -> Dashboard {
    let mut dashboard = dashboard(theme, Connection::Live, Some(seen));
    dashboard.act(Action::Down);
    dashboard.act(Action::Show(View::Detail));
    dashboard
}

pictures! {
    baselines_160x45: 160 x 45, colourful(View::Overview);
    baselines_80x24: 80 x 24, colourful(View::Overview);
    baselines_60x20: 60 x 20, colourful(View::Overview);
    baselines_40x10: 40 x 10, colourful(View::Overview);
    charts_160x45: 160 x 45, colourful(View::Charts);
    charts_80x24: 80 x 24, colourful(View::Charts);
    charts_40x10: 40 x 10, colourful(View::Charts);
    charts_80x24_ascii: 80 x 24, shown(Theme::new(false, true), full(1), View::Charts);
    device_160x45: 160 x 45, colourful(View::Detail);
    device_80x24: 80 x 24, colourful(View::Detail);
    device_40x10: 40 x 10, colourful(View::Detail);
    process_160x45: 160 x 45, of_process(Theme::new(true, false), full(4));
    process_80x24: 80 x 24, of_process(Theme::new(true, false), full(4));
    process_40x10_ascii: 40 x 10, of_process(Theme::new(false, true), full(4));
}

/// Every view, of a host and of a process.
fn every_view(theme: Theme, seen: &Observation) -> Vec<Dashboard> {
    let views = View::ALL.map(|view| shown(theme, seen.clone(), view));
    views.into_iter().chain([of_process(theme, seen.clone())]).collect()
}

#[test]
fn no_view_panics_in_any_size() {
    let hosts = [0, 1, 4, 33].map(sample::observation);
    let mut all: Vec<Dashboard> = hosts.iter().flat_map(|seen| every_view(Theme::new(true, false), seen)).collect();
    all.extend(every_view(Theme::new(false, true), &full(3)));
    let sizes = (1..=170).flat_map(|width| (1..=50).map(move |height| (width, height)));
    for (width, height) in sizes.filter(|(w, h)| (*w <= 45 && *h <= 14) || (w % 19 == 2 && h % 9 == 4) || *w == 170) {
        for dashboard in &all {
            for action in [Action::First, Action::Last] {
                dashboard.sheet.scroll(action);
                let mut buffer = Buffer::empty(ratatui::layout::Rect::new(0, 0, width, height));
                let area = buffer.area;
                draw(&mut buffer, area, dashboard);
            }
        }
    }
}

#[test]
fn no_view_needs_colour_or_unicode() {
    for (plain, coloured) in
        every_view(Theme::new(false, false), &full(4)).iter().zip(every_view(Theme::new(true, false), &full(4)))
    {
        let (plain, coloured) = (frame(120, 40, plain), frame(120, 40, &coloured));
        assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        assert_eq!(picture(&plain), picture(&coloured));
        assert!(coloured.content.iter().any(|cell| cell.fg != Color::Reset));
    }
    for dashboard in every_view(Theme::new(true, true), &full(4)) {
        let shown = picture(&frame(120, 40, &dashboard));
        assert!(shown.is_ascii(), "{shown}");
    }
}

#[test]
fn wide_and_long_names_stay_in_their_places() {
    let mut seen = full(2);
    for process in &mut seen.snapshot.processes {
        process.name = text::store("漢字漢字漢字漢字漢字".as_bytes());
        process.command_line = text::store("/usr/bin/模型 --名前 とても長い引数 ".repeat(4).as_bytes());
    }
    seen.snapshot.chips[0].board = text::store("ｐ１５０ｂ漢字".as_bytes());
    for (width, height) in [(160, 45), (80, 24), (61, 20)] {
        for dashboard in every_view(Theme::new(true, false), &seen) {
            let buffer = frame(width, height, &dashboard);
            if dashboard.view == View::Detail {
                for line in 3..height - 2 {
                    let edges = [0, width - 1].map(|x| buffer[(x, line)].symbol().to_owned());
                    assert_eq!(edges, ["│", "│"], "{width}x{height}, line {line}: {}", picture(&buffer));
                }
            }
        }
    }
    let shown = picture(&frame(80, 24, &of_process(Theme::new(true, false), seen)));
    assert!(shown.contains("漢 字 漢 字") && shown.contains("模 型"), "{shown}");
}

#[test]
fn a_look_changes_only_what_has_changed() {
    for (at, before) in every_view(Theme::new(true, false), &full(4)).into_iter().enumerate() {
        let first = frame(160, 45, &before);
        assert_eq!(first.diff(&frame(160, 45, &before)), [], "nothing");
        // Something was allocated: on no other device, and of no other kind, does a cell change.
        let mut seen = full(4);
        seen.snapshot.chips[0].memory[Memory::L1Small as usize].footprint_bytes += 99 << 20;
        let after = match at {
            _ if at == View::ALL.len() => of_process(Theme::new(true, false), seen),
            _ => shown(Theme::new(true, false), seen, before.view),
        };
        let second = frame(160, 45, &after);
        let changed: Vec<_> = first.diff(&second).into_iter().map(|(_, line, _)| line).collect();
        let lines = |n: usize| changed.len() <= n && changed.iter().all(|line| *line == changed[0]);
        assert!(lines(12), "view {at}: {changed:?}\n{}", picture(&second));
        // The figures of the processes are the same.
        assert_eq!(changed.is_empty(), at > 2, "view {at}");
    }
}

#[test]
fn charts_scroll_to_every_kind_of_every_device() {
    let mut dashboard = shown(Theme::new(true, false), full(3), View::Charts);
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let shown = picture(&frame(40, 10, &dashboard));
        found.insert(shown.lines().nth(1).unwrap().split("  ").next().unwrap().to_owned());
        dashboard.act(Action::Down);
    }
    let kinds = ["DRAM", "L1", "CB registered", "L1_SMALL", "TRACE", "KERNEL", "HOST"];
    let expected: Vec<String> = (0..3).flat_map(|device| kinds.map(|kind| format!("{device} {kind}"))).collect();
    assert_eq!(found, expected.into_iter().collect());
}

#[test]
fn what_has_come_since_a_baseline_is_in_every_view_and_width() {
    for width in [40, 60, 80, 120, 160] {
        for view in [View::Overview, View::Charts, View::Detail] {
            let shown = picture(&frame(width, 24, &colourful(view)));
            assert!(shown.contains("+24.1"), "{view:?} {width}\n{shown}");
        }
    }
}

#[test]
fn keys_go_from_view_to_view() {
    let mut dashboard = dashboard(Theme::new(true, false), Connection::Live, Some(full(2)));
    for view in [View::Charts, View::Detail, View::Overview, View::Detail] {
        dashboard.act(Action::Show(view));
        assert_eq!(dashboard.view, view);
    }
    let first = dashboard.shown_subject().unwrap();
    assert_eq!(first, (0, Subject::from(&full(2).snapshot.chips[0])), "the first device, where no process is selected");
    // Right: the other device, three processes, and round.
    let mut met = vec![first];
    for _ in 0..4 {
        dashboard.act(Action::Next);
        met.push(dashboard.shown_subject().unwrap());
    }
    assert_eq!(met.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    dashboard.act(Action::Next);
    assert_eq!(dashboard.shown_subject(), Some(first));
    dashboard.act(Action::Previous);
    assert_eq!(dashboard.shown_subject(), Some(met[4]));
    // Esc never leaves the program: the table, then the selection.
    dashboard.act(Action::Back);
    assert_eq!(dashboard.view, View::Overview);
    dashboard.act(Action::Last);
    dashboard.act(Action::Show(View::Detail));
    assert_eq!(dashboard.shown_subject().map(|(_, subject)| subject), dashboard.selected.map(Subject::Process));
    assert!(picture(&frame(80, 24, &dashboard)).contains("PID 52011 ttnn_bench"));
}

#[test]
fn hostile_figures_and_words_are_drawn_as_such() {
    let mut seen = full(2);
    let nasty = "\u{1b}[2J\u{202e}evil\u{200b}\r\n";
    // As another program might write them: not through `text::store`.
    let raw = |to: &mut [u8]| {
        let bytes = &nasty.as_bytes()[..nasty.len().min(to.len())];
        to[..bytes.len()].copy_from_slice(bytes);
    };
    for fill in [0xff_u8, 0x7f, 0x80] {
        let figures: Figures = bytemuck::cast([fill; size_of::<Figures>()]);
        for chip in &mut seen.snapshot.chips {
            chip.memory.fill(figures);
            chip.telemetry = bytemuck::cast([fill; size_of::<Telemetry>()]);
            raw(&mut chip.telemetry.card);
            raw(&mut chip.telemetry.firmware);
            raw(&mut chip.board);
        }
        for row in &mut seen.snapshot.rows {
            row.figures = figures;
        }
        seen.snapshot.rows[0].chip = u32::MAX;
        // One thing, told several times.
        for row in &mut seen.snapshot.rows[1..4] {
            (row.process, row.chip, row.memory) = (0, 0, Memory::Dram as u32);
            (row.figures.footprint_bytes, row.figures.blocks) = (u64::MAX - 1, u64::MAX - 1);
        }
        for process in &mut seen.snapshot.processes {
            raw(&mut process.name);
            raw(&mut process.command_line);
            (process.start_unix_ns, process.last_event_unix_ns, process.incomplete) = (u64::MAX, u64::MAX, u32::MAX);
        }
        let figures = |count: u64| std::array::from_fn(|_| (0..count).map(|n| u64::MAX - n % 3).collect());
        seen.history.fill(std::rc::Rc::new(crate::source::History { samples: figures(300), spans: figures(720) }));
        seen.history_head = u64::MAX;
        for (width, height) in [(160, 45), (80, 24), (40, 10)] {
            for dashboard in every_view(Theme::new(true, false), &seen) {
                let shown = picture(&frame(width, height, &dashboard));
                let bad = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{200b}' | '\u{202e}');
                assert!(!shown.contains(bad), "{shown:?}");
            }
        }
    }
}

#[test]
fn the_help_scrolls_where_it_does_not_fit() {
    for (width, height) in [(80, 24), (40, 10)] {
        let mut dashboard = colourful(View::Charts);
        dashboard.act(Action::Help);
        let above = picture(&frame(width, height, &dashboard));
        assert!(above.contains("quit (also Ctrl-C)") && !above.contains("OTHER:"), "{above}");
        dashboard.act(Action::Last);
        let below = picture(&frame(width, height, &dashboard));
        assert!(!below.contains("quit (also Ctrl-C)") && below.contains("OTHER:"), "{below}");
        dashboard.act(Action::Back);
        assert_eq!((dashboard.help, dashboard.view, dashboard.sheet.offset.get()), (false, View::Charts, 0));
    }
}

#[test]
fn the_views_are_named_and_the_footer_has_the_keys_of_this_one() {
    for (view, there, not) in [
        (View::Overview, "Enter detail", "right next"),
        (View::Charts, "z window", "Enter detail"),
        (View::Detail, "right next", "z window"),
    ] {
        let shown = picture(&frame(120, 30, &colourful(view)));
        let footer = shown.lines().last().unwrap();
        assert!(footer.contains(there) && !footer.contains(not), "{view:?}: {footer}");
        let named = |width: u16, name: fn(View) -> &'static str| {
            let tabs = picture(&frame(width, 30, &colourful(view))).lines().nth(1).unwrap().to_owned();
            assert!((1..).zip(View::ALL).all(|(n, view)| tabs.contains(&format!("{n} {}", name(view)))), "{tabs}");
        };
        named(120, View::name);
        named(80, View::short_name);
        // Where there is no line for their names, the footer says how to turn to them.
        assert!(picture(&frame(40, 10, &colourful(view))).lines().last().unwrap().contains("1-9 views"));
    }
}

#[test]
fn one_that_is_gone_is_said_to_be() {
    let mut dashboard = of_process(Theme::new(true, false), full(2));
    let mut seen = full(2);
    seen.snapshot.processes.clear();
    seen.snapshot.rows.clear();
    dashboard.update(Feed { connection: Connection::Live, seen: Some(seen) });
    for size in [(80, 24), (40, 10)] {
        let shown = picture(&frame(size.0, size.1, &dashboard));
        assert!(shown.contains("not there any more"), "{shown}");
    }
    dashboard.act(Action::Next);
    assert!(picture(&frame(80, 24, &dashboard)).contains("Device 0"));
}

#[test]
fn old_figures_are_dim_in_every_view() {
    for mut dashboard in every_view(Theme::new(true, false), &full(2)) {
        dashboard.connection = Connection::Ended;
        let buffer = frame(100, 30, &dashboard);
        let middle = &buffer.content[100 * 4..100 * 26];
        assert!(middle.iter().all(|cell| cell.symbol() == " " || cell.modifier.contains(Modifier::DIM)));
    }
}
