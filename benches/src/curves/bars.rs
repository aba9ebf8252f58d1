//! What is to be reached, and whether it is.

use super::kept::{All, Figure, Pick};
use crate::machine::Distance::{Far, Near};
use crate::report::figure;

/// How a figure is held against its bar.
#[derive(Clone, Copy, Debug)]
pub enum Against {
    /// As it is.
    Itself,
    /// As a ratio to another row of the same run.
    Ratio(Pick),
    /// As what it has more than another row of the same run.
    Beyond(Pick),
    /// The program that measures it checks it, and fails where it does not hold: that there is a figure says that it does.
    Checked,
}

/// One figure that a bar asks for.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Where it is taken: "near".
    pub label: &'static str,
    /// The figure.
    pub of: Pick,
    /// How it is held against the bar.
    pub against: Against,
    /// The most that it may be, in the unit of the figure or as a ratio.
    pub most: f64,
}

/// One bar.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// What is measured.
    pub measure: &'static str,
    /// What was asked for, in words.
    pub asked: &'static str,
    /// All of these have to hold.
    pub limits: &'static [Limit],
}

/// What became of a bar or of one of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that was asked for was measured, and holds.
    Met,
    /// What was measured holds; the rest was not measured.
    MetInPart,
    /// Something does not hold.
    NotMet,
    /// Nothing was measured.
    NotMeasured,
}

impl Verdict {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::MetInPart => "met where measured",
            Self::NotMet => "**not met**",
            Self::NotMeasured => "not measured",
        }
    }
}

const fn limit(label: &'static str, of: Pick, most: f64) -> Limit {
    Limit { label, of, against: Against::Itself, most }
}

const fn ratio(label: &'static str, of: Pick, to: Pick, most: f64) -> Limit {
    Limit { label, of, against: Against::Ratio(to), most }
}

const fn peers(measure: &'static str, subject: &'static str) -> Pick {
    Pick::new("peers", measure, subject, "ns/event")
}

const RETURNED: Pick = peers("push, returned", "tt-alloc");
const EXACT: Pick = peers("push, returned", "tt-alloc, exact clock");
const RTRB: Pick = peers("push, returned", "rtrb");
const WHOLE: Pick = peers("whole path, warm", "tt-alloc");
const TT_METAL: Pick = peers("other libraries, warm", "tt-metal record_allocation");
const SEND: Pick = peers("original's socket send", "saturated");
const ACROSS: Pick = peers("process to process, reader every 100 µs", "tt-alloc");
const ACROSS_BARE: Pick = peers("process to process, reader every 100 µs", "bare ring");
const DRAIN: Pick = Pick::new("drain", "free one at random + allocate one", "", "ns/event").any_subject();
const VISIBLE: &str = "event to visible";
const BUSY: Pick = Pick::new("host", VISIBLE, "4 processes write", "ms");
const FLOOD: Pick = Pick::new("host", VISIBLE, "1 process floods", "ms");
const FROM_IDLE: Pick = Pick::new("host", VISIBLE, "from idle", "ms");
const GONE: Pick = Pick::new("host", "death to gone, since kill", "one of 100", "ms");
const MEMORY: Pick =
    Pick::new("scale", "scale: memory beyond rings and 8 MiB, per live allocation", "", "bytes").any_subject();

const fn pause(subject: &'static str) -> Pick {
    Pick::new("pauses", "full ring: a pause", subject, "µs").figure(Figure::Worst)
}

