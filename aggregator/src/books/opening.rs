//! Baselines that set themselves: what is the system's of a device's memory, apart from the application's (`--auto-baseline`).
//!
//! When is a device open? Of a device that its process introduces (the hooks, the C API), with the first allocation there that does not carry
//! the flag `SYSTEM`: its source says which ones are the system's, so what was live before that one is. No clock decides, and an aggregator that
//! comes late, or reads slowly, or is killed in between, finds the same answer in the records. Until then the baseline is what is live, looked
//! at whenever the ring rests.
//!
//! A source that introduces nobody (the original's client, through its socket or compiled in) flags no buffer. There it is the first moment of
//! rest after the device's first record: opening tells everything at once, and an application has its weights to read before it allocates. That is
//! a guess, so it is made only by an aggregator that was there from the start of that ring, and never by a successor.

use super::Books;
use crate::host::Now;
use shm_layout::event::{Event, Kind, flags};

/// [`Device::open`](shm_layout::ledger::Device::open): it is.
const OPEN: u32 = 1;
/// And its opening may not be over.
const OPENING: u32 = 2;

/// What is to be done about openings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Baselines are to set themselves, of devices opened from now on.
    pub wanted: bool,
    /// All that this process said was read as it came.
    pub from_the_start: bool,
    /// Devices whose opening may not be over.
    devices: usize,
}

impl Books {
    /// What a device that is opened now is marked with.
    pub(super) const fn opening_mark(&self) -> u32 {
        if self.opening.wanted { OPEN | OPENING } else { OPEN }
    }

    /// Devices came or went.
    pub(super) fn count_openings(&mut self) {
        self.opening.devices = self.devices.iter().filter(|device| device.open & OPENING != 0).count();
    }

    /// Whether the event's device is still being opened when it has happened. If the event ends it, what is live before it is the system's.
    pub(super) fn is_opening_after(&mut self, event: &Event) -> bool {
        if self.opening.devices == 0 {
            return false;
        }
        let Some(device) = self.devices.iter_mut().find(|device| device.device == event.device) else { return false };
        if device.open & OPENING == 0 {
            return false;
        }
        if event.kind != Kind::Alloc as u8 || event.flags & flags::SYSTEM != 0 {
            return true;
        }
        device.open &= !OPENING;
        self.opening.devices -= 1;
        self.set_baselines(event.device, Now::read().unix_ns, false);
        false
    }

    /// The ring rests: what is live on devices that are being opened is the system's so far. Whether something changed by that.
    pub fn rest(&mut self, unix_ns: u64) -> bool {
        let Opening { wanted, from_the_start, devices } = self.opening;
        let mut changed = false;
        if devices > 0 {
            let opening: Vec<u32> = self.devices.iter().filter(|d| d.open & OPENING != 0).map(|d| d.device).collect();
            opening.into_iter().for_each(|device| changed |= self.set_baselines(device, unix_ns, false));
        }
        if wanted && from_the_start {
            let mut named: Vec<u32> = self.accounts.iter().map(|live| live.account.device).collect();
            named.sort_unstable();
            named.dedup();
            for device in named {
                let decided = |live: &crate::account::Live| live.account.device == device && !live.is_baseline_open();
                if self.device(device).is_none() && !self.accounts.iter().any(decided) {
                    changed |= self.set_baselines(device, unix_ns, true);
                }
            }
        }
        changed
    }

    /// Not over what somebody has set or cleared. Whether a baseline is another one now, or it was decided that there is none.
    fn set_baselines(&mut self, device: u32, unix_ns: u64, last: bool) -> bool {
        let mine = self.accounts.iter_mut().filter(|live| live.account.device == device);
        let mut changed = false;
        for live in mine.filter(|live| live.is_baseline_open() || live.is_baseline_automatic()) {
            let before = (live.account.baseline, live.is_baseline_open());
            live.set_baseline_automatically(unix_ns, last);
            changed |= (live.account.baseline, live.is_baseline_open()) != before;
        }
        changed
    }
}
