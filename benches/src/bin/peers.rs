//! Ours and its peers in one run: what one event costs.
//!
//!     cargo build --release && cargo run --release -p benches --bin peers -- [--quick] [--json FILE] [--only WORD]
//!
//! Every subject goes through every measure once a repetition, in an order that is shuffled each time, pinned to two processors;
//! near or far is asked before and after each repetition, and a repetition during which the processors moved is left out. How
//! each measure is taken: the modules of `benches::peers`.

use anyhow::Context;
use benches::machine::{Distance, distance, processors};
use benches::peers::across::{self, Subject};
use benches::peers::bare::{self, Claiming, Plain};
use benches::peers::queues::{self, Crossbeam, Locked};
use benches::peers::rounds::{self, Plan};
use benches::peers::{SLOTS, crowd, foreign, ours, socket, whole};
use benches::report::{Report, figure};
use benches::sample::Sample;
use clap::Parser;
use producer::environment::Clock;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
#[command(about = "Ours and its peers in one run: what one event costs")]
struct Args {
    /// Fewer and shorter repetitions
    #[arg(long)]
    quick: bool,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only measures whose name has this word
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
}

/// A subject: its name, and how to put it through one measure. ns, one or many.
type Run = fn(Plan, Measure) -> anyhow::Result<Vec<f64>>;
const SUBJECTS: [(&str, Run); 7] = [
    ("tt-alloc", |plan, measure| through_ours(plan, measure, Clock::Shared, true)),
    ("tt-alloc, exact clock", |plan, measure| through_ours(plan, measure, Clock::Exact, true)),
    ("bare ring", |plan, measure| {
        let slots = bare::heap();
        Ok(measure.take(plan, &mut Plain::new(slots.clone()), &mut bare::Reader::new(slots)))
    }),
    ("bare ring, compare-and-swap", |plan, measure| {
        let slots = bare::heap();
        Ok(measure.take(plan, &mut Claiming::new(slots.clone()), &mut bare::Reader::new(slots)))
    }),
    ("rtrb", |plan, measure| {
        let (mut push, mut drain) = queues::rtrb();
        Ok(measure.take(plan, &mut push, &mut drain))
    }),
    ("crossbeam ArrayQueue", |plan, measure| {
        let queue = Crossbeam::new(SLOTS);
        Ok(measure.take(plan, &mut queue.clone(), &mut queue.clone()))
    }),
    ("mutex queue", |plan, measure| {
        let queue = Locked::new(SLOTS);
        Ok(measure.take(plan, &mut queue.clone(), &mut queue.clone()))
    }),
];

fn through_ours(plan: Plan, measure: Measure, clock: Clock, attached: bool) -> anyhow::Result<Vec<f64>> {
    let ring = ours::ring(clock)?;
    let mut reader = ours::Reader::open(ring.name(), attached)?;
    let taken = measure.take(plan, &mut ring.writer(), &mut reader);
    anyhow::ensure!(ring.dropped() == 0, "{} events were dropped", ring.dropped());
    ring.close();
    Ok(taken)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Warm,
    Returned,
    Single,
    OneWay,
}

impl Measure {
    const ALL: [Self; 4] = [Self::Warm, Self::Returned, Self::Single, Self::OneWay];

    const fn name(self) -> &'static str {
        match self {
            Self::Warm => "push, warm",
            Self::Returned => "push, returned",
            Self::Single => "push, single events",
            Self::OneWay => "one way, push to reader",
        }
    }

    fn take(
        self,
        plan: Plan,
        push: &mut impl benches::peers::Push,
        drain: &mut impl benches::peers::Drain,
    ) -> Vec<f64> {
        match self {
            Self::Warm => vec![rounds::warm(plan, push, drain)],
            Self::Returned => vec![rounds::returned(plan, push, drain)],
            Self::Single => rounds::single(plan, push, drain),
            Self::OneWay => rounds::one_way(plan, push, drain),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [child, what, rest @ ..] = &words[..]
        && child == "child"
    {
        return match what.as_str() {
            "push" => across::child(rest),
            "whole" => whole::child(rest),
            _ => foreign::child(rest),
        };
    }
    let args = Args::parse();
    let cores = processors();
    let (here, there) = (cores[0], *cores.last().unwrap_or(&cores[0]));
    let plan = Plan::new(here, there, args.quick);
    let mut report = Report::new("peers");
    let wanted = |name: &str| args.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
    if here == there {
        report.missing.push("everything with two processors: there is one".into());
    } else {
        measure_pushes(&mut report, plan, args.quick, &wanted)?;
        measure_across(&mut report, plan, args.quick, &wanted)?;
        measure_crowds(&mut report, args.quick, &wanted)?;
    }
    measure_whole(&mut report, plan, args.quick, &wanted)?;
    measure_foreign(&mut report, plan, &wanted)?;
    print!("{report}");
    print_ratios(&report);
    args.json.map_or(Ok(()), |path| report.write(&path)).context("write the JSON")
}

/// Samples by row, in the order in which rows came, near and far apart.
#[derive(Default)]
struct Samples(Vec<(String, String, Distance, Sample)>);

impl Samples {
    fn add(&mut self, measure: &str, subject: &str, distance: Distance, values: Vec<f64>) {
        let same = |row: &&mut (String, String, Distance, Sample)| {
            (row.0.as_str(), row.1.as_str(), row.2) == (measure, subject, distance)
        };
        match self.0.iter_mut().find(same) {
            Some(row) => row.3.extend(values),
            None => self.0.push((measure.to_owned(), subject.to_owned(), distance, values.into_iter().collect())),
        }
    }

    fn tell(self, report: &mut Report, unit: &str) {
        let mut rows = self.0;
        // By measure and distance; subjects keep the order of their first repetition's list.
        let rank = |subject: &str| SUBJECTS.iter().position(|(name, _)| *name == subject).unwrap_or(usize::MAX);
        rows.sort_by_key(|row| (row.0.clone(), row.2.name(), rank(&row.1)));
        for (measure, subject, distance, mut sample) in rows {
            report.add(&measure, &subject, Some(distance), unit, &mut sample);
        }
    }
}

/// A small shuffle: another order each repetition, the same in each run.
fn order(len: usize, repetition: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(repetition as u64 + 1);
    for at in (1..len).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(at, (state >> 33) as usize % (at + 1));
    }
    order
}

