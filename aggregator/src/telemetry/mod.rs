//! What the host tells of devices and of who uses them, without a device being opened: the driver's files in /sys and /proc,
//! and tt-metal's own counters (`counters`).
//!
//! ```text
//!   watch (two threads) ─► sysfs, pids; counters ─► Reading ─► bystanders ─► chips' telemetry, processes that are not tracked
//! ```
//!
//! A read of a device's file may hang: its driver asks the firmware, and waits while a device is being reset. So a thread of its
//! own does it, once a second, and nobody ever waits for it; what it told last stays, and grows old visibly. Another one reads
//! the counters, so that what they tell of processes never grows old.

pub mod matching;
mod pids;
pub mod sysfs;
mod watch;

pub use watch::Watch;

use crate::counters::Region;
use crate::person::Person;
use shm_layout::event::Arch;
use shm_layout::stats::Telemetry;
use std::path::PathBuf;
use std::sync::Arc;

/// Names a folder that holds another host's `sys`, `proc/driver` and `dev/shm`, for tests and for looking at a copy.
pub const ROOT_VARIABLE: &str = "TT_ALLOC_HOST_ROOT";

/// Where the host's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// In this folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// This host's, or those in the folder of [`ROOT_VARIABLE`].
    pub fn from_environment() -> Self {
        Self(std::env::var_os(ROOT_VARIABLE).map_or_else(|| PathBuf::from("/"), PathBuf::from))
    }

    /// The path of this file of the host.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file.trim_start_matches('/'))
    }
}

/// One device of the driver.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its architecture, as its sensors are called.
    pub arch: Arch,
    /// Its figures; [`Telemetry::presence`] is not set yet.
    pub telemetry: Telemetry,
    /// Who has it open, as far as they can be seen from here.
    pub open_by: Vec<Person>,
}

/// What was read in one round.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The driver's devices, by number.
    pub devices: Vec<Device>,
    /// tt-metal's own counters: the same list until they are read again.
    pub regions: Arc<[Region]>,
    /// Files of theirs that are not read, or not to their end.
    pub unread_regions: u64,
    /// Every device was read once.
    pub has_devices: bool,
    /// The counters were.
    pub has_counters: bool,
}

impl Reading {
    /// Everything was read once.
    pub const fn is_whole(&self) -> bool {
        self.has_devices && self.has_counters
    }
}

#[cfg(test)]
mod tests;
