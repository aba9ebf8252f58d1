//! The original's message sequences, as its documents tell of them, with the totals that are right.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::event::Memory;
use shm_layout::stats::incomplete;
use socket::*;
use support::{Ground, lines};

#[test]
fn client() {
    speak_if_asked();
}

const KB: u64 = 1024;
const MB: u64 = 1 << 20;

/// An aggregator, a client of the last protocol, and at the end nothing.
fn with_client(test: impl FnOnce(&Ground, &mut Client)) {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Client::start(&ground, 144);
    test(&ground, &mut client);
    client.kill();
    let shown = ground.see("all gone", |s| s.processes.is_empty());
    for chip in &shown.chips {
        assert!(chip.memory.iter().all(|of| of.footprint_bytes == 0 && of.blocks == 0), "{chip:?}");
    }
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

fn free_of_anomalies(ground: &Ground) {
    let shown = ground.look().unwrap();
    assert_eq!(shown.health.anomalies.sum(), 0);
    assert!(shown.processes.iter().all(|process| process.incomplete == 0));
}

/// persistent-kernel-origins.md: 2 x 56 KB fabric, 2 x 46 KB dispatch on each device.
fn system_kernels(client: &mut Client, device: i32) {
    for n in 0..2 {
        client.say(KERNEL_LOAD, device, 56 * KB, 1, 0x10 + n);
        client.say(KERNEL_LOAD, device, 46 * KB, 2, 0x20 + n);
    }
}

#[test]
fn a_crash_with_live_kernels_leaves_none() {
    // persistent-kernel-cleanup.md: 6.4 MB before the exit, 0.2 MB left by the original's server; 0 is right.
    with_client(|ground, client| {
        system_kernels(client, 0);
        let application = 6 * MB + 200 * KB;
        (0..31).for_each(|n| client.say(KERNEL_LOAD, 0, application / 31, 0, 0x7f00_0000 + n * 64));
        let shown = see_held(ground, client.pid(), 0, Memory::Kernel, (204 * KB + application / 31 * 31, 35));
        let figures = support::figures(&shown, client.pid(), 0, Memory::Kernel);
        assert_eq!((figures.fabric_bytes, figures.dispatch_bytes), (112 * KB, 92 * KB));
        client.alloc(0, Memory::Dram, 0x1000, 5 * MB);
        client.say(CB_ALLOC, 0, 2 * MB, 0, 0x2000);
        see_held(ground, client.pid(), 0, Memory::Cb, (2 * MB, 1));
        free_of_anomalies(ground);
        client.kill();
        let shown = ground.see("its end", |s| s.processes.is_empty());
        assert!(
            lines(&shown).iter().any(|line| line.contains("removed 1 buffer (5.00 MiB), 1 CB (2.00 MiB), 35 kernels"))
        );
    });
}

#[test]
fn three_runs_that_leak_system_buffers_do_not_add_up() {
    // system-buffer-deallocation.md: 14 MB more with each run, in the original.
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut leaving = None;
    for run in 0..3 {
        let mut client = Client::start(&ground, 144);
        for device in 0..4 {
            (0..14).for_each(|n| client.alloc(device, Memory::Dram, 0x100_0000 + n * MB, MB));
        }
        // Its tensors go, the command queues' buffers stay.
        client.alloc(0, Memory::Dram, 0x4000_0000, 64 * MB);
        client.free(0, 0x4000_0000);
        // Answered once all of that is shown: before, the device may show what it held without the last one.
        let clients = 1 + u64::from(leaving.is_some());
        assert_eq!(client.ask(QUERY, 0).buffers()[0], clients * 14 * MB, "run {run}");
        for device in 0..4 {
            see_held(&ground, client.pid(), device, Memory::Dram, (14 * MB, 14));
        }
        if let Some(mut before) = leaving.replace(client) {
            // Runs overlap, with equal addresses on equal devices.
            before.kill();
        }
        let shown = ground.see("one process", |s| s.processes.len() == 1);
        let all: u64 = shown.chips.iter().map(|chip| chip.memory[Memory::Dram as usize].footprint_bytes).sum();
        assert_eq!(all, 4 * 14 * MB, "run {run}");
    }
    // Two opens of the mesh in one process, without frees between.
    let mut client = leaving.unwrap();
    (0..14).for_each(|n| client.alloc(0, Memory::Dram, 0x100_0000 + n * MB, MB));
    assert_eq!(client.ask(QUERY, 0).buffers()[0], 14 * MB);
    client.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn an_unload_without_size_ends_the_whole_kernel() {
    // kernel-deallocation-analysis.md: 382.2 MB stay in the original, for an unload says 0.
    with_client(|ground, client| {
        let (count, size) = (100_u64, 3_822 * KB);
        (0..count).for_each(|n| client.say(KERNEL_LOAD, 0, size, 0, n + 1));
        // A slow dispatch tells of one twice.
        client.say(KERNEL_LOAD, 0, size, 0, 1);
        see_held(ground, client.pid(), 0, Memory::Kernel, (count * size, count));
        for n in 0..count {
            // Nothing, something else, or nonsense: what was loaded counts.
            client.say(KERNEL_UNLOAD, 0, [0, 1, u64::MAX, size][n as usize % 4], 0, n + 1);
        }
        see_held(ground, client.pid(), 0, Memory::Kernel, (0, 0));
        free_of_anomalies(ground);
        client.say(KERNEL_UNLOAD, 0, 1 << 40, 0, 1);
        client.say(CB_FREE, 0, 1 << 40, 0, 1);
        client.free(0, 0x1234);
        client.free(0, 0x1234);
        let shown = ground.see("what was unknown", |s| s.health.anomalies.free_unknown == 4);
        assert!(shown.chips.iter().all(|chip| chip.memory.iter().all(|of| of.footprint_bytes == 0)), "nothing wraps");
        // A program pointer is used again.
        client.say(KERNEL_LOAD, 0, 10, 0, 1);
        client.say(KERNEL_LOAD, 0, 30, 0, 1);
        see_held(ground, client.pid(), 0, Memory::Kernel, (30, 1));
    });
}

#[test]
fn a_mesh_of_eight_devices_has_each_address_eight_times() {
    with_client(|ground, client| {
        for device in 0..8 {
            system_kernels(client, device);
            client.alloc(device, Memory::Dram, 0x8000, 12 * KB);
            client.alloc(device, Memory::L1, 0x8_0000, 100 * (device as u64 + 1));
            client.say(CB_ALLOC, device, 7 * KB, 0, 0x500);
        }
        for device in 0..8 {
            see_held(ground, client.pid(), device, Memory::Cb, (7 * KB, 1));
            let answer = client.ask(QUERY, device as i32);
            assert_eq!(answer.buffers(), [12 * KB, 100 * (u64::from(device) + 1), 0, 0]);
            assert_eq!(answer.programs(), [7 * KB, 204 * KB]);
        }
        assert_eq!(client.ask(DEVICE_INFO_QUERY, -1).u32(124), 8);
        // Only the first device's frees are told: the others' stay, and nothing of them is lost or doubled.
        client.free(0, 0x8000);
        client.free(0, 0x8_0000);
        see_held(ground, client.pid(), 0, Memory::L1, (0, 0));
        for device in 1..8 {
            assert_eq!(client.ask(QUERY, device).buffers()[0], 12 * KB);
        }
        // More than the original's eight.
        client.alloc(31, Memory::Dram, 0x8000, 5);
        see_held(ground, client.pid(), 31, Memory::Dram, (5, 1));
        free_of_anomalies(ground);
    });
}

#[test]
fn the_program_cache_holds_a_binary_once() {
    // ALLOC for the buffer and ALLOC for a view of it, FREE for the view: 12 KB and 24 KB stay until the cache is cleared.
    with_client(|ground, client| {
        for (address, size) in [(0x10_0000, 12 * KB), (0x20_0000, 24 * KB)] {
            client.alloc(0, Memory::Dram, address, size);
            client.alloc(0, Memory::Dram, address, size);
        }
        assert_eq!(client.ask(QUERY, 0).buffers()[0], 36 * KB, "a view takes nothing");
        client.free(0, 0x10_0000);
        client.free(0, 0x20_0000);
        see_held(ground, client.pid(), 0, Memory::Dram, (36 * KB, 2));
        assert_eq!(client.ask(QUERY, 0).buffers()[0], 36 * KB, "it is still cached");
        // Two programs have circular buffers at one place.
        client.say(CB_ALLOC, 0, 2048, 0, 0x100);
        client.say(CB_ALLOC, 0, 4096, 0, 0x100);
        assert_eq!(client.ask(QUERY, 0).programs()[0], 6144, "registered, both of them");
        client.say(CB_FREE, 0, 4096, 0, 0x100);
        assert_eq!(client.ask(QUERY, 0).programs()[0], 2048, "of two, the one whose size is told");
        client.say(CB_FREE, 0, 0, 0, 0x100);
        // disable_and_clear_program_cache()
        client.free(0, 0x10_0000);
        client.free(0, 0x20_0000);
        see_held(ground, client.pid(), 0, Memory::Dram, (0, 0));
        see_held(ground, client.pid(), 0, Memory::Cb, (0, 0));
        free_of_anomalies(ground);
    });
}

#[test]
fn an_address_is_used_again_before_its_free_is_told() {
    with_client(|ground, client| {
        client.alloc(0, Memory::L1, 0x1000, 100);
        // Another thread's.
        client.alloc(0, Memory::L1, 0x1000, 250);
        assert_eq!(client.ask(QUERY, 0).buffers()[1], 250, "the first is gone on the device");
        client.free(0, 0x1000);
        see_held(ground, client.pid(), 0, Memory::L1, (250, 1));
        assert_eq!(client.ask(QUERY, 0).buffers()[1], 250);
        client.free(0, 0x1000);
        see_held(ground, client.pid(), 0, Memory::L1, (0, 0));
        // One after the other, with another size and kind.
        for (memory, size) in [(Memory::L1, 1), (Memory::Dram, 2), (Memory::L1Small, 3), (Memory::Trace, 4)] {
            client.alloc(0, memory, 0x1000, size);
            see_held(ground, client.pid(), 0, memory, (size, 1));
            client.free(0, 0x1000);
            see_held(ground, client.pid(), 0, memory, (0, 0));
        }
        free_of_anomalies(ground);
    });
}

#[test]
fn a_free_of_an_address_that_two_kinds_have_is_said_to_be_a_guess_until_it_is_known() {
    with_client(|ground, client| {
        let pid = client.pid();
        // Everything that was told is in the figures once a question is answered.
        let doubtful = |client: &mut Client, memory: Memory| {
            client.ask(QUERY, 0);
            let shown = ground.look().unwrap();
            (support::figures(&shown, pid, 0, memory).detail_incomplete, shown.processes[0].incomplete)
        };
        // A weight and an activation.
        client.alloc(0, Memory::Dram, 0x1000, 1000);
        client.alloc(0, Memory::L1, 0x1000, 10);
        client.free(0, 0x1000);
        assert_eq!(client.ask(QUERY, 0).buffers(), [1000, 0, 0, 0]);
        assert_eq!(doubtful(client, Memory::L1), (1, incomplete::AMBIGUOUS), "guessed: the newer one");
        assert_eq!(doubtful(client, Memory::Dram).0, 1);
        // L1 gives the address out again: so it was right.
        client.alloc(0, Memory::L1, 0x1000, 20);
        see_held(ground, client.pid(), 0, Memory::L1, (20, 1));
        assert_eq!(doubtful(client, Memory::Dram), (0, 0));
        // Guessed wrong: DRAM gives it out again, so DRAM's was freed, and L1's lives.
        client.free(0, 0x1000);
        see_held(ground, client.pid(), 0, Memory::L1, (0, 0));
        client.alloc(0, Memory::Dram, 0x1000, 3000);
        see_held(ground, client.pid(), 0, Memory::Dram, (3000, 1));
        see_held(ground, client.pid(), 0, Memory::L1, (20, 1));
        assert_eq!(doubtful(client, Memory::L1), (0, 0));
        // Both go: whatever was guessed does not matter any more.
        client.free(0, 0x1000);
        client.free(0, 0x1000);
        see_held(ground, client.pid(), 0, Memory::Dram, (0, 0));
        see_held(ground, client.pid(), 0, Memory::L1, (0, 0));
        assert_eq!(doubtful(client, Memory::Dram), (0, 0));
        free_of_anomalies(ground);
    });
}
