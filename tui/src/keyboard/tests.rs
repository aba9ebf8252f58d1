#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::*;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::write;

/// A raw terminal with nothing typed, and where typing is done.
fn terminal() -> (Keyboard, OwnedFd) {
    let pty = openpty(None, None).unwrap();
    let mut raw = tcgetattr(&pty.slave).unwrap();
    cfmakeraw(&mut raw);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).unwrap();
    (Keyboard::of(pty.slave).unwrap(), pty.master)
}

/// What comes until so many events are there.
fn typed(keyboard: &mut Keyboard, count: usize) -> Vec<Event> {
    let (mut events, until) = (Vec::new(), Instant::now() + Duration::from_secs(20));
    while events.len() < count {
        assert!(Instant::now() < until, "only {events:?}");
        // Other tests' changes of size are signals to all of us.
        events.extend(keyboard.typed(Duration::from_millis(20)).unwrap().into_iter().filter(|one| !is_resize(one)));
    }
    events
}

const fn is_resize(event: &Event) -> bool {
    matches!(event, Event::Resize(..))
}

fn key(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn keys_and_sequences_are_told_apart() {
    let (mut keyboard, typing) = terminal();
    write(&typing, b"q\x1b[A\x1bOB\x1b[5~\xc3\xa4\x03").unwrap();
    let expected = [KeyCode::Char('q'), KeyCode::Up, KeyCode::Down, KeyCode::PageUp, KeyCode::Char('ä')].map(key);
    let events = typed(&mut keyboard, 6);
    assert_eq!(events[..5], expected);
    assert_eq!(events[5], Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
}

#[test]
fn a_sequence_in_pieces_is_one_key_and_escape_alone_is_one_too() {
    let (mut keyboard, typing) = terminal();
    for piece in [&b"\x1b"[..], b"[", b"A"] {
        write(&typing, piece).unwrap();
        // However late the machine looks: what has come is looked at before it is given up.
        assert!(keyboard.has_something(Duration::from_secs(20)).unwrap());
        keyboard.begun_at = Instant::now();
        let events = keyboard.typed(Duration::ZERO).unwrap();
        let events: Vec<Event> = events.into_iter().filter(|one| !is_resize(one)).collect();
        assert_eq!(events, if piece == b"A" { vec![key(KeyCode::Up)] } else { Vec::new() });
    }
    write(&typing, b"\x1b").unwrap();
    assert_eq!(typed(&mut keyboard, 1), [key(KeyCode::Esc)]);
    write(&typing, b"\x1b\x1b\x1b[A").unwrap();
    assert_eq!(typed(&mut keyboard, 3), [KeyCode::Esc, KeyCode::Esc, KeyCode::Up].map(key));
}

#[test]
fn half_a_sequence_holds_nothing_up() {
    let (mut keyboard, typing) = terminal();
    write(&typing, b"\x1b[1;").unwrap();
    while keyboard.begun.is_empty() {
        assert!(keyboard.typed(Duration::from_millis(20)).unwrap().iter().all(is_resize));
    }
    while !keyboard.begun.is_empty() {
        assert!(keyboard.typed(Duration::from_millis(20)).unwrap().iter().all(is_resize));
    }
    write(&typing, b"q").unwrap();
    assert_eq!(typed(&mut keyboard, 1), [key(KeyCode::Char('q'))]);
}

#[test]
fn a_key_beside_a_change_of_size_is_not_left_lying() {
    let (mut keyboard, typing) = terminal();
    for _ in 0..50 {
        write(&typing, b"q").unwrap();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGWINCH).unwrap();
        assert_eq!(typed(&mut keyboard, 1), [key(KeyCode::Char('q'))]);
    }
}

#[test]
fn what_is_pasted_comes_in_portions_and_garbage_is_dropped() {
    let (mut keyboard, typing) = terminal();
    // More would not fit into the terminal at once.
    for _ in 0..3 {
        write(&typing, &[b'x'; 3000]).unwrap();
        assert_eq!(typed(&mut keyboard, 3000).len(), 3000);
    }
    write(&typing, b"\x1b[<0;0;0M").unwrap();
    assert!(typed(&mut keyboard, 1).iter().all(|event| matches!(event, Event::Mouse(_))));
    // Too long, unknown to all, broken: no byte of it is a key.
    write(&typing, b"\x1b[<").unwrap();
    write(&typing, &[b'9'; 2 * LONGEST]).unwrap();
    write(&typing, b"m\x1b[>0;276;0c\x1b[1;;9Zq").unwrap();
    assert_eq!(typed(&mut keyboard, 1), [key(KeyCode::Char('q'))]);
    assert!(keyboard.begun.is_empty() && !keyboard.unknown);
}

#[test]
fn a_paste_is_text_and_no_keys_however_long_and_also_without_its_end() {
    let (mut keyboard, typing) = terminal();
    let paste = |text: &str| Event::Paste(text.to_owned());
    write(&typing, b"\x1b[200~q\x1b[A\x1b[201~q").unwrap();
    assert_eq!(typed(&mut keyboard, 2), [paste("q\x1b[A"), key(KeyCode::Char('q'))]);
    write(&typing, b"\x1b[200~lost").unwrap();
    assert_eq!(typed(&mut keyboard, 1), [paste("lost")]);
    // Its first mark comes in two pieces.
    write(&typing, b"\x1b[20").unwrap();
    while keyboard.begun.len() < 4 {
        assert!(keyboard.typed(Duration::from_millis(20)).unwrap().iter().all(is_resize));
    }
    std::thread::sleep(2 * ESCAPE);
    assert!(keyboard.typed(Duration::ZERO).unwrap().iter().all(is_resize));
    write(&typing, b"0~q\x1b[201~").unwrap();
    assert_eq!(typed(&mut keyboard, 1), [paste("q")]);
    let long = [&b"\x1b[200~"[..], &[b'x'; 2 * LONGEST_PASTE], b"\x1b[201~q"].concat();
    // More than the terminal takes at once.
    let typist = std::thread::spawn(move || {
        let mut rest = &long[..];
        while !rest.is_empty() {
            rest = &rest[write(&typing, rest).unwrap()..];
        }
        typing
    });
    let events = typed(&mut keyboard, 2);
    let Event::Paste(text) = &events[0] else { panic!("{events:?}") };
    assert!((1000..=LONGEST_PASTE).contains(&text.len()), "{}", text.len());
    assert_eq!(events[1], key(KeyCode::Char('q')));
    let _open = typist.join().unwrap();
}

#[test]
fn a_terminal_that_has_hung_up_is_an_end() {
    let (mut keyboard, typing) = terminal();
    drop(typing);
    let until = Instant::now() + Duration::from_secs(20);
    let error = loop {
        match keyboard.typed(Duration::from_millis(20)) {
            Ok(_) => assert!(Instant::now() < until, "nothing is said"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn no_wait_is_shorter_than_asked_for() {
    for (ns, ms) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (99_400_000, 100)] {
        assert_eq!(whole_ms(Duration::from_nanos(ns)).as_millis(), Some(ms), "{ns}");
    }
    assert_eq!(whole_ms(Duration::MAX), PollTimeout::MAX);
}
