#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::matching::{Matching, matching};
use super::{Device, Reading, Root, Watch, sysfs};
use crate::chips::Chips;
use shm_layout::event::Arch;
use shm_layout::stats::{Chip, Telemetry, UNKNOWN};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A host's files, as tt-kmd 2.9 makes them; gone with it.
struct Host(PathBuf);

impl Host {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tt_alloc_host_{}_{n}", std::process::id()));
        fs::create_dir_all(folder.join("sys/class/tenstorrent")).unwrap();
        Self(folder)
    }

    fn root(&self) -> Root {
        Root::at(&self.0)
    }

    /// Device `number` at this PCI address; the folder of its attributes and that of its sensors.
    fn device(&self, number: u32, pci: &str, driver: &str) -> (PathBuf, PathBuf) {
        let card = self.0.join("sys/devices/pci0000:00").join(pci);
        let (own, sensors) = (card.join(format!("tenstorrent/tenstorrent!{number}")), card.join("hwmon/hwmon7"));
        fs::create_dir_all(&own).unwrap();
        fs::create_dir_all(&sensors).unwrap();
        std::os::unix::fs::symlink("../..", own.join("device")).unwrap();
        let class = self.0.join(format!("sys/class/tenstorrent/tenstorrent!{number}"));
        std::os::unix::fs::symlink(&own, class).unwrap();
        put(&sensors, "name", driver);
        (own, sensors)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), format!("{text}\n")).unwrap();
}

#[test]
fn a_blackhole_is_read_as_its_driver_writes_it() {
    let host = Host::new();
    let (own, sensors) = host.device(3, "0000:c1:00.0", "blackhole");
    let attributes = [
        ("tt_aiclk", "1350"),
        ("tt_axiclk", "960"),
        ("tt_arcclk", "800"),
        ("tt_serial", "0000041200001234"),
        ("tt_card_type", "p150a"),
        ("tt_fw_bundle_ver", "19.4.2.0"),
        ("tt_asic_id", "AB54A98CEB1F0AD2"),
        ("tt_heartbeat", "123456"),
        ("tt_therm_trip_count", "2"),
    ];
    attributes.iter().for_each(|(name, text)| put(&own, name, text));
    let figures = [
        ("temp1_input", "45250"),
        ("temp1_max", "90000"),
        ("power1_input", "38000000"),
        ("power1_max", "300000000"),
        ("curr1_input", "52000"),
        ("curr1_max", "420000"),
        ("in0_input", "728"),
        ("fan1_input", "2345"),
    ];
    figures.iter().for_each(|(name, text)| put(&sensors, name, text));
    assert_eq!(sysfs::numbers(&host.root()), [3]);
    let (arch, told) = sysfs::read(&host.root(), 3, 77);
    let expected = Telemetry {
        read_unix_ns: 77,
        number: 3,
        pci: 0xc100,
        asic_id: 0xAB54_A98C_EB1F_0AD2,
        serial: 0x412_0000_1234,
        temperature_millicelsius: 45_250,
        temperature_limit_millicelsius: 90_000,
        power_microwatts: 38_000_000,
        power_limit_microwatts: 300_000_000,
        current_milliamperes: 52_000,
        current_limit_milliamperes: 420_000,
        voltage_millivolts: 728,
        ai_clock_mhz: 1350,
        axi_clock_mhz: 960,
        arc_clock_mhz: 800,
        fan_rpm: 2345,
        heartbeat: 123_456,
        thermal_trips: 2,
        card: shm_layout::text::store(b"p150a"),
        firmware: shm_layout::text::store(b"19.4.2.0"),
        ..Telemetry::NONE
    };
    assert_eq!((arch, told), (Arch::Blackhole, expected));
}

