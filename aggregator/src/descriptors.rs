//! Open files: each tracked process takes three of them, and the system gives only so many.

use crate::control;
use crate::sigbus::PROCESSES;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A ring, a ledger, a pidfd.
const PER_PROCESS: usize = 3;
/// What is open besides for a moment at a time: /proc, /dev/shm, the second descriptor of a segment that is being made. And the
/// control socket, if its name is to be had only later.
const SPARE: usize = 8;
/// Of what is left, connections to the control socket take at most one part in this many.
const CONTROL_SHARE: usize = 8;
/// Of all places, and of the socket's connections, processes and blocks, one user but root may take so many in this many parts: the
/// rest is for the others.
pub const USER_SHARE: (usize, usize) = (3, 4);

/// How many processes can be tracked at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Of everybody.
    pub all: usize,
    /// Of one user.
    pub of_one_user: usize,
    /// Connections to the control socket.
    pub connections: usize,
    /// The limit on open files that this comes from.
    pub open_files: u64,
}

impl Places {
    /// Raises the soft limit on open files to the hard one, and counts what that leaves room for.
    pub fn make() -> Self {
        let open_files = match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) if soft < hard => match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
                Ok(()) => hard,
                Err(errno) => {
                    tracing::warn!(%errno, "the limit on open files stays at {soft}");
                    soft
                }
            },
            Ok((soft, _)) => soft,
            Err(_) => 1024,
        };
        let taken = std::fs::read_dir("/proc/self/fd").map_or(SPARE, Iterator::count);
        Self::within(open_files, taken)
    }

    /// As many fewer as this many open files make.
    pub fn without(self, files: usize) -> Self {
        let all = self.all.saturating_sub(files.div_ceil(PER_PROCESS));
        Self { all, of_one_user: of_one_user(all), ..self }
    }

    fn within(open_files: u64, taken: usize) -> Self {
        let free = usize::try_from(open_files).unwrap_or(usize::MAX).saturating_sub(taken + SPARE);
        // At least one, who has to do with what is spare.
        let connections = (free / CONTROL_SHARE).clamp(1, control::MOST);
        let all = ((free - connections.min(free)) / PER_PROCESS).min(PROCESSES);
        Self { all, of_one_user: of_one_user(all), connections, open_files }
    }
}

fn of_one_user(all: usize) -> usize {
    (all * USER_SHARE.0).div_ceil(USER_SHARE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_files_each_and_some_to_spare() {
        let places = |all, of_one_user, connections, open_files| Places { all, of_one_user, connections, open_files };
        assert_eq!(Places::within(1024, 8), places(325, 244, control::MOST, 1024));
        assert_eq!(Places::within(1 << 20, 8).all, PROCESSES);
        assert_eq!(Places::within(10, 8), places(0, 0, 1, 10));
    }

    /// Were they not set aside, a ring would be refused for want of a descriptor while its place is free.
    #[test]
    fn every_process_and_every_connection_has_its_descriptors() {
        for limit in 20..20_000 {
            let Places { all, connections, .. } = Places::within(limit, 8);
            assert!(all * PER_PROCESS + connections + SPARE + 8 <= limit.try_into().unwrap_or(usize::MAX), "{limit}");
        }
    }
}
