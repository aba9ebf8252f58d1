//! What a replay does at one time is bounded, however the file is made: the screen waits for it.

use super::super::wire::put_number;
use super::harm::forged;
use super::*;

fn number(number: u64) -> Vec<u8> {
    let mut content = Vec::new();
    put_number(&mut content, number);
    content
}

#[test]
fn so_many_differences_follow_a_whole_look_and_no_more() {
    let folder = folder();
    let mut frames = vec![(kind::KEY, 1, small(0).whole())];
    frames.extend((1..4000).map(|n| (kind::DELTA, 1 + n, number(n))));
    frames.push((kind::KEY, 5000, small(1).whole()));
    forged(&file(&folder), &frames);
    let mut player = Player::open(&file(&folder)).unwrap();
    player.seek(4500).unwrap();
    assert_eq!(player.unix_ns(), 2401, "the last of those that may follow");
    assert!(player.damage().unwrap().contains("1 damaged frames are left out"));
    player.go(Move::StepOn).unwrap();
    assert_eq!(player.unix_ns(), 5000);
}

#[test]
fn what_is_played_fast_is_not_made_of_what_nobody_sees() {
    let folder = folder();
    let mut frames = Vec::new();
    for minute in 0..5 {
        frames.push((kind::KEY, 1 + minute * 60 * SECOND, small(minute).whole()));
        // Whoever looks at one of these sees that it is damaged.
        frames.push((kind::DELTA, 2 + minute * 60 * SECOND, number(77)));
    }
    forged(&file(&folder), &frames);
    let mut player = Player::open(&file(&folder)).unwrap();
    player.pass(Duration::from_secs(240)).unwrap();
    assert_eq!((player.unix_ns(), player.damage()), (1 + 240 * SECOND, None));
}
