#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::super::ledger_fixture::{at_every_size, grown, host, observation, picture, shown, studied};
use super::Folded;
use super::grown::{First, Mark};
use crate::inventory::study::Study;
use crate::leaks::Finding;
use crate::screen::dashboard::Dashboard;
use crate::screen::keys::Action;
use crate::screen::theme::Theme;
use crate::screen::view::View;
use crate::screen::views::ledger_fixture::pictures;
use crate::source::Observation;
use shm_layout::event::Memory;

pictures! {
    leaks_160x45: 160 x 45, grown(Theme::new(true, false));
    leaks_80x24: 80 x 24, grown(Theme::new(true, false));
    leaks_40x10: 40 x 10, grown(Theme::new(true, false));
    leaks_80x24_ascii: 80 x 24, grown(Theme::new(false, true));
    leaks_before_the_ledgers_60x20: 60 x 20, shown(Theme::new(true, false), observation(1), None, View::Leaks);
}

#[test]
fn growth_is_counted_from_the_baseline_else_from_the_first_sight() {
    let dashboard = grown(Theme::new(true, false));
    let told: Vec<_> =
        dashboard.views.leaks.grown.iter().map(|one| (one.pid, one.chip, one.memory, one.by >> 20, one.mark)).collect();
    let seen = Mark::Seen(190_000_000_000);
    let expected = [
        (41_893, 0, Memory::Dram, 2450, seen),
        (41_207, 1, Memory::Dram, 300, Mark::Baseline(true)),
        (41_207, 0, Memory::Trace, 100, seen),
        (41_207, 1, Memory::Trace, 100, seen),
        (41_207, 2, Memory::Trace, 100, seen),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_gone_is_forgotten_and_another_of_its_kind_begins_anew() {
    let seen = observation(1);
    let at = |generation: u64, change: fn(&mut Observation)| {
        let mut seen = seen.clone();
        seen.snapshot.health.generation = generation;
        change(&mut seen);
        seen
    };
    let mut first = First::default();
    first.see(&at(1, |_| {}));
    assert!(first.grown(&seen).is_empty());
    // Freed below what it was first: nothing has grown, also not from there.
    let more = at(2, |seen| seen.snapshot.rows[0].figures.footprint_bytes += 5);
    first.see(&more);
    assert_eq!(first.grown(&more).iter().map(|one| one.by).collect::<Vec<_>>(), [5]);
    first.see(&at(3, |seen| seen.snapshot.rows.clear()));
    first.see(&more);
    assert!(first.grown(&more).is_empty(), "another with the same pid is another");
}

#[test]
fn a_verdict_needs_evidence() {
    let text = picture(160, 45, &grown(Theme::new(true, false)));
    let line = |words: &[&str]| {
        text.lines()
            .find(|line| words.iter().all(|word| line.contains(word)))
            .unwrap_or_else(|| panic!("{words:?}\n{text}"))
    };
    line(&["41893", "+2.39G", "SUSPECT"]);
    line(&["41207", "+ 300M".replace(' ', "").as_str(), "auto", "open"]);
    line(&["41207", "TRACE", "+100M", "trace"]);
    line(&["SUSPECT", "grew"]);
    line(&["note", "outlived", "by design: program cache"]);
    line(&["note", "left-at-exit"]);
}

#[test]
fn what_a_mesh_does_on_each_chip_is_told_once() {
    let seen = observation(4);
    let study = studied(&seen).study.unwrap();
    let first = study.findings.iter().find(|one| one.suspect).unwrap().clone();
    let other = |device, pid| Finding { device: Some(device), pid: Some(pid), ..first.clone() };
    let folded = Folded::all(vec![first.clone(), other(3, 41_893), other(2, 41_893), other(1, 7)]);
    let told: Vec<_> = folded.iter().map(|one| (one.finding.pid, one.devices.clone())).collect();
    assert_eq!(told, [(Some(41_893), vec![0, 2, 3]), (Some(7), vec![1])]);
    let mut inventory = host(&seen);
    inventory.study = Some(Study { findings: vec![first.clone(), other(3, 41_893), other(2, 41_893)], ..study });
    let text = picture(160, 45, &shown(Theme::new(true, false), seen, Some(inventory), View::Leaks));
    assert!(text.contains("3 suspects") && text.contains("the same on devices 2, 3"), "{text}");
    assert_eq!(text.matches("SUSPECT").count(), 1, "{text}");
}

#[test]
fn what_differs_between_devices_is_not_called_the_same() {
    let seen = observation(4);
    let study = studied(&seen).study.unwrap();
    let first = study.findings.iter().find(|one| one.suspect).unwrap().clone();
    let other =
        |device, count, footprint_bytes| Finding { device: Some(device), count, footprint_bytes, ..first.clone() };
    let text = |findings: Vec<Finding>| {
        let mut inventory = host(&seen);
        inventory.study = Some(Study { findings, ..study.clone() });
        picture(160, 45, &shown(Theme::new(true, false), seen.clone(), Some(inventory), View::Leaks))
    };
    let told = text(vec![first.clone(), other(3, 700, 7 << 20), other(2, 30, 9 << 20)]);
    assert!(told.contains("also on devices 2, 3: 30 to 700 allocations, 7.00 MiB to 9.00 MiB"), "{told}");
    assert!(!told.contains("the same on"), "{told}");
    let told = text(vec![first.clone(), other(3, 700, 7 << 20)]);
    assert!(told.contains("also on device 3: 700 allocations, 7.00 MiB"), "{told}");
}

#[test]
fn findings_are_made_again_only_where_something_is_new() {
    let mut dashboard = grown(Theme::new(true, false));
    let made = |dashboard: &Dashboard| dashboard.views.leaks.findings.as_ptr();
    let before = made(&dashboard);
    let kept = dashboard.views.leaks.findings.clone();
    assert!(!kept.is_empty());
    dashboard.look_at_inventory();
    assert_eq!(made(&dashboard), before, "nothing is new");
    let mut seen = dashboard.seen.clone().unwrap();
    seen.snapshot.lines.pop();
    let feed = |seen| crate::source::Feed { connection: crate::source::Connection::Live, seen: Some(seen) };
    dashboard.update(feed(seen));
    dashboard.look_at_inventory();
    assert_eq!(dashboard.views.leaks.findings.len(), kept.len() - 1, "an event line less");
    dashboard.inventories = crate::inventory::Inventories::fixed(crate::inventory::Inventory::default());
    dashboard.look_at_inventory();
    assert!(dashboard.views.leaks.findings.is_empty(), "another inventory");
}

#[test]
fn one_process_alone_is_chosen() {
    let mut dashboard = grown(Theme::new(true, false));
    dashboard.act(Action::Next);
    let text = picture(160, 45, &dashboard);
    assert!(text.contains("PID 41207 of 3") && text.contains("0 suspects") && !text.contains("41893"), "{text}");
    dashboard.act(Action::Next);
    let text = picture(160, 45, &dashboard);
    assert!(text.contains("1 suspect ") && !text.contains(" 41207 "), "{text}");
    dashboard.act(Action::Previous);
    dashboard.act(Action::Previous);
    assert!(picture(160, 45, &dashboard).contains("all processes"));
}

#[test]
fn without_a_baseline_the_way_to_one_is_told() {
    let seen = observation(1);
    let inventory = host(&seen);
    let text = picture(100, 30, &shown(Theme::new(true, false), seen, Some(inventory), View::Leaks));
    assert!(text.contains("b sets a baseline") && text.contains("nothing takes more than then"), "{text}");
}

#[test]
fn no_size_panics() {
    at_every_size(&grown(Theme::new(true, false)));
    let mut ascii = grown(Theme::new(false, true));
    ascii.act(Action::Last);
    at_every_size(&ascii);
    assert!(picture(160, 45, &ascii).is_ascii());
    at_every_size(&shown(Theme::new(true, false), observation(0), None, View::Leaks));
}
