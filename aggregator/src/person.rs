//! Who a process is: what /proc tells of it, so that it is not taken for another with the same pid.

use crate::boot::start_unix_ns;
use shm_layout::procfs;
use shm_layout::stats::{Anomalies, Process, Source, State};
use shm_layout::text;
use std::os::unix::fs::MetadataExt;

/// A living process.
#[derive(Clone, Debug)]
pub struct Person {
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Clock ticks after boot at which it started.
    pub start_ticks: u64,
    /// When it started, Unix time in ns; 0 unknown.
    pub start_unix_ns: u64,
    /// comm, cleaned.
    pub name: String,
    /// Command line, blanks between the words, cut.
    pub command_line: Vec<u8>,
}

impl Person {
    /// Whether both are the same process.
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, self.start_ticks) == (other.pid, other.start_ticks)
    }

    /// The process with this pid; `None` where there is none, it is dead, or it cannot be seen.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = procfs::stat(&pid.to_string()).filter(|stat| stat.state != b'Z')?;
        let uid = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
        Some(Self {
            pid,
            uid,
            start_ticks: stat.start_ticks,
            start_unix_ns: start_unix_ns(stat.start_ticks),
            name: name_of(pid).unwrap_or_default(),
            command_line: command_line_of(pid),
        })
    }

    /// Its row in a snapshot, of which nothing else is known yet.
    pub fn row(&self, source: Source) -> Process {
        Process {
            pid: self.pid,
            uid: self.uid,
            state: State::Running as u32,
            source: source as u32,
            start_ticks: self.start_ticks,
            start_unix_ns: self.start_unix_ns,
            last_event_unix_ns: 0,
            events_total: 0,
            dropped_events_total: 0,
            lag_events: 0,
            nonce: 0,
            ring_pid: 0,
            incomplete: 0,
            torn_events_total: 0,
            anomalies: Anomalies::default(),
            name: text::store(self.name.as_bytes()),
            command_line: text::store(&self.command_line),
        }
    }
}

/// comm of a process, cleaned; `None` where it cannot be seen.
pub fn name_of(pid: u32) -> Option<String> {
    let comm = procfs::read_bounded(&format!("/proc/{pid}/comm"), 64).ok()?;
    Some(text::clean(comm.trim_ascii_end()))
}

/// Command line of a process, blanks between the words, cut; empty where it cannot be seen.
pub fn command_line_of(pid: u32) -> Vec<u8> {
    let mut command_line = procfs::read_bounded(&format!("/proc/{pid}/cmdline"), 512).unwrap_or_default();
    command_line.iter_mut().filter(|b| **b == 0).for_each(|b| *b = b' ');
    command_line.truncate(command_line.trim_ascii_end().len());
    command_line
}
