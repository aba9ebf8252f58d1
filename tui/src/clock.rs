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

    /// `2026-11-21` of a Unix time in ns; as wide also when it is out of every calendar.
    pub fn date(&self, unix_ns: u64) -> String {
        let seconds = i64::try_from(unix_ns / 1_000_000_000).unwrap_or(i64::MAX);
        let date = |moment: jiff::Timestamp| moment.to_zoned(self.0.clone()).date().to_string();
        jiff::Timestamp::from_second(seconds).map_or_else(|_| "----------".to_owned(), date)
    }

    /// `YYYY-MM-DD HH:MM:SS` likewise.
    pub fn date_and_time(&self, unix_ns: u64) -> String {
        format!("{} {}", self.date(unix_ns), self.time_of_day(unix_ns))
    }

    /// The same for the name of a file: `20261121-173005`.
    pub fn stamp(&self, unix_ns: u64) -> String {
        self.date_and_time(unix_ns)
            .chars()
            .filter(|c| !matches!(c, '-' | ':'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
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

/// The Unix time in ns of a moment as a person writes it: `17:30`, `17:30:05` (the last one that there was), `2026-11-21 17:30`, or with
/// an offset (`2026-11-21T17:30:00Z`). `None`: no such moment.
pub fn moment(text: &str, zone: &Zone, now_unix_ns: u64) -> Option<u64> {
    let text = text.trim();
    let now = jiff::Timestamp::from_nanosecond(now_unix_ns.into()).ok()?.to_zoned(zone.0.clone());
    let ns = |moment: jiff::Timestamp| u64::try_from(moment.as_nanosecond()).ok();
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return ns(moment);
    }
    if !text.contains(':') {
        return None;
    }
    if !text.contains('-') {
        let time = text.parse::<jiff::civil::Time>().ok()?;
        let of = |date: jiff::civil::Date| Some(date.to_datetime(time).to_zoned(zone.0.clone()).ok()?.timestamp());
        let today = of(now.date()).filter(|moment| *moment <= now.timestamp());
        return ns(today.or_else(|| of(now.date().yesterday().ok()?))?);
    }
    let when = text.parse::<jiff::civil::DateTime>().ok()?;
    ns(when.to_zoned(zone.0.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_as_people_write_them() {
        // 2023-11-14 22:13:20 UTC.
        const NOW: u64 = 1_700_000_000_000_000_000;
        let at = |text| moment(text, &Zone::utc(), NOW).map(|ns| ns / 1_000_000_000);
        let seconds = NOW / 1_000_000_000;
        assert_eq!(at("22:13:20"), Some(seconds));
        assert_eq!(at("22:13"), Some(seconds - 20));
        assert_eq!(at("22:14"), Some(seconds + 40 - 86_400), "still to come today: yesterday's");
        assert_eq!(at("2023-11-14 22:13:10"), Some(seconds - 10));
        assert_eq!(at("2023-11-14T23:13:10+01:00"), Some(seconds - 10));
        assert_eq!(at("2023-11-14T22:13:10Z"), Some(seconds - 10));
        for bad in ["", "10", "25:00", "yesterday", "2023-13-01 00:00", "10m"] {
            assert_eq!(at(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn time_of_day_is_eight_columns() {
        assert_eq!(Zone::utc().time_of_day(1_700_000_000_000_000_000), "22:13:20");
        assert_eq!(Zone::utc().time_of_day(0), "00:00:00");
        assert_eq!(Zone::utc().time_of_day(u64::MAX).len(), 8);
        assert_eq!(Zone::utc().date_and_time(1_700_000_000_000_000_000), "2023-11-14 22:13:20");
        assert_eq!(Zone::utc().date_and_time(u64::MAX).len(), 19);
        assert_eq!(Zone::utc().stamp(1_700_000_000_000_000_000), "20231114-221320");
    }

    #[test]
    fn the_monotonic_clock_runs() {
        assert!(monotonic_ns() > 0 && unix_ns() > 1_600_000_000_000_000_000);
    }
}
