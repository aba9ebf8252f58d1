//! The round that an aggregator does again and again: sleep, drain, sweep, publish.

use crate::control::Control;
use crate::descriptors::Places;
use crate::discover::Discovery;
use crate::heritage::Heritage;
use crate::host::{Host, Now};
use crate::instance::{Instance, InstanceError};
use crate::legacy::Listener;
use crate::publish::Publisher;
use crate::telemetry::{Root, Watch};
use crate::wake::Wake;
use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use shm_layout::leftover;
use shm_layout::names::Prefix;
use shm_layout::segment::{self, SegmentError};
use shm_layout::stats::Snapshot;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Sleep while events come in.
const HOT: Duration = Duration::from_millis(1);
/// Longest sleep when none do, but did a moment ago: so old may a clock word become that producers copy.
const COLD: Duration = Duration::from_millis(25);
/// Longest sleep when every ring rests: the most that an event waits to be seen. Waking up costs more than looking around.
const ASLEEP: Duration = Duration::from_millis(45);
/// How often dead processes are looked for that no pidfd tells of.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked whether the stats segment is still as it was made.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// How often /dev/shm is read in full: in case inotify lost something, or instead of it.
const SCAN_EVERY: Duration = Duration::from_secs(30);
const SCAN_EVERY_WITHOUT_INOTIFY: Duration = Duration::from_secs(1);
/// Attaching to new rings takes this much of a round, and no further one is begun.
const WELCOME: Duration = Duration::from_millis(2);
/// And this much before the first round.
const WELCOME_AT_START: Duration = Duration::from_secs(1);
/// Taking the dead out of the figures takes this much of a round, and no further one is begun.
const DEATHS: Duration = Duration::from_micros(500);
/// Removing their files takes this much of a round, and no further one is begun.
const BURY: Duration = Duration::from_millis(1);
/// Files of so many dead may wait while others die.
const GRAVES: usize = 512;
/// How often a snapshot is published when nothing changes. The heartbeat goes on at every round.
const PUBLISH_IDLE: Duration = Duration::from_secs(1);
/// Publishing takes at most one part in this of the time, ...
const PUBLISH_SHARE: u32 = 10;
/// ... unless news would then wait longer than this: a publication that was interrupted took longer than it costs.
const PUBLISH_LATEST: Duration = Duration::from_millis(4);
/// How long `look` waits for rings that are not ready, and how long it reads in all.
const LOOK_WAITS: Duration = Duration::from_millis(200);
const LOOK_READS: Duration = Duration::from_secs(10);

/// How an aggregator is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder with the host's own files (/sys, /proc/driver, tt-metal's counters).
    pub root: Root,
    /// Baselines set themselves when a device has been opened.
    pub auto_baseline: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { root: Root::from_environment(), auto_baseline: false }
    }
}

/// An aggregator, the only one of its prefix.
#[derive(Debug)]
pub struct Daemon {
    prefix: Prefix,
    host: Host,
    discovery: Discovery,
    publisher: Publisher,
    wake: Wake,
    control: Control,
    instance: Instance,
    /// After the host: closing its descriptors would end the host's locks.
    listener: Option<Listener>,
    watch: Watch,
}

impl Daemon {
    /// Takes the instance lock, makes the stats segment, attaches to whatever is there. Raises this process's soft limit on
    /// open files to the hard one: each tracked process takes three of them.
    ///
    /// # Errors
    /// When another aggregator runs, or the stats segment cannot be made.
    pub fn start(prefix: &Prefix, stop: BorrowedFd<'_>) -> anyhow::Result<Self> {
        Self::start_with(prefix, stop, Options::default())
    }

