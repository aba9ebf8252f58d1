//! Why single allocations of a process are missing though its totals are right: bits of
//! [`Process::incomplete`](super::Process::incomplete), and of what a ledger remembers of an account.

/// An earlier aggregator lost some, and did not say why.
pub const EARLIER: u32 = 1;
/// The ring was full, and the process dropped records.
pub const DROPPED: u32 = 2;
/// An earlier aggregator read records and left no ledger.
pub const HISTORY_LOST: u32 = 4;
/// There is no ledger: it could not be made.
pub const NO_LEDGER: u32 = 8;
/// The ledger could not grow.
pub const LEDGER_FULL: u32 = 16;
/// The ledger's file was cut short, and what it listed is lost.
pub const LEDGER_LOST: u32 = 32;
/// More than there is room for: sizes above 2^62 in sum, devices, accounts or chips beyond what fits. Totals may be too small.
pub const OVERFLOW: u32 = 64;
/// Opening or closing of a device was among the dropped records.
pub const CONTROLS_LOST: u32 = 128;
/// A free named no memory kind where several held that address: what it freed was guessed.
pub const AMBIGUOUS: u32 = 256;

/// Every bit, with its name in JSON.
pub const ALL: [(u32, &str); 9] = [
    (EARLIER, "earlier"),
    (DROPPED, "dropped"),
    (HISTORY_LOST, "history-lost"),
    (NO_LEDGER, "no-ledger"),
    (LEDGER_FULL, "ledger-full"),
    (LEDGER_LOST, "ledger-lost"),
    (OVERFLOW, "overflow"),
    (CONTROLS_LOST, "controls-lost"),
    (AMBIGUOUS, "ambiguous"),
];

/// The names of these bits.
pub fn names(bits: u32) -> Vec<&'static str> {
    ALL.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect()
}

/// Bits that somebody wrote: those that there are, and [`EARLIER`] where none of them is.
pub fn believable(written: u64) -> u32 {
    let known = ALL.iter().fold(0, |all, (bit, _)| all | bit) & written as u32;
    if written != 0 && known == 0 { EARLIER } else { known }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_lost_stays_so_whatever_was_written() {
        assert_eq!((believable(0), believable(1), believable(1 << 40), believable(u64::MAX)), (0, 1, 1, 511));
        assert_eq!(names(DROPPED | OVERFLOW), ["dropped", "overflow"]);
        assert!(names(0).is_empty());
    }
}
