//! What happens when a ring is full, as tables.

use super::kept::All;
use super::page::thousands;
use crate::pauses::grown;
use crate::pauses::runs::measures::{BYTES, COUNT, DROP, DROPPED, EVENTS, GROWN, MEAN, PAUSE, TAKEN};
use crate::report::{Report, Row, figure};
use std::fmt::Write as _;

/// One table of the cases, one of what growing takes, one of pushes.
pub fn tables(all: &All) -> String {
    let Some(report) = all.of("pauses") else { return "Not measured.".into() };
    let find = |measure: &str, subject: &str| {
        report.rows.iter().find(|row| row.measure == measure && row.subject == subject).map(|row| row.summary)
    };
    let mut text = String::from(
        "| what the process does | events of a run, runs | mean, ns | pauses over 30 µs, a run | median pause, µs \
         | longest, µs | longest with waits for a processor, µs | ring at the end, MiB | dropped |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for mean in of(report, MEAN) {
        let subject = &mean.subject;
        let median = |measure| find(measure, subject).map_or(0.0, |summary| summary.median);
        let pauses = |measure, worst: bool| match find(measure, subject) {
            Some(summary) if summary.n > 0 => figure(if worst { summary.worst } else { summary.median }),
            _ => "none".into(),
        };
        let _infallible = writeln!(
            text,
            "| {subject} | {}, {} | {} | {} | {} | {} | {} | {} | {} |",
            thousands(median(EVENTS)),
            mean.summary.n,
            figure(mean.summary.median),
            figure(median(COUNT)),
            pauses(PAUSE, false),
            pauses(PAUSE, true),
            pauses(TAKEN, true),
            figure(median(BYTES)),
            thousands(median(DROPPED)),
        );
    }
    text += "\n| the pause in which a ring goes on in a further section (µs) | median | longest | n |\n\
             |---|---:|---:|---:|\n";
    for row in of(report, GROWN) {
        let mib = row.at.as_ref().map_or(0.0, |at| at.1);
        let s = &row.summary;
        let [median, worst] =
            if s.n == 0 { ["none over 30".to_owned(), String::new()] } else { [s.median, s.worst].map(figure) };
        let _infallible = writeln!(text, "| a section of {mib} MiB | {median} | {worst} | {} |", s.n);
    }
    text +=
        "\n| one event, many timed together, the making of it included (ns) | median | p25 to p75 |\n|---|---:|---|\n";
    for row in of(report, grown::MEASURE).chain(of(report, DROP)) {
        let s = &row.summary;
        let what = if row.measure == DROP { "dropped, and counted" } else { &row.subject };
        let _infallible = writeln!(text, "| {what} | {} | {} to {} |", figure(s.median), figure(s.p25), figure(s.p75));
    }
    text
}

fn of<'a>(report: &'a Report, measure: &'a str) -> impl Iterator<Item = &'a Row> {
    report.rows.iter().filter(move |row| row.measure == measure)
}
