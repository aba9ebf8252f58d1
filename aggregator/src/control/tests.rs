#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::{Control, FOLLOWED, Followed, MOST_OF_ONE, PATIENCE, PAUSE, has_room};
use shm_layout::control::{answer_of, socket_name};
use shm_layout::names::Prefix;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

#[test]
fn one_user_has_one_request_followed_in_a_round_and_everybody_a_few() {
    let (mut followed, now) = (Followed::default(), Instant::now());
    let (one, other, third) = (4_000_001, 4_000_002, 4_000_003);
    assert!(followed.take_turn(one, 0, now));
    assert!(!followed.take_turn(one, 1, now), "in the same round");
    assert!(followed.take_turn(other, 1, now));
    assert!(!followed.take_turn(third, FOLLOWED, now), "enough for this round");
    let next = now + PAUSE / 2;
    assert!(!followed.take_turn(one, 0, next), "too soon");
    assert!(followed.take_turn(third, 0, next));
    assert!(followed.take_turn(one, 0, now + PAUSE));
    // Root's are not held back from one round to the next.
    assert!(followed.take_turn(0, 0, now) && !followed.take_turn(0, 1, now));
    assert!(followed.take_turn(0, 0, now + Duration::from_millis(1)));
    assert!(PAUSE * u32::try_from(MOST_OF_ONE).unwrap() < PATIENCE);
}

#[test]
fn however_many_crowd_at_the_door_root_has_a_place() {
    let mut there = Vec::new();
    for uid in 4_000_001..4_000_100 {
        while has_room(uid, &there, 32) {
            there.push(uid);
        }
    }
    assert_eq!(there.len(), 24, "three quarters are for others");
    for _ in 0..MOST_OF_ONE {
        assert!(has_room(0, &there, 32));
        there.push(0);
    }
    assert!(!has_room(0, &there, 32) && there.len() == 32);
    // Nor do root's own take all that there is for others.
    assert!(has_room(4_000_001, &[0; 8], 32));
    assert!(has_room(0, &[], 1) && !has_room(4_000_001, &[], 1));
}

fn ask(prefix: &Prefix) -> UnixStream {
    let address = SocketAddr::from_abstract_name(socket_name(prefix)).unwrap();
    let mut stream = UnixStream::connect_addr(&address).unwrap();
    stream.write_all(b"reset\n").unwrap();
    stream
}

#[test]
fn whoever_asks_many_times_is_answered_one_round_after_the_other() {
    let prefix = Prefix::new(&format!("test_control_{}", std::process::id())).unwrap();
    let mut control = Control::new(4);
    assert!(control.listen(&prefix).is_some() && control.listen(&prefix).is_none(), "told once");
    let asking: Vec<UnixStream> = (0..5).map(|_| ask(&prefix)).collect();
    for round in 1..=4 {
        let mut count = 0;
        control.serve(|_, _| {
            count += 1;
            Ok("done".to_owned())
        });
        assert_eq!((count, control.owes_answers()), (1, true), "round {round}");
        // Once it is published.
        control.answer();
        assert_eq!((control.is_waiting(), control.owes_answers()), (round < 4, false), "round {round}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut answers = asking.into_iter().map(|mut stream| {
        let mut answer = String::new();
        // One that was sent away unheard may have an error here.
        let _read = stream.read_to_string(&mut answer);
        answer_of(&answer).is_some()
    });
    assert_eq!(
        (answers.by_ref().filter(|answered| *answered).count(), answers.count()),
        (4, 0),
        "there was room for four"
    );
}

#[test]
fn the_name_is_taken_once_whoever_had_it_is_gone() {
    let prefix = Prefix::new(&format!("test_control_held_{}", std::process::id())).unwrap();
    let address = SocketAddr::from_abstract_name(socket_name(&prefix)).unwrap();
    let squatter = UnixListener::bind_addr(&address).unwrap();
    let mut control = Control::new(4);
    assert!(control.listen(&prefix).is_none());
    drop(squatter);
    assert!(control.listen(&prefix).is_some());
}

#[test]
fn what_was_done_is_told_once_it_can_be_seen_and_a_refusal_at_once() {
    let prefix = Prefix::new(&format!("test_control_shown_{}", std::process::id())).unwrap();
    let mut control = Control::new(4);
    assert!(control.listen(&prefix).is_some());
    let answer = |stream: &mut UnixStream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut bytes = [0; 100];
        stream.read(&mut bytes).ok().map(|count| answer_of(str::from_utf8(&bytes[..count]).unwrap()).unwrap())
    };
    let mut asked = ask(&prefix);
    control.serve(|_, _| Err("not yours".to_owned()));
    assert_eq!(answer(&mut asked), Some(Err("not yours".to_owned())));
    std::thread::sleep(PAUSE);
    let mut asked = ask(&prefix);
    control.serve(|_, _| Ok("done".to_owned()));
    // It is not done again, however often it is looked at.
    control.serve(|_, _| panic!("again"));
    assert_eq!(answer(&mut asked), None);
    control.answer();
    assert_eq!(answer(&mut asked), Some(Ok("done".to_owned())));
    assert!(!control.is_waiting());
}
