//! What has no entry in the ledger: its record was dropped, or there was no room. Totals stay exact by what the ring's drop
//! counters and the frees themselves say.

use super::{Books, MOST_BYTES, fold, signed};
use crate::account::Live;
use crate::chips::Chips;
use crate::ledger::{Key, Ledger};
use crate::sections::Jump;
use shm_layout::event::{Event, Memory};
use shm_layout::ledger::Account;
use shm_layout::stats::incomplete;

/// What is over when everything that it concerned has ended.
const ENDS: u32 = incomplete::DROPPED | incomplete::NO_LEDGER | incomplete::LEDGER_FULL | incomplete::LEDGER_LOST;

impl Books {
    #[cold]
    #[inline(never)]
    pub(super) fn free_without_entry(
        &mut self,
        event: &Event,
        memory: Memory,
        chips: &mut Chips,
        drops: &dyn Fn(&mut Self, &mut Chips),
    ) {
        self.settle(chips);
        // Its allocation may have been dropped a moment ago.
        drops(self, chips);
        if self.free_unlisted(event, memory, chips) {
            return;
        }
        let key = fold(&Key::of(event));
        if self.recently_freed.as_ref().is_some_and(|freed| freed.contains(&key)) {
            self.counters.anomalies.double_free += 1;
        } else {
            self.counters.anomalies.free_unknown += 1;
        }
    }

    /// A free says another size than the entry that it has taken. Where records were dropped, the entry may be what an earlier use
    /// of the address left, whose free was dropped: the free is right then, and what it differs by stays to be freed.
    #[cold]
    #[inline(never)]
    pub(super) fn freed_another(&mut self, event: &Event, at: usize, taken: u64) {
        let live = &mut self.accounts[at];
        if live.account.incomplete == 0 {
            self.counters.anomalies.size_mismatch += 1;
            return;
        }
        live.shift_unlisted(signed(taken) - signed(event.taken()), 0);
        live.account.freed = live.account.freed.saturating_sub(taken).saturating_add(event.taken());
    }

    /// Accounts of which records were dropped, and in which everything that was dropped has ended: single allocations are what
    /// they were again. True if there was one. For when every drop is in the books.
    pub fn find_complete_again(&mut self, ledger: Option<&mut Ledger>, chips: &mut Chips) -> bool {
        if self.history_lost || self.accounts.iter().all(|live| live.account.incomplete == 0) {
            return false;
        }
        let mut batch = ledger.map(|ledger| ledger.begin(&[]));
        let mut some = false;
        let ends = |live: &&mut Live| live.account.incomplete & !u64::from(ENDS) == 0 && live.account.incomplete != 0;
        for live in self.accounts.iter_mut().filter(ends) {
            let Account { device, outstanding, unlisted_bytes, unlisted_blocks, drops_seen, .. } = live.account;
            let Some(memory) = live.memory() else { continue };
            // A dropped free leaves its entry listed, and only the end of all of them tells that it has gone.
            let nothing_dropped = (outstanding, unlisted_bytes, unlisted_blocks) == (0, 0, 0) && drops_seen[3] == 0;
            // To the byte: the free of something unknown that was dropped makes blocks equal where something is alive.
            let nothing_alive = live.is_made_up_for();
            if !nothing_dropped && nothing_alive {
                // What is listed has ended by frees that were dropped, and what is unlisted makes up for it.
                if let Some(batch) = &mut batch {
                    batch.remove_account(device, memory, |_| {});
                }
                live.end_all(chips);
            }
            if nothing_dropped || nothing_alive {
                live.account.incomplete = 0;
                some = true;
            }
        }
        some
    }