fn measure_pushes(report: &mut Report, plan: Plan, quick: bool, wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<()> {
    let (mut samples, mut moved) = (Samples::default(), 0);
    for repetition in 0..if quick { 3 } else { 15 } {
        for measure in Measure::ALL.into_iter().filter(|measure| wanted(measure.name())) {
            // Quantiles of single events need no fifteen times twenty thousand of them.
            if repetition >= 3 && matches!(measure, Measure::Single | Measure::OneWay) {
                continue;
            }
            let before = distance(plan.here, plan.there);
            let mut taken = Vec::new();
            for at in order(SUBJECTS.len(), repetition) {
                let (name, run) = SUBJECTS[at];
                taken.push((name, run(plan, measure)?));
            }
            if measure == Measure::Warm || measure == Measure::Single {
                taken.push(("tt-alloc, nobody attached", through_ours(plan, measure, Clock::Shared, false)?));
            }
            if distance(plan.here, plan.there) == before {
                taken.into_iter().for_each(|(name, ns)| samples.add(measure.name(), name, before, ns));
            } else {
                moved += 1;
            }
        }
    }
    samples.tell(report, "ns/event");
    if moved > 0 {
        report.missing.push(format!("{moved} repetitions during which the processors moved"));
    }
    Ok(())
}

fn measure_across(report: &mut Report, plan: Plan, quick: bool, wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<()> {
    if !wanted("process to process") {
        return Ok(());
    }
    let events = if quick { 500_000 } else { 4_000_000 };
    let subjects =
        [("tt-alloc", Subject::Ours), ("tt-alloc, exact clock", Subject::Exact), ("bare ring", Subject::Bare)];
    let paces = [("reader without pause", None), ("reader every 100 µs", Some(Duration::from_micros(100)))];
    let (mut costs, mut full, mut batches) = (Samples::default(), Samples::default(), Samples::default());
    for repetition in 0..if quick { 2 } else { 9 } {
        for (pace, pause) in paces {
            let before = distance(plan.here, plan.there);
            let mut runs = Vec::new();
            for at in order(subjects.len(), repetition) {
                let (name, subject) = subjects[at];
                runs.push((name, across::run(subject, events, plan.here, plan.there, pause)?));
            }
            if distance(plan.here, plan.there) == before {
                for (name, run) in runs {
                    costs.add(&format!("process to process, {pace}"), name, before, vec![run.ns_per_event]);
                    full.add(&format!("looks at a full ring, {pace}"), name, before, vec![run.full_share * 100.0]);
                    batches.add(&format!("batch, {pace}"), name, before, vec![run.batch]);
                }
            }
        }
    }
    costs.tell(report, "ns/event");
    full.tell(report, "%");
    batches.tell(report, "events");
    Ok(())
}

fn measure_crowds(report: &mut Report, quick: bool, wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<()> {
    let total: u64 = if quick { 1 << 18 } else { 1 << 20 };
    // Room for all of them: what is measured is how threads share a ring, not how far a reader is behind.
    let slots = total as usize;
    let failed = |what: String| anyhow::Error::msg(what).context("threads of one process");
    for threads in [2_usize, 4, 16] {
        let measure = format!("threads: {threads}");
        if !wanted(&measure) {
            continue;
        }
        let each = total / threads as u64;
        let (mut own, mut worst) = (Sample::default(), Sample::default());
        let (mut crossbeam, mut locked) = (Sample::default(), Sample::default());
        for _ in 0..if quick { 2 } else { 7 } {
            let ring = ours::make(slots, Clock::Shared)?;
            let reader = ours::Reader::open(ring.name(), true)?;
            let pushers: Vec<_> = (0..threads).map(|_| ring.writer()).collect();
            let run = crowd::run(pushers, reader, each).map_err(failed)?;
            ring.close();
            own.push(run.ns_per_event);
            worst.push(run.worst_ns / 1e6);
            let queue = Crossbeam::new(slots);
            let run = crowd::run(vec![queue.clone(); threads], queue, each).map_err(failed)?;
            crossbeam.push(run.ns_per_event);
            let queue = Locked::new(slots);
            let run = crowd::run(vec![queue.clone(); threads], queue, each).map_err(failed)?;
            locked.push(run.ns_per_event);
        }
        report.add(&measure, "tt-alloc", None, "ns/event", &mut own);
        report.add(&measure, "crossbeam ArrayQueue", None, "ns/event", &mut crossbeam);
        report.add(&measure, "mutex queue", None, "ns/event", &mut locked);
        report.add(&format!("{measure}, longest 64 pushes of a thread"), "tt-alloc", None, "ms", &mut worst);
    }
    Ok(())
}

fn measure_whole(report: &mut Report, plan: Plan, quick: bool, wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<()> {
    if wanted("disabled") {
        let (mut nothing, mut record) = whole::measure_disabled(plan)?;
        report.add("disabled", "an empty call", None, "ns/event", &mut nothing);
        report.add("disabled", "tt-alloc", None, "ns/event", &mut record);
    }
    if wanted("whole path") {
        report.add("whole path, warm", "tt-alloc", None, "ns/event", &mut whole::measure_enabled(plan, true)?);
        let mut alone = whole::measure_enabled(plan, false)?;
        report.add("whole path, warm", "tt-alloc, nobody attached", None, "ns/event", &mut alone);
    }
    if wanted("first event") {
        for others in [0, 1000] {
            let (mut first, mut second) = whole::measure_first(plan, if quick { 5 } else { 40 }, others)?;
            let measure = format!("first event of a process, {others} other rings");
            report.add(&measure, "first", None, "µs", &mut first);
            report.add(&measure, "second", None, "µs", &mut second);
        }
    }
    Ok(())
}

fn measure_foreign(report: &mut Report, plan: Plan, wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<()> {
    if wanted("socket") {
        let mut sends = socket::measure(plan).context("the socket")?;
        let of = |ns: &mut Vec<f64>| ns.drain(..).collect::<Sample>();
        report.add("original's socket send", "saturated", None, "ns/event", &mut of(&mut sends.saturated));
        report.add("original's socket send", "paced, the server asleep", None, "ns/event", &mut of(&mut sends.paced));
    }
    if wanted("tt-metal") {
        match foreign::measure_tt_metal(plan) {
            Ok(mut sample) => {
                report.add("other libraries, warm", "tt-metal record_allocation", None, "ns/event", &mut sample)
            }
            Err(error) => report.missing.push(format!("tt-metal's record_allocation: {error:#}")),
        }
    }
    if wanted("LTTng") {
        match foreign::measure_lttng(plan) {
            Ok(mut sample) => report.add("other libraries, warm", "LTTng-UST", None, "ns/event", &mut sample),
            Err(error) => report.missing.push(format!("LTTng-UST: {error:#}")),
        }
    }
    Ok(())
}

/// What the bars of docs/performance.md are about, in this run.
fn print_ratios(report: &Report) {
    println!("\nratios of medians in this run");
    let ratio = |what: &str, ours: Option<f64>, theirs: Option<f64>| {
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            println!("  {what:<64} {:>8} / {:>8} = {:.4}", figure(ours), figure(theirs), ours / theirs);
        }
    };
    let warm = report.median("whole path, warm", "tt-alloc", None);
    for distance in [Distance::Near, Distance::Far] {
        let at = Some(distance);
        let (returned, across) = ("push, returned", "process to process, reader every 100 µs");
        let own = report.median(returned, "tt-alloc", at);
        ratio(&format!("returned, {}: tt-alloc to rtrb", distance.name()), own, report.median(returned, "rtrb", at));
        ratio(
            &format!("returned, {}: tt-alloc to the bare ring", distance.name()),
            own,
            report.median(returned, "bare ring", at),
        );
        for subject in ["tt-alloc", "tt-alloc, exact clock"] {
            let own = report.median(across, subject, at);
            ratio(
                &format!("{across}, {}: {subject} to bare", distance.name()),
                own,
                report.median(across, "bare ring", at),
            );
        }
    }
    let metal = report.median("other libraries, warm", "tt-metal record_allocation", None);
    ratio("whole path, warm: tt-alloc to tt-metal's record_allocation", warm, metal);
    ratio(
        "whole path, warm: tt-alloc to the original's send, saturated",
        warm,
        report.median("original's socket send", "saturated", None),
    );
    let disabled = report.median("disabled", "tt-alloc", None);
    ratio("disabled: to an empty call", disabled, report.median("disabled", "an empty call", None));
}
