#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::*;
use crate::clock::Zone;
use crate::screen::keys::Action;
use crate::screen::settings::Kept;
use crate::screen::theme::Theme;
use crate::selection::Selection;
use std::sync::mpsc::{Sender, channel};

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);
const MAY_NOT: &str = "alloc-top.toml may not be written: its disk does not answer";

fn dashboard(folder: &Path) -> Dashboard {
    let mut dashboard = Dashboard::new("here".into(), Zone::utc(), Theme::new(false, true), Selection::default(), 250);
    dashboard.keeping = Kept { path: Some(folder.join("alloc-top.toml")), ..Kept::default() };
    dashboard.prefix = shm_layout::names::Prefix::new(&format!("tt_test_disk_{}", std::process::id())).unwrap();
    dashboard
}

fn said(dashboard: &Dashboard) -> (String, bool) {
    dashboard.message.as_ref().map(|message| (message.text.clone(), message.failed)).unwrap()
}

fn hears(dashboard: &mut Dashboard) {
    let until = Instant::now() + PATIENCE;
    // That the disk is slow is said before.
    while !dashboard.hear() || said(dashboard).0.contains("not answered yet") {
        assert!(Instant::now() < until, "nothing is heard of the disk");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A disk that answers when this is dropped.
fn hung<A: Send + 'static>(beside: &mut Beside<A>, answer: impl FnOnce() -> A + Send + 'static) -> Sender<()> {
    let (go, gate) = channel::<()>();
    beside.ask((), move || {
        let _let_go = gate.recv();
        answer()
    });
    go
}

#[test]
fn what_is_written_is_told_when_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut dashboard = dashboard(folder.path());
    dashboard.act(Action::Save);
    assert_eq!(dashboard.message, None, "the key does not wait for it");
    hears(&mut dashboard);
    assert!(said(&dashboard).0.starts_with("kept in "));
    assert!(folder.path().join("alloc-top.toml").exists());
    let path = folder.path().join("one.rec");
    dashboard.message = None;
    dashboard.record(&path, Begin::New);
    assert!(dashboard.recorder.is_none() && dashboard.message.is_none(), "nor that one");
    hears(&mut dashboard);
    assert!(dashboard.recorder.is_some() && said(&dashboard).0.starts_with("recording into "));
    let left = dashboard.leave(PATIENCE);
    assert!(left.wrong.is_empty() && left.recording.unwrap().unwrap().starts_with("recorded "));
}

#[test]
fn a_disk_that_hangs_is_not_asked_again_and_keeps_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut dashboard = dashboard(folder.path());
    let settings = hung(&mut dashboard.writing.settings, || ("kept".to_owned(), false));
    dashboard.act(Action::Save);
    let (text, failed) = said(&dashboard);
    assert!(text.contains("alloc-top.toml is still being written") && failed, "{text}");
    let recording = hung(&mut dashboard.writing.recording, || Err("full".to_owned()));
    dashboard.writing.path = folder.path().join("hung.rec");
    dashboard.act(Action::Record);
    let (text, failed) = said(&dashboard);
    assert!(text.contains("hung.rec is still being made") && failed, "{text}");
    dashboard.message = None;
    dashboard.writing.since = Instant::now().checked_sub(SLOW);
    assert!(dashboard.hear() && said(&dashboard).0.ends_with("the disk has not answered yet"), "it is said once");
    assert!(!dashboard.hear());
    let left = dashboard.leave(SHORT);
    assert!(left.wrong.len() == 1 && left.wrong[0].ends_with(MAY_NOT), "{left:?}");
    let why = left.recording.unwrap().unwrap_err();
    assert!(why.starts_with("nothing is recorded into ") && why.ends_with("its disk does not answer"), "{why}");
    assert!(!folder.path().join("alloc-top.toml").exists());
    drop((settings, recording));
}

#[test]
fn a_disk_that_answers_in_time_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut dashboard = dashboard(folder.path());
    dashboard.act(Action::Save);
    dashboard.record(&folder.path().join("one.rec"), Begin::New);
    let left = dashboard.leave(PATIENCE);
    assert!(left.wrong.is_empty() && left.recording.unwrap().is_ok());
    assert!(folder.path().join("alloc-top.toml").exists());
    // What went wrong is told, too.
    std::fs::write(folder.path().join("alloc-top.toml"), "units = =").unwrap();
    dashboard.act(Action::Save);
    dashboard.record(&folder.path().join("one.rec"), Begin::New);
    let left = dashboard.leave(PATIENCE);
    assert!(left.wrong[0].contains("is not written: it is to be mended first"), "{left:?}");
    assert!(left.recording.unwrap().unwrap_err().starts_with("nothing is recorded: "));
}

#[test]
fn a_disk_that_hangs_takes_nothing_from_a_recording_on_another() {
    let folder = tempfile::tempdir().unwrap();
    for has_begun in [true, false] {
        let mut dashboard = dashboard(folder.path());
        let path = folder.path().join(format!("{has_begun}.rec"));
        if has_begun {
            dashboard.record(&path, Begin::New);
            hears(&mut dashboard);
        }
        let settings = hung(&mut dashboard.writing.settings, || ("kept".to_owned(), false));
        if !has_begun {
            dashboard.record(&path, Begin::New);
        }
        let left = dashboard.leave(Duration::from_secs(3));
        assert!(left.wrong.len() == 1 && left.wrong[0].ends_with(MAY_NOT), "{left:?}");
        let recorded = left.recording.unwrap();
        assert!(recorded.as_ref().is_ok_and(|said| said.starts_with("recorded ")), "{has_begun}: {recorded:?}");
        drop(settings);
    }
}

#[test]
fn what_breaks_while_it_writes_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut dashboard = dashboard(folder.path());
    let settings = "alloc-top.toml may not be written: what wrote it has broken off";
    let recording = "one.rec: what wrote it has broken off";
    dashboard.writing.settings.ask((), || panic!("on purpose"));
    hears(&mut dashboard);
    assert!(said(&dashboard).0.ends_with(settings) && said(&dashboard).1, "{:?}", said(&dashboard));
    dashboard.writing.path = folder.path().join("one.rec");
    dashboard.writing.recording.ask((), || panic!("on purpose"));
    hears(&mut dashboard);
    assert!(said(&dashboard).0.ends_with(recording) && said(&dashboard).1, "{:?}", said(&dashboard));
    dashboard.writing.settings.ask((), || panic!("on purpose"));
    dashboard.writing.recording.ask((), || panic!("on purpose"));
    let left = dashboard.leave(PATIENCE);
    assert!(left.wrong.len() == 1 && left.wrong[0].ends_with(settings), "{left:?}");
    assert!(left.recording.unwrap().unwrap_err().ends_with(recording));
}
