//! What the driver tells of a device without opening it.

use super::figures::UNKNOWN;
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;

/// Who knows of a chip: [`Telemetry::presence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Presence {
    /// Tracked processes alone.
    Tracked = 0,
    /// Tracked processes and the driver.
    Both = 1,
    /// The driver alone: no tracked process has opened it.
    Driver = 2,
    /// tt-metal's own counters alone: a process that is not tracked has it open.
    Counters = 3,
}

impl Presence {
    /// Its name in JSON.
    pub const fn name(number: u32) -> &'static str {
        match number {
            0 => "tracked",
            1 => "tracked-and-driver",
            2 => "driver",
            _ => "tt-metal",
        }
    }
}

/// One device as tt-kmd's files in /sys and /proc tell it. Every figure is [`UNKNOWN`] where it is not told, or cannot be.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Telemetry {
    /// When these were read, Unix time in ns; 0: the driver tells nothing of this chip.
    pub read_unix_ns: u64,
    /// [`Presence`].
    pub presence: u32,
    /// The driver's number of it (N of `/dev/tenstorrent/N`); `u32::MAX` unknown.
    pub number: u32,
    /// PCI address: domain << 16 | bus << 8 | device << 3 | function.
    pub pci: u64,
    /// ASIC id as its firmware tells it.
    pub asic_id: u64,
    /// Serial number of its board (the board id).
    pub serial: u64,
    /// Temperature of the ASIC, thousandths of a degree Celsius.
    pub temperature_millicelsius: u64,
    /// Where it begins to throttle, thousandths of a degree Celsius.
    pub temperature_limit_millicelsius: u64,
    /// Power, microwatts.
    pub power_microwatts: u64,
    /// Its limit, microwatts.
    pub power_limit_microwatts: u64,
    /// Current, milliamperes.
    pub current_milliamperes: u64,
    /// Its limit, milliamperes.
    pub current_limit_milliamperes: u64,
    /// Core voltage, millivolts.
    pub voltage_millivolts: u64,
    /// Clock of the Tensix cores, MHz.
    pub ai_clock_mhz: u64,
    /// Clock of the AXI bus, MHz.
    pub axi_clock_mhz: u64,
    /// Clock of the ARC processor, MHz.
    pub arc_clock_mhz: u64,
    /// Fan, revolutions per minute.
    pub fan_rpm: u64,
    /// Counts while the firmware is alive.
    pub heartbeat: u64,
    /// Shutdowns for heat since it got power.
    pub thermal_trips: u64,
    /// Processes that have it open, of every pid namespace.
    pub open_by: u64,
    /// Type of the card (`p150a`), NUL-padded, cleaned.
    pub card: [u8; 24],
    /// Version of the firmware bundle, NUL-padded, cleaned.
    pub firmware: [u8; 24],
}

const _: () = assert!(size_of::<Telemetry>() == 200);
const _: () = assert!(offset_of!(Telemetry, read_unix_ns) == 0);
const _: () = assert!(offset_of!(Telemetry, presence) == 8);
const _: () = assert!(offset_of!(Telemetry, number) == 12);
const _: () = assert!(offset_of!(Telemetry, pci) == 16);
const _: () = assert!(offset_of!(Telemetry, asic_id) == 24);
const _: () = assert!(offset_of!(Telemetry, serial) == 32);
const _: () = assert!(offset_of!(Telemetry, temperature_millicelsius) == 40);
const _: () = assert!(offset_of!(Telemetry, temperature_limit_millicelsius) == 48);
const _: () = assert!(offset_of!(Telemetry, power_microwatts) == 56);
const _: () = assert!(offset_of!(Telemetry, power_limit_microwatts) == 64);
const _: () = assert!(offset_of!(Telemetry, current_milliamperes) == 72);
const _: () = assert!(offset_of!(Telemetry, current_limit_milliamperes) == 80);
const _: () = assert!(offset_of!(Telemetry, voltage_millivolts) == 88);
const _: () = assert!(offset_of!(Telemetry, ai_clock_mhz) == 96);
const _: () = assert!(offset_of!(Telemetry, axi_clock_mhz) == 104);
const _: () = assert!(offset_of!(Telemetry, arc_clock_mhz) == 112);
const _: () = assert!(offset_of!(Telemetry, fan_rpm) == 120);
const _: () = assert!(offset_of!(Telemetry, heartbeat) == 128);
const _: () = assert!(offset_of!(Telemetry, thermal_trips) == 136);
const _: () = assert!(offset_of!(Telemetry, open_by) == 144);
const _: () = assert!(offset_of!(Telemetry, card) == 152);
const _: () = assert!(offset_of!(Telemetry, firmware) == 176);

impl Telemetry {
    /// Nothing is told.
    pub const NONE: Self = Self {
        read_unix_ns: 0,
        presence: Presence::Tracked as u32,
        number: u32::MAX,
        pci: UNKNOWN,
        asic_id: UNKNOWN,
        serial: UNKNOWN,
        temperature_millicelsius: UNKNOWN,
        temperature_limit_millicelsius: UNKNOWN,
        power_microwatts: UNKNOWN,
        power_limit_microwatts: UNKNOWN,
        current_milliamperes: UNKNOWN,
        current_limit_milliamperes: UNKNOWN,
        voltage_millivolts: UNKNOWN,
        ai_clock_mhz: UNKNOWN,
        axi_clock_mhz: UNKNOWN,
        arc_clock_mhz: UNKNOWN,
        fan_rpm: UNKNOWN,
        heartbeat: UNKNOWN,
        thermal_trips: UNKNOWN,
        open_by: UNKNOWN,
        card: [0; 24],
        firmware: [0; 24],
    };

    /// Whether the driver told anything.
    pub const fn is_known(&self) -> bool {
        self.read_unix_ns != 0
    }

    /// The PCI address as `lspci` writes it.
    pub fn pci_text(&self) -> Option<String> {
        let pci = self.pci;
        (pci != UNKNOWN)
            .then(|| format!("{:04x}:{:02x}:{:02x}.{:x}", pci >> 16, pci >> 8 & 0xff, pci >> 3 & 0x1f, pci & 7))
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::NONE
    }
}

/// A tracked process of which tt-metal's own counters tell something else than its records, for some seconds already.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Difference {
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// Index into the snapshot's chips.
    pub chip: u32,
    /// [`Memory`](crate::event::Memory) number.
    pub memory: u32,
    /// 0.
    pub reserved: u32,
    /// What is live by its records, bytes asked for: tt-metal counts these, not what its allocator took.
    pub tracked_bytes: u64,
    /// By tt-metal's counters, bytes.
    pub told_bytes: u64,
    /// Since when, Unix time in ns.
    pub since_unix_ns: u64,
}

const _: () = assert!(size_of::<Difference>() == 40);
const _: () = assert!(offset_of!(Difference, pid) == 0);
const _: () = assert!(offset_of!(Difference, chip) == 4);
const _: () = assert!(offset_of!(Difference, memory) == 8);
const _: () = assert!(offset_of!(Difference, reserved) == 12);
const _: () = assert!(offset_of!(Difference, tracked_bytes) == 16);
const _: () = assert!(offset_of!(Difference, told_bytes) == 24);
const _: () = assert!(offset_of!(Difference, since_unix_ns) == 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_address_is_written_as_lspci_does() {
        let telemetry = Telemetry { pci: 0x1_0000 | 0xc1 << 8 | 0x1f << 3 | 7, ..Telemetry::NONE };
        assert_eq!(telemetry.pci_text().as_deref(), Some("0001:c1:1f.7"));
        assert_eq!(Telemetry::NONE.pci_text(), None);
    }
}
