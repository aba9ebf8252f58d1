//! Which rows make which curve.

use super::kept::All;
use super::units::convert;
use anyhow::Context;

/// A curve's rows: those of this program with this measure; the subject, if not any.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The program.
    pub program: &'static str,
    /// The measure.
    pub measure: &'static str,
    /// The subject; `None` makes a curve of each.
    pub subject: Option<&'static str>,
    /// What the curve is called; empty: as its subject.
    pub label: &'static str,
}

/// A picture with one or more curves.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    /// File name without its end.
    pub name: &'static str,
    /// Title.
    pub title: &'static str,
    /// What the rows' points are over: "processes".
    pub over: &'static str,
    /// What that is called on the axis.
    pub x: &'static str,
    /// What is measured, with its unit.
    pub y: &'static str,
    /// That unit.
    pub unit: &'static str,
    /// The curves.
    pub sources: &'static [Source],
}

/// A curve: its name and its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it is called.
    pub label: String,
    /// Its points, from left to right.
    pub points: Vec<Point>,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Over this.
    pub x: f64,
    /// The median.
    pub median: f64,
    /// A quarter of the measurements is below.
    pub p25: f64,
    /// A quarter of the measurements is above.
    pub p75: f64,
}

const fn all_of(program: &'static str, measure: &'static str) -> Source {
    Source { program, measure, subject: None, label: "" }
}

const fn named(program: &'static str, measure: &'static str, label: &'static str) -> Source {
    Source { program, measure, subject: None, label }
}

const fn one(program: &'static str, measure: &'static str, subject: &'static str, label: &'static str) -> Source {
    Source { program, measure, subject: Some(subject), label }
}

const TURN: Source =
    named("scale", "scale: aggregator's CPU, free one + allocate one", "whole daemon: free one + allocate one");
const HOLD: Source = named("scale", "scale: aggregator's CPU, allocate only", "whole daemon: allocate only");
const VISIBLE: Source = named("scale", "scale: last event to visible totals", "after a burst of all processes");
const IDLE: Source = named("scale", "scale: idle aggregator", "with live allocations");
const RESIDENT: Source = named("scale", "scale: aggregator's resident memory", "all that it has mapped and touched");
const PRIVATE: Source = named("scale", "scale: of it private", "private");
const LEDGERS: Source = named("scale", "scale: ledger files", "ledger files");

/// All of them, in the order of the page.
pub const PLOTS: &[Plot] = &[
    Plot {
        name: "event-over-live",
        title: "One event in the aggregator: drain, ledger, totals",
        over: "live",
        x: "live allocations",
        y: "ns an event",
        unit: "ns",
        sources: &[
            all_of("drain", "free one at random + allocate one"),
            one("drain", "limit: half of insert + remove", "hashbrown, foldhash", "limit: a bare hash table"),
        ],
    },
    Plot {
        name: "cpu-over-live",
        title: "CPU of the whole aggregator, over live allocations",
        over: "live",
        x: "live allocations, 10 processes",
        y: "ns an event",
        unit: "ns",
        sources: &[TURN, HOLD],
    },
    Plot {
        name: "cpu-over-processes",
        title: "CPU of the whole aggregator, over processes",
        over: "processes",
        x: "processes, 100,000 live",
        y: "ns an event",
        unit: "ns",
        sources: &[TURN, HOLD],
    },
    Plot {
        name: "cpu-over-devices",
        title: "CPU of the whole aggregator, over devices",
        over: "devices",
        x: "devices, 10 processes",
        y: "ns an event",
        unit: "ns",
        sources: &[TURN, HOLD],
    },
    Plot {
        name: "visible-over-processes",
        title: "From the last event of a burst to totals that show it",
        over: "processes",
        x: "processes, 100,000 live",
        y: "ms",
        unit: "ms",
        sources: &[VISIBLE],
    },
    Plot {
        name: "idle-over-processes",
        title: "The aggregator while nothing happens",
        over: "processes",
        x: "processes",
        y: "percent of a core",
        unit: "%",
        sources: &[one("host", "idle daemon", "one core", "one event each"), IDLE],
    },
    Plot {
        name: "publication-over-processes",
        title: "One publication",
        over: "processes",
        x: "processes",
        y: "µs",
        unit: "µs",
        sources: &[all_of("host", "one publication")],
    },
    Plot {
        name: "memory-over-live",
        title: "Memory per live allocation",
        over: "live",
        x: "live allocations, 10 processes",
        y: "bytes an allocation",
        unit: "bytes",
        sources: &[
            named("scale", "scale: ledger files per live allocation", "ledger files"),
            named("scale", "scale: memory beyond rings and 8 MiB, per live allocation", "all beyond rings and 8 MiB"),
        ],
    },
    Plot {
        name: "memory-over-processes",
        title: "The aggregator's memory, over processes",
        over: "processes",
        x: "processes, 100,000 live",
        y: "MiB",
        unit: "MiB",
        sources: &[RESIDENT, PRIVATE, LEDGERS],
    },
    Plot {
        name: "frame-over-processes",
        title: "alloc-top: one frame",
        over: "processes",
        x: "processes",
        y: "ms",
        unit: "ms",
        sources: &[all_of("frame", "alloc-top: one frame")],
    },
];

impl Plot {
    /// Its curves, of what was measured; none of fewer than two points.
    ///
    /// # Errors
    /// When rows measure something else than the axis says.
    pub fn series(&self, all: &All) -> anyhow::Result<Vec<Series>> {
        let mut series: Vec<Series> = Vec::new();
        for source in self.sources {
            let rows = all.of(source.program).map_or(&[][..], |report| &report.rows);
            for row in rows.iter().filter(|row| row.measure == source.measure) {
                let Some((_, x)) = row.at.as_ref().filter(|at| at.0 == self.over) else { continue };
                if source.subject.is_some_and(|subject| subject != row.subject) {
                    continue;
                }
                let label = if source.label.is_empty() { &row.subject } else { source.label };
                let y = |value| convert(value, &row.unit, self.unit).with_context(|| row.measure.clone());
                let s = &row.summary;
                let point = Point { x: *x, median: y(s.median)?, p25: y(s.p25)?, p75: y(s.p75)? };
                match series.iter_mut().find(|series| series.label == label) {
                    Some(series) => series.points.push(point),
                    None => series.push(Series { label: label.to_owned(), points: vec![point] }),
                }
            }
        }
        for series in &mut series {
            series.points.sort_by(|a, b| a.x.total_cmp(&b.x));
        }
        // A logarithmic axis has no place for nothing.
        series.iter_mut().for_each(|series| series.points.retain(|point| point.x > 0.0 && point.median > 0.0));
        series.retain(|series| series.points.len() > 1);
        Ok(series)
    }
}
