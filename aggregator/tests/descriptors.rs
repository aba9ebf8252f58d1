//! A process that closes descriptors that it did not open, and uses their numbers for files of its own.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use support::{Ground, Player};

#[test]
fn player() {
    support::play_if_asked();
}

#[test]
fn a_full_ring_whose_descriptors_are_another_file_s_by_now_leaves_that_file_alone() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096")]);
    player.tell("burst 0 10 64");
    let own = std::env::temp_dir().join(ground.prefix.to_string());
    std::fs::write(&own, [7; 8192]).unwrap();
    let said = player.tell(&format!("replace {}", own.display()));
    assert!(said.parse::<usize>().unwrap() > 0, "the ring had descriptors");
    player.tell("churn 100 500 5000 64");
    let after = std::fs::read(&own).unwrap();
    std::fs::remove_file(&own).unwrap();
    assert_eq!(after, [7; 8192]);
    player.close();
}