/// All of them.
pub const BARS: &[Bar] = &[
    Bar {
        measure: "one event, disabled",
        asked: "within 1 ns of an empty call",
        limits: &[Limit {
            label: "beyond an empty call",
            of: peers("disabled", "tt-alloc"),
            against: Against::Beyond(peers("disabled", "an empty call")),
            most: 1.0,
        }],
    },
    Bar {
        measure: "one event, enabled, slots returned by the consumer",
        asked: "≤ 6 ns near, ≤ 9 ns far; ≤ 15 ns with an exact clock",
        limits: &[
            limit("near", RETURNED.distance(Near), 6.0),
            limit("far", RETURNED.distance(Far), 9.0),
            limit("exact clock, near", EXACT.distance(Near), 15.0),
            limit("exact clock, far", EXACT.distance(Far), 15.0),
        ],
    },
    Bar {
        measure: "the same against rtrb",
        asked: "≤ 0.5 ×",
        limits: &[
            ratio("near", RETURNED.distance(Near), RTRB.distance(Near), 0.5),
            ratio("far", RETURNED.distance(Far), RTRB.distance(Far), 0.5),
        ],
    },
    Bar {
        measure: "against tt-metal's record_allocation",
        asked: "≤ 0.12 ×",
        limits: &[ratio("whole path, warm", WHOLE, TT_METAL, 0.12)],
    },
    Bar {
        measure: "against the original's socket send",
        asked: "≤ 1/120",
        limits: &[ratio("whole path, warm", WHOLE, SEND, 1.0 / 120.0)],
    },
    Bar {
        measure: "16 threads in one process",
        asked: "no event lost or out of order per id; no thread waits for another",
        limits: &[Limit {
            label: "checked at every event",
            of: peers("threads: 16", "tt-alloc"),
            against: Against::Checked,
            most: 0.0,
        }],
    },
    Bar {
        measure: "process to process, sustained, against the bare ring",
        asked: "≤ 1.5 ×",
        limits: &[
            ratio("reader every 100 µs, near", ACROSS.distance(Near), ACROSS_BARE.distance(Near), 1.5),
            ratio("far", ACROSS.distance(Far), ACROSS_BARE.distance(Far), 1.5),
        ],
    },
    Bar {
        measure: "aggregator: drain + ledger + totals, per event, hostile ids included",
        asked: "≤ 30 ns at 10⁵ live, ≤ 50 ns at 10⁶ live",
        limits: &[
            limit("10⁵ live, the worst ids", DRAIN.at("live", 1e5), 30.0),
            limit("10⁶ live, the worst ids", DRAIN.at("live", 1e6), 50.0),
        ],
    },
    Bar {
        measure: "1,024 idle rings",
        asked: "one poll ≤ 5 ns a ring; whole daemon ≤ 0.3 % of one core",
        limits: &[
            limit(
                "poll",
                Pick::new("host", "one look at idle rings", "again and again", "ns/ring").at("rings", 1024.0),
                5.0,
            ),
            limit("daemon", Pick::new("host", "idle daemon", "one core", "%").at("processes", 1024.0), 0.3),
        ],
    },
    Bar {
        measure: "event to visible in the stats segment",
        asked: "p50 ≤ 2 ms, p99 ≤ 10 ms under load; ≤ 50 ms from idle",
        limits: &[
            limit("4 processes write, p50", BUSY, 2.0),
            limit("4 processes write,", BUSY.figure(Figure::P99), 10.0),
            limit("1 process floods, p50", FLOOD, 2.0),
            limit("1 process floods,", FLOOD.figure(Figure::P99), 10.0),
            limit("from idle,", FROM_IDLE.figure(Figure::P99), 50.0),
        ],
    },
    Bar {
        measure: "death to gone from totals",
        asked: "p50 ≤ 5 ms, p99 ≤ 50 ms with 100 processes",
        limits: &[limit("p50", GONE, 5.0), limit("", GONE.figure(Figure::P99), 50.0)],
    },
    Bar {
        measure: "longest pause in the host",
        asked: "≤ 1 ms",
        limits: &[
            limit(
                "first event of a process,",
                Pick::new("peers", "first event of a process, 0 other rings", "first", "µs").figure(Figure::Worst),
                1000.0,
            ),
            limit(
                "among 1,000 other rings,",
                Pick::new("peers", "first event of a process, 1000 other rings", "first", "µs").figure(Figure::Worst),
                1000.0,
            ),
        ],
    },
    Bar {
        measure: "longest pause in the host, ring full and nobody reads, waits for a processor apart",
        asked: "≤ 1 ms, or bounded and told",
        limits: &[
            limit("compaction, 10 live,", pause("10 live"), 1000.0),
            limit("5,000 live,", pause("5,000 live"), 1000.0),
            limit("16,000 live,", pause("16,000 live"), 1000.0),
            limit("growth, 30,000 live,", pause("30,000 live"), 1000.0),
            limit("100,000 live,", pause("100,000 live"), 1000.0),
            limit("reader stopped,", pause("a reader that is stopped, 5,000 live"), 1000.0),
            limit("up to the bound,", pause("nothing freed, up to the bound"), 1000.0),
        ],
    },
    Bar {
        measure: "memory beyond the rings",
        asked: "96 bytes per live allocation + 8 MiB",
        limits: &[
            limit("10⁵ live", MEMORY.at("live", 1e5), 96.0),
            limit("10⁶ live", MEMORY.at("live", 1e6), 96.0),
            limit("10⁷ live", MEMORY.at("live", 1e7), 96.0),
        ],
    },
    Bar {
        measure: "alloc-top at 1,000 processes, 10 Hz",
        asked: "frame p99 ≤ 5 ms, ≤ 3 % of a core",
        limits: &[
            limit(
                "frame,",
                Pick::new("frame", "alloc-top: one frame", "", "ms").any_subject().figure(Figure::P99),
                5.0,
            ),
            limit("CPU", Pick::new("frame", "alloc-top: CPU at 10 Hz", "", "%").any_subject(), 3.0),
        ],
    },
];

impl Limit {
    /// The figure as it is held against the bar, with its unit; `None` where it was not measured.
    ///
    /// # Errors
    /// When a row has another unit than this table believes.
    pub fn measured(&self, all: &All) -> anyhow::Result<Option<(f64, &'static str)>> {
        let Some(own) = all.find(&self.of)? else { return Ok(None) };
        Ok(match self.against {
            Against::Itself | Against::Checked => Some((own, self.of.unit)),
            Against::Ratio(to) => all.find(&to)?.filter(|other| *other > 0.0).map(|other| (own / other, "×")),
            Against::Beyond(what) => all.find(&what)?.map(|other| (own - other, self.of.unit)),
        })
    }

    fn holds(&self, value: f64) -> bool {
        matches!(self.against, Against::Checked) || value <= self.most
    }
}

impl Bar {
    /// What was measured, in words, and whether it is enough.
    ///
    /// # Errors
    /// As [`Limit::measured`].
    pub fn judge(&self, all: &All) -> anyhow::Result<(String, Verdict)> {
        let (mut words, mut missing, mut broken) = (Vec::new(), 0, false);
        for limit in self.limits {
            let Some((value, unit)) = limit.measured(all)? else {
                missing += 1;
                continue;
            };
            let holds = limit.holds(value);
            broken |= !holds;
            let shown = format!("{}{} {unit}", limit.of.figure.name(), figure(value));
            let shown = if holds { shown } else { format!("**{shown}**") };
            words.push(format!("{} {shown}", limit.label).trim().to_owned());
        }
        let verdict = match (broken, missing) {
            (true, _) => Verdict::NotMet,
            (false, 0) => Verdict::Met,
            (false, missing) if missing == self.limits.len() => Verdict::NotMeasured,
            (false, _) => Verdict::MetInPart,
        };
        Ok((words.join("; "), verdict))
    }
}
