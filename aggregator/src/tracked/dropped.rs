//! What did not fit into the ring: the producer counts it, and it comes into the books in its turn.

use super::Tracked;
use crate::attach::{AttachedRing, MOST_DROPS};
use crate::books::Books;
use crate::chips::Chips;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::event::{MEMORY_KINDS, Memory};
use shm_layout::ring::{DROP_DEVICES, DropTable};
use shm_layout::stats::incomplete;

impl Tracked {
    /// Brings new drops into the books, once `applied` has reached what was written before they were noticed: a device's
    /// close that came before a dropped allocation must not end it. True if the books have changed.
    pub(super) fn look_at_drops(&mut self, applied: u64, chips: &mut Chips) -> bool {
        if self.absorb_at.is_none() && self.ring.dropped() != self.drops_seen {
            self.absorb_at = Some(self.ring.end(applied));
            self.mark_incomplete();
        }
        if self.absorb_at.is_some_and(|at| applied < at) {
            return false;
        }
        let absorbed = self.absorb_at.is_some();
        if absorbed {
            self.absorb_all(chips);
        }
        let again = !self.controls_lost && self.books.find_complete_again(self.ledger.as_mut(), chips);
        absorbed || again
    }

    /// Accounts of which something was dropped do not wait for its turn to say so.
    fn mark_incomplete(&mut self) {
        let table = self.ring.drops();
        for live in &mut self.books.accounts {
            let Some(memory) = live.memory() else { continue };
            let cell = &table.cells[DropTable::<AtomicU64>::row(live.account.device)][memory as usize];
            // Relaxed: counters that only grow.
            let counted = cell.allocated_blocks.load(Relaxed).saturating_add(cell.freed_blocks.load(Relaxed));
            if counted > live.account.drops_seen[1].saturating_add(live.account.drops_seen[3]) {
                live.lose_detail(incomplete::DROPPED);
            }
        }
    }

    pub(super) fn absorb_all(&mut self, chips: &mut Chips) {
        self.absorb_at = None;
        let before = core::mem::replace(&mut self.drops_seen, self.ring.dropped());
        if before < MOST_DROPS && self.drops_seen == MOST_DROPS {
            self.books.counters.anomalies.overflow += 1;
        }
        absorb(&self.ring, &mut self.books, chips);
        let lost = self.ring.lost_controls();
        if lost != self.lost_controls_seen {
            // A device's open or close was among them: single allocations can no longer be trusted to be all.
            self.lost_controls_seen = lost;
            self.controls_lost = true;
            self.books.accounts.iter_mut().for_each(|live| live.lose_detail(incomplete::CONTROLS_LOST));
        }
    }
}

/// Brings every cell of the ring's drop table into the books.
pub(super) fn absorb(ring: &AttachedRing, books: &mut Books, chips: &mut Chips) {
    let table = ring.drops();
    for device in 0..DROP_DEVICES {
        for memory in 0..MEMORY_KINDS {
            let cell = &table.cells[device][memory];
            // Relaxed: counters that only grow; what is missed now is seen at the next look.
            let now = [
                cell.allocated_bytes.load(Relaxed),
                cell.allocated_blocks.load(Relaxed),
                cell.freed_bytes.load(Relaxed),
                cell.freed_blocks.load(Relaxed),
            ];
            if now != [0; 4]
                && let Some(memory) = Memory::from_u8(memory as u8)
            {
                books.absorb_drops(device as u32, memory, now, chips);
            }
        }
    }
}
