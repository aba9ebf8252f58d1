//! What keeps figures from being right or complete, found in what the aggregator publishes: for `tt-alloc doctor`. Each finding says
//! what and where in plain words, and what to do next.

use crate::degraded;
use crate::source::{Connection, Observation};
use crate::table::chip_name;
use crate::units::{age, count, exact};
use crate::users::Users;
use shm_layout::event::Memory;
use shm_layout::names::DIRECTORY;
use shm_layout::stats::{Anomalies, Difference, Process, Reason, Refusal, incomplete};

/// Refused rings, and processes, that are told one by one.
const TOLD: usize = 12;
/// Events that wait so long for the aggregator are stuck, ns.
const STUCK_AFTER_NS: u64 = 2_000_000_000;
/// More events than this in all rings: the aggregator is behind.
const BEHIND: u64 = 100_000;
/// Of the places for processes, so many in ten taken are nearly all.
const NEARLY_TENTHS: u64 = 9;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Good,
    /// To be known.
    Note,
    /// Figures are not right or not complete.
    Bad,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, in a word or two.
    pub what: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What, and where.
    pub text: String,
    /// What to do about it; empty where there is nothing to do.
    pub next: String,
}

impl Finding {
    /// One with nothing to do about it.
    pub fn new(what: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { what, verdict, text: text.into(), next: String::new() }
    }

    /// The same with a next step.
    pub fn next(self, next: impl Into<String>) -> Self {
        Self { next: next.into(), ..self }
    }
}

/// Everything that the published figures tell.
pub fn findings(connection: &Connection, seen: &Observation, users: &Users) -> Vec<Finding> {
    let mut all = vec![aggregator(connection, seen, users), places(seen)];
    all.extend(refused(seen, users));
    all.extend(processes(seen));
    all.push(lag(seen));
    all.extend(hidden(seen));
    all.extend(differences(seen));
    all
}

fn aggregator(connection: &Connection, seen: &Observation, users: &Users) -> Finding {
    let what = "aggregator";
    let health = &seen.snapshot.health;
    let pid = seen.identity.pid;
    let up = seen.now_ns.saturating_sub(seen.identity.started_monotonic_ns);
    let who = format!("PID {pid} of user {}", user(seen.identity.uid, users));
    // Its own clock stood still when it did.
    let ran = health.monotonic_ns.saturating_sub(seen.identity.started_monotonic_ns).max(1);
    let beat = seen.now_ns.saturating_sub(seen.heartbeat_ns) / 1_000_000;
    match connection {
        Connection::Live => Finding::new(
            what,
            Verdict::Good,
            format!(
                "{who} runs for {}, last beat {beat} ms ago, {:.1} s of CPU ({:.1} %), {} events read",
                age(up),
                health.cpu_ns as f64 / 1e9,
                health.cpu_ns as f64 * 100.0 / ran as f64,
                count(health.events_total)
            ),
        ),
        Connection::Stale { gone: true, .. } => Finding::new(
            what,
            Verdict::Bad,
            format!("{who}: {connection}; what processes did since is in no figure"),
        )
        .next("start one with `aggregator &`: it continues these figures, and nothing is lost that fits the rings"),
        Connection::Stale { gone: false, .. } => {
            Finding::new(what, Verdict::Bad, format!("{who}: {connection}; it is stopped, or gets no processor")).next(
                format!(
                    "`kill -CONT {pid}` if it was stopped; else end it and start another, which continues these figures"
                ),
            )
        }
        Connection::Ended => Finding::new(what, Verdict::Note, format!("{who}: {connection}"))
            .next("start one with `aggregator &`: it continues these figures"),
        Connection::Unavailable(error) => Finding::new(what, Verdict::Note, error.to_string()),
    }
}

fn places(seen: &Observation) -> Finding {
    let health = &seen.snapshot.health;
    let (rings, places, limit) = (health.rings, health.places, health.open_files_limit);
    let text =
        format!("{} processes are tracked, {} can be (limit on open files {limit})", count(rings), count(places));
    if rings.saturating_mul(10) >= places.saturating_mul(NEARLY_TENTHS) && rings > 0 {
        Finding::new("places", Verdict::Note, format!("{text}: nearly all are taken"))
            .next("raise the limit for the aggregator (ulimit -n, LimitNOFILE= of its unit) and start it again")
    } else {
        Finding::new("places", Verdict::Good, text)
    }
}

