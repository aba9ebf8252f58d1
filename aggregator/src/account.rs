//! One account: what a process holds of one memory kind on one device.

use crate::books::MOST_BYTES;
use crate::chips::{ChipIndex, Chips};
use shm_layout::event::{Event, Memory, flags};
use shm_layout::ledger::Account;
use shm_layout::stats::{BASELINE_AUTO, Figures, incomplete};

/// One account: the persistent sums, and those that are derived from the entries.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// What the ledger's state block keeps.
    pub account: Account,
    /// The chip that the device is.
    pub chip: ChipIndex,
    /// Bytes asked for, of entries.
    pub asked: u64,
    /// Bytes taken, of entries.
    pub taken: u64,
    /// Entries.
    pub blocks: u64,
    /// Of `taken`: fabric kernels.
    pub fabric: u64,
    /// Of `taken`: dispatch kernels.
    pub dispatch: u64,
}

impl Live {
    /// An account with nothing in it.
    pub fn new(device: u32, memory: Memory, chip: ChipIndex) -> Self {
        let account = Account { device, memory: memory as u32, ..Account::default() };
        Self { account, chip, asked: 0, taken: 0, blocks: 0, fabric: 0, dispatch: 0 }
    }

    /// Bytes taken, entries and unlisted; never below zero, and no more than a process may reach.
    pub fn footprint(&self) -> u64 {
        self.taken.saturating_add_signed(self.account.unlisted_bytes).min(MOST_BYTES)
    }

    /// Blocks, entries and unlisted.
    pub fn all_blocks(&self) -> u64 {
        self.blocks.saturating_add_signed(self.account.unlisted_blocks).min(MOST_BYTES)
    }

    /// Whether what is live without an entry, which is less than nothing then, is exactly what the entries hold: all of them were
    /// freed by records that were dropped.
    pub fn is_made_up_for(&self) -> bool {
        let signed = |amount| i64::try_from(amount).unwrap_or(i64::MAX);
        (self.account.unlisted_blocks, self.account.unlisted_bytes) == (-signed(self.blocks), -signed(self.taken))
    }

    /// The figures to be shown; `resident` is for circular buffers.
    pub fn figures(&self, resident: u64, capacity: u64) -> Figures {
        Figures {
            live_bytes: self.asked.saturating_add_signed(self.account.unlisted_bytes).min(MOST_BYTES),
            footprint_bytes: self.footprint(),
            blocks: self.all_blocks(),
            peak_footprint_bytes: self.account.peak.max(self.footprint()).min(MOST_BYTES),
            capacity_bytes: capacity,
            // What was dropped is counted as the process tells it.
            allocated_bytes_total: self.account.allocated.min(MOST_BYTES),
            freed_bytes_total: self.account.freed.min(MOST_BYTES),
            resident_bytes: resident,
            fabric_bytes: self.fabric,
            dispatch_bytes: self.dispatch,
            detail_incomplete: (self.account.incomplete != 0).into(),
            baseline: self.account.baseline,
        }
    }

    /// Takes an entry into the sums, and the bytes that it has taken.
    #[inline(always)]
    pub fn add(&mut self, event: &Event, taken: u64) {
        self.asked += if event.flags & flags::GLOBALLY_ALLOCATED == 0 { event.size } else { 0 };
        self.taken += taken;
        self.blocks += 1;
        if event.flags & flags::FABRIC != 0 {
            self.fabric += taken;
        } else if event.flags & flags::DISPATCH != 0 {
            self.dispatch += taken;
        }
    }

    /// Takes an entry out of the sums, and the bytes that it had taken.
    #[inline(always)]
    pub fn subtract(&mut self, event: &Event, taken: u64) {
        let asked = if event.flags & flags::GLOBALLY_ALLOCATED == 0 { event.size } else { 0 };
        self.asked = self.asked.saturating_sub(asked);
        self.taken = self.taken.saturating_sub(taken);
        self.blocks = self.blocks.saturating_sub(1);
        if event.flags & flags::FABRIC != 0 {
            self.fabric = self.fabric.saturating_sub(taken);
        } else if event.flags & flags::DISPATCH != 0 {
            self.dispatch = self.dispatch.saturating_sub(taken);
        }
    }

    /// Single allocations may be missing from now on, for this reason: bits of [`incomplete`].
    pub fn lose_detail(&mut self, reason: u32) {
        self.account.incomplete |= u64::from(reason);
    }

    /// Changes what is live without an entry.
    pub fn shift_unlisted(&mut self, bytes: i64, blocks: i64) {
        self.account.unlisted_bytes = self.account.unlisted_bytes.saturating_add(bytes);
        self.account.unlisted_blocks = self.account.unlisted_blocks.saturating_add(blocks);
    }

