//! The run: storms, a check after each, and from time to time a long life of one aggregator.

use crate::Arguments;
use crate::cast::Cast;
use crate::figures::{self, Seen};
use crate::producer;
use crate::ratchet::Ratchet;
use crate::storm::Ground;
use crate::tally::Tally;
use crate::verdict::{self, Verdict};
use crate::victim::{Resources, Victim};
use anyhow::Context;
use fastrand::Rng;
use shm_layout::leftover;
use shm_layout::names::{DIRECTORY, Prefix};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A long life of one aggregator begins this often, and lasts for a share of it.
const PERIOD: Duration = Duration::from_secs(300);
const LIFE_SHARE: f64 = 0.2;
/// Of a long life, so much is warming up: its memory is compared from then on.
const WARM_SHARE: f64 = 0.5;
/// What the resident memory of an aggregator may grow by between two moments at which it tracks nobody.
const MOST_GROWTH_KIB: i64 = 8192;
/// A ring may be young and unfinished for so long.
const UNFINISHED: Duration = Duration::from_secs(3);
/// Between two lines that say how it goes.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Looks at an aggregator's resources.
const LOOKS: u32 = 50;
/// Between two looks at the figures.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Runs for as long as asked, and says how it was.
///
/// # Errors
/// The first thing that was wrong.
pub fn run(arguments: &Arguments, seed: u64, prefix: &Prefix) -> anyhow::Result<()> {
    anyhow::ensure!(files(prefix).is_empty(), "{DIRECTORY} has files of the prefix {prefix} already");
    // Orphans of killed producers become ours.
    nix::sys::prctl::set_child_subreaper(true)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let ground = Ground {
        rng: Rng::with_seed(seed),
        prefix: prefix.clone(),
        cast: Cast::new(prefix)?,
        victim: Victim::new(prefix, arguments.built_in)?,
        tally: Tally { seed, ..Tally::default() },
        ratchet: Ratchet::default(),
        patience: Duration::try_from_secs_f64(arguments.patience)?,
        arguments: arguments.clone(),
    };
    let mut run = Run { ground, begin: Instant::now(), told: Instant::now(), drops: HashMap::new(), stop };
    let outcome = run.all(Duration::try_from_secs_f64(arguments.seconds)?);
    run.ground.tally.seconds = run.begin.elapsed().as_secs_f64();
    println!("torture: {}", run.ground.tally);
    if let Some(path) = &arguments.report {
        std::fs::write(path, serde_json::to_string_pretty(&run.ground.tally)? + "\n")?;
    }
    let round = run.ground.tally.rounds;
    drop(run);
    if outcome.is_err() {
        // What is left is not what is to be looked at.
        for name in files(prefix) {
            let _removed = std::fs::remove_file(format!("{DIRECTORY}/{name}"));
        }
    }
    outcome.with_context(|| format!("round {round}"))
}

/// Files of this prefix.
fn files(prefix: &Prefix) -> Vec<String> {
    let dot = format!("{prefix}.");
    let entries = std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|n| n.starts_with(&dot)).collect()
}

struct Run {
    ground: Ground,
    begin: Instant,
    told: Instant,
    /// By the nonce of a process.
    drops: HashMap<u64, u64>,
    stop: Arc<AtomicBool>,
}

impl Run {
    fn all(&mut self, length: Duration) -> anyhow::Result<()> {
        let end = self.begin + length;
        let period = length.min(PERIOD);
        while Instant::now() < end && !self.stopped() {
            let begin = Instant::now();
            let life_at = (begin + period.mul_f64(1.0 - LIFE_SHARE)).min(end);
            while Instant::now() < life_at && !self.stopped() {
                self.round(false)?;
            }
            let life_end = (begin + period).min(end);
            if Instant::now() < life_end && !self.stopped() {
                self.long_life(life_end)?;
            }
        }
        self.leave_nothing()
    }

    // Relaxed: a flag that nothing is read through.
    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    fn round(&mut self, gently: bool) -> anyhow::Result<()> {
        self.ground.tally.rounds += 1;
        let length = Duration::from_millis(self.ground.rng.u64(30..500));
        self.ground.storm(length, gently)?;
        self.check()?;
        if self.told.elapsed() > TELL_EVERY {
            self.told = Instant::now();
            self.ground.tally.seconds = self.begin.elapsed().as_secs_f64();
            println!("torture: {}", self.ground.tally);
        }
        Ok(())
    }

    /// Everybody is quiet, and the figures agree with the truth within the time that they have.
    fn check(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let deadline = begin + self.ground.patience;
        self.ground.cast.quiet(deadline, &mut self.ground.tally)?;
        self.ground.victim.start()?;
        let asked = Instant::now();
        let deadline = asked + self.ground.patience;
        loop {
            // Somebody's orphan may come only now.
            self.ground.cast.hear(LOOK_EVERY, &mut self.ground.tally)?;
            self.ground.victim.must_live()?;
            let (seen, verdict) = self.look()?;
            if let (Some(verdict), true) = (&verdict, asked.elapsed() > LOOK_EVERY * 4)
                && verdict.wrong.is_empty()
            {
                let waited = asked.elapsed().as_secs_f64();
                let tally = &mut self.ground.tally;
                tally.longest_wait_seconds = tally.longest_wait_seconds.max(waited);
                break;
            }
            if Instant::now() > deadline {
                return Err(self.failure(seen.as_ref(), verdict));
            }
        }
        // What agrees once agrees on: nothing is on its way any more.
        self.ground.cast.hear(LOOK_EVERY, &mut self.ground.tally)?;
        let (seen, verdict) = self.look()?;
        match verdict {
            Some(verdict) if verdict.wrong.is_empty() => {
                self.count(&verdict);
                Ok(())
            }
            verdict => Err(self.failure(seen.as_ref(), verdict).context("it agreed, and does not any more")),
        }
    }