    /// As [`start`](Self::start), with options.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(prefix: &Prefix, stop: BorrowedFd<'_>, options: Options) -> anyhow::Result<Self> {
        let Options { root, auto_baseline } = options;
        let instance = Instance::take(prefix)?;
        let now = Now::read();
        let found = Heritage::find(prefix);
        let refusal = found.as_ref().err().map(ToString::to_string);
        let heritage = found.unwrap_or_default();
        let create = || Publisher::create(prefix, heritage.as_ref(), now.monotonic_ns, now.unix_ns);
        let publisher = match (create(), &heritage) {
            (Err(error @ SegmentError::NoSpace { .. }), Some(heritage)) => {
                let adopted = Publisher::adopt(heritage, now.monotonic_ns, now.unix_ns);
                if adopted.is_ok() {
                    tracing::warn!("no room for a second stats segment, the one that is there is continued: {error}");
                }
                adopted
            }
            // What cannot be believed makes room: nothing of it would be continued.
            (Err(SegmentError::NoSpace { .. }), None) if segment::remove_own(&prefix.stats()) => create(),
            (created, _) => created,
        };
        let publisher = publisher.context("the stats segment")?;
        if let Some(refusal) = refusal {
            tracing::warn!("peaks, history and counters begin anew: {}: {refusal}", prefix.stats());
        }
        remove_orphans(prefix);
        let discovery = Discovery::new(prefix.clone());
        let wake = Wake::new(stop, discovery.fd()).context("epoll")?;
        let places = Places::make();
        let mut control = Control::new(places.connections);
        if let Some(socket) = control.listen(prefix) {
            wake.watch_control(socket).context("epoll")?;
        }
        let mut host = Host::new(prefix.clone(), places);
        host.auto_baseline = auto_baseline;
        if let Some(heritage) = heritage {
            host.inherit(&heritage, now);
        }
        let watch = Watch::start(root);
        let mut daemon =
            Self { prefix: prefix.clone(), host, discovery, publisher, wake, control, instance, listener: None, watch };
        daemon.host.announce(daemon.discovery.scan());
        // Who comes later is known before its name can go.
        daemon.host.announce(daemon.discovery.scan_unlinked());
        daemon.host.welcome(&daemon.wake, WELCOME_AT_START, now);
        // Somebody who was in the predecessor's figures and makes room in its ring just now: with a snapshot without it, it would be
        // missing from what is live, and a successor would count its sums twice.
        let begin = Instant::now();
        while daemon.host.awaits_somebody() && daemon.host.welcome_due().is_some() && begin.elapsed() < LOOK_WAITS {
            std::thread::sleep(HOT);
            daemon.host.welcome(&daemon.wake, WELCOME, now);
        }
        daemon.host.miss(now);
        daemon.host.drain(now);
        daemon.host.sweep(now);
        daemon.publish(now);
        daemon.publisher.show().context("the stats segment")?;
        Ok(daemon)
    }

    /// Listens for clients of the original's socket protocol, too.
    ///
    /// # Errors
    /// When the path cannot be had.
    pub fn listen(mut self, path: &Path) -> anyhow::Result<Self> {
        let listener = Listener::start(&self.prefix, path)?;
        self.host.set_files_aside(listener.open_files);
        self.listener = Some(listener);
        Ok(self)
    }

    /// What the listener has to tell.
    fn hear_listener(&mut self, now: Now) {
        for news in self.listener.iter().flat_map(Listener::news) {
            self.host.tell(now, news.severity, news.pid, &news.text);
        }
    }

    /// Whether this is the only one still: who finds no lock file starts another. That one's figures are then the newer ones.
    fn is_the_one(&mut self) -> bool {
        match self.instance.keep(&self.prefix) {
            Err(error @ (InstanceError::Running { .. } | InstanceError::Foreign { .. })) => {
                tracing::error!("the lock file was taken away: {error}");
                false
            }
            _ => true,
        }
    }

    /// Makes the segment again if somebody has damaged it.
    fn keep_segment(&mut self, now: Now) {
        if self.publisher.keep(&self.prefix, now.monotonic_ns, now.unix_ns) {
            self.publish(now);
            if let Err(error) = self.publisher.show() {
                tracing::error!(%error, "the stats segment");
            }
        }
    }

    /// Takes the control socket's name once whoever had it is gone.
    fn keep_control(&mut self) {
        if let Some(socket) = self.control.listen(&self.prefix)
            && let Err(errno) = self.wake.watch_control(socket)
        {
            tracing::error!(%errno, "the control socket is asked only while somebody is connected");
        }
    }

    fn publish(&mut self, now: Now) {
        if let Some(reading) = self.watch.news() {
            self.host.hear(reading);
        }
        let generation = self.publisher.next_generation();
        let gone = self.host.gone();
        self.publisher.publish(&self.host.snapshot(now, cpu_ns(), generation), &gone);
        self.host.was_shown();
    }

    /// Reads what is there now, without sleeping. Records read. For whoever measures one step at a time.
    pub fn read_now(&mut self) -> usize {
        let now = Now::read();
        self.host.look_around(now);
        self.host.drain(now)
    }

    /// Publishes now, whether there is news or not. For whoever measures one step at a time.
    pub fn publish_now(&mut self) {
        self.publish(Now::read());
    }

    /// Runs until the stop descriptor is readable.
    pub fn run(mut self) {
        let scan_every = if self.discovery.fd().is_some() { SCAN_EVERY } else { SCAN_EVERY_WITHOUT_INOTIFY };
        let mut sleep = HOT;
        let (mut swept, mut scanned, mut kept) = (Instant::now(), Instant::now(), Instant::now());
        let (mut published, mut publishing) = (Instant::now(), Duration::ZERO);
        loop {
            let woken = self.wake.wait(sleep);
            if woken.stop {
                break;
            }
            let now = Now::read();
            let mut busy = false;
            self.publisher.beat(now.monotonic_ns);
            let deaths = !woken.dead.is_empty();
            self.host.died(&woken.dead, DEATHS, now);
            let mut scan = scanned.elapsed() >= scan_every;
            if woken.files {
                let (announced, lost) = self.discovery.announced();
                busy |= !announced.is_empty();
                self.host.announce(announced);
                scan |= lost;
            }
            if scan {
                scanned = Instant::now();
                self.host.announce(self.discovery.scan());
                self.host.miss(now);
            }
            if woken.control || self.control.is_waiting() {
                let host = &mut self.host;
                self.control.serve(|request, peer| host.obey(request, peer, now));
            }
            self.hear_listener(now);
            busy |= self.host.welcome(&self.wake, WELCOME, now) > 0;
            self.host.look_around(now);
            busy |= self.host.drain(now) > 0;
            if swept.elapsed() >= SWEEP_EVERY {
                swept = Instant::now();
                busy |= self.host.sweep(now);
            }
            let awaited = self.host.has_news() || self.control.owes_answers();
            let due = if awaited { (publishing * PUBLISH_SHARE).min(PUBLISH_LATEST) } else { PUBLISH_IDLE };
            if published.elapsed() >= due {
                let begin = Instant::now();
                self.publish(now);
                self.control.answer();
                publishing = begin.elapsed();
                published = begin;
            }
            self.publisher.sample(self.host.chips().all(), now.monotonic_ns);
            if kept.elapsed() >= KEEP_EVERY {
                kept = Instant::now();
                if !self.is_the_one() {
                    break;
                }
                self.keep_segment(now);
                self.keep_control();
            }
            // Deaths that are still to be shown come first.
            if !deaths || self.host.graves() > GRAVES {
                busy |= self.host.bury(BURY);
            }
            sleep = if self.host.has_more() || deaths {
                Duration::ZERO
            } else if busy || self.host.has_news() || self.control.is_waiting() {
                HOT
            } else {
                (sleep * 2).clamp(HOT, self.longest_sleep())
            };
        }
        self.finish();
    }

    /// Until a ring is to be met that was not ready, if that comes sooner.
    fn longest_sleep(&self) -> Duration {
        let longest = if self.host.everybody_rests() { ASLEEP } else { COLD };
        let due = self.host.welcome_due().map_or(longest, |at| at.saturating_duration_since(Instant::now()));
        due.clamp(HOT, longest)
    }

    /// Reads what is still there, so that a next aggregator finds little to do. Ledgers of living processes stay.
    fn finish(mut self) {
        if let Some(listener) = &mut self.listener {
            listener.stop();
        }
        let now = Now::read();
        self.hear_listener(now);
        self.host.look_around(now);
        self.host.drain(now);
        self.publish(now);
        self.control.answer();
        self.leave();
        tracing::info!(processes = self.host.process_count(), "aggregator ends");
    }

    /// What is published stays for a successor if there is a process that it will continue; viewers are told that nobody runs.
    fn leave(&mut self) {
        if self.host.process_count() > 0 {
            self.publisher.leave_behind();
        }
    }

    /// One look: everything that is there is read. For `aggregator --once`.
    pub fn look(mut self) -> Snapshot {
        let begin = Instant::now();
        if let Some(reading) = self.watch.first(LOOK_WAITS) {
            self.host.hear(reading);
        }
        loop {
            let now = Now::read();
            self.host.welcome(&self.wake, WELCOME, now);
            let read = self.host.drain(now);
            let waiting = self.host.welcome_due().is_some() && begin.elapsed() < LOOK_WAITS;
            if (read == 0 && !self.host.has_more() && !waiting) || begin.elapsed() > LOOK_READS {
                self.publish(now);
                self.leave();
                return self.host.snapshot(now, cpu_ns(), 1).to_snapshot();
            }
        }
    }
}

/// Ledgers and call stacks of this user whose ring is gone: their process was removed by an aggregator that was killed just then.
fn remove_orphans(prefix: &Prefix) {
    for name in leftover::orphaned_ledgers(prefix) {
        tracing::info!(name, "removed a ledger without a ring");
    }
    let me = nix::unistd::geteuid();
    for name in leftover::orphaned_stacks(prefix, (!me.is_root()).then_some(me.as_raw())) {
        tracing::info!(name, "removed call stacks without a ring");
    }
}

fn cpu_ns() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        u64::try_from(us).unwrap_or(0) * 1000
    })
}
