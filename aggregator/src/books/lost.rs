//! A ledger whose entries are gone: somebody cut its file short.

use super::Books;
use crate::chips::Chips;

impl Books {
    /// What was listed is live as before, only without entries: totals stay exact by what the frees themselves say, as with
    /// dropped records, and detail is incomplete. To be called again as long as the ledger lists nothing.
    #[cold]
    pub fn lose_list(&mut self, chips: &mut Chips) {
        self.settle(chips);
        self.accounts.iter_mut().for_each(crate::account::Live::lose_entries);
    }
}
