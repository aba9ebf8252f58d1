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
