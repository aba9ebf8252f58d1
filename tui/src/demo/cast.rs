//! The processes that play the demo: children of this one, each with its own ring.

use super::replay::Pace;
use super::trace::Trace;
use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_layout::names::{PREFIX_VARIABLE, Prefix};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a child may take to end in good order.
const GRACE: Duration = Duration::from_secs(3);

/// The children. Dropping them ends them.
#[derive(Debug)]
pub struct Cast(Vec<Child>);

impl Cast {
    /// Starts `copies` of every process of the trace, by calling this program again.
    ///
    /// # Errors
    /// When a child cannot be started.
    pub fn start(trace: &Trace, prefix: &Prefix, pace: Pace, copies: usize) -> anyhow::Result<Self> {
        let me = std::env::current_exe().context("find this program")?;
        let mut cast = Self(Vec::new());
        for _ in 0..copies {
            for process in 0..trace.processes.len() {
                let child = Command::new(&me)
                    // So that the process table shows what was recorded.
                    .arg0(&trace.processes[process].command_line)
                    .args(["demo-producer", &process.to_string()])
                    .args(["--speed", &pace.speed.to_string(), "--rounds", &pace.rounds.to_string()])
                    .env(PREFIX_VARIABLE, prefix.to_string())
                    .env(producer::environment::ENABLED_VARIABLE, "1")
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .spawn()
                    .context("start a producer of the demo")?;
                cast.0.push(child);
            }
        }
        Ok(cast)
    }

    /// Whether all of them have ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.iter_mut().all(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Asks those that still play to end in good order, and waits for them.
    pub fn end(&mut self) {
        for child in &mut self.0 {
            if let (Ok(None), Ok(pid)) = (child.try_wait(), i32::try_from(child.id())) {
                // A child that ended just now has been waited for by nobody else: its pid is still its own.
                let _told = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        let deadline = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        for child in &mut self.0 {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        self.end();
    }
}
