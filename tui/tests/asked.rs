//! What is asked of the aggregator is asked about whom the question was: not about another process, and not of another aggregator.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "screen/jobs.rs"]
mod jobs;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jobs::{Ground, Job};
use std::time::{Duration, Instant};
use tui::clock::Zone;
use tui::screen::dashboard::Dashboard;
use tui::screen::keys::Action;
use tui::screen::theme::Theme;
use tui::selection::Selection;
use tui::source::Source;

/// Plays a job, in processes that tests start.
#[test]
fn job() {
    jobs::play();
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn key(dashboard: &mut Dashboard, c: char) {
    dashboard.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
}

/// A dashboard that has seen the one job of this ground, and has it selected.
fn dashboard(ground: &Ground) -> Dashboard {
    let mut source = Source::new(&ground.0);
    let mut dashboard = Dashboard::new("box".into(), Zone::utc(), Theme::new(false, true), Selection::default(), 250);
    wait_for("the job", || {
        dashboard.look(&mut source);
        (dashboard.rows.len() == 1).then_some(())
    });
    dashboard.act(Action::Down);
    assert!(dashboard.selected.is_some());
    dashboard
}

fn answer(dashboard: &mut Dashboard) -> String {
    wait_for("an answer", || {
        dashboard.hear();
        dashboard.message.as_ref().map(|message| message.text.clone())
    })
}

#[test]
fn a_yes_is_about_whom_the_question_was() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut job = Job::start(&ground, "train", &[0]);
    job.does("alloc 1 0 DRAM 4096");
    let mut held = dashboard(&ground);
    key(&mut held, 'b');
    key(&mut held, 'y');
    let done = answer(&mut held);
    assert!(done.contains(&format!("PID {}", job.pid())) && done.contains("set"), "{done}");
    // The question stands on a screen that is held, and the process ends.
    key(&mut held, 'R');
    job.kill();
    let mut source = Source::new(&ground.0);
    wait_for("its end", || source.poll().seen.is_some_and(|seen| seen.snapshot.processes.is_empty()).then_some(()));
    key(&mut held, 'y');
    assert_eq!(answer(&mut held), "nothing was asked: that process is not there any more");
    key(&mut held, 'R');
    drop(aggregator);
    let _another = ground.aggregator();
    wait_for("another aggregator", || source.poll().seen.map(|_| ()));
    key(&mut held, 'y');
    assert_eq!(answer(&mut held), "nothing was asked: another aggregator has taken over since the question");
}
