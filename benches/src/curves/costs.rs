//! What it costs a user, in a few rows.

use super::kept::{All, Figure, Pick};
use crate::machine::Distance::{Far, Near};
use crate::report::figure;

const TENSOR: &str = "ttnn: a tensor allocated and freed";

const fn tensor(way: &'static str) -> Pick {
    Pick::new("hooks", TENSOR, way, "ns/pair")
}

const fn returned(subject: &'static str) -> Pick {
    Pick::new("peers", "push, returned", subject, "ns/event")
}

const fn idle(processes: f64) -> Pick {
    Pick::new("host", "idle daemon", "one core", "%").at("processes", processes)
}

const FIRST: Pick = Pick::new("peers", "first event of a process, 0 other rings", "first", "µs");
const FRAME: Pick = Pick::new("frame", "alloc-top: one frame", "", "ms").any_subject();

/// Who pays, for what, and which figures say it, each with its label.
type Cost = (&'static str, &'static str, &'static [(&'static str, Pick)]);
const COSTS: &[Cost] = &[
    (
        "your job",
        "one tensor allocated and freed on stock ttnn",
        &[
            ("without tt-alloc", tensor("without the hook library")),
            ("hooks loaded, not tracked", tensor("hooks, not tracked")),
            ("tracked", tensor("tracked, nobody attached")),
            ("tracked, with an aggregator", tensor("tracked, with an aggregator")),
        ],
    ),
    (
        "your job",
        "one event, written by the producer library",
        &[
            ("reader near", returned("tt-alloc").distance(Near)),
            ("reader far", returned("tt-alloc").distance(Far)),
            ("with an exact clock, far", returned("tt-alloc, exact clock").distance(Far)),
        ],
    ),
    (
        "your job",
        "one event while tracking is off",
        &[
            ("a call", Pick::new("peers", "disabled", "tt-alloc", "ns/event")),
            ("an empty call", Pick::new("peers", "disabled", "an empty call", "ns/event")),
        ],
    ),
    (
        "your job, once",
        "its first event, which makes the ring",
        &[("median", FIRST), ("", FIRST.figure(Figure::Worst))],
    ),
    (
        "the host",
        "the aggregator while nothing happens, of one core",
        &[("1 process", idle(1.0)), ("100 processes", idle(100.0)), ("1,024 processes", idle(1024.0))],
    ),
    (
        "the host",
        "the aggregator per event, everything included",
        &[(
            "10 processes, 10⁵ live",
            Pick::new("scale", "scale: aggregator's CPU, free one + allocate one", "", "ns/event")
                .any_subject()
                .at("processes", 10.0),
        )],
    ),
    (
        "the host",
        "memory per live allocation: ledger and index",
        &[(
            "10⁶ live",
            Pick::new("scale", "scale: memory beyond rings and 8 MiB, per live allocation", "", "bytes")
                .any_subject()
                .at("live", 1e6),
        )],
    ),
    ("whoever looks", "alloc-top, one frame", &[("median", FRAME), ("", FRAME.figure(Figure::P99))]),
];

/// The table; what was not measured says so.
///
/// # Errors
/// When a row has another unit than this table believes.
pub fn table(all: &All) -> anyhow::Result<String> {
    let mut text = String::from("| who pays | for what | how much (medians) |\n|---|---|---|\n");
    for (who, what, figures) in COSTS {
        let mut words = Vec::new();
        for (label, pick) in *figures {
            if let Some(value) = all.find(pick)? {
                let unit = pick.unit.split('/').next().unwrap_or_default();
                words.push(format!("{label} {}{} {unit}", pick.figure.name(), figure(value)).trim().to_owned());
            }
        }
        let words = if words.is_empty() { "not measured".to_owned() } else { words.join("; ") };
        text += &format!("| {who} | {what} | {words} |\n");
    }
    Ok(text)
}
