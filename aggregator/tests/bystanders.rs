//! What others than rings tell of devices and processes, from a host's files that the test makes: beside the tracked ones, never
//! in their sums.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Kind, Memory};
use shm_layout::report::{Context, Report};
use shm_layout::stats::{Chip, Presence, Process, Snapshot, Source, UNKNOWN};
use shm_layout::text;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;
use support::{Ground, Player, figures, play_if_asked};

#[test]
fn player() {
    play_if_asked();
}

/// A host's files; gone with it.
struct Host(PathBuf);

impl Host {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tt_alloc_bystanders_{}_{n}", std::process::id()));
        ["sys/class/tenstorrent", "dev/shm"].iter().for_each(|part| fs::create_dir_all(folder.join(part)).unwrap());
        Self(folder)
    }

    /// A Blackhole of the driver, with this many degrees.
    fn device(&self, number: u32, asic: u64, serial: u64, degrees: u32) {
        let card = self.0.join(format!("sys/devices/0000:{number:02x}:00.0"));
        let own = card.join(format!("tenstorrent/tenstorrent!{number}"));
        let sensors = card.join("hwmon/hwmon1");
        fs::create_dir_all(&own).unwrap();
        fs::create_dir_all(&sensors).unwrap();
        fs::write(own.join("tt_asic_id"), format!("{asic:016X}\n")).unwrap();
        fs::write(own.join("tt_serial"), format!("{serial:016X}\n")).unwrap();
        fs::write(own.join("tt_card_type"), "p150a\n").unwrap();
        fs::write(sensors.join("name"), "blackhole\n").unwrap();
        fs::write(sensors.join("temp1_input"), format!("{degrees}000\n")).unwrap();
        std::os::unix::fs::symlink("../..", own.join("device")).unwrap();
        std::os::unix::fs::symlink(&own, self.0.join(format!("sys/class/tenstorrent/tenstorrent!{number}"))).unwrap();
        self.open_by(number, &[]);
    }

    fn open_by(&self, number: u32, pids: &[u32]) {
        let folder = self.0.join(format!("proc/driver/tenstorrent/{number}"));
        fs::create_dir_all(&folder).unwrap();
        let lines: String = pids.iter().map(|pid| format!("{pid}\n")).collect();
        fs::write(folder.join("pids"), lines).unwrap();
    }

    /// tt-metal's counters of a chip, version 3, with one process's slot.
    fn counters(&self, chip: u64, pid: u32, name: &str, told: [u64; 5]) {
        let mut bytes = vec![0; 8576];
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        put(0, &3_u32.to_le_bytes());
        put(856, &pid.to_le_bytes());
        told.iter().enumerate().for_each(|(kind, figure)| put(864 + kind * 8, &figure.to_le_bytes()));
        put(904, &u64::try_from(now.as_nanos()).unwrap().to_le_bytes());
        put(912, name.as_bytes());
        let path = self.0.join(format!("dev/shm/tt_device_{chip}_memory"));
        fs::write(path.with_extension("new"), bytes).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that is not tracked.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("60").spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim_end().to_owned()
}

fn open(player: &mut Player, device: u32, chip: u64) {
    player.tell(&format!("event {} 0 {device} {chip} 0 140 0 3 0", Kind::DeviceInfo as u8));
}

fn process(snapshot: &Snapshot, pid: u32) -> Option<Process> {
    snapshot.processes.iter().find(|process| process.pid == pid).copied()
}

fn chip(snapshot: &Snapshot, id: u64) -> Option<Chip> {
    snapshot.chips.iter().find(|chip| chip.chip_id == id).copied()
}

fn json(ground: &Ground, snapshot: &Snapshot) -> serde_json::Value {
    let context = Context {
        prefix: &ground.prefix,
        pid: 1,
        started_monotonic_ns: 0,
        now_monotonic_ns: 1,
        now_unix_ns: snapshot.health.unix_ns,
        heartbeat_ns: 1,
        live: true,
    };
    serde_json::to_value(Report::new(snapshot, context, |_| None)).unwrap()
}

