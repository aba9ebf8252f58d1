//! The original's sequences of messages, through its C++ class: what it got wrong, or only wrote down, is right here.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory::{Cb, Dram, Kernel, L1, L1Small, SystemMemory, Trace};
use support::host::{Ground, figures};
use support::{Installed, Link, Live, Program, exactly, gone};

/// A tt-metal of the original's, as far as its reports go.
struct Client {
    program: Program,
    ground: Ground,
    aggregator: Option<aggregator::embedded::Embedded>,
    path: std::path::PathBuf,
    /// Looks so far at this program.
    looks: u64,
}

/// The device on which each look leaves a mark: what was reported before it is in the figures when it is.
const MARKS: u32 = 900;

impl Client {
    /// `None` without a compiler.
    fn start() -> Option<Self> {
        let path = Installed::get().build("tests/programs/replay.cpp", Link::Shared)?;
        let ground = Ground::new();
        let aggregator = Some(ground.aggregator());
        let program = Program::start(&path, &[], &ground, &[]);
        Some(Self { program, ground, aggregator, path, looks: 0 })
    }

    fn tell(&mut self, line: &str) -> String {
        self.program.tell(line)
    }

    fn shows(&mut self, live: &Live) {
        self.looks += 1;
        self.tell(&format!("alloc {MARKS} {} 1 0", self.looks));
        let mut live = live.clone();
        live.push((MARKS, Dram, self.looks, self.looks));
        exactly(&self.ground, self.program.pid(), &live);
    }

    /// Ends in good order, and another begins.
    fn run_again(&mut self) {
        self.program.say("exit");
        gone(&self.ground, self.program.pid());
        self.ground.see("no chip that holds anything", |snapshot| {
            snapshot.chips.iter().flat_map(|chip| &chip.memory).all(|figures| figures.footprint_bytes == 0)
        });
        self.program = Program::start(&self.path, &[], &self.ground, &[]);
        self.looks = 0;
    }

    /// kill -9.
    fn crash(mut self) {
        let pid = self.program.pid();
        self.program.kill();
        gone(&self.ground, pid);
        self.ground.must_be_clean_but_for_stats();
        drop(self.aggregator.take());
        self.ground.must_be_clean();
    }
}

/// 2 fabric kernels of 56 KiB and 2 dispatch kernels of 46 KiB a device: the 0.199219 MB of the seeds.
fn system_kernels(client: &mut Client, device: u32) {
    for (n, (size, kind)) in [(57_344, 1), (57_344, 1), (47_104, 2), (47_104, 2)].into_iter().enumerate() {
        client.tell(&format!("load {device} {} {size} {kind}", 0x7f00_0000_0000_u64 + 64 * n as u64));
    }
}

const SYSTEM: u64 = 208_896;
/// Of the application: with the system's, 6.4 MB.
const PROGRAM: u64 = 104_448;
const PROGRAMS: u64 = 62;

#[test]
fn crash_with_live_kernels() {
    let Some(mut client) = Client::start() else { return };
    system_kernels(&mut client, 0);
    for n in 0..PROGRAMS {
        client.tell(&format!("load 0 {} {PROGRAM} 0", 0x5555_0000_0000_u64 + n * 256));
    }
    client.shows(&vec![(0, Kernel, SYSTEM + PROGRAMS * PROGRAM, 4 + PROGRAMS)]);
    assert_eq!((SYSTEM + PROGRAMS * PROGRAM) * 10 / (1 << 20), 63, "6.4 MB");
    let of = figures(&client.ground.look().unwrap(), client.program.pid(), 0, Kernel);
    assert_eq!((of.fabric_bytes, of.dispatch_bytes), (2 * 57_344, 2 * 47_104));
    // The branch that sends no size: 0.2 MB stay, the system's.
    for n in 0..PROGRAMS {
        client.tell(&format!("unload 0 {} 0", 0x5555_0000_0000_u64 + n * 256));
    }
    client.shows(&vec![(0, Kernel, SYSTEM, 4)]);
    // Some are loaded when it dies.
    client.tell(&format!("load 0 {} {PROGRAM} 0", 0x5555_0000_0000_u64));
    client.shows(&vec![(0, Kernel, SYSTEM + PROGRAM, 5)]);
    client.crash();
}

