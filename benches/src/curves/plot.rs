//! One picture: curves over two logarithmic axes, as SVG on no ground of its own, for a light and for a dark page.

use super::plots::{Plot, Series};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::ops::Range;

/// Width of every picture, pixels.
pub(super) const WIDTH: u32 = 760;
const HEIGHT: u32 = 400;
/// One row of the legend.
const LEGEND_ROW: u32 = 22;
const LEGEND_COLUMNS: usize = 2;
/// Whatever the viewer has.
pub(super) const FONT: &str = "sans-serif";

/// The page that the picture lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Dark on white.
    Light,
    /// Light on black.
    Dark,
}

impl Theme {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Light, Self::Dark];

    /// Its name in file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) const fn ink(self) -> RGBColor {
        match self {
            Self::Light => RGBColor(31, 35, 40),
            Self::Dark => RGBColor(225, 230, 236),
        }
    }

    const fn grid(self) -> RGBColor {
        match self {
            Self::Light => RGBColor(214, 220, 226),
            Self::Dark => RGBColor(56, 63, 71),
        }
    }

    /// Told apart by those who see fewer colours as well: no red beside green of the same lightness.
    pub(super) const fn colours(self) -> [RGBColor; 8] {
        match self {
            Self::Light => [
                RGBColor(9, 105, 218),
                RGBColor(188, 76, 0),
                RGBColor(17, 125, 105),
                RGBColor(130, 80, 223),
                RGBColor(191, 57, 137),
                RGBColor(154, 103, 0),
                RGBColor(87, 96, 106),
                RGBColor(5, 80, 174),
            ],
            Self::Dark => [
                RGBColor(88, 166, 255),
                RGBColor(255, 166, 87),
                RGBColor(63, 201, 170),
                RGBColor(188, 140, 255),
                RGBColor(247, 120, 186),
                RGBColor(210, 177, 34),
                RGBColor(145, 152, 161),
                RGBColor(121, 192, 255),
            ],
        }
    }
}

