//! Process to process: a child of this program pushes as fast as it can, this one reads.
//!
//! The child waits where the ring is nearly full (which it looks up every 256 events), as a job never would: what did not fit
//! would be counted, not measured.

use super::bare::{Plain, Slot as BareSlot, Slots};
use super::{Drain, Push, ours};
use crate::machine::pin;
use anyhow::{Context, bail};
use producer::environment::Clock;
use shm_layout::segment::{self, Access, Expect, Mapping};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

/// Slots of both rings: those of a tracked process by default.
const SLOTS: usize = producer::environment::DEFAULT_SLOTS as usize;
/// Events between two looks at how full the ring is.
const STRIDE: u64 = 256;

/// What the child runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Our ring, the default clock.
    Ours,
    /// Our ring, the exact clock.
    Exact,
    /// The bare ring.
    Bare,
}

impl Subject {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Exact => "exact",
            Self::Bare => "bare",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Ours, Self::Exact, Self::Bare].into_iter().find(|subject| subject.name() == name)
    }
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// From the first push to the last read, by events, ns.
    pub ns_per_event: f64,
    /// Share of the looks at which the child found the ring nearly full: the reader was behind.
    pub full_share: f64,
    /// Events that a look of the reader found, on average.
    pub batch: f64,
}

/// A bare ring in a file: a line for the reader's position, then the slots.
struct BareFile {
    mapping: Mapping,
}

const BARE_BYTES: usize = 4096 + SLOTS * 64;

impl BareFile {
    fn read(&self) -> &AtomicU64 {
        self.mapping.one(0).unwrap_or_else(|| unreachable!("the file begins with it"))
    }
}

impl Slots for &BareFile {
    fn slots(&self) -> &[BareSlot] {
        let words = self.mapping.array::<AtomicU64>(4096, SLOTS * 8).unwrap_or(&[]);
        // SAFETY: a slot is eight atomics, repr(C) by its alignment of 64 bytes; the mapping is aligned to pages, so its
        // 4096th byte is to 64; the length is that of the words.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() / 8) }
    }
}

/// The child's part: `push SUBJECT NAME EVENTS CPU`.
///
/// # Errors
/// When the arguments or the ring are not right.
pub fn child(arguments: &[String]) -> anyhow::Result<()> {
    let [subject, name, events, cpu] = arguments else { bail!("push SUBJECT NAME EVENTS CPU") };
    let subject = Subject::from_name(subject).context("no such subject")?;
    let events: u64 = events.parse()?;
    pin(cpu.parse()?);
    match subject {
        Subject::Bare => {
            let expect = Expect { owners: &[], least: BARE_BYTES as u64, most: BARE_BYTES as u64 };
            let file = BareFile { mapping: segment::open(name, Access::ReadWrite, expect)?.mapping };
            let mut push = Plain::new(&file);
            ready("bare")?;
            report(push_all(&mut push, events, || file.read().load(Acquire)));
        }
        Subject::Ours | Subject::Exact => {
            let clock = if subject == Subject::Exact { Clock::Exact } else { Clock::Shared };
            let ring = ours::make(SLOTS, clock)?;
            let look = ours::Reader::look(ring.name())?;
            ready(ring.name())?;
            report(push_all(&mut ring.writer(), events, || look.cursor()));
            if ring.dropped() > 0 {
                bail!("{} events were dropped", ring.dropped());
            }
            // The reader still reads: the file goes when it has told us so.
            wait_for_line()?;
            ring.close();
        }
    }
    Ok(())
}

fn ready(name: &str) -> anyhow::Result<()> {
    println!("{name}");
    std::io::stdout().flush()?;
    wait_for_line()
}

fn wait_for_line() -> anyhow::Result<()> {
    std::io::stdin().lock().read_line(&mut String::new()).map(|_| ()).context("the parent is gone")
}

fn report(full_share: f64) {
    println!("{full_share}");
}

/// Pushes all of them; the share of looks that found the ring nearly full.
fn push_all(push: &mut impl Push, events: u64, read: impl Fn() -> u64) -> f64 {
    let (mut full, mut looks) = (0_u64, 0_u64);
    for from in (0..events).step_by(STRIDE as usize) {
        looks += 1;
        if from + STRIDE > read() + SLOTS as u64 {
            full += 1;
            while from + STRIDE > read() + SLOTS as u64 {
                std::hint::spin_loop();
            }
        }
        for n in from..(from + STRIDE).min(events) {
            std::hint::black_box(push.push(n));
        }
    }
    full as f64 / looks as f64
}

/// Starts the child; its first line.
fn start(
    subject: Subject,
    name: &str,
    events: u64,
    cpu: usize,
) -> anyhow::Result<(Child, ChildStdin, BufReader<std::process::ChildStdout>, String)> {
    let me = std::env::current_exe().context("where this program lies")?;
    let mut command = Command::new(me);
    command.args(["child", "push", subject.name(), name, &events.to_string(), &cpu.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start the child")?;
    let stdin = child.stdin.take().context("the child's input")?;
    let mut stdout = BufReader::new(child.stdout.take().context("the child's output")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    Ok((child, stdin, stdout, line.trim().to_owned()))
}

/// Runs one child and reads what it pushes; `pause` between two looks.
///
/// # Errors
/// When the child fails, or events are missing.
pub fn run(subject: Subject, events: u64, here: usize, there: usize, pause: Option<Duration>) -> anyhow::Result<Run> {
    match subject {
        Subject::Bare => {
            let name = format!("tt_bench_bare_{}", std::process::id());
            let created = segment::create(&name, BARE_BYTES).context("the bare ring")?;
            let child = start(subject, &name, events, here);
            created.remove();
            let file = BareFile { mapping: created.mapping };
            let mut reader = super::bare::Reader::new(&file);
            let mut read = 0;
            read_all(child?, events, there, pause, || {
                let got = reader.drain(|_| {});
                read += got;
                file.read().store(read, Release);
                got
            })
        }
        Subject::Ours | Subject::Exact => {
            let child = start(subject, "-", events, here)?;
            let mut reader = ours::Reader::open(&child.3, true)?;
            read_all(child, events, there, pause, || reader.drain(|_| {}))
        }
    }
}

fn read_all(
    (mut child, mut stdin, mut stdout, _): (Child, ChildStdin, BufReader<std::process::ChildStdout>, String),
    events: u64,
    there: usize,
    pause: Option<Duration>,
    mut look: impl FnMut() -> u64,
) -> anyhow::Result<Run> {
    pin(there);
    let begin = Instant::now();
    stdin.write_all(b"go\n")?;
    let (mut read, mut found) = (0, 0_u64);
    while read < events {
        let got = look();
        read += got;
        found += u64::from(got > 0);
        match pause {
            Some(pause) => wait(pause),
            None => std::hint::spin_loop(),
        }
        if begin.elapsed() > Duration::from_secs(60) {
            let _ended = child.kill();
            bail!("{read} of {events} events after a minute");
        }
    }
    let elapsed = begin.elapsed();
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    stdin.write_all(b"done\n").ok();
    if !child.wait()?.success() {
        bail!("the child failed");
    }
    let ns_per_event = elapsed.as_nanos() as f64 / events as f64;
    Ok(Run { ns_per_event, full_share: line.trim().parse()?, batch: read as f64 / found.max(1) as f64 })
}

/// Busy: a sleep would be as long as the system's timers are coarse.
fn wait(pause: Duration) {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}
