//! Figures as text: bytes, counts, shares, ages. Every form has a fixed width, so that columns stand still; bytes to the byte alone have not.

use std::cell::Cell;

/// What bytes are counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Units {
    /// Powers of 1024: KiB, MiB, GiB.
    #[default]
    Iec,
    /// Powers of 1000: kB, MB, GB.
    Si,
    /// Every byte, as a plain number.
    Bytes,
}

impl Units {
    /// As they are called on the command line and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iec => "iec",
            Self::Si => "si",
            Self::Bytes => "bytes",
        }
    }

    /// The others, of those whose figures keep to their columns.
    pub const fn other(self) -> Self {
        match self {
            Self::Si => Self::Iec,
            Self::Iec | Self::Bytes => Self::Si,
        }
    }

    /// Those that the screen can show: a figure that its column cuts would be read as another one.
    pub const fn on_screen(self) -> Self {
        match self {
            Self::Bytes => Self::Iec,
            fitting => fitting,
        }
    }
}

thread_local! {
    // Of a thread, not of the process: what draws or prints sets it first, and nobody else's figures change under him.
    static CURRENT: Cell<Units> = const { Cell::new(Units::Iec) };
}

/// From now on this thread writes bytes like this.
pub fn count_in(units: Units) {
    CURRENT.set(units);
}

const UNITS: [&str; 7] = ["  B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const SI_UNITS: [&str; 7] = ["  B", " kB", " MB", " GB", " TB", " PB", " EB"];
const LETTERS: [char; 7] = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];
const SI_LETTERS: [char; 7] = ['B', 'k', 'M', 'G', 'T', 'P', 'E'];

/// Width of [`bytes`].
pub const BYTES_WIDTH: usize = 8;
/// Width of [`short_bytes`].
pub const SHORT_BYTES_WIDTH: usize = 5;

/// Width that [`short_change`] has at most.
pub const SHORT_CHANGE_WIDTH: usize = 6;

/// Three significant digits in four columns, and the unit's index.
fn scaled(bytes: u64, step: u64) -> (String, usize) {
    let mut unit = 0;
    let mut one = 1u64;
    while let Some(next) = one.checked_mul(step).filter(|next| bytes >= *next && unit + 1 < UNITS.len()) {
        one = next;
        unit += 1;
    }
    if unit == 0 {
        return (format!("{bytes:>4}"), 0);
    }
    let mut value = bytes as f64 / one as f64;
    // 1023.7 would be shown as "1024" of this unit.
    if value >= step as f64 - 0.5 && unit + 1 < UNITS.len() {
        unit += 1;
        value /= step as f64;
    }
    let digits = if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:>4.0}")
    };
    (digits, unit)
}

/// In the units of this thread; `None`: to the byte.
fn counted(bytes: u64) -> Option<(String, &'static str, char)> {
    let (step, units, letters) = match CURRENT.get() {
        Units::Iec => (1024, UNITS, LETTERS),
        Units::Si => (1000, SI_UNITS, SI_LETTERS),
        Units::Bytes => return None,
    };
    let (digits, unit) = scaled(bytes, step);
    Some((digits, units[unit], letters[unit]))
}

