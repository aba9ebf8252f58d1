#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::*;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn replayed() -> (Dashboard, Origin<'static>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/format-1.rec");
    let mut player = Player::open(Path::new(path)).unwrap();
    let mut dashboard =
        Dashboard::new("here".into(), Zone::utc(), Theme::new(false, true), Selection::default(), DEFAULT_REFRESH_MS);
    dashboard.play(&mut player, true).unwrap();
    (dashboard, Origin::Recorded(Box::new(player)))
}

fn keys(keys: &str) -> Vec<Event> {
    keys.chars().map(|c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))).collect()
}

fn typed(dashboard: &mut Dashboard, origin: &mut Origin<'_>, text: &str) -> (Taken, Vec<Request>) {
    let mut asked = Vec::new();
    let taken = take(dashboard, origin, keys(text), |request| {
        asked.push(request);
        Ok(())
    });
    (taken.unwrap(), asked)
}

/// How often its allocations were studied since the last jump, and where it is, in seconds.
fn studied(dashboard: &Dashboard) -> (u64, u64) {
    let looks = dashboard.inventories.newest().unwrap().study.as_ref().unwrap().looks;
    (looks, dashboard.replay.as_ref().unwrap().position_ns / 1_000_000_000)
}

#[test]
fn of_moves_that_came_at_once_only_the_last_is_studied() {
    let (mut dashboard, mut origin) = replayed();
    assert_eq!(studied(&dashboard), (1, 0));
    // Past the inventories of three moments.
    typed(&mut dashboard, &mut origin, &"]".repeat(65));
    assert_eq!(studied(&dashboard), (2, 65));
    let (mut other, mut one_by_one) = replayed();
    for _ in 0..65 {
        typed(&mut other, &mut one_by_one, "]");
    }
    assert_eq!(studied(&other), (4, 65), "which came one by one are studied one by one");
}

#[test]
fn moves_at_once_lead_where_they_lead_one_by_one() {
    let past_an_end = "{".to_owned() + &"]".repeat(35);
    for text in ["}}{", "{{}", "}[[", "]]}{[", "}}}}}{", "]]]]]{]", "++}-[", &past_an_end] {
        let (mut dashboard, mut origin) = replayed();
        typed(&mut dashboard, &mut origin, text);
        let (mut other, mut one_by_one) = replayed();
        for key in text.chars() {
            typed(&mut other, &mut one_by_one, &key.to_string());
        }
        let of = |dashboard: &Dashboard| {
            let replay = dashboard.replay.as_ref().unwrap();
            let generation = dashboard.seen.as_ref().unwrap().snapshot.health.generation;
            let gone = dashboard.rows.iter().filter(|row| row.gone_since_ns.is_some()).count();
            (replay.position_ns, replay.unix_ns, replay.speed_quarters, generation, dashboard.paused, gone)
        };
        assert_eq!(of(&dashboard), of(&other), "{text}");
    }
}

#[test]
fn what_follows_a_move_is_about_what_is_shown_there() {
    let (mut dashboard, mut origin) = replayed();
    assert_eq!(dashboard.rows.len(), 3);
    // After forty seconds there is one process less: the last of two is selected, not of three.
    typed(&mut dashboard, &mut origin, &("}".to_owned() + &"[".repeat(20) + "G"));
    assert_eq!((dashboard.rows.len(), dashboard.selected_at()), (2, Some(1)));
    let (taken, asked) = typed(&mut dashboard, &mut origin, "]q]");
    assert_eq!((taken, asked.len()), (Taken::Left, 0));
    assert_eq!(typed(&mut dashboard, &mut origin, "").0, Taken::Nothing);
}

#[test]
fn a_recording_without_a_screen_ends_though_its_disk_hangs() {
    let (recorder, go) = crate::recording::recorder::tests::hung(|| ());
    assert!(until(recorder, || true).unwrap_err().ends_with("may lack its end: its disk does not answer"));
    drop(go);
}

#[test]
fn a_recording_that_cannot_begin_is_not_waited_for() {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let mut begins = Beside::new("begin");
    begins.ask((), move || gate.recv_timeout(Duration::from_secs(20)));
    assert!(begun(begins, || true).is_none());
    drop(go);
    // One that only takes its time is.
    let mut begins = Beside::new("begin");
    begins.ask((), || 1);
    assert_eq!(begun(begins, || true), Some(1));
}
