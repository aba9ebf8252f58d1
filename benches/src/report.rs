//! What was measured: rows, shown as a table, kept as JSON.

use crate::machine::{Distance, Machine};
use crate::sample::{Sample, Summary};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// One subject in one measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What is measured: "push, returned slots".
    pub measure: String,
    /// Whose figure it is: "tt-alloc", "rtrb", …
    pub subject: String,
    /// Near or far, where two processors take part.
    pub distance: Option<Distance>,
    /// Unit of every figure: "ns/event", "ms", "%".
    pub unit: String,
    /// The figures.
    #[serde(flatten)]
    pub summary: Summary,
    /// What the row is plotted over ("processes": 100), if it is a point of a curve.
    pub at: Option<(String, f64)>,
}

/// Everything that one program measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The program.
    pub program: String,
    /// Where.
    pub machine: Machine,
    /// The rows.
    pub rows: Vec<Row>,
    /// What could not be measured here, and why.
    pub missing: Vec<String>,
}

impl Report {
    /// Nothing yet.
    pub fn new(program: &str) -> Self {
        Self { program: program.to_owned(), machine: Machine::read(), rows: Vec::new(), missing: Vec::new() }
    }

    /// One more row.
    pub fn add(&mut self, measure: &str, subject: &str, distance: Option<Distance>, unit: &str, sample: &mut Sample) {
        self.rows.push(Row {
            measure: measure.to_owned(),
            subject: subject.to_owned(),
            distance,
            unit: unit.to_owned(),
            summary: sample.summary(),
            at: None,
        });
    }

    /// One more point of a curve.
    pub fn add_point(&mut self, measure: &str, subject: &str, at: (&str, f64), unit: &str, sample: &mut Sample) {
        self.add(measure, subject, None, unit, sample);
        if let Some(row) = self.rows.last_mut() {
            row.at = Some((at.0.to_owned(), at.1));
        }
    }

    /// The median of a row, if it is there.
    pub fn median(&self, measure: &str, subject: &str, distance: Option<Distance>) -> Option<f64> {
        let same = |row: &&Row| row.measure == measure && row.subject == subject && row.distance == distance;
        self.rows.iter().find(same).map(|row| row.summary.median)
    }

    /// Writes the JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text)
    }
}

/// Three significant digits.
pub fn figure(value: f64) -> String {
    let decimals =
        if value.abs() >= 100.0 || value == 0.0 { 0 } else { (2 - value.abs().log10().floor() as i32).max(0) };
    format!("{value:.*}", decimals.min(6) as usize)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, processors, kernel, load } = &self.machine;
        writeln!(f, "{}: {processor}, {processors} processors, {kernel}, load {load}", self.program)?;
        let mut measure = "";
        for row in &self.rows {
            if row.measure != measure {
                measure = &row.measure;
                let heads = ["median", "p25", "p75", "p99", "p99.9", "worst", "n"];
                write!(f, "\n{:<46} {:<10}", measure, row.unit)?;
                heads.iter().try_for_each(|head| write!(f, "{head:>9}"))?;
                writeln!(f)?;
            }
            let s = &row.summary;
            let at = row.at.as_ref().map(|(what, value)| format!("{value} {what}")).unwrap_or_default();
            let distance = row.distance.map_or("", Distance::name);
            write!(f, "  {:<32} {:<11} {:<10}", row.subject, at, distance)?;
            for value in [s.median, s.p25, s.p75, s.p99, s.p999, s.worst] {
                write!(f, "{:>9}", figure(value))?;
            }
            writeln!(f, "{:>9}", s.n)?;
        }
        for missing in &self.missing {
            writeln!(f, "\nnot measured: {missing}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            [0.0, 0.0123, 1.5, 12.34, 123.4, 12_345.6].map(figure),
            ["0", "0.0123", "1.50", "12.3", "123", "12346"]
        );
    }
}
