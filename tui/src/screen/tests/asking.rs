//! What is asked before anything is asked of the aggregator.

use super::views::colourful;
use super::*;
use crate::screen::view::View;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn last_line(dashboard: &Dashboard) -> String {
    picture(&frame(110, 30, dashboard)).lines().last().unwrap().to_owned()
}

fn key(dashboard: &mut Dashboard, c: char) {
    dashboard.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
}

#[test]
fn nothing_is_asked_without_a_yes() {
    let mut dashboard = colourful(View::Overview);
    key(&mut dashboard, 'b');
    assert!(last_line(&dashboard).contains("set a baseline of all processes that you may act on, on all devices?"));
    // Any other key is a no, and does nothing else.
    key(&mut dashboard, 'q');
    assert!(dashboard.prompt.is_none() && dashboard.asked.is_none() && dashboard.message.is_none());
    for (c, modifiers) in
        [('c', KeyModifiers::CONTROL), ('y', KeyModifiers::CONTROL), ('y', KeyModifiers::ALT), ('Y', KeyModifiers::ALT)]
    {
        key(&mut dashboard, 'b');
        dashboard.key(KeyEvent::new(KeyCode::Char(c), modifiers));
        assert!(dashboard.prompt.is_none() && dashboard.asked.is_none(), "{c:?} with {modifiers:?}");
    }
    dashboard.act(Action::Down);
    key(&mut dashboard, 'R');
    assert!(last_line(&dashboard).contains("begin peaks anew of PID 41207 (python3)?"), "{}", last_line(&dashboard));
    key(&mut dashboard, 'c');
    assert!(dashboard.prompt.is_none() && dashboard.asked.is_none(), "only a baseline can be cleared");
    // In another view nobody sees who is selected.
    dashboard.act(Action::Show(View::Leaks));
    key(&mut dashboard, 'b');
    assert!(last_line(&dashboard).contains("of all processes that you may act on"), "{}", last_line(&dashboard));
    let mut device = colourful(View::Detail);
    key(&mut device, 'b');
    assert!(last_line(&device).contains("set a baseline of device 0, all processes that you may act on?"));
}

#[test]
fn a_yes_is_answered_in_the_last_line() {
    let mut dashboard = colourful(View::Overview);
    key(&mut dashboard, 'b');
    key(&mut dashboard, 'y');
    assert!(dashboard.prompt.is_none());
    // No aggregator has this host's name, so that nobody can tell whether it is still the one of the question: the answer says so, and the
    // screen did not wait for it.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while dashboard.message.is_none() {
        assert!(std::time::Instant::now() < until, "no answer");
        assert!(dashboard.prompt.is_none());
        dashboard.hear();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(last_line(&dashboard).starts_with(" nothing was asked: "), "{}", last_line(&dashboard));
    key(&mut dashboard, 'k');
    assert!(last_line(&dashboard).contains("q quit"), "the next key lets it go");
}

#[test]
fn of_an_aggregator_that_is_gone_nothing_is_asked() {
    let mut dashboard = colourful(View::Overview);
    dashboard.connection = Connection::Ended;
    key(&mut dashboard, 'b');
    assert!(dashboard.prompt.is_none() && last_line(&dashboard).contains("no aggregator lives"));
}

#[test]
fn whoever_types_sees_it_on_the_smallest_terminal() {
    for (width, height) in [(19, 24), (200, 4), (12, 1), (1, 1)] {
        let drawn =
            |dashboard: &Dashboard| picture(&frame(width, height, dashboard)).lines().last().unwrap().to_owned();
        let mut dashboard = colourful(View::Overview);
        let before = drawn(&dashboard);
        key(&mut dashboard, 'b');
        let question = drawn(&dashboard);
        assert!(question.trim_start().starts_with(if width < 100 { "y" } else { "set a baseline of" }), "{question:?}");
        assert!(width < 12 || question.contains("set a"), "{question:?}");
        key(&mut dashboard, 'n');
        assert_eq!(drawn(&dashboard), before);
        key(&mut dashboard, '/');
        key(&mut dashboard, 'x');
        assert!(width < 12 || drawn(&dashboard).starts_with(" filter x"), "{:?}", drawn(&dashboard));
        dashboard.prompt = None;
        dashboard.say("refused", true);
        assert!(width < 12 || drawn(&dashboard).contains("refused"), "{:?}", drawn(&dashboard));
    }
}