/// The picture as SVG.
///
/// # Errors
/// When the curves cannot be drawn.
pub fn draw(plot: &Plot, series: &[Series], theme: Theme) -> anyhow::Result<String> {
    let mut text = String::new();
    let legend = series.len().div_ceil(LEGEND_COLUMNS) as u32 * LEGEND_ROW + 8;
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT + legend)).into_drawing_area();
        let (upper, lower) = root.split_vertically(HEIGHT);
        draw_curves(&upper, plot, series, theme).map_err(anyhow::Error::msg)?;
        draw_legend(&lower, series, theme).map_err(anyhow::Error::msg)?;
        root.present().map_err(|error| anyhow::Error::msg(error.to_string()))?;
    }
    text.push('\n');
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_curves(area: &Area<'_>, plot: &Plot, series: &[Series], theme: Theme) -> Result<(), String> {
    let (x, y) = (span(series, |point| [point.x, point.x]), span(series, |point| [point.p25, point.p75]));
    // Room at both sides, so that no point lies on the frame.
    let (x_range, y_range) = (x.start / 1.15..x.end * 1.15, down(y.start)..up(y.end));
    let (x_ticks, y_ticks) = (x_ticks(series), y_ticks(&y_range));
    let words = |size: u32| (FONT, size).into_font().color(&theme.ink());
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(plot.title, words(19))
        .x_label_area_size(46)
        .y_label_area_size(66)
        .build_cartesian_2d(x_range.log_scale().with_key_points(x_ticks), y_range.log_scale().with_key_points(y_ticks))
        .map_err(|error| error.to_string())?;
    chart
        .configure_mesh()
        .axis_style(theme.ink().mix(0.6))
        .bold_line_style(theme.grid())
        .light_line_style(TRANSPARENT)
        .x_desc(plot.x)
        .y_desc(plot.y)
        .axis_desc_style(words(15))
        .label_style(words(14))
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .draw()
        .map_err(|error| error.to_string())?;
    for (series, colour) in series.iter().zip(theme.colours().iter().cycle()) {
        let line = series.points.iter().map(|point| (point.x, point.median));
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2))).map_err(|error| error.to_string())?;
        let spread = series.points.iter().filter(|point| point.p25 > 0.0 && point.p75 > point.p25).map(|point| {
            PathElement::new(vec![(point.x, point.p25), (point.x, point.p75)], colour.mix(0.45).stroke_width(5))
        });
        chart.draw_series(spread).map_err(|error| error.to_string())?;
        let dots = series.points.iter().map(|point| Circle::new((point.x, point.median), 4, colour.filled()));
        chart.draw_series(dots).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn draw_legend(area: &Area<'_>, series: &[Series], theme: Theme) -> Result<(), String> {
    for (n, (series, colour)) in series.iter().zip(theme.colours().iter().cycle()).enumerate() {
        let (column, row) = (n % LEGEND_COLUMNS, n / LEGEND_COLUMNS);
        let left = 78 + (column as u32 * (WIDTH - 78) / LEGEND_COLUMNS as u32) as i32;
        let middle = (row as u32 * LEGEND_ROW + LEGEND_ROW / 2) as i32;
        let line = PathElement::new(vec![(left, middle), (left + 24, middle)], colour.stroke_width(2));
        area.draw(&line).map_err(|error| error.to_string())?;
        area.draw(&Circle::new((left + 12, middle), 4, colour.filled())).map_err(|error| error.to_string())?;
        let label =
            Text::new(series.label.clone(), (left + 32, middle - 7), (FONT, 14).into_font().color(&theme.ink()));
        area.draw(&label).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// From the least to the largest of what is drawn above nothing.
fn span(series: &[Series], of: impl Fn(&super::plots::Point) -> [f64; 2]) -> Range<f64> {
    let all = series.iter().flat_map(|series| &series.points).flat_map(&of).filter(|value| *value > 0.0);
    let (least, most) = all.fold((f64::MAX, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    least..most
}

/// 1, 2, 5, 10, 20, …
fn steps() -> impl Iterator<Item = f64> {
    (-6..=12).flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade)))
}

fn down(value: f64) -> f64 {
    steps().take_while(|step| *step <= value * 0.98).last().unwrap_or(value)
}

fn up(value: f64) -> f64 {
    steps().find(|step| *step >= value * 1.02).unwrap_or(value)
}

/// The places where something was measured, as far as their labels do not touch.
fn x_ticks(series: &[Series]) -> Vec<f64> {
    let mut ticks: Vec<f64> = series.iter().flat_map(|series| &series.points).map(|point| point.x).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup_by(|next, kept| *next < *kept * 1.3);
    ticks
}

fn y_ticks(range: &Range<f64>) -> Vec<f64> {
    let inside = |step: &f64| *step >= range.start * 0.999 && *step <= range.end * 1.001;
    let all: Vec<f64> = steps().filter(inside).collect();
    if all.len() <= 10 {
        all
    } else {
        all.into_iter().filter(|step| (step.log10().round() - step.log10()).abs() < 1e-9).collect()
    }
}

/// 0.5, 20, 100, 1k, 50k, 1M.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    // Binary powers of ten are not exact.
    let text = format!("{value:.4}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_what_is_drawn() {
        assert_eq!([down(3.0), down(5.2), up(5.2), up(100.0), up(97.0)], [2.0, 5.0, 10.0, 200.0, 100.0]);
        assert_eq!(y_ticks(&(10.0..100.0)), [10.0, 20.0, 50.0, 100.0]);
        assert_eq!(y_ticks(&(0.1..10_000.0)).len(), 6);
        assert_eq!([0.05, 1.0, 20.0, 1000.0, 5e4, 1e6].map(short), ["0.05", "1", "20", "1k", "50k", "1M"]);
    }
}
