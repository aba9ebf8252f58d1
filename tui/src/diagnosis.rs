//! What keeps figures from being right or complete, found in what the aggregator publishes: for `tt-alloc doctor`. Each finding says
//! what and where in plain words, and what to do next.
//!
//! | module | what it finds |
//! |---|---|
//! | `refusals` | rings that are not read |
//! | `processes` | processes whose records were dropped, torn or not believed |

mod processes;
mod refusals;

use crate::degraded;
use crate::source::{Connection, Observation};
use crate::table::chip_name;
use crate::units::{age, count, exact};
use crate::users::Users;
use shm_layout::event::Memory;
use shm_layout::names::DIRECTORY;
use shm_layout::stats::Difference;

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
    all.extend(refusals::findings(seen, users));
    all.extend(processes::findings(seen));
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
    (health.hidden_processes > 0 || health.hidden_rows > 0).then(|| {
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
    use shm_layout::stats::{Reason, Refusal, incomplete};

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
