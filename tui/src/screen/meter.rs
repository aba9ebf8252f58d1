//! Bars: how much of a capacity is in use.

use super::palette;
use super::theme::Theme;
use crate::units::{Fill, fill};
use ratatui::style::Style;
use ratatui::text::Span;

/// What a bar shows, all bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// In use.
    pub used: u64,
    /// Shown in another shade behind `used` when larger: registered circular buffers.
    pub beyond: u64,
    /// The largest `used` so far; 0 = not marked.
    pub peak: u64,
    /// The whole; `None` = nobody told.
    pub capacity: Option<u64>,
}

/// `part` of `whole` in steps of a bar; at least one when there is anything, and full only when it is full.
fn steps(part: u64, whole: u64, steps: usize) -> usize {
    let exact = u128::from(part) * steps as u128 / u128::from(whole.max(1));
    (exact as usize).clamp(usize::from(part > 0), steps.max(1)).min(steps)
}

impl Meter {
    /// How full it is.
    pub fn fill(&self) -> Fill {
        fill(self.used, self.capacity)
    }

    /// The bar in exactly `width` columns.
    pub fn spans(&self, width: usize, theme: Theme) -> Vec<Span<'static>> {
        let glyphs = theme.glyphs;
        let Some(capacity) = self.capacity.filter(|c| *c > 0) else {
            // Not even a track: that would look like an empty bar.
            return vec![Span::raw(" ".repeat(width))];
        };
        let per_cell = glyphs.parts.len() + 1;
        let mut used = steps(self.used, capacity, width * per_cell);
        if self.beyond > self.used {
            // Part of a cell would leave a gap before the other shade.
            used = (used + per_cell / 2) / per_cell * per_cell;
            used = if self.used > 0 { used.max(per_cell.min(width * per_cell)) } else { 0 };
        }
        let mut bar = glyphs.full.repeat(used / per_cell);
        if let Some(part) = (used % per_cell).checked_sub(1) {
            bar.push_str(glyphs.parts[part]);
        }
        let filled = used.div_ceil(per_cell);
        let beyond = steps(self.beyond, capacity, width).saturating_sub(filled);
        let mut track: Vec<&str> = vec![glyphs.track; width - filled - beyond];
        let mark = steps(self.peak, capacity, width).saturating_sub(1);
        if self.peak > self.used
            && let Some(cell) = mark.checked_sub(filled + beyond).and_then(|at| track.get_mut(at))
        {
            *cell = glyphs.peak;
        }
        let mut spans = self.coloured(bar, filled, (width, capacity), theme);
        spans.extend([
            Span::styled(glyphs.beyond.repeat(beyond), theme.beyond()),
            Span::styled(track.concat(), theme.dim()),
        ]);
        spans
    }

    /// The filled cells: in the colour of the whole, or each in that of the place where it begins. The last one is as the whole is, so
    /// that a bar of any width says so.
    fn coloured(
        &self,
        bar: String,
        filled: usize,
        (width, capacity): (usize, u64),
        theme: Theme,
    ) -> Vec<Span<'static>> {
        let Some(run) = theme.run() else {
            return vec![Span::styled(bar, theme.fill(self.fill()))];
        };
        let whole = palette::step(self.used, capacity);
        let step = |cell: usize| {
            if cell + 1 == filled { whole } else { palette::step(cell as u64, width as u64).min(whole) }
        };
        let mut spans: Vec<Span<'static>> = Vec::with_capacity(filled.min(run.len()) + 2);
        for (cell, glyph) in bar.chars().enumerate() {
            let style = Style::new().fg(run[step(cell)]);
            match spans.last_mut() {
                Some(last) if last.style == style => last.content.to_mut().push(glyph),
                _ => spans.push(Span::styled(glyph.to_string(), style)),
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(meter: Meter, width: usize, ascii: bool) -> String {
        meter.spans(width, Theme::new(true, ascii)).iter().map(|span| span.content.as_ref()).collect()
    }

    fn of(used: u64, capacity: u64) -> Meter {
        Meter { used, capacity: Some(capacity), ..Meter::default() }
    }

    #[test]
    fn eighths() {
        assert_eq!(bar(of(0, 80), 10, false), "··········");
        assert_eq!(bar(of(1, 80), 10, false), "▏·········");
        assert_eq!(bar(of(36, 80), 10, false), "████▌·····");
        assert_eq!(bar(of(80, 80), 10, false), "██████████");
        assert_eq!(bar(of(500, 80), 10, false), "██████████");
        assert_eq!(bar(of(1, u64::MAX), 10, false), "▏·········", "a little is not nothing");
        assert_eq!(bar(of(36, 80), 10, true), "####......");
        assert_eq!(bar(Meter { capacity: None, used: 7, ..Meter::default() }, 4, false), "    ");
    }

    #[test]
    fn registered_and_peak() {
        assert_eq!(bar(Meter { beyond: 60, ..of(36, 80) }, 10, false), "█████▒▒···");
        assert_eq!(bar(Meter { beyond: 900, ..of(36, 80) }, 10, true), "####======", "registered may exceed L1");
        assert_eq!(bar(Meter { peak: 80, ..of(40, 80) }, 10, true), "#####....|");
        assert_eq!(bar(Meter { peak: 40, ..of(40, 80) }, 10, true), "#####.....");
    }

    #[test]
    fn a_bar_runs_from_calm_to_what_the_whole_is() {
        use super::super::palette::{Level, STEPS};
        let theme = Theme::at(Level::True, false);
        let run = theme.run().copied().unwrap_or([ratatui::style::Color::Reset; STEPS]);
        let colours = |meter: Meter, width: usize, ascii: bool| -> Vec<ratatui::style::Color> {
            let spans = meter.spans(width, Theme::at(Level::True, ascii));
            let filled = spans.iter().take(spans.len() - 2);
            filled.flat_map(|span| span.content.chars().map(|_| span.style.fg.unwrap_or_default())).collect()
        };
        for used in [0, 1, 74, 75, 89, 90, 100, 300] {
            for (width, ascii) in (1..60).flat_map(|width| [(width, false), (width, true)]) {
                let found = colours(of(used, 100), width, ascii);
                let steps: Vec<usize> =
                    found.iter().map(|one| run.iter().position(|other| other == one).unwrap_or(STEPS)).collect();
                assert!(steps.is_sorted(), "{used} in {width}: {steps:?}");
                assert_eq!(steps.last().copied(), (used > 0).then(|| palette::step(used, 100)), "{used} in {width}");
            }
        }
        // One cell each: green, amber from 75 % on, red from 90 % on, whatever lies before it.
        let found = colours(of(100, 100), 20, false);
        assert_eq!(found, run);
        assert_eq!(colours(of(80, 100), 20, false), [&run[..15], &run[16..17]].concat());
        // What has one colour has one span, as it did: nothing more is written for it.
        assert_eq!(of(80, 100).spans(40, Theme::new(true, false)).len(), 3);
    }

    #[test]
    fn every_width_is_kept() {
        for width in 0..40 {
            for used in [0, 1, 7, 50, 99, 100, 1000] {
                let meter = Meter { used, beyond: used * 2, peak: used * 3, capacity: Some(100) };
                assert_eq!(bar(meter, width, false).chars().count(), width, "{width} {used}");
                assert_eq!(bar(meter, width, true).chars().count(), width, "{width} {used}");
            }
        }
    }
}
