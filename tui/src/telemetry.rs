//! What the driver tells of a device, in few words.

use crate::units;
use shm_layout::stats::{Chip, Presence, Telemetry, UNKNOWN};

/// Figures older than this are told with their age, ns: the driver is asked each second.
const OLD_NS: u64 = 5_000_000_000;

/// `45 C`, `38 W`, `1350 MHz`, `2345 rpm`: what is known, the most asked for first; how old, if it is.
pub fn words(told: &Telemetry, now_unix_ns: u64) -> Vec<String> {
    if !told.is_known() {
        return Vec::new();
    }
    let rounded = |figure: u64, part: u64| figure.saturating_add(part / 2) / part;
    let known = [
        (told.temperature_millicelsius, 1000, "C"),
        (told.power_microwatts, 1_000_000, "W"),
        (told.ai_clock_mhz, 1, "MHz"),
        (told.fan_rpm, 1, "rpm"),
    ];
    let known = known.into_iter().filter(|(figure, ..)| *figure != UNKNOWN);
    let mut words: Vec<String> =
        known.map(|(figure, part, unit)| format!("{} {unit}", rounded(figure, part))).collect();
    let age = now_unix_ns.saturating_sub(told.read_unix_ns);
    if age > OLD_NS && !words.is_empty() {
        words.push(format!("{} ago", units::age(age)));
    }
    words
}

/// What is to be said of a chip that no tracked process told of.
pub const fn mark(chip: &Chip) -> Option<&'static str> {
    match chip.telemetry.presence {
        presence if presence == Presence::Driver as u32 => Some("not tracked"),
        presence if presence == Presence::Counters as u32 => Some("not tracked"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_said_and_how_old_it_is() {
        let told = Telemetry {
            read_unix_ns: 1_000_000_000_000,
            temperature_millicelsius: 45_500,
            ai_clock_mhz: 1350,
            ..Telemetry::NONE
        };
        assert_eq!(words(&told, 1_001_000_000_000), ["46 C", "1350 MHz"]);
        assert_eq!(words(&told, 1_012_000_000_000), ["46 C", "1350 MHz", "12s ago"]);
        assert!(words(&Telemetry::NONE, 5).is_empty());
        assert!(words(&Telemetry { read_unix_ns: 1, ..Telemetry::NONE }, u64::MAX).is_empty());
    }
}
