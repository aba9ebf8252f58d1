//! The environment's say: whether to track, how large the ring is, what it is called.

use shm_layout::event::EVENT_BYTES;
use shm_layout::names::{Prefix, PrefixError};
use shm_layout::stacks::MOST_ADDRESSES;

/// Turns tracking on.
pub const ENABLED_VARIABLE: &str = "TT_ALLOC_TRACKING_ENABLED";
/// Bytes of records in a ring; rounded up to a power of two.
pub const RING_BYTES_VARIABLE: &str = "TT_ALLOC_RING_BYTES";
/// Bytes of records up to which a ring grows.
pub const RING_MAX_BYTES_VARIABLE: &str = "TT_ALLOC_RING_MAX_BYTES";
/// How events are stamped: `tsc` for exact times.
pub const CLOCK_VARIABLE: &str = "TT_ALLOC_CLOCK";
/// Call stacks of allocations: 1 turns them on, 2 to 32 too, with that many addresses of each.
pub const STACKS_VARIABLE: &str = "TT_ALLOC_STACKS";
/// Addresses of a call stack unless the environment says otherwise.
pub const DEFAULT_DEPTH: usize = 24;
/// Records in a ring unless the environment says otherwise: 2 MiB of them (docs/adr/0005).
pub const DEFAULT_SLOTS: u64 = (2 << 20) / EVENT_BYTES as u64;

/// Records up to which a ring grows unless the environment says otherwise: 64 MiB of them in all its sections (docs/adr/0008).
pub const DEFAULT_MOST_SLOTS: u64 = (64 << 20) / EVENT_BYTES as u64;

/// Fewest and most slots of a section: a page of records, 1 GiB of records.
pub(crate) const SLOTS: core::ops::RangeInclusive<u64> = 64..=1 << 24;

/// Whether this process is to be tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    On,
    /// No, and nothing is to be said about it.
    Off,
    /// No, because the variable has a value that means nothing: one line is to be said.
    Unclear(String),
}

/// What the value of [`ENABLED_VARIABLE`] means.
pub fn decide(value: Option<&str>) -> Decision {
    let Some(value) = value else { return Decision::Off };
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Decision::On,
        "" | "0" | "false" | "off" | "no" => Decision::Off,
        _ => Decision::Unclear(value.to_owned()),
    }
}

/// The decision for this process. A set-uid program is never tracked: its environment is its caller's.
pub fn decide_here() -> Decision {
    // SAFETY: getauxval only reads the process's own auxiliary vector.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return Decision::Off;
    }
    decide(std::env::var_os(ENABLED_VARIABLE).map(|v| v.to_string_lossy().into_owned()).as_deref())
}

/// Addresses of each call stack that the value of [`STACKS_VARIABLE`] asks for; 0 = none are to be taken.
///
/// # Errors
/// The value, where it means nothing: one line is to be said, and none are taken.
pub fn stack_depth(value: Option<&str>) -> Result<usize, String> {
    let Some(value) = value else { return Ok(0) };
    match (decide(Some(value.trim())), value.trim().parse()) {
        (Decision::Off, _) => Ok(0),
        (Decision::On, _) => Ok(DEFAULT_DEPTH),
        (_, Ok(depth)) if (2..=MOST_ADDRESSES).contains(&depth) => Ok(depth),
        _ => Err(value.to_owned()),
    }
}

/// Slots for this many bytes of records: the next power of two within the limits.
pub fn slots_for(bytes: u64) -> u64 {
    (bytes / EVENT_BYTES as u64).clamp(*SLOTS.start(), *SLOTS.end()).next_power_of_two()
}

/// How events get their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// From the clock word that an attached aggregator keeps: as fine as it polls, and next to free.
    #[default]
    Shared,
    /// From the processor's counter, at each event: exact, for traces.
    Exact,
}

/// How a ring is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name prefix.
    pub prefix: Prefix,
    /// Records that fit at first; a power of two.
    pub slots: u64,
    /// Records that fit at most, in all sections.
    pub most_slots: u64,
    /// How events get their time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self { prefix: Prefix::default(), slots: DEFAULT_SLOTS, most_slots: DEFAULT_MOST_SLOTS, clock: Clock::Shared }
    }
}

impl Options {
    /// The options that the environment asks for. A size that is no number is ignored: tracking matters more.
    ///
    /// # Errors
    /// When the prefix is no prefix.
    pub fn from_environment() -> Result<Self, PrefixError> {
        let bytes = |variable| std::env::var(variable).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let exact = std::env::var(CLOCK_VARIABLE).is_ok_and(|value| value.trim().eq_ignore_ascii_case("tsc"));
        Ok(Self {
            prefix: Prefix::from_environment()?,
            slots: bytes(RING_BYTES_VARIABLE).map_or(DEFAULT_SLOTS, slots_for),
            most_slots: bytes(RING_MAX_BYTES_VARIABLE).map_or(DEFAULT_MOST_SLOTS, |bytes| bytes / EVENT_BYTES as u64),
            clock: if exact { Clock::Exact } else { Clock::Shared },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_in_every_spelling() {
        for on in ["1", "true", "TRUE", "on", "Yes"] {
            assert_eq!(decide(Some(on)), Decision::On, "{on}");
        }
        for off in ["", "0", "False", "off", "NO"] {
            assert_eq!(decide(Some(off)), Decision::Off, "{off}");
        }
        assert_eq!(decide(None), Decision::Off);
        assert_eq!(decide(Some("2")), Decision::Unclear("2".into()));
    }

    #[test]
    fn depths_of_stacks() {
        for (value, depth) in [(None, 0), (Some(""), 0), (Some("0"), 0), (Some("off"), 0), (Some("1"), DEFAULT_DEPTH)] {
            assert_eq!(stack_depth(value), Ok(depth), "{value:?}");
        }
        assert_eq!((stack_depth(Some("2")), stack_depth(Some(" 32 "))), (Ok(2), Ok(32)));
        for unclear in ["33", "-1", "deep", "1e3"] {
            assert_eq!(stack_depth(Some(unclear)), Err(unclear.to_owned()));
        }
    }

    #[test]
    fn sizes_become_powers_of_two() {
        assert_eq!(slots_for(0), 64);
        assert_eq!(slots_for(2 << 20), DEFAULT_SLOTS);
        assert_eq!(slots_for((2 << 20) + 64), 2 * DEFAULT_SLOTS);
        assert_eq!(slots_for(u64::MAX), 1 << 24);
    }
}
