//! `tt-alloc gc`: removes what dead owners left in /dev/shm.

use aggregator::instance::{Instance, InstanceError};
use shm_layout::leftover;
use shm_layout::names::Prefix;
use shm_layout::segment;
use std::process::ExitCode;

/// Remove what dead processes and killed aggregators left in /dev/shm
///
/// Only what belongs to you is touched (as root: to anybody), and nothing of a process that lives.
#[derive(Debug, clap::Args)]
pub struct Gc {}

impl Gc {
    /// Removes, and says what.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let prefix = &Prefix::from_environment()?;
        let me = nix::unistd::geteuid();
        let mut removed = leftover::collect(prefix, (!me.is_root()).then_some(me.as_raw()));
        let mut note = String::new();
        match Instance::take(prefix) {
            // Nobody aggregates: whatever an aggregator of ours wrote about rings that are gone is a leftover, too.
            Ok(_instance) => {
                removed.extend(leftover::orphaned_ledgers(prefix));
                // The stats segment of an aggregator that ended or was killed, unless a next one will continue it.
                let stats = leftover::nobody_is_continued(prefix).then(|| prefix.stats());
                let names = [Some(prefix.next_stats()), stats].into_iter().flatten();
                removed.extend(names.filter(|name| segment::remove_own(name)));
            }
            Err(InstanceError::Running { pid, .. }) => {
                note = format!("an aggregator runs (PID {pid}): what it wrote is left to it\n");
            }
            Err(error) => note = format!("{error}\n"),
        }
        let mut text = removed.iter().map(|name| format!("removed {name}\n")).collect::<String>();
        if removed.is_empty() {
            text += "nothing to remove\n";
        }
        tui::output::print(&(text + &note))?;
        Ok(ExitCode::SUCCESS)
    }
}