fn user(uid: u32, users: &Users) -> String {
    users.name(uid).unwrap_or_else(|| uid.to_string())
}

fn refused(seen: &Observation, users: &Users) -> Vec<Finding> {
    let (what, health) = ("rings", &seen.snapshot.health);
    let refusals = &seen.snapshot.refusals;
    if health.refused_rings == 0 && refusals.is_empty() {
        let before = health.rejected_rings_total;
        let before = if before > 0 { format!("; {} were, so far", count(before)) } else { String::new() };
        return vec![Finding::new(what, Verdict::Good, format!("none is refused{before}"))];
    }
    let mut found: Vec<Finding> = refusals.iter().take(TOLD).map(|refusal| one_refused(refusal, seen, users)).collect();
    let more = health.refused_rings.max(refusals.len() as u64) - found.len() as u64;
    if more > 0 {
        let text = format!("{} more are refused", count(more));
        found.push(Finding::new(what, Verdict::Note, text).next(
            "`tt-alloc stats --json` lists the first 64; many from one user may be an attack on the list, not on the figures",
        ));
    }
    found
}

fn one_refused(refusal: &Refusal, seen: &Observation, users: &Users) -> Finding {
    let name = refusal.file().name(&seen.prefix);
    let since = age(seen.unix_ns.saturating_sub(refusal.since_unix_ns));
    let owner = user(refusal.owner, users);
    let text = format!("{DIRECTORY}/{} (of user {owner}, for {since})", degraded::refused(refusal, seen));
    let pid = refusal.pid;
    let (verdict, next) = match Reason::of(refusal.reason) {
        Reason::Permission => (Verdict::Bad, format!("user {owner} or root: `chmod u+rw {DIRECTORY}/{name}`")),
        Reason::NotRegular | Reason::Owner | Reason::Linked | Reason::NotARing | Reason::Impostor => (
            Verdict::Note,
            format!(
                "the tracking library makes no such file; ask user {owner} about it, then remove {DIRECTORY}/{name}"
            ),
        ),
        Reason::Size | Reason::Sparse | Reason::Geometry => (
            Verdict::Bad,
            format!("it is damaged or no ring: start process {pid} again if it is one of yours, then remove the file"),
        ),
        Reason::NotReady => (
            Verdict::Bad,
            format!(
                "process {pid} has begun and not ended making it: look whether it hangs; `tt-alloc gc` if it is dead"
            ),
        ),
        Reason::Compacting => (
            Verdict::Bad,
            format!("process {pid} stands still while it makes room: `kill -CONT {pid}` if it was stopped"),
        ),
        Reason::Version => (
            Verdict::Bad,
            format!(
                "start process {pid} again with the tracking library of this aggregator's release (`tt-alloc run`), or run \
                 the aggregator of its release"
            ),
        ),
        Reason::Busy => (Verdict::Bad, "stop the other aggregator; this one tries again every few seconds".to_owned()),
        Reason::NoRoom => (
            Verdict::Bad,
            "raise the limit on open files for the aggregator (ulimit -n, LimitNOFILE= of its unit) and start it again"
                .to_owned(),
        ),
        Reason::System => (
            Verdict::Bad,
            "the system lacks what is named here (descriptors, memory, locks); it is tried again every few seconds"
                .to_owned(),
        ),
        Reason::Shrunk => {
            (Verdict::Bad, format!("user {owner} or process {pid} cut it short: start that process again to track it"))
        }
        Reason::Other => {
            (Verdict::Bad, "use the doctor of the aggregator's release, which knows this reason".to_owned())
        }
    };
    Finding::new("ring refused", verdict, text).next(next)
}