    fn look(&mut self) -> anyhow::Result<(Option<Seen>, Option<Verdict>)> {
        let Ground { prefix, cast, victim, ratchet, arguments, .. } = &mut self.ground;
        let Some(seen) = figures::look(prefix) else { return Ok((None, None)) };
        if Some(seen.identity.pid) != victim.pid() {
            return Ok((Some(seen), None));
        }
        ratchet.check(&seen)?;
        let mut verdict = verdict::compare(&seen, &cast.members, arguments.strict);
        if verdict.wrong.is_empty() {
            verdict.ledgers(&seen, &cast.members, prefix);
        }
        Ok((Some(seen), Some(verdict)))
    }

    fn count(&mut self, verdict: &Verdict) {
        let tally = &mut self.ground.tally;
        tally.quiet_checks += 1;
        tally.rows += verdict.rows;
        tally.incomplete_rows += verdict.incomplete;
        tally.excused += verdict.excused.len() as u64;
        tally.excused_and_wrong += verdict.excused_and_wrong.len() as u64;
        tally.listed += verdict.listed;
        for (nonce, drops) in &verdict.drops {
            let before = self.drops.insert(*nonce, *drops).unwrap_or(0);
            tally.drops += drops.saturating_sub(before);
        }
        self.drops.retain(|nonce, _| verdict.drops.contains_key(nonce));
    }

    /// The tables, and what is wrong.
    fn failure(&mut self, seen: Option<&Seen>, verdict: Option<Verdict>) -> anyhow::Error {
        let Ground { cast, tally, prefix, .. } = &mut self.ground;
        cast.members.iter_mut().for_each(|member| member.tell(producer::LIST));
        let deadline = Instant::now() + Duration::from_secs(5);
        while cast.members.iter().any(|member| member.blocks.is_none()) && Instant::now() < deadline {
            if cast.hear(Duration::from_millis(5), tally).is_err() {
                break;
            }
        }
        eprint!("{}{}", verdict::tables(seen, &cast.members), verdict::differences(&cast.members, prefix));
        match verdict {
            Some(verdict) => anyhow::anyhow!("the figures are not true:\n  {}", verdict.wrong.join("\n  ")),
            None => anyhow::anyhow!("there are no figures of the aggregator that runs"),
        }
    }

    /// One aggregator lives long, while producers come and go; at two moments when it tracks nobody, it must have the same.
    fn long_life(&mut self, end: Instant) -> anyhow::Result<()> {
        let begin = Instant::now();
        let warm = begin + (end - begin).mul_f64(WARM_SHARE);
        self.ground.victim.start()?;
        while Instant::now() < warm && !self.stopped() {
            self.round(true)?;
        }
        let before = self.alone()?;
        while Instant::now() < end && !self.stopped() {
            self.round(true)?;
        }
        let after = self.alone()?;
        let growth = after.resident_kib - before.resident_kib;
        println!("torture: one aggregator, tracking nobody: {before:?}, then {after:?}");
        let tally = &mut self.ground.tally;
        tally.memory_growth_kib = if tally.lives == 0 { growth } else { tally.memory_growth_kib.max(growth) };
        tally.lives += 1;
        anyhow::ensure!(after.descriptors == before.descriptors, "descriptors have grown: {before:?}, {after:?}");
        anyhow::ensure!(after.threads == before.threads, "threads have grown: {before:?}, {after:?}");
        anyhow::ensure!(growth <= MOST_GROWTH_KIB, "memory has grown by more than {MOST_GROWTH_KIB} KiB: {growth}");
        Ok(())
    }

    /// What the aggregator has while it tracks nobody.
    fn alone(&mut self) -> anyhow::Result<Resources> {
        let patience = self.ground.patience;
        self.ground.cast.kill_all(patience, &mut self.ground.tally)?;
        self.check()?;
        self.only_its_own_files()?;
        // A file is gone a moment before it is closed: the least of a few looks.
        let mut least = self.ground.victim.resources()?;
        for _ in 0..LOOKS {
            std::thread::sleep(LOOK_EVERY);
            let now = self.ground.victim.resources()?;
            if now.descriptors < least.descriptors {
                least = now;
            }
        }
        Ok(least)
    }

    /// Waits until nothing is there but what the aggregator itself needs. Rings that were never finished are told of, and removed
    /// as `tt-alloc gc` does it.
    fn only_its_own_files(&mut self) -> anyhow::Result<()> {
        let (begin, deadline) = (Instant::now(), Instant::now() + self.ground.patience);
        let own = [self.ground.prefix.stats(), self.ground.prefix.lock()];
        loop {
            let mut left = files(&self.ground.prefix);
            left.retain(|name| !own.contains(name));
            if left.is_empty() {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "everybody is dead, and {left:?} are left");
            if begin.elapsed() > UNFINISHED && !self.ground.arguments.known_faults {
                self.ground.tally.unfinished_rings += leftover::collect(&self.ground.prefix, None).len() as u64;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Everybody is killed, then one aggregator starts and ends: it leaves nothing.
    fn leave_nothing(&mut self) -> anyhow::Result<()> {
        let patience = self.ground.patience;
        self.ground.tally.aggregator_kills += u64::from(self.ground.victim.kill()?);
        self.ground.cast.kill_all(patience, &mut self.ground.tally)?;
        self.check()?;
        self.only_its_own_files()?;
        self.ground.victim.end(patience)?;
        self.ground.tally.aggregator_ends += 1;
        let left = files(&self.ground.prefix);
        anyhow::ensure!(left.is_empty(), "at the end {left:?} are left in {DIRECTORY}");
        Ok(())
    }
}
