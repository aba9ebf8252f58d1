//! An aggregator in a process of its own, which can be stopped, killed and kept short.

use super::{Ground, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::{StatsHeader, StatsView, stats_bytes};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU64;

pub struct Daemon(Child);

impl Daemon {
    /// One that publishes already.
    pub fn start(ground: &Ground) -> Self {
        Self::start_after(ground, "")
    }

    /// With something that a shell does before it becomes the aggregator: what sets limits.
    pub fn start_after(ground: &Ground, before: &str) -> Self {
        // Other packages' tests have this file as well, and not that program.
        let program = option_env!("CARGO_BIN_EXE_aggregator").unwrap_or_else(|| panic!("none here"));
        let child = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$0\""), program])
            .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self(child);
        wait("its segment", || (publisher(ground) == Some(daemon.pid())).then_some(())).unwrap();
        daemon
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// SIGSTOP, and it stands still.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.pid());
        let stands = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
        wait("the aggregator to stand still", || stands().then_some(())).unwrap();
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, and its end in good order.
    pub fn end(mut self) {
        self.signal(Signal::SIGTERM);
        let status = wait("the aggregator's end", || self.0.try_wait().unwrap()).unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whose snapshot is shown.
fn publisher(ground: &Ground) -> Option<u32> {
    let expect = Expect { owners: &[], least: stats_bytes() as u64, most: stats_bytes() as u64 };
    let opened = segment::open(&ground.prefix.stats(), Access::Read, expect).ok()?;
    let at = size_of::<StatsHeader<AtomicU64>>();
    let header = opened.mapping.one::<StatsHeader<AtomicU64>>(0)?;
    let view = StatsView::new(header, opened.mapping.array(at, (stats_bytes() - at) / 8)?)?;
    (ground.look()?.health.generation > 0).then(|| view.identity().pid)
}