/// The kinds of what could not be believed, in words, those that there are.
fn anomalies(a: &Anomalies) -> Vec<String> {
    [
        (a.free_unknown, "frees of what it never announced"),
        (a.double_free, "frees of what was freed before"),
        (a.invalid_record, "records with an impossible kind, memory or device"),
        (a.alloc_live, "allocations under an id that was live already"),
        (a.overflow, "sizes, devices or accounts beyond what fits"),
        (a.size_mismatch, "frees of another size than was allocated"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, words)| format!("{} {words}", count(number)))
    .collect()
}

/// What is wrong with one process; `None` if nothing is.
fn one_process(process: &Process) -> Option<Finding> {
    let mut parts = Vec::new();
    if let Some(why) = degraded::why_incomplete(process.incomplete) {
        parts.push(format!("details are incomplete ({}): {why}", incomplete::names(process.incomplete).join(", ")));
    }
    if process.dropped_events_total > 0 {
        parts.push(format!("{} records dropped so far, counted in its totals", count(process.dropped_events_total)));
    }
    if process.torn_events_total > 0 {
        parts.push(format!("{} records begun and never finished", count(process.torn_events_total)));
    }
    parts.extend(anomalies(&process.anomalies));
    let first = parts.first()?;
    let text =
        format!("{}: {}", degraded::who(process), parts[1..].iter().fold(first.clone(), |all, part| all + "; " + part));
    let lost = incomplete::NO_LEDGER | incomplete::LEDGER_FULL | incomplete::LEDGER_LOST;
    let next = if process.incomplete & lost != 0 {
        "make room in /dev/shm; the list is complete again when what is live now has been freed"
    } else if process.dropped_events_total > 0 {
        "give it a larger ring (TT_ALLOC_RING_MAX_BYTES), and keep an aggregator running beside it; complete again when what was \
         dropped has been freed"
    } else if process.incomplete != 0 {
        "figures are whole again when the process has been started again"
    } else if process.anomalies.sum() > 0 {
        "no total is wrong by this: frees of what is not in the ledger change nothing; report it with `tt-alloc stats --json` if \
         this process is stock ttnn"
    } else {
        ""
    };
    let verdict = if process.incomplete != 0 { Verdict::Bad } else { Verdict::Note };
    Some(Finding::new("process", verdict, text).next(next))
}

fn processes(seen: &Observation) -> Vec<Finding> {
    let snapshot = &seen.snapshot;
    let mut troubled: Vec<Finding> = snapshot.processes.iter().filter_map(one_process).collect();
    troubled.sort_by_key(|finding| finding.verdict != Verdict::Bad);
    let more = troubled.len().saturating_sub(TOLD);
    let more_bad = troubled.iter().skip(TOLD).any(|finding| finding.verdict == Verdict::Bad);
    troubled.truncate(TOLD);
    if more > 0 {
        let verdict = if more_bad { Verdict::Bad } else { Verdict::Note };
        let text = format!("{more} more have dropped, torn or unbelievable records");
        troubled.push(Finding::new("process", verdict, text).next("`tt-alloc stats --json` has them all"));
    }
    let kinds = degraded::incomplete_kinds(snapshot);
    if kinds > 0 && troubled.iter().all(|finding| finding.verdict != Verdict::Bad) {
        let text = format!("{kinds} memory kinds of chips miss single allocations; totals are exact");
        troubled.push(Finding::new("details", Verdict::Bad, text));
    }
    let health = &snapshot.health;
    let rest = |total: u64, of: fn(&Process) -> u64| {
        total.saturating_sub(snapshot.processes.iter().map(of).fold(0, u64::saturating_add))
    };
    let gone = [
        (rest(health.dropped_events_total, |p| p.dropped_events_total), "dropped"),
        (rest(health.torn_events_total, |p| p.torn_events_total), "torn"),
        (rest(health.anomalies.sum(), |p| p.anomalies.sum()), "not believed"),
    ];
    let gone: Vec<String> =
        gone.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n))).collect();
    if !gone.is_empty() {
        let text =
            format!("records of processes that are gone: {}; nothing of them is left in a total", gone.join(", "));
        troubled.push(Finding::new("processes", Verdict::Note, text));
    }
    if troubled.is_empty() {
        troubled.push(Finding::new(
            "records",
            Verdict::Good,
            "none dropped, torn or unbelievable; all details are complete",
        ));
    }
    troubled
}

