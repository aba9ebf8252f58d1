//! The driver's figures of a device, and what tt-metal's own counters tell differently, as JSON.

use super::{chip_id_text, seconds};
use crate::event::Memory;
use crate::stats::{self, Snapshot, UNKNOWN};
use crate::text;
use serde::Serialize;

/// What the driver tells of a device; `null` is not known.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct Telemetry {
    /// How old these figures are: the driver is asked each second.
    pub age_seconds: f64,
    /// N of /dev/tenstorrent/N.
    pub number: Option<u32>,
    pub pci_address: Option<String>,
    pub card: Option<String>,
    pub asic_id: Option<String>,
    pub serial: Option<String>,
    pub firmware: Option<String>,
    pub temperature_celsius: Option<f64>,
    pub temperature_limit_celsius: Option<f64>,
    pub power_watts: Option<f64>,
    pub power_limit_watts: Option<f64>,
    pub current_amperes: Option<f64>,
    pub current_limit_amperes: Option<f64>,
    pub voltage_volts: Option<f64>,
    pub ai_clock_mhz: Option<u64>,
    pub axi_clock_mhz: Option<u64>,
    pub arc_clock_mhz: Option<u64>,
    pub fan_rpm: Option<u64>,
    pub heartbeat: Option<u64>,
    pub thermal_trips: Option<u64>,
    /// Processes that have it open, tracked or not.
    pub open_by: Option<u64>,
}

impl Telemetry {
    /// Of a chip; `None` where the driver tells nothing of it.
    pub fn of(told: &stats::Telemetry, now_unix_ns: u64) -> Option<Self> {
        let known = |figure: u64| (figure != UNKNOWN).then_some(figure);
        let part = |figure: u64, parts: f64| known(figure).map(|figure| figure as f64 / parts);
        let words = |field: &[u8]| Some(text::load(field)).filter(|text| !text.is_empty());
        told.is_known().then(|| Self {
            age_seconds: seconds(now_unix_ns.saturating_sub(told.read_unix_ns)),
            number: (told.number != u32::MAX).then_some(told.number),
            pci_address: told.pci_text(),
            card: words(&told.card),
            asic_id: known(told.asic_id).map(chip_id_text),
            serial: known(told.serial).map(chip_id_text),
            firmware: words(&told.firmware),
            temperature_celsius: part(told.temperature_millicelsius, 1e3),
            temperature_limit_celsius: part(told.temperature_limit_millicelsius, 1e3),
            power_watts: part(told.power_microwatts, 1e6),
            power_limit_watts: part(told.power_limit_microwatts, 1e6),
            current_amperes: part(told.current_milliamperes, 1e3),
            current_limit_amperes: part(told.current_limit_milliamperes, 1e3),
            voltage_volts: part(told.voltage_millivolts, 1e3),
            ai_clock_mhz: known(told.ai_clock_mhz),
            axi_clock_mhz: known(told.axi_clock_mhz),
            arc_clock_mhz: known(told.arc_clock_mhz),
            fan_rpm: known(told.fan_rpm),
            heartbeat: known(told.heartbeat),
            thermal_trips: known(told.thermal_trips),
            open_by: known(told.open_by),
        })
    }
}

/// A tracked process of which tt-metal's own counters tell something else than its records.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct Difference {
    pub pid: u32,
    pub chip_id: String,
    pub memory: &'static str,
    pub tracked_bytes: u64,
    pub tt_metal_bytes: u64,
    pub since_unix_seconds: f64,
}

impl Difference {
    /// All of a snapshot.
    pub fn all(snapshot: &Snapshot) -> Vec<Self> {
        let one = |d: &stats::Difference| {
            Some(Self {
                pid: d.pid,
                chip_id: chip_id_text(snapshot.chips.get(d.chip as usize)?.chip_id),
                memory: u8::try_from(d.memory).ok().and_then(Memory::from_u8)?.name(),
                tracked_bytes: d.tracked_bytes,
                tt_metal_bytes: d.told_bytes,
                since_unix_seconds: seconds(d.since_unix_ns),
            })
        };
        snapshot.differences.iter().filter_map(one).collect()
    }
}
