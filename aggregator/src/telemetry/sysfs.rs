//! The driver's folder of a device in /sys, and its sensors: names and units of tt-kmd (docs/sysfs-attributes.md, telemetry.c).
//!
//! ```text
//!   /sys/class/tenstorrent/tenstorrent!N/tt_*           clocks in MHz, ids in hex; there only if the firmware tells them
//!                                       /device         the PCI device
//!                                       /device/hwmon/hwmonM/{temp1,power1,curr1,in0,fan1}_{input,max}
//! ```

use super::Root;
use shm_layout::event::Arch;
use shm_layout::procfs::read_bounded;
use shm_layout::stats::{Telemetry, UNKNOWN};
use shm_layout::text;
use std::fs;
use std::path::{Path, PathBuf};

/// Devices looked at.
const DEVICES: usize = 64;
/// Bytes read of a file: the kernel makes one line.
const LINE: u64 = 256;

/// What a figure can be; beyond it is no reading, but for example the ones of a dead link.
mod most {
    /// Thousandths of a degree.
    pub const TEMPERATURE: u64 = 200_000;
    /// Microwatts.
    pub const POWER: u64 = 2_000_000_000;
    /// Milliamperes.
    pub const CURRENT: u64 = 4_000_000;
    /// Millivolts.
    pub const VOLTAGE: u64 = 60_000;
    /// MHz.
    pub const CLOCK: u64 = 10_000;
    /// Revolutions per minute.
    pub const FAN: u64 = 100_000;
    /// Anything that fits the firmware's 32 bits and is not all ones.
    pub const COUNT: u64 = u32::MAX as u64 - 1;
}

/// The devices' numbers, in order.
pub fn numbers(root: &Root) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(root.path("sys/class/tenstorrent")) else { return Vec::new() };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_prefix("tenstorrent!")?.parse().ok();
    let mut numbers: Vec<u32> = entries.flatten().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.truncate(DEVICES);
    numbers
}

/// One device's figures, and its architecture as its sensors are called.
pub fn read(root: &Root, number: u32, now_unix_ns: u64) -> (Arch, Telemetry) {
    let folder = root.path(&format!("sys/class/tenstorrent/tenstorrent!{number}"));
    let sensors = sensors(root, &folder);
    let own = |name: &str, most| decimal(&folder.join(name), most);
    let sensor = |name: &str, most| sensors.as_ref().map_or(UNKNOWN, |(folder, _)| decimal(&folder.join(name), most));
    let card = line(&folder.join("tt_card_type")).filter(|card| card != "unknown").unwrap_or_default();
    let telemetry = Telemetry {
        read_unix_ns: now_unix_ns,
        number,
        pci: pci_address(&folder),
        asic_id: hex(&folder.join("tt_asic_id")),
        serial: hex(&folder.join("tt_serial")),
        temperature_millicelsius: sensor("temp1_input", most::TEMPERATURE),
        temperature_limit_millicelsius: sensor("temp1_max", most::TEMPERATURE),
        power_microwatts: sensor("power1_input", most::POWER),
        power_limit_microwatts: sensor("power1_max", most::POWER),
        current_milliamperes: sensor("curr1_input", most::CURRENT),
        current_limit_milliamperes: sensor("curr1_max", most::CURRENT),
        voltage_millivolts: sensor("in0_input", most::VOLTAGE),
        ai_clock_mhz: own("tt_aiclk", most::CLOCK),
        axi_clock_mhz: own("tt_axiclk", most::CLOCK),
        arc_clock_mhz: own("tt_arcclk", most::CLOCK),
        fan_rpm: sensor("fan1_input", most::FAN),
        heartbeat: own("tt_heartbeat", most::COUNT),
        thermal_trips: own("tt_therm_trip_count", most::COUNT),
        card: text::store(card.as_bytes()),
        firmware: text::store(line(&folder.join("tt_fw_bundle_ver")).unwrap_or_default().as_bytes()),
        ..Telemetry::NONE
    };
    (sensors.map_or_else(|| arch_of(&card), |(_, arch)| arch), telemetry)
}

/// The folder of its sensors: below its PCI device, or the one in /sys/class/hwmon that has the same.
fn sensors(root: &Root, folder: &Path) -> Option<(PathBuf, Arch)> {
    let named = |folder: PathBuf| {
        let arch = match line(&folder.join("name"))?.as_str() {
            "blackhole" => Arch::Blackhole,
            "wormhole" => Arch::WormholeB0,
            _ => return None,
        };
        Some((folder, arch))
    };
    let below = fs::read_dir(folder.join("device/hwmon")).into_iter().flatten().flatten();
    let here = below.map(|entry| entry.path()).find_map(named);
    here.or_else(|| {
        let device = folder.join("device").canonicalize().ok()?;
        let all = fs::read_dir(root.path("sys/class/hwmon")).ok()?.flatten().map(|entry| entry.path());
        all.filter(|other| other.join("device").canonicalize().is_ok_and(|of| of == device)).find_map(named)
    })
}

fn arch_of(card: &str) -> Arch {
    match card.as_bytes() {
        [b'p', ..] | [b'g', .., b'b', b'l', b'a', b'c', b'k', b'h', b'o', b'l', b'e'] => Arch::Blackhole,
        [b'n', ..] | [b'g', .., b'w', b'o', b'r', b'm', b'h', b'o', b'l', b'e'] => Arch::WormholeB0,
        _ => Arch::Unknown,
    }
}

/// A file's line, cleaned.
fn line(path: &Path) -> Option<String> {
    let bytes = read_bounded(path.to_str()?, LINE).ok()?;
    Some(text::clean(bytes.trim_ascii())).filter(|line| !line.is_empty())
}

/// A number, or [`UNKNOWN`] where the file has none, or one that cannot be.
fn decimal(path: &Path, most: u64) -> u64 {
    line(path).and_then(|line| line.parse().ok()).filter(|number| *number <= most).unwrap_or(UNKNOWN)
}

/// An id of 64 bits; none is 0 or all ones.
fn hex(path: &Path) -> u64 {
    let digits = line(path).filter(|line| line.bytes().all(|b| b.is_ascii_hexdigit()));
    digits.and_then(|line| u64::from_str_radix(&line, 16).ok()).filter(|id| *id != 0).unwrap_or(UNKNOWN)
}

/// The PCI address that its `device` leads to (`0000:c1:00.0`).
fn pci_address(folder: &Path) -> u64 {
    let parse = || {
        let target = folder.join("device").canonicalize().ok()?;
        let name = target.file_name()?.to_str()?;
        let [domain, bus, rest] = name.split(':').collect::<Vec<_>>()[..] else { return None };
        let (device, function) = rest.split_once('.')?;
        let number = |text: &str, most: u64| u64::from_str_radix(text, 16).ok().filter(|number| *number <= most);
        Some(
            number(domain, 0xffff_ffff)? << 16
                | number(bus, 0xff)? << 8
                | number(device, 0x1f)? << 3
                | number(function, 7)?,
        )
    };
    parse().unwrap_or(UNKNOWN)
}
