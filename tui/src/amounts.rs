//! Sizes and durations as a person writes them on the command line.

use std::time::Duration;

/// A number of bytes: `4096`, `64K`, `64KiB`, `1.5GiB`; `MB` and its like are powers of ten.
///
/// # Errors
/// What would be understood.
pub fn bytes(text: &str) -> Result<u64, String> {
    let refused = || format!("{:?} is no size: use 4096, 64KiB, 1.5GiB", shm_layout::text::clean(text.as_bytes()));
    let (number, unit) = split(text.trim()).ok_or_else(refused)?;
    let unit = unit.trim().to_ascii_lowercase();
    let power = |letter: &str| ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == letter);
    let bytes = match unit.strip_suffix('b') {
        // "MiB", "MB"; "B" alone.
        Some(prefix) => match prefix.strip_suffix('i') {
            Some(letter) => power(letter).filter(|power| *power > 0).map(|power| 1024_f64.powi(power as i32)),
            None => power(prefix).map(|power| 1000_f64.powi(power as i32)),
        },
        None => power(unit.trim_end_matches('i')).map(|power| 1024_f64.powi(power as i32)),
    };
    let bytes = number * bytes.ok_or_else(refused)?;
    if bytes < 9e18 { Ok(bytes.ceil() as u64) } else { Err(refused()) }
}

/// A count: `4096`, `20k`, `1.5M`, powers of ten.
///
/// # Errors
/// What would be understood.
pub fn count(text: &str) -> Result<u64, String> {
    let refused = || format!("{:?} is no count: use 4096, 20k, 1.5M", shm_layout::text::clean(text.as_bytes()));
    let (number, unit) = split(text.trim()).ok_or_else(refused)?;
    let power = match unit.trim() {
        "" => 1.0,
        "k" | "K" => 1e3,
        "m" | "M" => 1e6,
        "g" | "G" => 1e9,
        _ => return Err(refused()),
    };
    let count = number * power;
    if count < 9e18 { Ok(count.ceil() as u64) } else { Err(refused()) }
}

/// A duration: `500ms`, `90s`, `10m`, `1h30m`, `2d`.
///
/// # Errors
/// What would be understood.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refused =
        || format!("{:?} is no duration: use 500ms, 90s, 10m, 1h30m, 2d", shm_layout::text::clean(text.as_bytes()));
    let mut rest = text.trim();
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, behind) = split(rest).ok_or_else(refused)?;
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let unit = match &behind[..end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(refused()),
        };
        seconds += number * unit;
        rest = behind[end..].trim_start();
    }
    let whole = !text.trim().is_empty() && seconds < 1e9;
    Some(seconds).filter(|_| whole).and_then(|s| Duration::try_from_secs_f64(s).ok()).ok_or_else(refused)
}

/// Nanoseconds of a duration, as ages are counted.
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The number at the beginning, and what is behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, amount) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("64K", 64 << 10),
            ("64 KiB", 64 << 10),
            ("1.5GiB", 3 << 29),
            ("2MB", 2_000_000),
            ("2Mi", 2 << 20),
            ("1t", 1 << 40),
        ] {
            assert_eq!(bytes(text), Ok(amount), "{text}");
        }
        for bad in ["", "KiB", "-1", "1X", "1iB", "1..2", "99999999999999999999", "\u{1b}[2J"] {
            assert!(bytes(bad).is_err_and(|why| !why.contains('\u{1b}')), "{bad:?}");
        }
    }

    #[test]
    fn counts() {
        for (text, number) in [("0", 0), ("20k", 20_000), ("1.5M", 1_500_000), ("2G", 2_000_000_000)] {
            assert_eq!(count(text), Ok(number), "{text}");
        }
        for bad in ["", "k", "-1", "1MiB", "1..2", "99999999999999999999", "\u{1b}[2J"] {
            assert!(count(bad).is_err_and(|why| !why.contains('\u{1b}')), "{bad:?}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2d", 172_800_000),
            ("1m 5s", 65_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", " ", "10", "s", "-5s", "5 weeks", "1h-3m", "99999999999d", "\u{1b}[2J"] {
            assert!(duration(bad).is_err_and(|why| !why.contains('\u{1b}')), "{bad:?}");
        }
    }
}