#[test]
fn three_runs_that_leak_system_buffers() {
    let Some(mut client) = Client::start() else { return };
    for _run in 0..3 {
        // Command queues, 14 MB in all, told by nobody when they end; host memory besides.
        for n in 0..7_u64 {
            client.tell(&format!("alloc 0 {} {} 0", 32 + n * (2 << 20), 2 << 20));
        }
        client.tell("alloc 0 4096 1048576 2");
        client.tell("alloc 0 1000000000 12345 0");
        client.shows(&vec![(0, Dram, (14 << 20) + 12_345, 8), (0, SystemMemory, 1 << 20, 1)]);
        client.tell("free 0 1000000000");
        client.shows(&vec![(0, Dram, 14 << 20, 7), (0, SystemMemory, 1 << 20, 1)]);
        client.run_again();
    }
    // In one process they end with their device, where somebody says so.
    for _run in 0..3 {
        client.tell("alloc 0 32 14680064 0");
        client.tell("alloc 1 32 14680064 0");
        client.shows(&vec![(0, Dram, 14 << 20, 1), (1, Dram, 14 << 20, 1)]);
        client.tell("close 0");
        client.shows(&vec![(1, Dram, 14 << 20, 1)]);
        // Late, and for nothing.
        client.tell("free 0 32");
        client.tell("close 1");
        client.shows(&vec![]);
    }
    assert_eq!(client.tell("doubts"), "3 0");
    client.crash();
}

#[test]
fn unload_and_cb_free_without_size() {
    let Some(mut client) = Client::start() else { return };
    client.tell("load 0 1000 400 0");
    client.tell("unload 0 1000 0");
    client.shows(&vec![]);
    // The same pointer again, another size; an unload that claims more than there is.
    client.tell("load 0 1000 500 0");
    client.tell("load 0 2000 7 0");
    client.tell("unload 0 1000 999999999");
    client.shows(&vec![(0, Kernel, 7, 1)]);
    // Twice, and of what never was.
    client.tell("unload 0 1000 500");
    client.tell("unload 0 3000 0");
    client.shows(&vec![(0, Kernel, 7, 1)]);
    client.tell("cb 0 1000 2048");
    client.tell("cb_free 0 1000 0");
    client.shows(&vec![(0, Kernel, 7, 1)]);
    // Cached programs have circular buffers at one address; the size says which of them ends, and never how much.
    client.tell("cb 0 1000 2048");
    client.tell("cb 0 1000 4096");
    client.tell("cb 0 1000 512");
    client.tell("cb_free 0 1000 4096");
    client.shows(&vec![(0, Kernel, 7, 1), (0, Cb, 2048 + 512, 2)]);
    client.tell("cb_free 0 1000 3");
    client.shows(&vec![(0, Kernel, 7, 1), (0, Cb, 512, 1)]);
    assert_eq!(client.tell("doubts"), "2 0");
    client.crash();
}

#[test]
fn a_mesh_of_eight() {
    let Some(mut client) = Client::start() else { return };
    for device in 0..8 {
        client.tell(&format!("alloc {device} 1024 {} 0", 4096 * (device + 1)));
        client.tell(&format!("alloc {device} 1024 {} 1", 512 * (device + 1)));
        client.tell(&format!("cb {device} 1024 300"));
        system_kernels(&mut client, device);
    }
    let all = |device: u32| {
        let n = u64::from(device) + 1;
        [(device, Dram, 4096 * n, 1), (device, L1, 512 * n, 1), (device, Cb, 300, 1), (device, Kernel, SYSTEM, 4)]
    };
    client.shows(&(0..8).flat_map(all).collect());
    // By its address, on each of them; DRAM is the older one.
    for device in 0..8 {
        client.tell(&format!("free {device} 1024"));
    }
    client.shows(&(0..8).flat_map(|device| all(device).into_iter().skip(1)).collect());
    assert_eq!(client.tell("doubts"), "0 8");
    for device in [7, 0, 3] {
        client.tell(&format!("free_typed {device} 1024 0 1"));
        client.tell(&format!("cb_free {device} 1024 300"));
    }
    let left = |device: u32| all(device).into_iter().skip(if [7, 0, 3].contains(&device) { 3 } else { 1 });
    client.shows(&(0..8).flat_map(left).collect());
    client.crash();
}

/// Persistent and temporary view of a kernel's binary: the same address allocated twice and freed once. 12 and 24 KB stay per device until
/// the program cache is cleared.
#[test]
fn program_cache() {
    let Some(mut client) = Client::start() else { return };
    for device in 0..2 {
        for (address, size) in [(65_536, 12 << 10), (131_072, 24 << 10)] {
            client.tell(&format!("alloc {device} {address} {size} 0"));
            client.tell(&format!("alloc {device} {address} {size} 0"));
        }
    }
    client.shows(&vec![(0, Dram, 36 << 10, 2), (1, Dram, 36 << 10, 2)]);
    for device in 0..2 {
        client.tell(&format!("free {device} 65536"));
        client.tell(&format!("free {device} 131072"));
    }
    client.shows(&vec![(0, Dram, 36 << 10, 2), (1, Dram, 36 << 10, 2)]);
    for device in 0..2 {
        client.tell(&format!("free {device} 65536"));
        client.tell(&format!("free {device} 131072"));
    }
    client.shows(&vec![]);
    assert_eq!(client.tell("doubts"), "0 0");
    client.crash();
}

