//! The aggregator as a process of its own, and what it costs.

use super::Outcome;
use super::ground::Ground;
use super::watcher::Watcher;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A running aggregator.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
}

/// The aggregator's program: as told, else the one beside this program.
///
/// # Errors
/// When there is none.
pub fn program(told: Option<PathBuf>) -> Outcome<PathBuf> {
    let path = match told {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("aggregator"),
    };
    if path.exists() {
        return Ok(path);
    }
    Err(format!("no {}: build it with cargo build --release -p aggregator", path.display()).into())
}

impl Daemon {
    /// Starts it and waits for its figures.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(program: &PathBuf, ground: &Ground) -> Outcome<(Self, Watcher)> {
        let child = Command::new(program)
            .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
            .env("RUST_LOG", "error")
            .stderr(Stdio::null())
            .spawn()?;
        let daemon = Self { child };
        let watcher = Watcher::open(ground)?;
        Ok((daemon, watcher))
    }

    /// CPU time that it used so far, ns.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn cpu_ns(&self) -> Outcome<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()))?;
        Ok(text.split(' ').next().unwrap_or_default().parse()?)
    }

    /// Private memory that it has, bytes.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn private_bytes(&self) -> Outcome<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

impl Daemon {
    fn signal(&self, signal: Signal) -> nix::Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal)
    }

    /// Stops it where it is.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn stop(&self) -> Outcome<()> {
        Ok(self.signal(Signal::SIGSTOP)?)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn go_on(&self) -> Outcome<()> {
        Ok(self.signal(Signal::SIGCONT)?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _told = self.signal(Signal::SIGTERM);
        // One that is stopped ends only when it goes on.
        let _going = self.signal(Signal::SIGCONT);
        let _reaped = self.child.wait();
    }
}
