//! Rings that their process was killed while making.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::names::{DIRECTORY, ProcessFile, Role};
use std::fs::File;
use std::process::Command;
use std::time::{Duration, SystemTime};
use support::{Ground, wait};

#[test]
fn a_ring_whose_maker_was_killed_is_removed_by_the_aggregator_that_finds_it() {
    let ground = Ground::new();
    let mut maker = Command::new("true").spawn().unwrap();
    let pid = maker.id();
    maker.wait().unwrap();
    let uid = nix::unistd::geteuid().as_raw();
    let names = [1, 2].map(|nonce| ProcessFile { role: Role::Ring, uid, pid, nonce }.name(&ground.prefix));
    let make = |name: &str, bytes: u64| {
        let file = File::create_new(format!("{DIRECTORY}/{name}")).unwrap();
        file.set_len(bytes).unwrap();
        // So old that nobody can be at work on it.
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    };
    // Killed before it had any size, one that is there when the aggregator starts; and before it had blocks, one that comes.
    make(&names[0], 0);
    let aggregator = ground.aggregator();
    make(&names[1], 1 << 16);
    wait("the removal of both", || ground.files().iter().all(|name| !names.contains(name)).then_some(())).unwrap();
    drop(aggregator);
    ground.must_be_clean();
}
