//! The JSON that is kept in the tree, and rows found in it.

use super::programs::PROGRAMS;
use super::units::convert;
use crate::machine::Distance;
use crate::report::{Report, Row};
use crate::sample::Summary;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What one program measured, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Few points and short runs: not to be quoted.
    pub quick: bool,
    /// What it wrote.
    #[serde(flatten)]
    pub report: Report,
}

impl Kept {
    /// Where a program's report lies.
    pub fn path(folder: &Path, program: &str) -> PathBuf {
        folder.join(format!("{program}.json"))
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(Self::path(folder, &self.report.program), text).context("keep the JSON")
    }
}

/// Everything that is kept.
#[derive(Clone, Debug, Default)]
pub struct All(pub Vec<Kept>);

/// Which figure of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The middle one.
    Median,
    /// One in a hundred is above.
    P99,
    /// The largest.
    Worst,
}

impl Figure {
    /// Its name in tables; nothing for the median, which is the rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Median => "",
            Self::P99 => "p99 ",
            Self::Worst => "worst ",
        }
    }

    /// It.
    pub const fn of(self, summary: &Summary) -> f64 {
        match self {
            Self::Median => summary.median,
            Self::P99 => summary.p99,
            Self::Worst => summary.worst,
        }
    }
}

/// A figure of the rows that fit; where several do, the largest.
#[derive(Clone, Copy, Debug)]
pub struct Pick {
    /// Which program's.
    pub program: &'static str,
    /// The rows' measure.
    pub measure: &'static str,
    /// The rows' subject; any.
    pub subject: Option<&'static str>,
    /// The rows' distance; any.
    pub distance: Option<Distance>,
    /// The rows' point of a curve; any.
    pub at: Option<(&'static str, f64)>,
    /// Unit of the figure.
    pub unit: &'static str,
    /// Which figure.
    pub figure: Figure,
}

impl Pick {
    /// The median of a subject in a measure.
    pub const fn new(program: &'static str, measure: &'static str, subject: &'static str, unit: &'static str) -> Self {
        Self { program, measure, subject: Some(subject), distance: None, at: None, unit, figure: Figure::Median }
    }

    /// The same of every subject.
    pub const fn any_subject(mut self) -> Self {
        self.subject = None;
        self
    }

    /// The same, at this distance only.
    pub const fn distance(mut self, distance: Distance) -> Self {
        self.distance = Some(distance);
        self
    }

    /// The same, at this point only.
    pub const fn at(mut self, over: &'static str, value: f64) -> Self {
        self.at = Some((over, value));
        self
    }

    /// Another figure of the same.
    pub const fn figure(mut self, figure: Figure) -> Self {
        self.figure = figure;
        self
    }

    fn fits(&self, row: &Row) -> bool {
        row.measure == self.measure
            && self.subject.is_none_or(|subject| row.subject == subject)
            && self.distance.is_none_or(|distance| row.distance == Some(distance))
            && self.at.is_none_or(|(over, value)| row.at.as_ref().is_some_and(|at| at.0 == over && at.1 == value))
    }
}

impl All {
    /// Everything that lies in this folder, in the order of the programs.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for program in PROGRAMS {
            let path = Kept::path(folder, program.name);
            if path.exists() {
                let text = std::fs::read_to_string(&path)?;
                let kept: Kept = serde_json::from_str(&text).with_context(|| format!("{}.json", program.name))?;
                all.push(kept);
            }
        }
        Ok(Self(all))
    }

    /// What this program measured.
    pub fn of(&self, program: &str) -> Option<&Report> {
        self.0.iter().map(|kept| &kept.report).find(|report| report.program == program)
    }

    /// The figure; `None` where nothing fits.
    ///
    /// # Errors
    /// When the rows measure something else than whoever asks believes.
    pub fn find(&self, pick: &Pick) -> anyhow::Result<Option<f64>> {
        let rows = self.of(pick.program).map_or(&[][..], |report| &report.rows);
        let mut found: Option<f64> = None;
        for row in rows.iter().filter(|row| pick.fits(row)) {
            let value =
                convert(pick.figure.of(&row.summary), &row.unit, pick.unit).with_context(|| row.measure.clone())?;
            found = Some(found.map_or(value, |other| other.max(value)));
        }
        Ok(found)
    }
}