    /// The entries are lost: what they stood for is live without them from now on.
    pub fn lose_entries(&mut self) {
        if (self.asked, self.taken, self.blocks) == (0, 0, 0) {
            return;
        }
        let signed = |amount| i64::try_from(amount).unwrap_or(i64::MAX);
        self.shift_unlisted(signed(self.taken), signed(self.blocks));
        self.account.outstanding = self.account.outstanding.saturating_add(self.blocks);
        self.lose_detail(incomplete::LEDGER_LOST);
        (self.asked, self.taken, self.blocks, self.fabric, self.dispatch) = (0, 0, 0, 0, 0);
    }

    /// Ends what is live without an entry.
    pub fn clear_unlisted(&mut self, chips: &mut Chips) {
        let Some(memory) = self.memory() else { return };
        let before = self.footprint();
        let Account { unlisted_bytes, unlisted_blocks, outstanding, .. } = self.account;
        if (unlisted_bytes, unlisted_blocks, outstanding) != (0, 0, 0) {
            // Some of what was dropped may have come after this end: it is not known any more then.
            self.lose_detail(incomplete::CONTROLS_LOST);
        }
        // Negative where frees of entries were dropped, which have been counted as freed: those entries end now, too.
        let bytes = core::mem::take(&mut self.account.unlisted_bytes);
        self.account.unlisted_blocks = 0;
        self.account.outstanding = 0;
        self.account.freed = self.account.freed.saturating_add_signed(bytes);
        let figures = chips.figures(self.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(before).saturating_add(self.footprint());
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add_signed(bytes);
    }

    /// What is live now is what later figures are compared with: somebody wants it so. Bytes.
    pub fn set_baseline(&mut self, unix_ns: u64) -> u64 {
        let footprint = self.footprint();
        self.account.baseline = footprint + 1;
        self.account.baseline_unix_ns = unix_ns;
        footprint
    }

    /// The same, of itself. None where nothing is live, as all that comes is the application's then; none where it is not known what is live.
    /// `last`: that is decided for good.
    pub fn set_baseline_automatically(&mut self, unix_ns: u64, last: bool) {
        let bytes = if self.account.incomplete == 0 { self.footprint() } else { 0 };
        self.account.baseline = if bytes > 0 { (bytes + 1) | BASELINE_AUTO } else { 0 };
        self.account.baseline_unix_ns = if bytes > 0 || last { unix_ns } else { 0 };
    }

    /// Whether nobody has decided on its baseline, neither somebody nor the end of an opening.
    pub const fn is_baseline_open(&self) -> bool {
        self.account.baseline_unix_ns == 0
    }

    /// Whether its baseline set itself.
    pub const fn is_baseline_automatic(&self) -> bool {
        self.account.is_baseline_automatic()
    }

    /// There is nothing to compare with any more: somebody wants it so.
    pub fn clear_baseline(&mut self, unix_ns: u64) {
        (self.account.baseline, self.account.baseline_unix_ns) = (0, unix_ns);
    }

    /// What it was compared with has ended.
    pub fn end_baseline(&mut self) {
        self.clear_baseline(0);
    }

    /// What is counted and has no entry goes, and the peak begins anew. Some of it may be alive, so detail stays incomplete.
    /// Bytes that were counted so.
    pub fn reset(&mut self, chips: &mut Chips) -> u64 {
        let before = self.footprint();
        // Less than nothing: entries that are dead, nobody knows which.
        if self.account.unlisted_bytes > 0 {
            self.clear_unlisted(chips);
        }
        self.account.peak = self.footprint();
        before.saturating_sub(self.footprint())
    }

    /// Nothing is alive any more: what was allocated was freed.
    pub fn end_all(&mut self, chips: &mut Chips) {
        let Some(memory) = self.memory() else { return };
        let (footprint, freed) = (self.footprint(), self.account.freed);
        let account = Account {
            freed: self.account.allocated,
            unlisted_bytes: 0,
            unlisted_blocks: 0,
            outstanding: 0,
            ..self.account
        };
        *self = Self { account, asked: 0, taken: 0, blocks: 0, fabric: 0, dispatch: 0, chip: self.chip };
        let figures = chips.figures(self.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(footprint);
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(account.freed).saturating_sub(freed);
    }

    /// Its memory kind; `None` if this version does not know it.
    pub fn memory(&self) -> Option<Memory> {
        u8::try_from(self.account.memory).ok().and_then(Memory::from_u8)
    }
}
