//! What did not fit into the ring: the producer counts it, and it comes into the books in its turn.

use super::Tracked;
use crate::attach::{AttachedRing, MOST_DROPS};
use crate::books::Books;
use crate::chips::Chips;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::event::{MEMORY_KINDS, Memory};
use shm_layout::ring::DROP_DEVICES;
use shm_layout::stats::incomplete;

/// The four counters of a device's memory kind.
type DropCount = (u32, Memory, [u64; 4]);

/// The ring's drop counters at one moment, and where the ring ended then.
#[derive(Debug)]
pub(super) struct Noticed {
    counts: Vec<DropCount>,
    dropped: u64,
    lost_controls: u64,
    /// Everything that was written before these drops lies before this record.
    at: u64,
}

impl Tracked {
    /// Brings new drops into the books, once `applied` has reached what was written before they were noticed: a device's
    /// close that came before a dropped allocation must not end it, and the free of what is not listed yet would make the figures what
    /// they never were. True if the books have changed.
    pub(super) fn look_at_drops(&mut self, applied: u64, chips: &mut Chips) -> bool {
        let dropped = self.ring.dropped();
        if core::mem::replace(&mut self.marked, dropped) != dropped {
            self.mark_incomplete();
        }
        if self.noticed.is_none() && dropped != self.drops_seen {
            self.noticed = Some(self.notice(applied));
        }
        if self.noticed.as_ref().is_some_and(|noticed| applied < noticed.at) {
            return false;
        }
        let noticed = self.noticed.take();
        let absorbed = noticed.is_some();
        if let Some(noticed) = noticed {
            self.absorb_noticed(&noticed, chips);
        }
        // While something is dropped, what is listed and what is not do not belong together, and may come to nothing by chance.
        let settled = self.ring.dropped() == self.drops_seen && !self.books.controls_lost;
        let again = settled && self.books.find_complete_again(self.ledger.as_mut(), chips);
        absorbed || again
    }

    fn notice(&self, applied: u64) -> Noticed {
        // In this order: the counts are of drops before them and of some after them, and the end comes after all of these.
        let dropped = self.ring.dropped();
        let (lost_controls, counts) = (self.ring.lost_controls(), counts(&self.ring));
        Noticed { counts, dropped, lost_controls, at: self.ring.end(applied) }
    }

    /// Accounts of which something was dropped do not wait for its turn to say so.
    fn mark_incomplete(&mut self) {
        if self.ring.lost_controls() != self.lost_controls_seen {
            self.books.accounts.iter_mut().for_each(|live| live.lose_detail(incomplete::CONTROLS_LOST));
        }
        let table = self.ring.drops();
        for live in &mut self.books.accounts {
            let Some(memory) = live.memory() else { continue };
            // Of a device without a row nothing is counted but lost controls.
            let Some(cell) = table.cells.get(live.account.device as usize).map(|row| &row[memory as usize]) else {
                continue;
            };
            // Relaxed: counters that only grow.
            let counted = cell.allocated_blocks.load(Relaxed).saturating_add(cell.freed_blocks.load(Relaxed));
            if counted > live.account.drops_seen[1].saturating_add(live.account.drops_seen[3]) {
                live.lose_detail(incomplete::DROPPED);
            }
        }
    }

    /// Everything that was dropped up to now.
    pub(super) fn absorb_all(&mut self, chips: &mut Chips) {
        self.noticed = None;
        let noticed = self.notice(self.next());
        self.absorb_noticed(&noticed, chips);
    }

    fn absorb_noticed(&mut self, noticed: &Noticed, chips: &mut Chips) {
        let before = core::mem::replace(&mut self.drops_seen, noticed.dropped);
        if before < MOST_DROPS && self.drops_seen == MOST_DROPS {
            self.books.counters.anomalies.overflow += 1;
        }
        absorb_counts(&noticed.counts, &mut self.books, chips);
        if noticed.lost_controls != self.lost_controls_seen {
            // A device's open or close was among them: single allocations can no longer be trusted to be all.
            self.lost_controls_seen = noticed.lost_controls;
            self.books.controls_lost = true;
            self.books.accounts.iter_mut().for_each(|live| live.lose_detail(incomplete::CONTROLS_LOST));
        }
    }
}

/// Brings every cell of the ring's drop table into the books, as it is now.
pub(super) fn absorb(ring: &AttachedRing, books: &mut Books, chips: &mut Chips) {
    absorb_counts(&counts(ring), books, chips);
}

fn absorb_counts(counts: &[DropCount], books: &mut Books, chips: &mut Chips) {
    for &(device, memory, now) in counts {
        books.absorb_drops(device, memory, now, chips);
    }
}

/// Every cell of the ring's drop table in which there is something.
fn counts(ring: &AttachedRing) -> Vec<DropCount> {
    let table = ring.drops();
    let mut counts = Vec::new();
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
                counts.push((device as u32, memory, now));
            }
        }
    }
    counts
}