#[test]
fn what_cannot_be_is_unknown() {
    let host = Host::new();
    let (own, sensors) = host.device(0, "0001:02:1f.7", "wormhole");
    // A dead link reads as ones; a chip in reset answers with errors, which are missing files here.
    for (name, text) in
        [("tt_aiclk", "4294967295"), ("tt_asic_id", "FFFFFFFFFFFFFFFF"), ("tt_serial", "0000000000000000")]
    {
        put(&own, name, text);
    }
    for (name, text) in
        [("temp1_input", "-1000"), ("power1_input", "9000000000"), ("fan1_input", "many"), ("in0_input", "")]
    {
        put(&sensors, name, text);
    }
    put(&own, "tt_card_type", "unknown");
    put(&own, "tt_fw_bundle_ver", "\x1b[2J1.2");
    fs::write(own.join("tt_heartbeat"), vec![b'1'; 1 << 20]).unwrap();
    let (arch, told) = sysfs::read(&host.root(), 0, 1);
    let firmware = shm_layout::text::store(b"?[2J1.2");
    let pci = 1 << 16 | 2 << 8 | 0x1f << 3 | 7;
    assert_eq!(
        (arch, told),
        (Arch::WormholeB0, Telemetry { read_unix_ns: 1, number: 0, pci, firmware, ..Telemetry::NONE })
    );
    // Not there at all.
    let (arch, told) = sysfs::read(&host.root(), 9, 1);
    assert_eq!((arch, told), (Arch::Unknown, Telemetry { read_unix_ns: 1, number: 9, ..Telemetry::NONE }));
}