#[test]
fn addresses_that_come_again() {
    let Some(mut client) = Client::start() else { return };
    // Another size, then another type, at the same address.
    client.tell("alloc 0 2048 1000 0");
    client.tell("free 0 2048");
    client.tell("alloc 0 2048 5000000000 0");
    client.shows(&vec![(0, Dram, 5_000_000_000, 1)]);
    client.tell("free 0 2048");
    client.tell("alloc 0 2048 30 1");
    client.shows(&vec![(0, L1, 30, 1)]);
    // The allocation is told before the free of the address's last use, by another thread.
    client.tell("alloc 0 2048 77 3");
    client.tell("free 0 2048");
    client.shows(&vec![(0, L1Small, 77, 1)]);
    // Of the same type, the later is there from when it is told.
    client.tell("alloc 0 2048 99 3");
    client.shows(&vec![(0, L1Small, 99, 1)]);
    client.tell("alloc 0 2048 77 3");
    client.shows(&vec![(0, L1Small, 77, 1)]);
    client.tell("free 0 2048");
    client.tell("free 0 2048");
    client.shows(&vec![(0, L1Small, 77, 1)]);
    client.tell("alloc 0 2048 5 4");
    client.tell("free_typed 0 2048 0 4");
    client.shows(&vec![(0, L1Small, 77, 1)]);
    // What tt-metal calls a buffer of a type that does not exist is none of ours, and is counted.
    client.tell("alloc 0 64 1 1");
    client.tell("free 0 64");
    client.tell("free 0 2048");
    client.shows(&vec![]);
    client.tell("alloc 0 32 10 4");
    client.shows(&vec![(0, Trace, 10, 1)]);
    client.crash();
}

/// Numbers that mean nothing are counted, and change no figure.
#[test]
fn what_cannot_be_is_counted() {
    let Some(mut client) = Client::start() else { return };
    client.tell("alloc 0 32 10 0");
    client.tell("alloc -1 32 10 0");
    client.tell("alloc 1024 32 10 0");
    client.tell("alloc 0 32 10 5");
    client.tell("alloc 0 32 10 6");
    client.tell("alloc 0 32 10 200");
    client.tell("free_typed 0 32 0 6");
    let pid = client.program.pid();
    let snapshot = client.ground.see("six invalid records", |snapshot| {
        snapshot.processes.iter().any(|process| process.pid == pid && process.anomalies.invalid_record == 6)
    });
    assert_eq!(figures(&snapshot, pid, 0, Dram).footprint_bytes, 10);
    assert_eq!(snapshot.rows.iter().filter(|row| row.figures.footprint_bytes != 0).count(), 1);
    client.crash();
}

/// Not tracked: no file, no answer but that.
#[test]
fn nothing_where_tracking_is_off() {
    let Some(path) = Installed::get().build("tests/programs/replay.cpp", Link::Shared) else { return };
    let ground = Ground::new();
    let mut program = Program::start(&path, &[], &ground, &[("TT_ALLOC_TRACKING_ENABLED", "0")]);
    assert_eq!(program.tell("enabled"), "0");
    program.tell("alloc 0 32 10 0");
    program.tell("free 0 32");
    program.tell("free 0 64");
    assert_eq!(program.tell("doubts"), "0 0");
    assert_eq!(ground.files(), [""; 0]);
    program.say("exit");
    program.end();
}

/// A clean end leaves no file, with nobody there to remove one; by the shared and by the static library.
#[test]
fn a_clean_end_without_an_aggregator() {
    for link in [Link::Shared, Link::Static] {
        let Some(path) = Installed::get().build("tests/programs/replay.cpp", link) else { return };
        let ground = Ground::new();
        let mut program = Program::start(&path, &[], &ground, &[]);
        assert_eq!(program.tell("enabled"), "1");
        program.tell("alloc 0 32 10 0");
        assert_eq!(ground.files().len(), 1, "{:?}", ground.files());
        program.say("exit");
        program.end();
        assert_eq!(ground.files(), [""; 0]);
    }
}
