//! The aggregator: a child process that is started, killed, ended and stopped.

use crate::stuck::stuck;
use aggregator::Daemon;
use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_layout::names::Prefix;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// First argument of the command line of an aggregator that is this program itself.
pub const ARGUMENT: &str = "aggregator";

/// The aggregator of the moment, if there is one.
#[derive(Debug)]
pub struct Victim {
    program: PathBuf,
    arguments: Option<&'static str>,
    prefix: Prefix,
    child: Option<Child>,
    stopped: bool,
}

/// An aggregator's whole life, in this program: as the binary's, without a log.
///
/// # Errors
/// When it cannot begin.
pub fn run() -> anyhow::Result<()> {
    let (stop, write) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, write)?;
    Daemon::start(&Prefix::from_environment()?, stop.as_fd())?.run();
    Ok(())
}

/// What an aggregator has of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// Resident memory, KiB.
    pub resident_kib: i64,
}

impl Victim {
    /// None runs yet. `built_in`: it is to be this program itself, with the library that it was built with.
    ///
    /// # Errors
    /// When there is no `aggregator` beside this program.
    pub fn new(prefix: &Prefix, built_in: bool) -> anyhow::Result<Self> {
        let me = std::env::current_exe()?;
        let (program, arguments) =
            if built_in { (me, Some(ARGUMENT)) } else { (me.with_file_name("aggregator"), None) };
        anyhow::ensure!(
            program.is_file(),
            "{} is not there: build it in the same way first (cargo build -p aggregator, with --release if this is)",
            program.display()
        );
        Ok(Self { program, arguments, prefix: prefix.clone(), child: None, stopped: false })
    }

    /// Its process id, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts one, if none runs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.child.is_none() {
            let child = Command::new(&self.program)
                // Who uses this host's devices beside it is not what is compared.
                .env(aggregator::telemetry::ROOT_VARIABLE, "/nonexistent")
                .args(self.arguments)
                .env("TT_ALLOC_PREFIX", self.prefix.to_string())
                .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .with_context(|| self.program.display().to_string())?;
            self.child = Some(child);
            self.stopped = false;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            // It is ours and not waited for, so the pid is its.
            let _sent = kill(Pid::from_raw(child.id() as i32), signal);
        }
    }

    /// kill -9. True if one ran.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub fn kill(&mut self) -> anyhow::Result<bool> {
        self.must_live()?;
        self.signal(Signal::SIGKILL);
        let Some(mut child) = self.child.take() else { return Ok(false) };
        child.wait()?;
        Ok(true)
    }

    /// SIGTERM, and waits for a good end. True if one ran.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub fn end(&mut self, patience: Duration) -> anyhow::Result<bool> {
        self.must_live()?;
        self.go_on();
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + patience;
        let Some(child) = &mut self.child else { return Ok(false) };
        loop {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                // Before its handlers are there, the signal ends it as it ends everybody.
                use std::os::unix::process::ExitStatusExt;
                let early = status.signal() == Some(Signal::SIGTERM as i32);
                anyhow::ensure!(status.success() || early, "the aggregator ended by {status} after SIGTERM");
                return Ok(true);
            }
            if Instant::now() >= deadline {
                let where_it_is = stuck(child.id());
                anyhow::bail!("the aggregator does not end after SIGTERM: {where_it_is}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGSTOP.
    pub fn stop(&mut self) {
        self.stopped = self.child.is_some();
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn go_on(&mut self) {
        if core::mem::take(&mut self.stopped) {
            self.signal(Signal::SIGCONT);
        }
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// # Errors
    /// When it has ended, and nobody wanted it to.
    pub fn must_live(&mut self) -> anyhow::Result<()> {
        let status = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
        match status {
            Some(status) => {
                self.child = None;
                anyhow::bail!("the aggregator ended by itself: {status}")
            }
            None => Ok(()),
        }
    }

    /// What it has of the system now.
    ///
    /// # Errors
    /// When none runs.
    pub fn resources(&self) -> anyhow::Result<Resources> {
        let pid = self.pid().context("no aggregator")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let figure = |key: &str| -> anyhow::Result<i64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| key.to_owned())?;
            Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Resources {
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: usize::try_from(figure("Threads")?)?,
            resident_kib: figure("VmRSS")?,
        })
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _killed = child.kill();
            let _reaped = child.wait();
        }
    }
}
