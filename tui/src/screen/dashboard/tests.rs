#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::*;
use crate::sample;
use crate::screen::keys::Action;

fn feed(seen: Observation) -> Feed {
    Feed { connection: Connection::Live, seen: Some(seen) }
}

fn dashboard() -> Dashboard {
    let mut dashboard = Dashboard::new("box".into(), Zone::utc(), Theme::new(true, false), Selection::default(), 250);
    dashboard.update(feed(sample::observation(4)));
    dashboard
}

fn pids(dashboard: &Dashboard) -> Vec<u32> {
    dashboard.rows.iter().map(|row| row.totals.pid).collect()
}

fn without_first(mut seen: Observation) -> Observation {
    seen.snapshot.processes.remove(0);
    seen.snapshot.rows.retain(|row| row.process != 0);
    for row in &mut seen.snapshot.rows {
        row.process -= 1;
    }
    seen
}

#[test]
fn sorting_goes_through_every_column_and_back() {
    let mut dashboard = dashboard();
    assert_eq!(pids(&dashboard), [41_207, 41_893, 52_011], "by total");
    for column in SortColumn::ALL.iter().cycle().skip(1).take(SortColumn::ALL.len()) {
        assert_eq!(dashboard.act(Action::Sort), Request::None);
        assert_eq!(dashboard.sort, *column);
        let before = pids(&dashboard);
        dashboard.act(Action::Reverse);
        let reversed: Vec<u32> = before.iter().rev().copied().collect();
        // Equal ones (the user) keep the order of their pids.
        assert!(
            pids(&dashboard) == reversed || *column == SortColumn::User || *column == SortColumn::Other,
            "{column:?}"
        );
        dashboard.act(Action::Reverse);
    }
}

#[test]
fn the_selection_follows_its_process() {
    let mut dashboard = dashboard();
    dashboard.act(Action::Down);
    assert_eq!(dashboard.selected_at(), Some(0));
    dashboard.act(Action::Down);
    let key = dashboard.selected;
    assert_eq!(dashboard.selected_at(), Some(1));
    dashboard.act(Action::Reverse);
    dashboard.act(Action::Sort);
    assert_eq!(dashboard.selected, key);
    dashboard.act(Action::Last);
    dashboard.act(Action::Down);
    assert_eq!(dashboard.selected_at(), Some(2));
    dashboard.act(Action::First);
    dashboard.act(Action::Up);
    dashboard.act(Action::PageDown);
    assert_eq!(dashboard.selected_at(), Some(1), "a page of one line");
    dashboard.act(Action::PageUp);
    assert_eq!(dashboard.selected_at(), Some(0));
    dashboard.act(Action::Back);
    assert_eq!(dashboard.selected, None);
}

#[test]
fn the_gone_stay_five_seconds() {
    let mut dashboard = dashboard();
    let at = |after_ns: u64| {
        let mut seen = without_first(sample::observation(4));
        seen.now_ns += after_ns;
        feed(seen)
    };
    dashboard.update(at(1));
    assert_eq!(dashboard.rows.len(), 3);
    assert_eq!(dashboard.rows[0].gone_since_ns, Some(sample::NOW_NS + 1), "in its old place");
    dashboard.update(at(GONE_FOR_NS));
    assert_eq!(dashboard.rows.len(), 3);
    dashboard.update(at(GONE_FOR_NS + 1));
    assert_eq!(pids(&dashboard), [41_893, 52_011]);
}

/// Looks at a segment in which nothing new was published.
fn same(dashboard: &Dashboard, after_ns: u64) -> Pulse {
    let seen = dashboard.seen.as_ref().unwrap();
    Pulse {
        history: sample::observation(4).history,
        history_head: 301,
        heartbeat_ns: seen.heartbeat_ns + after_ns,
        now_ns: seen.now_ns + after_ns,
        unix_ns: seen.unix_ns + after_ns,
    }
}

#[test]
fn the_gone_go_though_nothing_new_is_published() {
    let mut dashboard = dashboard();
    dashboard.update(feed(without_first(sample::observation(4))));
    dashboard.act(Action::First);
    assert_eq!((dashboard.rows.len(), dashboard.selected_at()), (3, Some(0)));
    dashboard.stay(Connection::Live, same(&dashboard, GONE_FOR_NS - 1));
    assert_eq!(dashboard.rows.len(), 3);
    dashboard.stay(Connection::Ended, same(&dashboard, 1));
    assert_eq!(pids(&dashboard), [41_893, 52_011]);
    assert_eq!(dashboard.selected, None);
    assert!(matches!(dashboard.connection, Connection::Ended));
}

