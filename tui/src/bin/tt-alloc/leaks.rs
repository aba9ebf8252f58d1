//! `tt-alloc leaks`: who leaks, with the evidence.

use crate::buffers::memory;
use clap::Args;
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tui::amounts::{self, ns};
use tui::buffers::Query;
use tui::buffers::filter::Filter;
use tui::clock::{self, Zone};
use tui::exit::Exit;
use tui::leaks::growth::{LEAST_LOOKS, Watch};
use tui::leaks::outlived::{Now, baselines, moment};
use tui::leaks::report::{Looked, Report};
use tui::leaks::{Look, closed, departures};
use tui::ledger::{self, Ledger, LedgerError};
use tui::output;
use tui::selection::{Device, Selection};
use tui::source::{Connection, Feed, Source, trusted_owners};
use tui::unseen::unseen;
use tui::users::{self, Users};

/// Tell who leaks, with the evidence
///
/// What has come since a mark and stayed (`tt-alloc baseline set`, or --since), what grows while it is watched (--watch), what is held on closed
/// devices, what processes left that have ended. What is kept on purpose (program cache, traces, system memory) is told apart, and is no suspect.
///
/// Exit codes: 0 whatever is found; with --fail 1 if there are suspects; with --strict 4 if there are none but not everything
/// could be looked at. A failure to look at all is 1 as well, a missing aggregator 3.
#[derive(Debug, Args)]
pub struct Leaks {
    /// What came since this moment: 17:30, 2026-11-21 17:30, or so long ago: 90s, 10m, 1h30m (without it: since the baselines)
    #[arg(long, value_name = "TIME|DURATION", value_parser = Since::parse)]
    since: Option<Since>,
    /// What is younger may be work in progress (without it: a tenth of the time since the mark)
    #[arg(long, value_name = "DURATION", value_parser = amounts::duration)]
    grace: Option<Duration>,
    /// Look so often, at least three times, and tell what grew at every look
    #[arg(short, long, value_name = "LOOKS", value_parser = clap::value_parser!(u32).range(LEAST_LOOKS as i64..))]
    watch: Option<u32>,
    /// From one look to the next
    #[arg(long, value_name = "DURATION", value_parser = amounts::duration, default_value = "2s", requires = "watch")]
    every: Duration,
    /// Only of this process
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Only of processes of this user: a name or a uid
    #[arg(long, value_name = "USER", value_parser = users::uid)]
    user: Option<u32>,
    /// Only on this device: the process's logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    devices: Vec<Device>,
    /// Only of this memory kind; may be repeated
    #[arg(short, long = "memory", value_name = "KIND", value_parser = memory)]
    memories: Vec<Memory>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Exit code 1 if there are suspects
    #[arg(long)]
    fail: bool,
    /// Exit code 4 if there are none, but not everything could be looked at
    #[arg(long)]
    strict: bool,
}

/// A mark that somebody names.
#[derive(Clone, Copy, Debug)]
enum Since {
    /// Unix time, ns.
    At(u64),
    Ago(Duration),
}

impl Since {
    fn parse(text: &str) -> Result<Self, String> {
        let now = clock::unix_ns();
        match clock::moment(text, &Zone::system(), now) {
            Some(moment) if moment <= now => Ok(Self::At(moment)),
            Some(_) => Err("that is still to come".to_owned()),
            None => amounts::duration(text)
                .map(Self::Ago)
                .map_err(|why| format!("{why}; or a moment: 17:30, 17:30:05, 2026-11-21 17:30")),
        }
    }
}

/// All that there is to read at one moment.
struct Sight {
    feed: Feed,
    ledgers: Vec<Ledger>,
    refused: Vec<LedgerError>,
}

impl Sight {
    fn take(prefix: &Prefix, source: &mut Source) -> Self {
        let feed = source.poll();
        let (ledgers, refused) = ledger::ledgers(prefix, &trusted_owners());
        Self { feed, ledgers, refused }
    }
}

impl Leaks {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let prefix = Prefix::from_environment()?;
        let mut source = Source::new(&prefix);
        let mut sight = Sight::take(&prefix, &mut source);
        if let Connection::Unavailable(error) = &sight.feed.connection
            && sight.ledgers.is_empty()
        {
            output::complain(format_args!("tt-alloc: {error}"));
            return Ok(if error.is_absence() { Exit::Nothing } else { Exit::Failure }.into());
        }
        let query = Query {
            pid: self.pid,
            devices: Selection(self.devices),
            memories: self.memories,
            filter: Filter { uid: self.user, ..Filter::default() },
            ..Query::default()
        };
        let mut watch = Watch::default();
        let mut last = Look::take(&sight.ledgers, &query, clock::monotonic_ns());
        watch.see(&last);
        let (begin, looks) = (last.at_ns, self.watch.unwrap_or(1));
        let mut next = Instant::now();
        for _ in 1..looks {
            // By a timetable: what a look takes is not added up.
            next += self.every;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            sight = Sight::take(&prefix, &mut source);
            last = Look::take(&sight.ledgers, &query, clock::monotonic_ns());
            watch.see(&last);
        }

        let (monotonic_ns, unix_ns) = (last.at_ns, clock::unix_ns());
        let now = Now { monotonic_ns, unix_ns, zone: Zone::system(), grace_ns: self.grace.map(ns) };
        let mut findings = watch.findings(&last);
        let mut not_looked_for = Vec::new();
        let compared = baselines::compare(&last, &query, &now);
        // Since before this host was there: since it is.
        let mark = self.since.map(|since| match since {
            Since::At(moment) => now.monotonic(moment),
            Since::Ago(ago) => monotonic_ns.saturating_sub(ns(ago)),
        });
        let mut undecided = Vec::new();
        if let Some(mark) = mark {
            findings.extend(moment::findings(&last, mark, &now));
        } else {
            not_looked_for.extend(compared.not_looked_for());
            findings.extend(compared.findings);
            undecided = compared.undecided;
        }
        if self.watch.is_none() {
            not_looked_for.push("what grows: --watch 5 looks five times".to_owned());
        }
        findings.extend(closed::findings(&last));
        // The lines tell neither device nor memory kind nor user.
        let lines_tell = query.devices.0.is_empty() && query.memories.is_empty() && self.user.is_none();
        if let Some(seen) = sight.feed.seen.as_ref().filter(|_| lines_tell) {
            findings.extend(departures::findings(&seen.snapshot.lines, self.pid, &now.zone));
        }
        let seconds = monotonic_ns.saturating_sub(begin) as f64 / 1e9;
        let looked = Looked::at(&last, looks as usize, seconds, compared.accounts);
        let mut not_known = unseen(&sight.feed, &sight.ledgers, &sight.refused, &query, &Users::default());
        not_known.extend(undecided);
        let report = Report::new(looked, findings, not_looked_for, not_known);
        output::print(&if self.json { report.json()? } else { report.text() })?;
        Ok(if self.fail && report.has_suspects() {
            Exit::Failure
        } else if self.strict && !report.has_suspects() && !report.is_complete() {
            Exit::Degraded
        } else {
            Exit::Ok
        }
        .into())
    }
}
