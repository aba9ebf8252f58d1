#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use crate::clock::Zone;
use crate::recording::{Begin, Move, Player};
use crate::sample;
use crate::screen;
use crate::screen::dashboard::{Dashboard, Request};
use crate::screen::keys::Action;
use crate::screen::theme::Theme;
use crate::screen::view::View;
use crate::selection::Selection;
use crate::source::{Connection, Feed};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::path::Path;

fn player() -> Player {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/format-1.rec");
    Player::open(Path::new(path)).unwrap()
}

fn dashboard(ascii: bool) -> Dashboard {
    Dashboard::new("here".into(), Zone::utc(), Theme::new(false, ascii), Selection::default(), 250)
}

fn picture(width: u16, height: u16, dashboard: &Dashboard) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    screen::draw(&mut buffer, area, dashboard);
    let lines = buffer.content.chunks(usize::from(width)).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The overview has figures of a sample host, which may change; its first line and its last do not.
fn ends(width: u16, height: u16, dashboard: &Dashboard) -> String {
    let picture = picture(width, height, dashboard);
    format!("{}\n{}", picture.lines().next().unwrap(), picture.lines().last().unwrap())
}

#[test]
fn a_replay_says_where_it_is() {
    let mut player = player();
    let mut dashboard = dashboard(false);
    player.seek(64_500_000_000).unwrap();
    dashboard.play(&mut player, true).unwrap();
    let mut pictures = Vec::new();
    for (width, height) in [(160, 45), (80, 24), (60, 20), (40, 10)] {
        pictures.push(ends(width, height, &dashboard));
    }
    dashboard.paused = true;
    pictures.push(ends(80, 24, &dashboard));
    player.go(Move::Faster).unwrap();
    player.seek(u64::MAX).unwrap();
    dashboard.play(&mut player, true).unwrap();
    pictures.push(ends(80, 24, &dashboard));
    insta::assert_snapshot!(pictures.join("\n\n"));
}

#[test]
fn a_replay_without_braille_and_colour() {
    let mut player = player();
    let mut dashboard = dashboard(true);
    dashboard.play(&mut player, true).unwrap();
    let picture = ends(80, 24, &dashboard);
    assert!(picture.is_ascii(), "{picture}");
    insta::assert_snapshot!(picture);
}

#[test]
fn any_size_will_do() {
    let mut player = player();
    let mut dashboard = dashboard(false);
    dashboard.play(&mut player, true).unwrap();
    dashboard.say("something that is said, 漢字漢字漢字漢字漢字", false);
    for width in (1..120).step_by(3) {
        for height in [1, 2, 5, 9, 24] {
            picture(width, height, &dashboard);
        }
    }
}

#[test]
fn keys_move_in_a_replay_and_nowhere_else() {
    let mut live = dashboard(false);
    live.update(Feed { connection: Connection::Live, seen: Some(sample::observation(1)) });
    assert_eq!(live.act(Action::StepOn), Request::None);
    assert!(live.message.take().unwrap().text.contains("--replay"));
    let before = live.refresh_ms;
    live.act(Action::Slower);
    assert!(live.refresh_ms > before && live.message.is_none());

    let mut replay = dashboard(false);
    replay.play(&mut player(), true).unwrap();
    for (action, wanted) in [
        (Action::JumpBack, Move::JumpBack),
        (Action::JumpOn, Move::JumpOn),
        (Action::Slower, Move::Faster),
        (Action::Faster, Move::Slower),
    ] {
        assert_eq!(replay.act(action), Request::Play(wanted));
        assert!(!replay.paused);
    }
    assert_eq!(replay.refresh_ms, before);
    assert_eq!(replay.act(Action::StepBack), Request::Play(Move::StepBack));
    assert!(replay.paused, "one step, and there it stays");
    for action in [Action::Record, Action::Baseline, Action::Reset] {
        assert_eq!(replay.act(action), Request::None);
        assert!(replay.message.take().unwrap().text.contains("this is a recording"));
    }
    assert!(replay.recorder.is_none());
}

#[test]
fn nothing_of_this_host_is_shown_in_a_replay() {
    let mut player = player();
    let mut dashboard = dashboard(false);
    dashboard.play(&mut player, true).unwrap();
    assert_eq!(dashboard.host, "box");
    dashboard.selected = dashboard.rows.first().map(|row| row.totals.key());
    dashboard.turn_to(View::Detail);
    // The ledger is read from the recording, and no process here has this one.
    let list = dashboard.holdings.list.as_ref().unwrap();
    assert_eq!((list.largest.len(), list.more), (16, 34));
    assert_eq!(list.largest[0].event.id, 49);
    assert_eq!(dashboard.inventories.newest().unwrap().holders.len(), 1);
    player.seek(45_000_000_000).unwrap();
    dashboard.play(&mut player, true).unwrap();
    assert_eq!(dashboard.holdings.list.as_ref().unwrap().largest[0].event.id, 89, "that of the moment");
}

#[test]
fn after_a_jump_nobody_has_just_gone() {
    let mut player = player();
    let mut dashboard = dashboard(false);
    dashboard.play(&mut player, true).unwrap();
    assert_eq!(dashboard.rows.len(), 3);
    player.seek(35_000_000_000).unwrap();
    dashboard.play(&mut player, true).unwrap();
    assert_eq!(dashboard.rows.len(), 2);
    player.seek(29_000_000_000).unwrap();
    dashboard.play(&mut player, true).unwrap();
    player.go(Move::StepOn).unwrap();
    player.go(Move::StepOn).unwrap();
    dashboard.play(&mut player, false).unwrap();
    assert_eq!(dashboard.rows.iter().filter(|row| row.gone_since_ns.is_some()).count(), 1, "in its course it has");
}