/// Whether so much is not read yet that figures are noticeably behind.
pub const fn is_behind(seen: &Observation) -> bool {
    seen.snapshot.health.lag_events > BEHIND
}

fn lag(seen: &Observation) -> Finding {
    let snapshot = &seen.snapshot;
    let lag = snapshot.health.lag_events;
    let stuck = snapshot.processes.iter().filter(|process| {
        let last = process.last_event_unix_ns;
        process.lag_events > 0 && last != 0 && seen.unix_ns.saturating_sub(last) > STUCK_AFTER_NS
    });
    let worst = stuck.max_by_key(|process| process.lag_events);
    if let Some(process) = worst {
        let waited = age(seen.unix_ns.saturating_sub(process.last_event_unix_ns));
        let text = format!(
            "{}: {} events wait for {waited}: one of its threads stands still in the middle of a record",
            degraded::who(process),
            count(process.lag_events)
        );
        return Finding::new("lag", Verdict::Note, text)
            .next(format!("`kill -CONT {}` if it was stopped; its figures go on when that thread does", process.pid));
    }
    if is_behind(seen) {
        let text = format!("{} events are written and not read yet: figures are that much behind", count(lag));
        return Finding::new("lag", Verdict::Note, text)
            .next("if it stays so, give the aggregator a processor (nice, cpuset)");
    }
    Finding::new("lag", Verdict::Good, format!("{} events are not read yet", count(lag)))
}

fn hidden(seen: &Observation) -> Option<Finding> {
    let health = &seen.snapshot.health;
    (health.hidden_processes + health.hidden_rows > 0).then(|| {
        let text = format!(
            "{} processes and {} rows do not fit into a snapshot; what chips hold in all is complete",
            count(health.hidden_processes),
            count(health.hidden_rows)
        );
        Finding::new("rows", Verdict::Bad, text).next("track fewer processes at once, or by another TT_ALLOC_PREFIX")
    })
}

