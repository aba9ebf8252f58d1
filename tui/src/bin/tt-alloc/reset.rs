//! `tt-alloc reset`: figures begin anew.

use crate::baseline::Whose;
use clap::Args;
use shm_layout::control::Action;
use std::process::ExitCode;

/// Begin figures anew: peaks, and what is counted though no listed allocation owns up to it
///
/// What is alive and listed stays. Of a device without --pid also the chip's peak: for root and the aggregator's own user.
#[derive(Debug, Args)]
pub struct Reset {
    #[command(flatten)]
    whose: Whose,
    /// Everything; needed where neither --device nor --pid is given
    #[arg(short, long)]
    all: bool,
}

impl Reset {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if !self.all && self.whose.pid.is_none() && self.whose.devices.is_empty() {
            tui::output::complain("tt-alloc: reset of what? --device ID, --pid PID, or --all");
            return Ok(tui::exit::Exit::Usage.into());
        }
        self.whose.ask(Action::Reset)
    }
}
