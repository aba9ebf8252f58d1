//! What a process told of the banks of a memory kind.

use shm_layout::event::Memory;
use shm_layout::ledger::Device;

/// The banks of one memory kind of one chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Banks {
    /// How many; not 0.
    pub count: u64,
    /// The first address that the allocator hands out in each.
    pub first: u64,
    /// Bytes that it hands out in each; 0: not known.
    pub bytes: u64,
}

impl Banks {
    /// As this process told them; `None` where it did not, or where there are none.
    pub fn of(device: &Device, memory: Memory) -> Option<Self> {
        let banks = device.banks(memory)?;
        Some(Self { count: banks.count.into(), first: banks.first.into(), bytes: banks.bytes })
    }

    /// The first address and the first beyond, of each bank.
    pub fn bounds(self) -> Option<(u64, u64)> {
        (self.bytes > 0).then(|| self.first.checked_add(self.bytes).map(|end| (self.first, end))).flatten()
    }
}