/// Where tt-metal's own counters tell something else, and which of them are not read.
fn differences(seen: &Observation) -> Vec<Finding> {
    let (snapshot, health) = (&seen.snapshot, &seen.snapshot.health);
    let one = |d: &Difference| {
        let who = snapshot.processes.iter().find(|process| process.pid == d.pid);
        let who = who.map_or_else(|| format!("PID {}", d.pid), degraded::who);
        let chip = snapshot.chips.get(d.chip as usize).map_or_else(String::new, chip_name);
        let memory = u8::try_from(d.memory).ok().and_then(Memory::from_u8).map_or("?", Memory::name);
        let text = format!(
            "{who}: tt-metal's own counters say {} bytes of {memory} on {chip}, its records {}, for {}",
            exact(d.told_bytes),
            exact(d.tracked_bytes),
            age(seen.unix_ns.saturating_sub(d.since_unix_ns))
        );
        Finding::new("second source", Verdict::Note, text).next(
            "these counters are known to drift (updates lost between processes, replicated buffers); what `ttnn.get_memory_view` \
             says decides",
        )
    };
    let mut found: Vec<Finding> = snapshot.differences.iter().take(TOLD).map(one).collect();
    let more = health.differences.saturating_sub(found.len() as u64);
    if more > 0 {
        let text = format!("{} more figures of tt-metal's own counters differ", count(more));
        found.push(
            Finding::new("second source", Verdict::Note, text).next("`tt-alloc stats --json` lists the first 64"),
        );
    }
    if health.unread_counters > 0 {
        let text = format!(
            "{} of tt-metal's own counters ({DIRECTORY}/tt_device_*_memory) are not read: of another user or version",
            count(health.unread_counters)
        );
        found.push(Finding::new("second source", Verdict::Note, text).next(
            "an aggregator of root reads those of every user; processes that are not tracked are missing without them",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn found(seen: &Observation) -> Vec<Finding> {
        findings(&Connection::Live, seen, &Users::default())
    }

    #[test]
    fn a_sound_host_has_nothing_bad() {
        let mut seen = sample::observation(2);
        (seen.snapshot.health.places, seen.snapshot.health.open_files_limit) = (300, 1024);
        for finding in found(&seen) {
            assert!(finding.verdict == Verdict::Good && finding.next.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn every_reason_has_a_next_step() {
        for reason in Reason::ALL {
            let mut seen = sample::observation(1);
            seen.snapshot.health.places = 300;
            let mut refusal: Refusal = bytemuck::Zeroable::zeroed();
            (refusal.reason, refusal.pid) = (reason as u32, 4242);
            refusal.text[..6].copy_from_slice(b"\x1b[2Jab");
            seen.snapshot.refusals = vec![refusal];
            let bad: Vec<_> = found(&seen).into_iter().filter(|finding| finding.verdict != Verdict::Good).collect();
            assert_eq!(bad.len(), 1, "{reason:?}: {bad:?}");
            assert!(bad[0].text.contains(".ring.0.4242.") && bad[0].text.contains("?[2Jab") && !bad[0].next.is_empty());
        }
    }

    #[test]
    fn each_process_is_told_with_what_it_means() {
        let mut seen = sample::observation(1);
        let health = &mut seen.snapshot.health;
        (health.places, health.dropped_events_total, health.hidden_rows) = (300, 100, 1);
        let [first, second, third] = &mut seen.snapshot.processes[..] else { panic!("three") };
        (first.incomplete, first.dropped_events_total) = (incomplete::DROPPED, 60);
        second.anomalies.double_free = 2;
        (third.lag_events, third.last_event_unix_ns) = (3, sample::UNIX_NS - 9_000_000_000);
        let all = found(&seen);
        let has = |verdict: Verdict, words: &str| {
            let mut of = all.iter().filter(|finding| finding.verdict == verdict);
            assert!(of.any(|finding| finding.text.contains(words)), "{words}: {all:#?}");
        };
        has(Verdict::Bad, "PID 41207 (python3): details are incomplete (dropped): its ring was full");
        has(Verdict::Note, "PID 41893 (vllm): 2 frees of what was freed before");
        has(Verdict::Note, "processes that are gone: 40 dropped");
        has(Verdict::Note, "PID 52011 (ttnn_bench): 3 events wait for 9s");
        has(Verdict::Bad, "0 processes and 1 rows do not fit");
    }

    #[test]
    fn what_tt_metal_counts_differently_is_a_note() {
        let mut seen = sample::observation(1);
        seen.snapshot.health.places = 300;
        (seen.snapshot.health.differences, seen.snapshot.health.unread_counters) = (3, 2);
        seen.snapshot.differences = vec![Difference {
            pid: 41_207,
            memory: Memory::L1 as u32,
            tracked_bytes: 16_384,
            told_bytes: 8192,
            since_unix_ns: sample::UNIX_NS - 7_000_000_000,
            ..Difference::default()
        }];
        let notes: Vec<_> = found(&seen).into_iter().filter(|finding| finding.verdict != Verdict::Good).collect();
        assert!(notes.iter().all(|note| note.verdict == Verdict::Note && !note.next.is_empty()), "{notes:#?}");
        let texts: Vec<&str> = notes.iter().map(|note| note.text.as_str()).collect();
        assert!(
            texts[0].starts_with("PID 41207 (python3): tt-metal's own counters say 8,192 bytes of L1"),
            "{texts:?}"
        );
        assert!(texts[0].contains("its records 16,384, for 7s"), "{texts:?}");
        assert!(texts[1].starts_with("2 more figures") && texts[2].starts_with("2 of tt-metal's own"), "{texts:?}");
        assert!(degraded::reasons(&Connection::Live, &seen).is_empty(), "what others count is no reason to doubt ours");
    }

    #[test]
    fn an_aggregator_that_stands_still_is_bad() {
        let seen = sample::observation(1);
        for (gone, next) in [(true, "aggregator &"), (false, "kill -CONT 1201")] {
            let stale = Connection::Stale { age_ns: 3_000_000_000, gone };
            let finding = &findings(&stale, &seen, &Users::default())[0];
            assert!(finding.verdict == Verdict::Bad && finding.next.contains(next), "{finding:?}");
        }
    }
}
