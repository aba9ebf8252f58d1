//! Baselines that set themselves, of the original's clients: system-buffer-deallocation.md, where each run left 14 MB more.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::event::Memory;
use shm_layout::stats::Snapshot;
use socket::*;
use std::process::Command;
use support::Ground;

#[test]
fn client() {
    speak_if_asked();
}

/// 14.2 MB, and 4.3 MB.
const SYSTEM: u64 = (142 << 20) / 10;
const APPLICATION: u64 = (43 << 20) / 10;

fn compared(seen: &Snapshot, memory: Memory) -> Option<(u64, i64, bool)> {
    let figures = seen.chips.first()?.memory[memory as usize];
    Some((figures.baseline_bytes()?, figures.since_baseline_bytes()?, figures.is_baseline_automatic()))
}

#[test]
fn three_runs_have_the_same_baseline_each() {
    let ground = Ground::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_aggregator"));
    command.arg("--auto-baseline");
    let daemon = Daemon::start_by(command, &ground);
    for run in 0..3 {
        let mut client = Client::start(&ground, 144);
        // At once, as an open tells them: a pause between them would be the end of it.
        let buffers = client.message(ALLOC, 0, SYSTEM, 0, 0x1000);
        let kernel = client.message(KERNEL_LOAD, 0, 57_344, 1, 0x10);
        client.send(0, &[buffers, kernel].concat());
        ground.see("its opening", |s| {
            compared(s, Memory::Dram) == Some((SYSTEM, 0, true))
                && compared(s, Memory::Kernel) == Some((57_344, 0, true))
        });
        client.say(ALLOC, 0, APPLICATION, 0, 0x2000 + run);
        let since = i64::try_from(APPLICATION).unwrap();
        ground.see("the application's", |s| compared(s, Memory::Dram) == Some((SYSTEM, since, true)));
        client.kill();
        ground.see("all gone", |s| s.processes.is_empty());
    }
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn a_process_that_began_before_the_aggregator_has_no_automatic_baseline() {
    let ground = Ground::new();
    // What it allocated while nobody listened is not known: the first moment of rest is not its opening.
    let mut client = Client::start_by(Command::new(std::env::current_exe().unwrap()), &ground, 144);
    // Its start is known to a hundredth of a second.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut command = Command::new(env!("CARGO_BIN_EXE_aggregator"));
    command.arg("--auto-baseline");
    let daemon = Daemon::start_by(command, &ground);
    client.tell("connect 0 1");
    client.alloc(0, Memory::Dram, 0x1000, SYSTEM);
    see_held(&ground, client.pid(), 0, Memory::Dram, (SYSTEM, 1));
    let mut young = Client::start(&ground, 144);
    young.alloc(1, Memory::Dram, 0x1000, SYSTEM);
    let shown =
        ground.see("the younger one's", |s| support::figures(s, young.pid(), 1, Memory::Dram).is_baseline_automatic());
    let of_older = support::figures(&shown, client.pid(), 0, Memory::Dram);
    assert_eq!((of_older.baseline_bytes(), of_older.is_baseline_automatic()), (None, false));
    client.kill();
    young.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}
