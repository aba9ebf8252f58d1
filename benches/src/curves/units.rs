//! Units as the programs write them, made comparable.

use anyhow::Context;

/// What a unit measures, and how much of it one is. "ns/event" is a time, and so is "ns".
fn kind(unit: &str) -> Option<(&'static str, f64)> {
    let first = unit.split(['/', ' ']).next()?;
    Some(match first {
        "ns" => ("time", 1.0),
        "µs" | "us" => ("time", 1e3),
        "ms" => ("time", 1e6),
        "s" => ("time", 1e9),
        "%" => ("share", 1.0),
        "bytes" | "B" => ("memory", 1.0),
        "KiB" => ("memory", 1024.0),
        "MiB" => ("memory", 1024.0 * 1024.0),
        _ => return None,
    })
}

/// The figure in another unit.
///
/// # Errors
/// When the two do not measure the same thing: whoever asks believes something else than what was measured.
pub fn convert(value: f64, from: &str, to: &str) -> anyhow::Result<f64> {
    if from == to {
        return Ok(value);
    }
    let same = |((what, one), (other, another))| if what == other { Some(one / another) } else { None };
    let factor = kind(from).zip(kind(to)).and_then(same);
    Ok(value * factor.with_context(|| format!("{to} expected, {from} found"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_times_and_nothing_else() {
        let three = |from, to| convert(3.0, from, to).ok();
        assert_eq!(three("ms", "ms"), Some(3.0));
        assert_eq!(three("us", "µs"), Some(3.0));
        assert_eq!(three("ms", "ns/event"), Some(3e6));
        assert_eq!(three("% of a core", "%"), Some(3.0));
        assert_eq!(three("MiB", "bytes"), Some(3.0 * 1024.0 * 1024.0));
        assert_eq!(three("ms", "%"), None);
        assert_eq!(three("furlongs", "ms"), None);
    }
}
