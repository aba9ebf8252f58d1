//! Which allocations are meant, beyond process, device and memory kind.

use crate::ledger::Allocation;
use shm_layout::event::flags;

/// Flags of what is the system's, not the application's.
const OF_SYSTEM: u16 = flags::SYSTEM | flags::FABRIC | flags::DISPATCH;

/// What an allocation must be like; nothing asked = every one is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Takes at least so many bytes.
    pub least_bytes: u64,
    /// Is older than this, ns.
    pub older_than_ns: Option<u64>,
    /// Is younger than this, ns.
    pub younger_than_ns: Option<u64>,
    /// Is the system's (`true`) or the application's.
    pub system: Option<bool>,
    /// Belongs to the program with this number.
    pub program: Option<u32>,
    /// Belongs to a process of this user.
    pub uid: Option<u32>,
    /// What ages are counted to, `CLOCK_MONOTONIC` ns.
    pub now_ns: u64,
}

impl Filter {
    /// Whether this allocation is meant, whoever has it.
    pub fn has(&self, allocation: &Allocation) -> bool {
        let age = allocation.age_ns(self.now_ns);
        allocation.event.taken() >= self.least_bytes
            && self.older_than_ns.is_none_or(|limit| age > limit)
            && self.younger_than_ns.is_none_or(|limit| age < limit)
            && self.system.is_none_or(|system| is_system(allocation) == system)
            && self.program.is_none_or(|program| allocation.event.context == program)
    }
}

/// Whether it is flagged as the system's: fabric, dispatch, what they need.
pub const fn is_system(allocation: &Allocation) -> bool {
    allocation.event.flags & OF_SYSTEM != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::fixture::alloc;
    use shm_layout::event::{Event, Memory};

    #[test]
    fn each_condition_takes_some_out() {
        let made = |event| Allocation { event, memory: Memory::Dram, chip_id: None, tag: None };
        // A footprint of 164 bytes, 100 ns old.
        let one = made(Event { context: 7, ..alloc(1, 0, Memory::Dram, 100, 900) });
        let system = made(Event { flags: flags::DISPATCH, ..one.event });
        let all = Filter { now_ns: 1000, ..Filter::default() };
        let has = |filter: Filter| (filter.has(&one), filter.has(&system));
        assert_eq!(has(all), (true, true));
        assert_eq!(has(Filter { least_bytes: 164, ..all }), (true, true));
        assert_eq!(has(Filter { least_bytes: 165, ..all }), (false, false));
        assert_eq!(has(Filter { older_than_ns: Some(99), ..all }), (true, true));
        assert_eq!(has(Filter { older_than_ns: Some(100), ..all }), (false, false));
        assert_eq!(has(Filter { younger_than_ns: Some(101), ..all }), (true, true));
        assert_eq!(has(Filter { younger_than_ns: Some(100), ..all }), (false, false));
        assert_eq!(has(Filter { system: Some(true), ..all }), (false, true));
        assert_eq!(has(Filter { system: Some(false), ..all }), (true, false));
        assert_eq!(has(Filter { program: Some(7), ..all }), (true, true));
        assert_eq!(has(Filter { program: Some(8), ..all }), (false, false));
    }
}