#[test]
fn devices_that_nobody_uses_are_shown_and_become_the_chips_that_are_used() {
    let (ground, host) = (Ground::new(), Host::new());
    const SERIAL: u64 = 0x412_0000_1234;
    host.device(0, 0xA0, SERIAL, 45);
    host.device(1, 0xA1, SERIAL + 1, 50);
    let aggregator = ground.aggregator_in(&host.0);
    let seen = ground.see("both devices", |s| s.chips.len() == 2);
    let first = chip(&seen, 0xA0).unwrap();
    assert_eq!((first.telemetry.presence, first.telemetry.number), (Presence::Driver as u32, 0));
    assert_eq!((first.telemetry.temperature_millicelsius, first.telemetry.fan_rpm), (45_000, UNKNOWN));
    assert_eq!((text::load(&first.board).as_str(), first.device, first.processes), ("p150a", u32::MAX, 0));
    assert!(
        first.memory.iter().all(|figures| figures.capacity().is_none()),
        "harvesting is not told without opening it"
    );
    let told = json(&ground, &seen);
    assert_eq!((&told["devices"][0]["known_by"], &told["devices"][0]["device"]), (&"driver".into(), &().into()));
    assert_eq!(told["devices"][0]["telemetry"]["temperature_celsius"], 45.0);
    assert_eq!(told["devices"][0]["telemetry"]["fan_rpm"], serde_json::Value::Null);
    assert!(told["devices"][0]["telemetry"]["age_seconds"].as_f64().is_some());

    // A tracked process opens one of them under UMD's id: the same chip, not a third one.
    let mut player = Player::start(&ground);
    open(&mut player, 0, SERIAL << 5);
    let seen = ground.see("the chip with its telemetry", |s| {
        chip(s, SERIAL << 5).is_some_and(|chip| chip.telemetry.presence == Presence::Both as u32)
    });
    let ids: Vec<u64> = seen.chips.iter().map(|chip| chip.chip_id).collect();
    assert_eq!(ids, [SERIAL << 5, 0xA1], "tracked ones come first");
    assert_eq!(seen.chips[0].telemetry.temperature_millicelsius, 45_000);
    player.close();
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn who_has_a_device_open_and_is_not_tracked_is_shown_without_figures() {
    let (ground, host) = (Ground::new(), Host::new());
    host.device(0, 0xA0, 0x412_0000_1234, 45);
    let stranger = Stranger::new();
    let mut player = Player::start(&ground);
    open(&mut player, 0, 0xA0);
    player.alloc(0, Memory::Dram, 1, 1000, 1024);
    // Two descriptors of one, and one that cannot be seen from here.
    host.open_by(0, &[stranger.pid(), player.pid(), stranger.pid(), 0]);
    let aggregator = ground.aggregator_in(&host.0);
    let seen = ground.see("the stranger", |s| {
        process(s, stranger.pid()).is_some()
            && process(s, player.pid()).is_some_and(|p| p.source == Source::Ring as u32)
    });
    assert_eq!(seen.processes.len(), 2, "each once: {:?}", seen.processes);
    assert_eq!(process(&seen, stranger.pid()).unwrap().source, Source::Driver as u32);
    let chip = chip(&seen, 0xA0).unwrap();
    assert_eq!((chip.telemetry.open_by, chip.processes), (3, 1));
    assert_eq!(chip.memory[Memory::Dram as usize].footprint_bytes, 1024, "the tracked one's alone");
    let told = json(&ground, &seen);
    let row = told["processes"].as_array().unwrap().iter().find(|p| p["pid"] == stranger.pid()).unwrap();
    assert_eq!((&row["source"], &row["name"]), (&"driver".into(), &"sleep".into()));
    let dram = &row["devices"][0]["memory"]["DRAM"];
    assert_eq!((&dram["footprint_bytes"], &dram["live_bytes"], &dram["blocks"]), (&().into(), &().into(), &().into()));
    assert_eq!((seen.health.rings, seen.health.hidden_processes), (1, 0));

    host.open_by(0, &[]);
    ground.see("its end", |s| process(s, stranger.pid()).is_none());
    player.close();
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn a_process_that_tt_metal_counts_appears_with_its_totals_and_once() {
    let (ground, host) = (Ground::new(), Host::new());
    let stranger = Stranger::new();
    let mut player = Player::start(&ground);
    // `sleep` is what it becomes by exec.
    support::wait("the stranger's name", || (comm(stranger.pid()) == "sleep").then_some(())).unwrap();
    host.counters(0xC0, stranger.pid(), "sleep", [4096, 2048, 0, u64::MAX, 512]);
    host.counters(0xC1, player.pid(), &comm(player.pid()), [1000, 0, 0, 0, 0]);
    let aggregator = ground.aggregator_in(&host.0);
    let seen = ground.see("both", |s| process(s, stranger.pid()).is_some() && process(s, player.pid()).is_some());
    assert!(seen.processes.iter().all(|process| process.source == Source::TtMetal as u32));
    let held = |memory| figures(&seen, stranger.pid(), 0, memory);
    assert_eq!((held(Memory::Dram).live_bytes, held(Memory::L1).live_bytes), (4096, 2048));
    assert_eq!((held(Memory::Dram).footprint_bytes, held(Memory::Trace).held_bytes()), (UNKNOWN, None));
    let there = chip(&seen, 0xC0).unwrap();
    assert_eq!(there.telemetry.presence, Presence::Counters as u32);
    assert!(there.memory.iter().all(|figures| figures.footprint_bytes == 0), "in no sum");
    let told = json(&ground, &seen);
    let row = told["processes"].as_array().unwrap().iter().find(|p| p["pid"] == stranger.pid()).unwrap();
    assert_eq!(row["source"], "tt-metal");
    let memory = &row["devices"][0]["memory"];
    assert_eq!((&memory["DRAM"]["live_bytes"], &memory["DRAM"]["footprint_bytes"]), (&4096.into(), &().into()));
    assert_eq!((&memory["TRACE"]["live_bytes"], &memory["KERNEL"]["live_bytes"]), (&().into(), &().into()));

    // The other one begins to be tracked: its records count, and tt-metal's counters do not any more.
    open(&mut player, 0, 0xC1);
    player.alloc(0, Memory::Dram, 1, 1000, 1024);
    let seen = ground.see("it tracked", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 1024);
    let mine: Vec<_> = seen.processes.iter().filter(|process| process.pid == player.pid()).collect();
    assert_eq!((mine.len(), mine[0].source), (1, Source::Ring as u32));
    assert_eq!(chip(&seen, 0xC1).unwrap().memory[Memory::Dram as usize].footprint_bytes, 1024);
    assert_eq!(seen.chips.iter().filter(|chip| chip.chip_id == 0xC1).count(), 1);

    // A successor takes over what is tracked, and asks the others anew.
    drop(aggregator);
    let aggregator = ground.aggregator_in("/nonexistent");
    let seen = ground.see("the successor's", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 1024);
    assert_eq!((seen.processes.len(), chip(&seen, 0xC0)), (1, None), "{:?}", seen.processes);
    player.close();
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn a_difference_that_stays_is_told_and_one_that_ends_is_not() {
    let (ground, host) = (Ground::new(), Host::new());
    let mut player = Player::start(&ground);
    open(&mut player, 0, 0xC1);
    player.alloc(0, Memory::Dram, 1, 1000, 1024);
    player.alloc(0, Memory::L1, 2, 64, 64);
    let name = comm(player.pid());
    // CBs are not compared: tt-metal's counter of them is late.
    host.counters(0xC1, player.pid(), &name, [1000, 4096, 0, 0, 999]);
    let aggregator = ground.aggregator_in(&host.0);
    let seen = ground.see("the difference", |s| s.health.differences > 0);
    let [difference] = &seen.differences[..] else { panic!("{:?}", seen.differences) };
    assert_eq!((difference.pid, seen.chips[difference.chip as usize].chip_id), (player.pid(), 0xC1));
    assert_eq!((difference.memory, difference.tracked_bytes, difference.told_bytes), (Memory::L1 as u32, 64, 4096));
    let told = &json(&ground, &seen)["aggregator"]["differences"][0];
    assert_eq!(
        (&told["chip_id"], &told["memory"], &told["tt_metal_bytes"]),
        (&"0xc1".into(), &"L1".into(), &4096.into())
    );

    host.counters(0xC1, player.pid(), &name, [1000, 64, 0, 0, 999]);
    let seen = ground.see("agreement", |s| s.health.differences == 0);
    assert!(seen.differences.is_empty());
    host.counters(0xC1, player.pid(), &name, [1001, 64, 0, 0, 0]);
    ground.see("another difference", |s| s.health.differences == 1 && s.differences[0].memory == Memory::Dram as u32);
    // Nobody is left to differ.
    player.kill();
    ground.see("its end", |s| s.health.differences == 0 && s.differences.is_empty());
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}

/// No device is ever opened: whatever is at /dev/tenstorrent is not even looked at.
#[test]
fn devices_are_known_without_being_opened() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in ["telemetry/sysfs.rs", "telemetry/pids.rs", "telemetry/watch.rs", "telemetry/mod.rs", "counters/mod.rs"]
    {
        let source = fs::read_to_string(sources.join(file)).unwrap();
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<String>();
        assert!(!code.contains("dev/tenstorrent"), "{file}");
    }
    let (ground, host) = (Ground::new(), Host::new());
    host.device(0, 0xA0, 0x412_0000_1234, 45);
    // Were it opened, it would be a FIFO without a writer: nothing would be told any more.
    fs::create_dir_all(host.0.join("dev/tenstorrent")).unwrap();
    nix::unistd::mkfifo(&host.0.join("dev/tenstorrent/0"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let aggregator = ground.aggregator_in(&host.0);
    ground.see("the device", |s| chip(s, 0xA0).is_some());
    drop(aggregator);
    ground.must_be_clean();
}