/// Lines of events, as they stand in their view.
fn lines(dashboard: &Dashboard) -> Vec<String> {
    dashboard.views.events.lines().map(|line| shm_layout::text::load(&line.text)).collect()
}

#[test]
fn after_a_jump_back_nothing_of_what_comes_is_known() {
    let mut player = player();
    let mut dashboard = dashboard(false);
    dashboard.play(&mut player, true).unwrap();
    let at_first = lines(&dashboard);
    for _ in 0..70 {
        player.pass(std::time::Duration::from_secs(1)).unwrap();
        dashboard.play(&mut player, false).unwrap();
    }
    let later = lines(&dashboard);
    assert_eq!(later[..at_first.len()], at_first, "what has gone by is kept");
    assert!(later.contains(&"line 8".to_owned()));
    let rated = dashboard.rows[0].totals.key();
    assert!(dashboard.event_rate(rated).is_some());
    dashboard.turn_to(View::Leaks);
    assert!(dashboard.inventories.newest().unwrap().study.as_ref().unwrap().looks > 1);
    let jumped = player.go(Move::JumpBack).unwrap();
    dashboard.play(&mut player, jumped).unwrap();
    let now = lines(&dashboard);
    assert!(now.contains(&"line 0".to_owned()) && !now.contains(&"line 1".to_owned()), "{now:?}");
    assert_eq!(dashboard.event_rate(rated), None);
    assert_eq!(dashboard.inventories.newest().unwrap().study.as_ref().unwrap().looks, 1);
    player.seek(0).unwrap();
    dashboard.play(&mut player, true).unwrap();
    assert_eq!(lines(&dashboard), at_first);
}

#[test]
fn every_view_has_what_was_recorded_for_it() {
    let mut player = player();
    let mut dashboard = dashboard(false);
    player.seek(64_500_000_000).unwrap();
    dashboard.play(&mut player, true).unwrap();
    for (view, words) in [
        (View::Charts, "0 DRAM"),
        (View::Detail, "Device 0"),
        (View::Processes, "by device"),
        (View::Map, "DRAM"),
        (View::Programs, "Programs"),
        (View::Leaks, "Oldest"),
        (View::Events, "line 8"),
        (View::Health, "aggregator"),
    ] {
        dashboard.turn_to(view);
        let picture = picture(120, 40, &dashboard);
        assert!(picture.contains(words) && !picture.contains("reading the ledgers"), "{view:?}\n{picture}");
    }
}

#[test]
fn who_has_a_recorded_pid_here_is_not_asked() {
    let mut seen = sample::observation(1);
    let mine = &mut seen.snapshot.processes[0];
    mine.pid = std::process::id();
    mine.start_ticks = shm_layout::procfs::stat("self").unwrap().start_ticks;
    let mut ancestors = Vec::new();
    for users in [crate::users::Users::default(), crate::users::Users::fixed(&[])] {
        let mut roster = crate::roster::Roster::default();
        roster.update(&seen.snapshot.processes, &users);
        ancestors.push(roster.all()[0].ancestors().len());
    }
    // Where this is the first process of all it has none.
    let here = crate::lineage::ancestors(std::process::id()).len();
    assert_eq!(ancestors, [here, 0]);
}

#[test]
fn a_recording_begins_and_ends_on_the_screen() {
    let folder = tempfile::tempdir().unwrap();
    let mut dashboard = dashboard(false);
    dashboard.prefix = shm_layout::names::Prefix::new(&format!("tt_test_rec_{}", std::process::id())).unwrap();
    dashboard.update(Feed { connection: Connection::Live, seen: Some(sample::observation(1)) });
    let path = folder.path().join("screen.rec");
    let begin = |dashboard: &mut Dashboard| {
        dashboard.record(&path, Begin::New);
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let slow = |said: &crate::screen::settings::Message| said.text.contains("not answered yet");
        while !dashboard.hear() || dashboard.message.as_ref().is_some_and(slow) {
            assert!(std::time::Instant::now() < until, "nothing is said");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    };
    begin(&mut dashboard);
    assert!(dashboard.message.take().unwrap().text.starts_with("recording into "));
    assert!(picture(80, 24, &dashboard).lines().next().unwrap().contains("● rec "));
    assert!(!dashboard.tend_recorder());
    dashboard.act(Action::Record);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !dashboard.tend_recorder() {
        assert!(std::time::Instant::now() < until, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let said = dashboard.message.clone().unwrap().text;
    assert!(said.starts_with("recorded 1 look in ") && said.ends_with("screen.rec"), "{said}");
    assert!(picture(80, 24, &dashboard).lines().last().unwrap().contains("recorded 1 look in "));
    // Nobody publishes under that prefix: this is what was recorded.
    let player = Player::open(&path).unwrap();
    assert!(player.feed().connection.to_string().starts_with("when this was recorded: no aggregator"));
    begin(&mut dashboard);
    assert!(dashboard.message.take().unwrap().text.starts_with("nothing is recorded: "), "there is something already");
}
