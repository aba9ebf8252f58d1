//! Charts: windows of time, axes, gaps.

use super::views::{colourful, full, shown};
use super::*;
use crate::history::Window;
use crate::screen::view::View;
use shm_layout::event::Memory;
use shm_layout::stats::UNKNOWN;

/// Charts of so many seconds.
fn in_window(seconds: u64) -> Dashboard {
    let mut dashboard = colourful(View::Charts);
    while dashboard.window.seconds() != seconds {
        dashboard.act(Action::WindowBack);
    }
    dashboard
}

#[test]
fn ten_minutes_80x24() {
    insta::assert_snapshot!(picture(&frame(80, 24, &in_window(600))));
}

#[test]
fn an_hour_40x10() {
    insta::assert_snapshot!(picture(&frame(40, 10, &in_window(3600))));
}

#[test]
fn four_hours_160x45() {
    insta::assert_snapshot!(picture(&frame(160, 45, &in_window(14_400))));
}

/// A chart of DRAM of one device with nothing held but 24 GiB so many seconds ago, in this window, ASCII.
fn spike(ago: usize, seconds: u64) -> String {
    let mut seen = sample::observation(1);
    let (mut samples, mut spans) = (vec![0; 300], vec![0; 720]);
    samples.iter_mut().rev().skip(ago - 1).take(1).for_each(|sample| *sample = 24 << 30);
    spans.iter_mut().rev().skip((ago - 1) / 20).take(1).for_each(|span| *span = 24 << 30);
    let mut history = (*seen.history[0]).clone();
    history.samples[Memory::Dram as usize] = samples;
    history.spans[Memory::Dram as usize] = spans;
    seen.history[0] = std::rc::Rc::new(history);
    seen.history_head = 14_400;
    let mut dashboard = shown(Theme::new(false, true), seen, View::Charts);
    while dashboard.window.seconds() != seconds {
        dashboard.act(Action::Window);
    }
    picture(&frame(162, 12, &dashboard))
}

#[test]
fn a_chart_has_an_axis_for_bytes_and_one_for_time() {
    // Where the spike is, by the words on the axis that it stands above.
    for (seconds, ago, words) in [
        (30, 10, "10s"),
        (60, 30, "30s"),
        (120, 60, "1m"),
        (300, 120, "2m"),
        (600, 240, "4m"),
        (900, 600, "10m"),
        (1800, 1200, "20m"),
        (3600, 1800, "30m"),
        (14_400, 7200, "2h"),
    ] {
        let shown = spike(ago, seconds);
        let lines: Vec<&str> = shown.lines().skip(1).map(|line| &line[..80.min(line.len())]).collect();
        assert!(lines[1].starts_with("24.0G|") && lines[8].starts_with("   0B|"), "{shown}");
        let (axis, peak) = (lines[9], lines[1].find('#').unwrap());
        assert!(axis.starts_with("     +") && axis.trim_end().ends_with(" now"), "{shown}");
        let word = axis.find(&format!(" {words} ")).unwrap_or_else(|| panic!("no {words}\n{shown}")) + 1;
        let middle = word as f64 + words.len() as f64 / 2.0;
        assert!((middle - peak as f64).abs() <= 2.0, "{words} at {middle}, the spike at {peak}\n{shown}");
    }
}

#[test]
fn the_keys_for_the_window_step_through_all_and_every_chart_says_which() {
    let mut dashboard = colourful(View::Charts);
    let key = |c: char| crossterm::event::KeyEvent::from(crossterm::event::KeyCode::Char(c));
    let mut met = Vec::new();
    for _ in 0..Window::ALL.len() {
        let name = dashboard.window.name();
        let shown = picture(&frame(160, 45, &dashboard));
        assert!(shown.contains(&format!("{name} ago ")), "{name}\n{shown}");
        // An hour is known of.
        let known = if dashboard.window.seconds() > 3600 { "1h00m".to_owned() } else { name.clone() };
        assert!(shown.contains(&format!(" GiB in {known}")), "{name}\n{shown}");
        dashboard.act(Action::Show(View::Overview));
        assert!(picture(&frame(160, 45, &dashboard)).contains(&format!(" {name}   ")), "{name}");
        dashboard.act(Action::Show(View::Charts));
        met.push(name);
        dashboard.key(key('z'));
    }
    assert_eq!(met, ["5m", "10m", "15m", "30m", "1h", "4h", "30s", "1m", "2m"]);
    dashboard.key(key('Z'));
    assert_eq!(dashboard.window.name(), "2m");
    // Graphs of one line.
    let small = picture(&frame(110, 34, &shown(Theme::new(true, false), full(2), View::Overview)));
    assert!(small.contains(" DRAM 5m ") && small.contains(" L1 5m "), "{small}");
}

#[test]
fn a_gap_is_drawn_as_a_gap_and_what_is_known_of_less_is_said() {
    let mut seen = full(1);
    let mut history = (*seen.history[0]).clone();
    let dram = Memory::Dram as usize;
    history.samples[dram] = vec![8 << 30; 300];
    history.samples[dram][100..200].fill(UNKNOWN);
    history.samples[dram][..20].fill(UNKNOWN);
    history.samples[dram][280..].fill(9 << 30);
    history.spans[dram] = vec![UNKNOWN; 180];
    seen.history[0] = std::rc::Rc::new(history);
    let dashboard = shown(Theme::new(false, true), seen, View::Charts);
    let shown = picture(&frame(56, 12, &dashboard));
    let plot: Vec<char> = shown.lines().nth(8).unwrap().chars().skip(6).collect();
    let gaps = |from: usize, to: usize| plot[from..to].iter().filter(|c| **c == ' ').count();
    // 49 columns of 300 s: the first 20 s, and those from 100 to 200.
    assert!((2..=4).contains(&gaps(0, 6)) && (15..=18).contains(&gaps(14, 35)), "{shown}");
    assert_eq!(gaps(6, 14) + gaps(35, 48), 0, "{shown}");
    let wide = picture(&frame(100, 12, &dashboard));
    assert!(wide.contains("+1.00 GiB in 4m40s"), "{wide}");
}
