//! Who told: nobody can hide, and what is told first is judged as everything else.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::event::Memory;
use socket::*;
use support::{Ground, lines};

#[test]
fn client() {
    speak_if_asked();
}

#[test]
fn whoever_hides_behind_a_descriptor_is_nobody_and_the_descriptor_goes() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Client::start(&ground, 144);
    client.alloc(0, Memory::Dram, 0x1000, 1000);
    see_held(&ground, client.pid(), 0, Memory::Dram, (1000, 1));
    let open = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let before = open();
    // Its child speaks in its name: without the kernel's word it would pass for whoever connected.
    for n in 0..20 {
        let lie = client.message(ALLOC, 0, 5000, 0, 0x2000 + n);
        client.tell(&format!("lend 0 {}", to_hex(&lie)));
    }
    client.alloc(0, Memory::Dram, 0x9000, 1);
    let shown = see_held(&ground, client.pid(), 0, Memory::Dram, (1001, 2));
    assert_eq!(shown.processes.len(), 1);
    ground.see("a line", |s| lines(s).iter().any(|line| line.contains(" 20 messages of nobody known")));
    assert_eq!(open(), before, "what was lent is not kept");
    client.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn the_first_message_of_a_process_is_judged_as_any_other() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Client::start(&ground, 144);
    client.say(ALLOC, 0, 10, 200, 0x1000);
    client.alloc(0, Memory::Dram, 0x2000, 20);
    let shown = see_held(&ground, client.pid(), 0, Memory::Dram, (20, 1));
    assert_eq!(shown.processes[0].anomalies.invalid_record, 1);
    client.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}
