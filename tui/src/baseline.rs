//! What has come since a baseline, as text.

use crate::units;
use shm_layout::stats::Figures;

/// Columns of [`short`].
pub const SHORT_WIDTH: usize = 17;

/// `14.2 MiB baseline, +4.30 MiB`; `(auto)` where it set itself. Nothing where none is set.
pub fn words(figures: &Figures) -> Option<String> {
    let (baseline, since) = (figures.baseline_bytes()?, figures.since_baseline_bytes()?);
    let auto = if figures.is_baseline_automatic() { " (auto)" } else { "" };
    Some(format!("{} baseline{auto}, {}", units::bytes(baseline).trim(), units::change(since)))
}

/// `14.2M base +4.30M`, or `14.2M auto +4.30M` where it set itself; always as wide.
pub fn short(figures: &Figures) -> Option<String> {
    let auto = if figures.is_baseline_automatic() { "auto" } else { "base" };
    let since = short_since(figures)?;
    Some(format!("{} {auto} {since}", units::short_bytes(figures.baseline_bytes()?)))
}

/// `+4.30M`, right-aligned in six columns.
pub fn short_since(figures: &Figures) -> Option<String> {
    let since = units::short_change(figures.since_baseline_bytes()?);
    Some(format!("{since:>width$}", width = units::SHORT_CHANGE_WIDTH))
}

/// Who set it.
pub const fn set_by(figures: &Figures) -> &'static str {
    if figures.is_baseline_automatic() { "auto" } else { "hand" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_layout::stats::BASELINE_AUTO;

    #[test]
    fn a_baseline_in_words() {
        let (was, is) = (14_889_779, 19_398_656);
        let by_hand = Figures { footprint_bytes: is, baseline: was + 1, ..Figures::default() };
        assert_eq!(words(&by_hand).as_deref(), Some("14.2 MiB baseline, +4.30 MiB"));
        assert_eq!(short(&by_hand).as_deref(), Some("14.2M base +4.30M"));
        let auto = Figures { footprint_bytes: 0, baseline: (was + 1) | BASELINE_AUTO, ..Figures::default() };
        assert_eq!(words(&auto).as_deref(), Some("14.2 MiB baseline (auto), -14.2 MiB"));
        assert_eq!(short(&auto).as_deref(), Some("14.2M auto -14.2M"));
        assert_eq!((set_by(&by_hand), set_by(&auto)), ("hand", "auto"));
        assert_eq!((words(&Figures::default()), short(&Figures::default())), (None, None));
        for baseline in [1, 2, 1 << 40, u64::MAX, BASELINE_AUTO] {
            let any = Figures { footprint_bytes: 7, baseline, ..Figures::default() };
            assert!(short(&any).is_none_or(|text| text.len() == SHORT_WIDTH), "{baseline:#x}");
        }
    }
}
