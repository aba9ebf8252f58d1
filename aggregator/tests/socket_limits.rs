//! The listener where there is no more room, and at its end: jobs go on, and what was not taken is said.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::event::Memory;
use shm_layout::stats::incomplete;
use socket::*;
use std::os::unix::process::CommandExt;
use std::process::Command;
use support::{Ground, lines};

#[test]
fn client() {
    speak_if_asked();
}

/// With room for so many open files: a quarter of them are for connections.
fn small(ground: &Ground, files: u32) -> Daemon {
    let mut command = Command::new("sh");
    let limited = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_aggregator")]);
    Daemon::start_by(command, ground)
}

#[test]
fn connections_that_tell_nothing_make_room_for_those_that_do() {
    let ground = Ground::new();
    let daemon = small(&ground, 400);
    let mut job = Client::start(&ground, 144);
    job.alloc(0, Memory::Dram, 0x1000, 11);
    see_held(&ground, job.pid(), 0, Memory::Dram, (11, 1));
    // Silent ones, ones that nobody understands, and more of them than there is room for.
    let mut silent = Client::start(&ground, 144);
    silent.tell("connect 1 60");
    (1..20).for_each(|n| silent.send(n, &[0xFF; 100]));
    silent.tell("connect 60 150");
    let mut late = Client::start(&ground, 144);
    late.alloc(0, Memory::Dram, 0x1000, 22);
    see_held(&ground, late.pid(), 0, Memory::Dram, (22, 1));
    // Whoever has told something keeps its connection.
    job.alloc(0, Memory::Dram, 0x2000, 11);
    see_held(&ground, job.pid(), 0, Memory::Dram, (22, 2));
    let closed = |s: &_| lines(s).iter().any(|line| line.contains("that has told nothing is closed"));
    ground.see("a line", closed);
    [job, silent, late].iter_mut().for_each(Client::kill);
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn a_user_at_its_share_makes_room_of_its_own() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let ground = Ground::new();
    let daemon = small(&ground, 400);
    // Silent as well, and longer there, but somebody else's.
    let mut root = Client::start(&ground, 144);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.uid(4321).gid(4321);
    let mut user = Client::start_by(command, &ground, 144);
    user.tell("connect 0 90");
    let bytes = user.message(ALLOC, 0, 33, 0, 0x1000);
    user.send(89, &bytes);
    see_held(&ground, user.pid(), 0, Memory::Dram, (33, 1));
    root.alloc(0, Memory::Dram, 0x1000, 11);
    see_held(&ground, root.pid(), 0, Memory::Dram, (11, 1));
    [root, user].iter_mut().for_each(Client::kill);
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn what_was_told_before_a_clean_end_is_in_the_figures_or_they_say_that_it_is_not() {
    for (connections, each) in [(4, 20), (64, 600)] {
        let ground = Ground::new();
        let daemon = Daemon::start(&ground);
        let mut client = Client::start(&ground, 144);
        client.alloc(0, Memory::Dram, 0x1000, 1);
        see_held(&ground, client.pid(), 0, Memory::Dram, (1, 1));
        client.tell(&format!("connect 1 {}", connections + 1));
        let signal = |signal| {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.pid() as i32), signal).unwrap();
        };
        // It stands still while much is told, and the end is the next that it hears of.
        signal(nix::sys::signal::SIGSTOP);
        for connection in 1..=connections {
            let first = connection * 100_000;
            let told: Vec<u8> = (first..first + each).flat_map(|id| client.message(ALLOC, 0, 1, 0, id)).collect();
            client.send(connection, &told);
        }
        signal(nix::sys::signal::SIGTERM);
        signal(nix::sys::signal::SIGCONT);
        daemon.end();
        // Before it says a word to the next one.
        let daemon = Daemon::start(&ground);
        let shown = ground.see("its row", |s| s.processes.len() == 1 && held(s, client.pid(), 0, Memory::Dram).1 > 0);
        let (told, shown) = (connections * each + 1, (held(&shown, client.pid(), 0, Memory::Dram), shown.processes[0]));
        let is_marked = shown.1.incomplete != 0;
        assert!(shown.0 == (told, told) || is_marked, "told {told}, shown {:?}, and nothing says so", shown.0);
        client.kill();
        ground.must_be_clean_but_for_stats();
        daemon.end();
        ground.must_be_clean();
    }
}

#[test]
fn a_process_without_a_ledger_is_written_for_again_after_a_while() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Client::start(&ground, 144);
    (1..=3).for_each(|n| client.alloc(0, Memory::Dram, n << 12, 10));
    see_held(&ground, client.pid(), 0, Memory::Dram, (30, 3));
    daemon.kill();
    // Something has the ledger's name that cannot be one.
    let ledger = ground.files().into_iter().find(|name| name.contains(".ledger.")).unwrap();
    let ledger = std::path::Path::new("/dev/shm").join(ledger);
    std::fs::remove_file(&ledger).unwrap();
    std::fs::create_dir_all(ledger.join("in_the_way")).unwrap();
    let daemon = Daemon::start(&ground);
    client.tell("connect 0 1");
    client.alloc(0, Memory::L1, 0x9000, 7);
    let shown = see_held(&ground, client.pid(), 0, Memory::L1, (7, 1));
    assert_ne!(shown.processes[0].incomplete & incomplete::CONTROLS_LOST, 0);
    ground.see("a line", |s| lines(s).iter().any(|line| line.contains("has no ledger: what it holds")));
    client.kill();
    ground.see("it gone", |s| s.processes.is_empty());
    daemon.end();
    let _ = std::fs::remove_dir_all(&ledger);
    ground.must_be_clean();
}
