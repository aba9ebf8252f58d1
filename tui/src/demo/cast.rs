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
pub struct Cast {
    roles: Vec<Role>,
    prefix: Prefix,
    pace: Pace,
}

#[derive(Debug)]
struct Role {
    process: usize,
    command_line: String,
    child: Child,
}

impl Cast {
    /// Starts `copies` of every process of the trace, by calling this program again.
    ///
    /// # Errors
    /// When a child cannot be started.
    pub fn start(trace: &Trace, prefix: &Prefix, pace: Pace, copies: usize) -> anyhow::Result<Self> {
        let mut cast = Self { roles: Vec::new(), prefix: prefix.clone(), pace };
        for _ in 0..copies {
            for (process, recorded) in trace.processes.iter().enumerate() {
                let child = cast.spawn(process, &recorded.command_line)?;
                cast.roles.push(Role { process, command_line: recorded.command_line.clone(), child });
            }
        }
        Ok(cast)
    }

    fn spawn(&self, process: usize, command_line: &str) -> anyhow::Result<Child> {
        let me = std::env::current_exe().context("find this program")?;
        Command::new(me)
            // So that the process table shows what was recorded.
            .arg0(command_line)
            .args(["demo-producer", &process.to_string()])
            .args(["--speed", &self.pace.speed.to_string(), "--rounds", &self.pace.rounds.to_string()])
            .env(PREFIX_VARIABLE, self.prefix.to_string())
            .env(producer::environment::ENABLED_VARIABLE, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start a producer of the demo")
    }

    /// Starts those again that have ended: somebody always restarts a job that was killed.
    ///
    /// # Errors
    /// When a child cannot be started.
    pub fn revive(&mut self) -> anyhow::Result<()> {
        for at in 0..self.roles.len() {
            if !matches!(self.roles[at].child.try_wait(), Ok(None)) {
                self.roles[at].child = self.spawn(self.roles[at].process, &self.roles[at].command_line)?;
            }
        }
        Ok(())
    }

    /// Whether all of them have ended.
    pub fn has_ended(&mut self) -> bool {
        self.roles.iter_mut().all(|role| !matches!(role.child.try_wait(), Ok(None)))
    }

    /// Asks those that still play to end in good order, and waits for them.
    pub fn end(&mut self) {
        for Role { child, .. } in &mut self.roles {
            if let (Ok(None), Ok(pid)) = (child.try_wait(), i32::try_from(child.id())) {
                // A child that ended just now has been waited for by nobody else: its pid is still its own.
                let _told = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        let deadline = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        for Role { child, .. } in &mut self.roles {
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
