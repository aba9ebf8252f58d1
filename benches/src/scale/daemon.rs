//! The aggregator as a process of its own, and what it takes.

use super::figures::Figures;
use super::ground::Ground;
use crate::machine::{pin, processors};
use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A running aggregator, on the last processor; the program that started it and everything it starts later, on the others.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    clock: ClockId,
}

impl Daemon {
    /// Starts the one beside this program, and waits for its figures.
    ///
    /// # Errors
    /// When there is none, or it does not start.
    pub fn start(ground: &Ground) -> anyhow::Result<(Self, Figures)> {
        static PROCESSORS: OnceLock<Vec<usize>> = OnceLock::new();
        let cpus = PROCESSORS.get_or_init(processors);
        let program = std::env::current_exe().context("where this program lies")?.with_file_name("aggregator");
        ensure!(program.exists(), "no {}: cargo build --release -p aggregator", name(&program));
        pin(cpus.last().copied().unwrap_or(0));
        let child = Command::new(&program)
            .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the aggregator")?;
        pin(cpus.first().copied().unwrap_or(0));
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(child.id().cast_signed()));
        // From here on it is stopped again whatever happens.
        let daemon = Self { child, clock: clock.unwrap_or(ClockId::CLOCK_PROCESS_CPUTIME_ID) };
        clock.context("the aggregator's CPU clock")?;
        let figures = Figures::open(ground)?;
        Ok((daemon, figures))
    }

    /// User and system time that it has used, ns.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_ns(&self) -> anyhow::Result<u64> {
        let time = clock_gettime(self.clock).context("the aggregator's CPU time")?;
        Ok(time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs())
    }

    /// One figure of its memory as /proc/pid/status names it (`VmRSS`, `RssAnon`), bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self, field: &str) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib: u64 = found.with_context(|| format!("no {field}"))?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }
}

fn name(program: &Path) -> std::borrow::Cow<'_, str> {
    program.file_name().unwrap_or_default().to_string_lossy()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _told = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _reaped = self.child.wait();
    }
}
