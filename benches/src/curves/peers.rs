//! Ours beside its peers: near and far side by side, each peer as a multiple of ours.

use super::kept::All;
use crate::machine::Distance;
use crate::report::{Report, Row, figure};

/// Whose figures the others are held against.
const OURS: &str = "tt-alloc";
/// Measures in which single events were timed: what they say is in their tails.
const SINGLE: [&str; 2] = ["push, single events", "one way, push to reader"];
/// Measures of other libraries' whole path, held against this one of ours.
const OTHERS: [&str; 2] = ["original's socket send", "other libraries, warm"];
const WHOLE: &str = "whole path, warm";

/// A table for each measure of `peers`.
pub fn tables(all: &All) -> String {
    let Some(report) = all.of("peers") else { return "Not measured.".into() };
    let mut text = String::new();
    for measure in distinct(report.rows.iter().map(|row| row.measure.as_str())) {
        let rows: Vec<&Row> = report.rows.iter().filter(|row| row.measure == measure).collect();
        text += &if SINGLE.contains(&measure) { tails(measure, &rows) } else { medians(report, measure, &rows) };
        text.push('\n');
    }
    text
}

/// In the order of their first appearance.
fn distinct<'a, T: PartialEq + 'a>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut found, one| {
        if !found.contains(&one) {
            found.push(one);
        }
        found
    })
}

/// Medians, near and far.
fn medians(report: &Report, measure: &str, rows: &[&Row]) -> String {
    let unit = rows.first().map_or("", |row| row.unit.as_str());
    let at = if OTHERS.contains(&measure) { WHOLE } else { measure };
    // How many times ours a percentage or a batch is says nothing.
    let timed = ["ns", "µs", "us", "ms"].iter().any(|time| unit.starts_with(time));
    let ratio = |row: &Row| {
        let ours = report.median(at, OURS, row.distance).filter(|ours| timed && *ours > 0.0 && row.subject != OURS);
        ours.map_or(String::new(), |ours| figure(row.summary.median / ours))
    };
    let with_ratios = rows.iter().any(|row| !ratio(row).is_empty());
    let mut columns = distinct(rows.iter().map(|row| row.distance));
    columns.sort_by_key(|distance| *distance == Some(Distance::Far));
    let mut text = format!("| {measure} ({unit}) |");
    for distance in &columns {
        text +=
            &format!(" {} |{}", distance.map_or("median", Distance::name), if with_ratios { " × ours |" } else { "" });
    }
    text += &format!("\n|---|{}\n", if with_ratios { "---:|---:|" } else { "---:|" }.repeat(columns.len()));
    for subject in distinct(rows.iter().map(|row| row.subject.as_str())) {
        text += &format!("| {subject} |");
        for distance in &columns {
            let row = rows.iter().find(|row| row.subject == subject && row.distance == *distance);
            text += &format!(" {} |", row.map_or(String::new(), |row| figure(row.summary.median)));
            if with_ratios {
                text += &format!(" {} |", row.map_or(String::new(), |row| ratio(row)));
            }
        }
        text.push('\n');
    }
    text
}

/// Median, one in a hundred, one in a thousand, the worst.
fn tails(measure: &str, rows: &[&Row]) -> String {
    let unit = rows.first().map_or("", |row| row.unit.as_str());
    let mut text = format!("| {measure} ({unit}) | | median | p99 | p99.9 | worst |\n|---|---|---:|---:|---:|---:|\n");
    for row in rows {
        let s = &row.summary;
        let [median, p99, p999, worst] = [s.median, s.p99, s.p999, s.worst].map(figure);
        let distance = row.distance.map_or("", Distance::name);
        text += &format!("| {} | {distance} | {median} | {p99} | {p999} | {worst} |\n", row.subject);
    }
    text
}
