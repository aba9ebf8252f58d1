//! Who a process is: what /proc tells of it, so that it is not taken for another with the same pid.

use crate::tracked::start_unix_ns;
use shm_layout::procfs;
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

    /// Whether it still runs: what was read of it is up to a second old.
    pub fn is_alive(&self) -> bool {
        procfs::stat(&self.pid.to_string()).is_some_and(|now| now.start_ticks == self.start_ticks && now.state != b'Z')
    }

    /// The process with this pid; `None` where there is none, it is dead, or it cannot be seen.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = procfs::stat(&pid.to_string()).filter(|stat| stat.state != b'Z')?;
        let uid = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
        let comm = procfs::read_bounded(&format!("/proc/{pid}/comm"), 64).unwrap_or_default();
        let mut command_line = procfs::read_bounded(&format!("/proc/{pid}/cmdline"), 512).unwrap_or_default();
        command_line.iter_mut().filter(|b| **b == 0).for_each(|b| *b = b' ');
        Some(Self {
            pid,
            uid,
            start_ticks: stat.start_ticks,
            start_unix_ns: start_unix_ns(stat.start_ticks),
            name: text::clean(comm.trim_ascii_end()),
            command_line: command_line.trim_ascii_end().to_vec(),
        })
    }
}