#[test]
fn sensors_are_found_by_their_device_where_they_are_not_below_it() {
    let host = Host::new();
    let (_, below) = host.device(1, "0000:01:00.0", "wormhole");
    let (_, others) = host.device(2, "0000:02:00.0", "wormhole");
    put(&others, "temp1_input", "99000");
    let class = host.0.join("sys/class/hwmon");
    let elsewhere = host.0.join("sys/devices/virtual/hwmon4");
    fs::create_dir_all(&class).unwrap();
    fs::create_dir_all(&elsewhere).unwrap();
    put(&elsewhere, "name", "wormhole");
    put(&elsewhere, "temp1_input", "51000");
    std::os::unix::fs::symlink(host.0.join("sys/devices/pci0000:00/0000:01:00.0"), elsewhere.join("device")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, class.join("hwmon4")).unwrap();
    // Of another device, and looked at as well.
    for name in ["hwmon3", "hwmon5"] {
        std::os::unix::fs::symlink(&others, class.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(host.0.join("sys/devices/pci0000:00/0000:02:00.0"), others.join("device")).unwrap();
    fs::remove_dir_all(below.parent().unwrap()).unwrap();
    assert_eq!(sysfs::read(&host.root(), 1, 1).1.temperature_millicelsius, 51_000);
    assert_eq!(sysfs::read(&host.root(), 2, 1).1.temperature_millicelsius, 99_000);
}

/// The first news of which this holds. Never waits for a thread, whatever that does.
fn until(watch: &mut Watch, what: &str, holds: impl Fn(&Reading) -> bool) -> Arc<Reading> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "{what} was never told");
        match watch.news() {
            Some(reading) if holds(&reading) => return reading,
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

#[test]
fn a_read_that_hangs_holds_nobody_up_and_what_was_told_before_stays() {
    let host = Host::new();
    let (first, _) = host.device(0, "0000:01:00.0", "blackhole");
    let (second, _) = host.device(1, "0000:02:00.0", "blackhole");
    put(&first, "tt_aiclk", "1000");
    // Opening a FIFO without a writer waits for one.
    nix::unistd::mkfifo(&second.join("tt_aiclk"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir_all(host.0.join("dev/shm")).unwrap();
    let counters = host.0.join("dev/shm/tt_device_1_memory");
    fs::write(&counters, "no counters").unwrap();
    let mut watch = Watch::start(host.root());
    let reading = until(&mut watch, "the first device", |reading| !reading.devices.is_empty());
    assert_eq!((reading.devices.len(), reading.has_devices), (1, false));
    assert_eq!(reading.devices[0].telemetry.ai_clock_mhz, 1000);
    assert!(watch.first(Duration::from_millis(50)).is_none_or(|reading| !reading.is_whole()));
    // The counters go on meanwhile: what they tell of processes never grows old.
    until(&mut watch, "the file", |reading| reading.unread_regions == 1);
    fs::remove_file(&counters).unwrap();
    let reading = until(&mut watch, "its end", |reading| reading.unread_regions == 0);
    assert!(!reading.has_devices);
    // Somebody answers: it goes on. Whoever comes first of the two ends does not matter.
    let writer = std::thread::spawn({
        let path = second.join("tt_aiclk");
        move || fs::write(path, "1234\n")
    });
    let reading = watch.first(Duration::from_secs(20)).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(reading.devices.iter().map(|d| d.telemetry.ai_clock_mhz).collect::<Vec<_>>(), [1000, 1234]);
    drop(watch);
    // The thread may hang there again; its end is not waited for.
}

fn device(arch: Arch, asic_id: u64, serial: u64) -> Device {
    Device { arch, telemetry: Telemetry { read_unix_ns: 1, asic_id, serial, ..Telemetry::NONE }, open_by: Vec::new() }
}

fn chip(chip_id: u64, is_logical: bool, board_id: u64) -> Chip {
    let mut chips = Chips::default();
    let at = chips.find_or_add(chip_id, is_logical).unwrap();
    Chip { board_id, ..chips.all()[at] }
}

#[test]
fn devices_are_matched_by_asic_by_board_or_not_at_all() {
    let (blackhole, wormhole) = (Arch::Blackhole, Arch::WormholeB0);
    let all = |devices: &[Device], chips: &[Chip]| {
        let Matching { device_of, is_spare } = matching(devices, chips);
        (device_of, is_spare)
    };
    // By ASIC id, whatever the boards.
    let two = [device(wormhole, 11, 7), device(wormhole, 12, 7)];
    assert_eq!(all(&two, &[chip(12, false, 7), chip(11, false, 7)]), (vec![Some(1), Some(0)], vec![false, false]));
    // A Blackhole's id is its board's with its place; a Wormhole's may be its board's.
    let p150 = [device(blackhole, 99, 0x412_0000_1234)];
    assert_eq!(all(&p150, &[chip(0x412_0000_1234 << 5, false, 0)]), (vec![Some(0)], vec![false]));
    assert_eq!(all(&[device(wormhole, 99, 70)], &[chip(70 << 5, false, 0)]), (vec![None], vec![true]));
    assert_eq!(all(&[device(wormhole, UNKNOWN, 70)], &[chip(70, false, 0)]), (vec![Some(0)], vec![false]));
    // By the board that a process told of.
    assert_eq!(all(&[device(wormhole, UNKNOWN, 70)], &[chip(5, true, 70)]), (vec![Some(0)], vec![false]));
    // n300: the far chip is no device of the driver.
    let n300 = [device(wormhole, 11, 70)];
    assert_eq!(all(&n300, &[chip(11, false, 70), chip(13, false, 70)]), (vec![Some(0), None], vec![false]));
    // p300: two chips of a board that cannot be told apart. Neither is matched, neither is another chip.
    let p300 = [device(blackhole, 1, 70), device(blackhole, 2, 70)];
    assert_eq!(
        all(&p300, &[chip(70 << 5, false, 0), chip(70 << 5 | 1, false, 0)]),
        (vec![None, None], vec![false, false])
    );
    assert_eq!(all(&p300, &[chip(70 << 5, false, 0)]), (vec![None], vec![false, false]));
    // A logical number is no id, and what is unknown equals nothing.
    assert_eq!(all(&[device(wormhole, 0, UNKNOWN)], &[chip(0, true, 0)]), (vec![None], vec![true]));
    assert_eq!(all(&[device(wormhole, UNKNOWN, UNKNOWN)], &[chip(UNKNOWN, false, 0)]), (vec![None], vec![true]));
}

/// The first bytes of another's pid are not told as a process that has the device open.
#[test]
fn a_list_of_pids_that_is_too_long_is_read_to_its_last_whole_line() {
    let host = Host::new();
    let folder = host.0.join("proc/driver/tenstorrent/0");
    fs::create_dir_all(&folder).unwrap();
    let me = std::process::id().to_string();
    let lines = "0\n".repeat((1 << 15) - me.len());
    let blanks = " ".repeat((1 << 16) - lines.len() - me.len() - 2);
    // What is read ends right after our own pid, which is another's first digits; pid 1 is on a line of its own before it.
    fs::write(folder.join("pids"), format!("{lines}{blanks}1\n{me}99\n")).unwrap();
    let (people, count) = super::pids::read(&host.root(), 0).unwrap();
    assert_eq!((people.iter().map(|person| person.pid).collect::<Vec<_>>(), count), (vec![1], UNKNOWN));
    fs::write(folder.join("pids"), format!("{me}\n0\n")).unwrap();
    let (people, count) = super::pids::read(&host.root(), 0).unwrap();
    assert_eq!((people[0].pid.to_string(), people.len(), count), (me, 1, 2));
}
