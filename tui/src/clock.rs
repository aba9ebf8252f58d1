//! Moments: the clock of the segments, and the wall clock as text.

use jiff::tz::TimeZone;
use nix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// `CLOCK_MONOTONIC` in ns: the clock of heartbeats and events. 0 when the system does not tell.
pub fn monotonic_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |t| u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0))
}

/// Unix time in ns.
pub fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

/// The time zone in which moments are shown.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// The system's.
    pub fn system() -> Self {
        Self(TimeZone::system())
    }

    /// UTC.
    pub const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// `HH:MM:SS` of a Unix time in ns; eight columns also when it is out of every calendar.
    pub fn time_of_day(&self, unix_ns: u64) -> String {
        let seconds = i64::try_from(unix_ns / 1_000_000_000).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).map_or_else(
            |_| "--:--:--".to_owned(),
            |moment| {
                let t = moment.to_zoned(self.0.clone());
                format!("{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second())
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_day_is_eight_columns() {
        assert_eq!(Zone::utc().time_of_day(1_700_000_000_000_000_000), "22:13:20");
        assert_eq!(Zone::utc().time_of_day(0), "00:00:00");
        assert_eq!(Zone::utc().time_of_day(u64::MAX).len(), 8);
    }

    #[test]
    fn the_monotonic_clock_runs() {
        assert!(monotonic_ns() > 0 && unix_ns() > 1_600_000_000_000_000_000);
    }
}
