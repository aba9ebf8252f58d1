//! What is asked of the aggregator is asked about whom the question was: not about another process, and not of another aggregator.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "screen/jobs.rs"]
mod jobs;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jobs::{Ground, Job};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use shm_layout::control::{Action as Asked, Request};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tui::clock::Zone;
use tui::screen::dashboard::Dashboard;
use tui::screen::keys::Action;
use tui::screen::theme::Theme;
use tui::selection::Selection;
use tui::source::{Connection, Source};

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
        // Of one that holds nothing yet nothing is tracked.
        (dashboard.rows.len() == 1 && dashboard.rows[0].totals.total > 0).then_some(())
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
    wait_for("another aggregator", || matches!(source.poll().connection, Connection::Live).then_some(()));
    key(&mut held, 'y');
    assert_eq!(answer(&mut held), "nothing was asked: another aggregator has taken over since the question");
}

#[test]
fn a_yes_that_cannot_be_checked_asks_nothing() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut job = Job::start(&ground, "train", &[0]);
    job.does("alloc 1 0 DRAM 4096");
    let mut held = dashboard(&ground);
    key(&mut held, 'R');
    drop(aggregator);
    key(&mut held, 'y');
    let answer = answer(&mut held);
    assert!(answer.starts_with("nothing was asked: the aggregator was stopped"), "{answer}");
}

#[test]
fn whoever_has_the_name_and_lets_nobody_in_is_not_waited_for() {
    let ground = Ground::new();
    let name = UnixAddr::new_abstract(shm_layout::control::socket_name(&ground.0).as_bytes()).unwrap();
    let stream = |flags| -> OwnedFd { socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap() };
    let squatter = stream(SockFlag::SOCK_CLOEXEC);
    bind(squatter.as_raw_fd(), &name).unwrap();
    listen(&squatter, Backlog::new(0).unwrap()).unwrap();
    let crowd: Vec<OwnedFd> = (0..8).map(|_| stream(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)).collect();
    assert!(crowd.iter().any(|one| connect(one.as_raw_fd(), &name).is_err()), "there is room for everybody");
    let (tell, told) = channel();
    let prefix = ground.0.clone();
    std::thread::spawn(move || {
        let request = Request { action: Asked::Reset, pid: None, chip: None };
        let _left = tell.send(tui::control::ask_one(&prefix, 1, request).map_err(|error| error.to_string()));
    });
    let answer = told.recv_timeout(Duration::from_secs(60)).expect("it waits for ever").unwrap_err();
    assert!(answer.contains("does not answer"), "{answer}");
}