/// A difference in bytes, with its sign.
pub fn change(amount: i64) -> String {
    let sign = if amount < 0 { '-' } else { '+' };
    let words = bytes(amount.unsigned_abs());
    format!("{sign}{}", words.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

/// A difference in bytes with its sign, in at most six columns: `+4.30M`.
pub fn short_change(amount: i64) -> String {
    let sign = if amount < 0 { '-' } else { '+' };
    format!("{sign}{}", short_bytes(amount.unsigned_abs()).trim_start())
}

/// Bytes in eight columns: `1.50 GiB`, ` 210 MiB`, ` 512   B`; `1.61  GB`. To the byte they may take more.
pub fn bytes(bytes: u64) -> String {
    counted(bytes).map_or_else(|| format!("{bytes:>BYTES_WIDTH$}"), |(digits, unit, _)| format!("{digits} {unit}"))
}

/// The same without the blanks that make it as wide as others.
pub fn tight(count: u64) -> String {
    bytes(count).split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Bytes in five columns: `1.50G`, ` 210M`. To the byte they may take more.
pub fn short_bytes(bytes: u64) -> String {
    let exact = || format!("{bytes:>SHORT_BYTES_WIDTH$}");
    counted(bytes).map_or_else(exact, |(digits, _, letter)| format!("{digits}{letter}"))
}

/// Bytes as in [`bytes()`], `?` where nobody told.
pub fn maybe_bytes(amount: Option<u64>) -> String {
    amount.map_or_else(|| format!("{:>BYTES_WIDTH$}", "?"), bytes)
}

/// Bytes as in [`short_bytes`], `?` where nobody told.
pub fn maybe_short_bytes(amount: Option<u64>) -> String {
    amount.map_or_else(|| format!("{:>SHORT_BYTES_WIDTH$}", "?"), short_bytes)
}

/// Bytes, to the byte: `1,610,612,736`.
pub fn exact(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most five columns: `99999`, `1.23M`.
pub fn count(number: u64) -> String {
    const LETTERS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if number < 100_000 {
        return number.to_string();
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < LETTERS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}{}", LETTERS[unit])
}

/// A share in four columns: ` 75%`, `<1%` for little, `?` where the whole is not known.
pub fn percent(part: u64, whole: Option<u64>) -> String {
    let text = match whole {
        None | Some(0) => "?".to_owned(),
        Some(_) if part == 0 => "0%".to_owned(),
        // Rounded down: 100 % is shown when it is full, not before.
        Some(whole) => match u128::from(part) * 100 / u128::from(whole) {
            0 => "<1%".to_owned(),
            share if share > 999 => ">9x".to_owned(),
            share => format!("{share}%"),
        },
    };
    format!("{text:>4}")
}

/// How full something is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fill {
    /// Nobody told how much there is.
    Unknown,
    /// Below 75 %.
    Calm,
    /// From 75 % on.
    High,
    /// From 90 % on.
    Critical,
}

/// How full `part` makes `whole`: the thresholds are exact, computed in integers.
pub fn fill(part: u64, whole: Option<u64>) -> Fill {
    let Some(whole) = whole.filter(|w| *w > 0) else { return Fill::Unknown };
    let share = |percent: u128| u128::from(part) * 100 >= u128::from(whole) * percent;
    if share(90) {
        Fill::Critical
    } else if share(75) {
        Fill::High
    } else {
        Fill::Calm
    }
}

/// An age in at most six columns: `850ms`, `12s`, `3m12s`, `2h05m`, `4d07h`.
pub fn age(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0 => format!("{}ms", ns / 1_000_000),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => {
            let days = seconds / 86_400;
            if days < 100 { format!("{days}d{:02}h", seconds / 3600 % 24) } else { format!("{}d", days.min(99_999)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_width() {
        for (amount, text) in [
            (0, "   0   B"),
            (1023, "1023   B"),
            (1024, "1.00 KiB"),
            (1536 << 20, "1.50 GiB"),
            (210 << 20, " 210 MiB"),
            (10_234, "9.99 KiB"),
            (10_236, "10.0 KiB"),
            (102_348, "99.9 KiB"),
            (102_350, " 100 KiB"),
            ((1 << 20) - 1, "1.00 MiB"),
            (1023 << 10, "1023 KiB"),
            (32 << 30, "32.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(amount), text, "{amount}");
        }
    }

    #[test]
    fn powers_of_ten_and_single_bytes() {
        count_in(Units::Si);
        for (amount, text, short) in [
            (999, " 999   B", " 999B"),
            (1000, "1.00  kB", "1.00k"),
            (1024, "1.02  kB", "1.02k"),
            (999_499, " 999  kB", " 999k"),
            (999_500, "1.00  MB", "1.00M"),
            (1_610_612_736, "1.61  GB", "1.61G"),
            (u64::MAX, "18.4  EB", "18.4E"),
        ] {
            assert_eq!((bytes(amount), short_bytes(amount)), (text.to_owned(), short.to_owned()), "{amount}");
        }
        assert_eq!(change(-1_500_000), "-1.50 MB");
        count_in(Units::Bytes);
        assert_eq!((bytes(1_610_612_736), bytes(7)), ("1610612736".to_owned(), "       7".to_owned()));
        assert_eq!((short_bytes(5), change(-1_500_000)), ("    5".to_owned(), "-1500000".to_owned()));
        count_in(Units::Iec);
        assert_eq!(bytes(1024), "1.00 KiB");
        assert_eq!((Units::Iec.other().other(), Units::Bytes.on_screen()), (Units::Iec, Units::Iec));
    }

    #[test]
    fn no_amount_leaves_its_width() {
        for units in [Units::Iec, Units::Si] {
            count_in(units);
            widths();
        }
        count_in(Units::Iec);
    }

    fn widths() {
        for shift in 0..64 {
            for delta in [-1i64, 0, 1, 511, 1023] {
                let amount = (1u64 << shift).wrapping_add_signed(delta);
                assert_eq!(bytes(amount).len(), BYTES_WIDTH, "{amount}");
                assert_eq!(short_bytes(amount).len(), SHORT_BYTES_WIDTH, "{amount}");
                assert!(short_change(amount.cast_signed()).len() <= SHORT_CHANGE_WIDTH, "{amount}");
                assert!(count(amount).len() <= 5, "{amount}");
                assert!(age(amount).len() <= 6, "{amount}");
                assert_eq!(percent(amount, Some(12_345)).len(), 4, "{amount}");
            }
        }
        assert_eq!((maybe_bytes(None).len(), maybe_short_bytes(None).len()), (BYTES_WIDTH, SHORT_BYTES_WIDTH));
    }

    #[test]
    fn thresholds_are_exact() {
        assert_eq!(fill(749_999, Some(1_000_000)), Fill::Calm);
        assert_eq!(fill(750_000, Some(1_000_000)), Fill::High);
        assert_eq!(fill(899_999, Some(1_000_000)), Fill::High);
        assert_eq!(fill(900_000, Some(1_000_000)), Fill::Critical);
        assert_eq!(fill(u64::MAX, Some(u64::MAX)), Fill::Critical);
        assert_eq!((fill(5, None), fill(5, Some(0))), (Fill::Unknown, Fill::Unknown));
    }

    #[test]
    fn shares_do_not_claim_too_much() {
        assert_eq!(percent(999, Some(1000)), " 99%");
        assert_eq!(percent(1000, Some(1000)), "100%");
        assert_eq!(percent(1, Some(1000)), " <1%");
        assert_eq!(percent(0, Some(1000)), "  0%");
        assert_eq!(percent(u64::MAX, Some(1)), " >9x");
        assert_eq!(percent(7, None), "   ?");
    }

    #[test]
    fn ages_and_counts() {
        for (seconds, text) in [(12, "12s"), (192, "3m12s"), (7500, "2h05m"), (371_000, "4d07h")] {
            assert_eq!(age(seconds * 1_000_000_000), text);
        }
        assert_eq!(age(850_000_000), "850ms");
        assert_eq!((count(99_999), count(1_234_567), count(999_999)), ("99999".into(), "1.23M".into(), "1.00M".into()));
        assert_eq!(exact(1_610_612_736), "1,610,612,736");
        assert_eq!((exact(0), exact(999), exact(1000)), ("0".into(), "999".into(), "1,000".into()));
    }
}
