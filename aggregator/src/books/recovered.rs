//! What a ledger's state block says, cut to what can be. The file is the aggregator's own, but whoever has its uid can write it, and a
//! layout may have lied: no number of it may make a sum wrap, stand for another process's account, or ask for memory.

use super::MOST_BYTES;
use crate::clock;
use shm_layout::event::{MAX_DEVICE, Memory};
use shm_layout::ledger::{Account, Counters, Device, LedgerState};
use shm_layout::stats::{Anomalies, BASELINE_AUTO, UNKNOWN, incomplete};

/// The state with every sum at most [`MOST_BYTES`], and each device and account there once.
pub fn believable(state: LedgerState) -> LedgerState {
    let most = |sum: u64| sum.min(MOST_BYTES);
    let Counters { events, torn, anomalies, reserved } = state.counters;
    let Anomalies { free_unknown, double_free, invalid_record, alloc_live, overflow, size_mismatch, reserved: spare } =
        anomalies;
    let anomalies = Anomalies {
        free_unknown: most(free_unknown),
        double_free: most(double_free),
        invalid_record: most(invalid_record),
        alloc_live: most(alloc_live),
        overflow: most(overflow),
        size_mismatch: most(size_mismatch),
        reserved: spare,
    };
    let mut devices: Vec<Device> = Vec::with_capacity(state.devices.len());
    for mut device in state.devices {
        if device.device <= MAX_DEVICE && devices.iter().all(|known| known.device != device.device) {
            device.capacity.iter_mut().filter(|bytes| **bytes != UNKNOWN).for_each(|bytes| *bytes = most(*bytes));
            device.banks.iter_mut().filter(|banks| banks.bytes > MOST_BYTES).for_each(|banks| banks.bytes = 0);
            device.opened_ns = clock::not_after_now(device.opened_ns);
            device.dispatched_ns = clock::not_after_now(device.dispatched_ns);
            devices.push(device);
        }
    }
    let mut accounts: Vec<Account> = Vec::with_capacity(state.accounts.len());
    for account in state.accounts {
        let known = u8::try_from(account.memory).is_ok_and(|memory| Memory::from_u8(memory).is_some());
        let new = accounts.iter().all(|one| (one.device, one.memory) != (account.device, account.memory));
        if known && new && account.device <= MAX_DEVICE {
            let limit = MOST_BYTES.cast_signed();
            accounts.push(Account {
                peak: most(account.peak),
                allocated: most(account.allocated),
                freed: most(account.freed),
                unlisted_bytes: account.unlisted_bytes.clamp(-limit, limit),
                unlisted_blocks: account.unlisted_blocks.clamp(-limit, limit),
                outstanding: most(account.outstanding),
                baseline: most(account.baseline & !BASELINE_AUTO) | (account.baseline & BASELINE_AUTO),
                incomplete: incomplete::believable(account.incomplete).into(),
                ..account
            });
        }
    }
    LedgerState {
        counters: Counters { events: most(events), torn: most(torn), anomalies, reserved },
        devices,
        accounts,
    }
}