#[test]
fn a_gone_process_keeps_the_chips_it_had() {
    let mut dashboard = dashboard();
    assert_eq!(dashboard.rows[0].chips(&dashboard.labels), "0-3");
    // Another aggregator, which met the chips in another order, and one process less.
    let mut seen = without_first(sample::observation(4));
    seen.snapshot.chips.reverse();
    seen.snapshot.chips.truncate(2);
    seen.snapshot.rows.retain(|row| row.chip < 2);
    dashboard.update(feed(seen));
    let gone = dashboard.rows.iter().find(|row| row.gone_since_ns.is_some()).unwrap();
    assert_eq!((gone.totals.pid, gone.chips(&dashboard.labels).as_str()), (41_207, "0-3"));
}

#[test]
fn a_later_process_with_the_same_pid_is_another_one() {
    let mut dashboard = dashboard();
    dashboard.act(Action::First);
    let mut seen = sample::observation(4);
    seen.snapshot.processes[0].start_ticks += 1;
    dashboard.update(feed(seen));
    assert_eq!(dashboard.rows.iter().filter(|row| row.totals.pid == 41_207).count(), 2);
    assert!(dashboard.rows[dashboard.selected_at().unwrap()].gone_since_ns.is_some());
}

#[test]
fn keys_change_what_they_say() {
    let mut dashboard = dashboard();
    assert_eq!(dashboard.act(Action::Quit), Request::Quit);
    assert_eq!(dashboard.act(Action::Suspend), Request::Suspend);
    assert_eq!(dashboard.act(Action::Redraw), Request::Redraw);
    dashboard.act(Action::Help);
    assert!(dashboard.help);
    assert_eq!(dashboard.act(Action::Back), Request::None);
    assert!(!dashboard.help);
    assert_eq!(dashboard.act(Action::Back), Request::None, "Esc never quits");
    dashboard.act(Action::Pause);
    assert!(dashboard.paused);
    dashboard.act(Action::Slower);
    assert_eq!(dashboard.refresh_ms, 500);
    for _ in 0..20 {
        dashboard.act(Action::Faster);
    }
    assert_eq!(dashboard.refresh_ms, 50);
    for _ in 0..20 {
        dashboard.act(Action::Slower);
    }
    assert_eq!(dashboard.refresh_ms, 10_000);
    for expected in [Focus::Events, Focus::Devices, Focus::Processes] {
        dashboard.act(Action::NextBox);
        assert_eq!(dashboard.focus, expected);
    }
}

#[test]
fn scrolling_stays_inside() {
    let view = Viewport::default();
    assert_eq!(view.fit(10, 4), 0);
    for (action, offset) in [
        (Action::Down, 1),
        (Action::PageDown, 5),
        (Action::PageDown, 6),
        (Action::Up, 5),
        (Action::First, 0),
        (Action::Last, 6),
        (Action::PageUp, 2),
    ] {
        view.scroll(action);
        assert_eq!(view.offset.get(), offset, "{action:?}");
    }
    assert_eq!(view.fit(3, 4), 0);
    view.fit(10, 4);
    view.show(9);
    assert_eq!(view.offset.get(), 6);
    view.show(2);
    assert_eq!(view.offset.get(), 2);
}

#[test]
fn the_rate_is_of_one_aggregator() {
    let mut dashboard = dashboard();
    assert_eq!(dashboard.events_per_second, None);
    let mut seen = sample::observation(4);
    seen.heartbeat_ns += 500_000_000;
    seen.snapshot.health.events_total += 600;
    dashboard.update(feed(seen.clone()));
    assert_eq!(dashboard.events_per_second, Some(1200.0));
    seen.identity.pid += 1;
    seen.snapshot.health.events_total = 3;
    dashboard.update(feed(seen));
    assert_eq!(dashboard.events_per_second, None);
}

#[test]
fn a_busy_segment_keeps_the_last_figures_an_absent_one_does_not() {
    let mut dashboard = dashboard();
    let without = |error| Feed { connection: Connection::Unavailable(error), seen: None };
    let mut busy_after = |ns| {
        dashboard.seen.as_mut().unwrap().heartbeat_ns = clock::monotonic_ns() - ns;
        dashboard.update(without(SourceError::Busy { name: "x".into() }));
        (dashboard.seen.is_some(), matches!(dashboard.connection, Connection::Live))
    };
    assert_eq!(busy_after(0), (true, true));
    // Busy for ever: these figures are no longer those of now.
    assert_eq!(busy_after(60_000_000_000), (true, false));
    assert!(dashboard.is_old());
    let mut first = Dashboard::new("box".into(), Zone::utc(), Theme::new(true, false), Selection::default(), 250);
    first.update(without(SourceError::Busy { name: "x".into() }));
    assert!(matches!(first.connection, Connection::Unavailable(SourceError::Busy { .. })), "it is not absent");
    dashboard.update(without(SourceError::NoAggregator { name: "x".into() }));
    assert!(dashboard.seen.is_none() && dashboard.rows.is_empty());
}