    /// A free of something that has no entry: that of an allocation whose record was dropped, if there is one. False if
    /// there is none.
    pub(super) fn free_unlisted(&mut self, event: &Event, memory: Memory, chips: &mut Chips) -> bool {
        let Some(at) = self.account_number(event.device, memory) else { return false };
        let live = &mut self.accounts[at];
        if live.account.outstanding == 0 {
            return false;
        }
        let (before, taken) = (live.footprint(), event.taken().min(MOST_BYTES));
        live.account.outstanding = live.account.outstanding.saturating_sub(1);
        live.shift_unlisted(-signed(taken), -1);
        live.account.freed = live.account.freed.saturating_add(taken);
        let figures = chips.figures(live.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(before).saturating_add(live.footprint());
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(taken);
        true
    }

    /// A release tells how much it frees. Where records were dropped, that is the truth: of what left the ledger with it (bytes
    /// and blocks `gone`), some may have been freed by a dropped release before, and some of what it frees may never have been listed.
    pub(super) fn settle_release(&mut self, event: &Event, memory: Memory, gone: (u64, u64), chips: &mut Chips) {
        let Some(at) = self.account_number(event.device, memory) else { return };
        let live = &mut self.accounts[at];
        let (bytes, blocks) = (signed(gone.0) - signed(event.taken()), signed(gone.1) - signed(event.id));
        if (bytes, blocks) == (0, 0) {
            return;
        }
        if live.account.incomplete == 0 {
            // Nothing was dropped: the ledger is right, and the release is not.
            self.counters.anomalies.size_mismatch += 1;
            return;
        }
        let before = live.footprint();
        live.shift_unlisted(bytes, blocks);
        live.account.outstanding = live.account.outstanding.saturating_sub(u64::try_from(-blocks).unwrap_or(0));
        live.account.freed = live.account.freed.saturating_add_signed(-bytes);
        let figures = chips.figures(live.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(before).saturating_add(live.footprint());
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add_signed(-bytes);
    }

    /// What came and went in the ring unread: it is in the sums and peaks.
    pub fn absorb_vanished(&mut self, jump: &Jump, chips: &mut Chips) {
        self.counters.events = self.counters.events.saturating_add(jump.records);
        let anomalies = &mut self.counters.anomalies;
        anomalies.free_unknown = anomalies.free_unknown.saturating_add(jump.unknown_frees);
        for &(device, memory, bytes, peak) in &jump.cells {
            let Some(at) = self.account(device, memory, chips) else { continue };
            let live = &mut self.accounts[at];
            let (bytes, peak) = (bytes.min(MOST_BYTES), peak.min(MOST_BYTES));
            live.account.allocated = live.account.allocated.saturating_add(bytes);
            live.account.freed = live.account.freed.saturating_add(bytes);
            live.account.peak = live.account.peak.max(peak);
            let figures = chips.figures(live.chip, memory);
            figures.allocated_bytes_total = figures.allocated_bytes_total.saturating_add(bytes);
            figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(bytes);
            figures.peak_footprint_bytes = figures.peak_footprint_bytes.max(peak);
        }
    }

    /// Absorbs the ring's drop counters of one cell: what they have grown by since the last look.
    pub fn absorb_drops(&mut self, device: u32, memory: Memory, now: [u64; 4], chips: &mut Chips) {
        let Some(at) = self.account(device, memory, chips) else { return };
        let live = &mut self.accounts[at];
        let grown = |i: usize| now[i].saturating_sub(live.account.drops_seen[i]).min(MOST_BYTES);
        let [allocated, allocated_blocks, freed, freed_blocks] = [grown(0), grown(1), grown(2), grown(3)];
        if [allocated, allocated_blocks, freed, freed_blocks] == [0; 4] {
            return;
        }
        let before = live.footprint();
        // Each by itself: what was noticed earlier may come here later than what a free has asked for meanwhile.
        live.account.drops_seen.iter_mut().zip(now).for_each(|(seen, now)| *seen = (*seen).max(now));
        live.shift_unlisted(signed(allocated) - signed(freed), signed(allocated_blocks) - signed(freed_blocks));
        live.account.outstanding = live.account.outstanding.saturating_add(allocated_blocks);
        live.account.allocated = live.account.allocated.saturating_add(allocated);
        live.account.freed = live.account.freed.saturating_add(freed);
        live.lose_detail(incomplete::DROPPED);
        live.account.peak = live.account.peak.max(live.footprint());
        let figures = chips.figures(live.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(before).saturating_add(live.footprint());
        figures.allocated_bytes_total = figures.allocated_bytes_total.saturating_add(allocated);
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(freed);
        figures.peak_footprint_bytes = figures.peak_footprint_bytes.max(figures.footprint_bytes);
    }
}
