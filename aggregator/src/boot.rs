//! Clock ticks after boot, in which /proc tells when a process started.

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

const NS_PER_SECOND: i128 = 1_000_000_000;

fn ns(time: TimeSpec) -> i128 {
    time.tv_sec() as i128 * NS_PER_SECOND + i128::from(time.tv_nsec())
}

fn ticks_per_second() -> i128 {
    i128::from(sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100).max(1))
}

/// When a process that started this many ticks after boot started, Unix time in ns; 0 if it cannot be told.
pub fn start_unix_ns(start_ticks: u64) -> u64 {
    let (Ok(unix), Ok(boot)) = (clock_gettime(ClockId::CLOCK_REALTIME), clock_gettime(ClockId::CLOCK_BOOTTIME)) else {
        return 0;
    };
    let start = ns(unix) - ns(boot) + i128::from(start_ticks) * NS_PER_SECOND / ticks_per_second();
    u64::try_from(start).unwrap_or(0)
}

/// Ticks after boot, now: for comparison with a process's start.
pub fn ticks_now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok();
    now.and_then(|now| u64::try_from(ns(now) * ticks_per_second() / NS_PER_SECOND).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_layout::procfs;

    #[test]
    fn this_process_started_before_now_and_after_boot() {
        let start = procfs::stat("self").map_or(0, |stat| stat.start_ticks);
        assert!((1..=ticks_now()).contains(&start));
        let now = u64::try_from(ns(clock_gettime(ClockId::CLOCK_REALTIME).expect("a clock"))).unwrap_or(0);
        assert!(start_unix_ns(0) < start_unix_ns(start) && start_unix_ns(start) <= now);
    }
}
