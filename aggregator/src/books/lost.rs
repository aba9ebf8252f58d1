//! What the books lack, and why: also where the ledger's entries are gone, because somebody cut its file short.

use super::Books;
use crate::chips::Chips;
use shm_layout::stats::incomplete;

impl Books {
    /// What was listed is live as before, only without entries: totals stay exact by what the frees themselves say, as with
    /// dropped records, and detail is incomplete. To be called again as long as the ledger lists nothing.
    #[cold]
    pub fn lose_list(&mut self, chips: &mut Chips) {
        self.settle(chips);
        self.accounts.iter_mut().for_each(crate::account::Live::lose_entries);
    }

    /// Why single allocations are missing, or totals too small: bits of [`incomplete`].
    pub fn why_incomplete(&self) -> u32 {
        let of_accounts =
            self.accounts.iter().fold(0, |all, live| all | incomplete::believable(live.account.incomplete));
        // What passed a limit is in no account, as long as the process lives.
        let overflow = if self.counters.anomalies.overflow > 0 { incomplete::OVERFLOW } else { 0 };
        let lost = if self.history_lost { incomplete::HISTORY_LOST } else { 0 };
        let controls = if self.controls_lost { incomplete::CONTROLS_LOST } else { 0 };
        of_accounts | overflow | lost | controls
    }
}
