//! The ledger of one process: entries in a file that outlives this aggregator, and private indexes to find them.
//!
//! The file's layout and why a kill at any instruction does no harm: [`shm_layout::ledger`].
//!
//! | part | finds | grows by |
//! |---|---|---|
//! | [`file`] | entry by number; state blocks | at most 1 MiB |
//! | [`index`] | the oldest entry with a key, by a keyed [`hash`] | one segment, 4 KiB |
//! | [`links`] | the next older and younger with the same key | 8 KiB |
//! | [`groups`] | what ends together | 12 KiB |
//!
//! [`adopt`] is how root's aggregator goes on where a user's own was. [`batch`] puts them together: how one record changes the entries and all that finds them.
//!
//! No step of growth holds others up, whatever a process does: no key, equal or chosen, makes an event cost more than a
//! constant, but a release costs what it releases.

mod adopt;
mod batch;
mod chunks;
mod file;
mod groups;
mod hash;
mod index;
mod links;
mod processor;
mod tags;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Entered};

use crate::books::MOST_BYTES;
use crate::sigbus::Fault;
use adopt::Adopted;
use batch::Held;
use core::sync::atomic::AtomicU64;
use file::{File, Found};
use shm_layout::event::{Event, Kind, MAX_DEVICE, Memory, flags};
use shm_layout::ledger::{DYING, Entries, Identity, IdentityError, LedgerState};
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::ring::Slot;
use shm_layout::segment::SegmentError;
use std::collections::HashMap;
use tags::Tags;

/// Live allocations up to which a processor's own caches hold them.
const SMALL: usize = 2048;
const ALLOC: u8 = Kind::Alloc as u8;

/// The slots of all entries.
type Slots = [Slot<AtomicU64>];

/// What names an allocation within its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The process's logical device number.
    pub device: u32,
    /// [`Memory`] number.
    pub memory: u8,
    /// The source's id.
    pub id: u64,
}

impl Key {
    /// The key of a record.
    #[inline(always)]
    pub const fn of(event: &Event) -> Self {
        Self { device: event.device, memory: event.memory, id: event.id }
    }
}

/// Bytes taken and asked for of the entries found so far, by device and memory kind.
type Sums = HashMap<(u32, u8), (u64, u64)>;

/// Whether an entry that was found can be one that an aggregator wrote: its numbers index what they may index, and with the entries
/// before it, its account stays below what one may reach.
fn is_believable(event: &Event, sums: &mut Sums) -> bool {
    if Memory::from_u8(event.memory).is_none() || event.device > MAX_DEVICE || !matches!(event.kind, DYING | ALLOC) {
        return false;
    }
    let asked = if event.flags & flags::GLOBALLY_ALLOCATED == 0 { event.size } else { 0 };
    let sum = sums.entry((event.device, event.memory)).or_default();
    let with = (sum.0.saturating_add(event.taken()), sum.1.saturating_add(asked));
    let fits = with.0.max(with.1) <= MOST_BYTES;
    if fits {
        *sum = with;
    }
    fits
}

/// The live allocations of one process.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    held: Held,
    identity: Identity,
}

/// A ledger and what it says.
#[derive(Debug)]
pub struct Recovered {
    /// The ledger.
    pub ledger: Ledger,
    /// Every ring record before this one is in it.
    pub applied: u64,
    /// The sums as of then.
    pub state: LedgerState,
    /// Whether it was there before.
    pub continued: bool,
    /// What was there and is of another version.
    pub unreadable: Option<IdentityError>,
}

impl Ledger {
    /// Continues the ledger of this ring, or begins it. `applied` is where a new one begins.
    ///
    /// # Errors
    /// When there is none and none can be made (no room, or a stranger has the name).
    pub fn open_or_create(
        prefix: &Prefix,
        ring: ProcessFile,
        identity: Identity,
        applied: u64,
    ) -> Result<Recovered, SegmentError> {
        let name = ring.of_role(Role::Ledger).name(prefix);
        if let Some(found) = File::find(&name, &identity) {
            let (applied, state) = (found.applied, found.state.clone());
            let ledger = Self::recover(found, identity);
            if !ledger.fault().happened() {
                return Ok(Recovered { ledger, applied, state, continued: true, unreadable: None });
            }
        }
        if let Some(adopted) = Adopted::read(&name, &identity, applied)
            && let Some(recovered) = Self::adopt(&name, identity, &adopted)
        {
            tracing::info!(name, uid = identity.uid, "took over the ledger of this user's own aggregator");
            return Ok(recovered);
        }
        let unreadable = File::unreadable(&name);
        let ledger = Self::begin_at(&name, identity, applied, |_| {})?;
        Ok(Recovered { ledger, applied, state: LedgerState::default(), continued: false, unreadable })
    }

    /// An empty one, with the sums that `encode` writes, for records before `applied`.
    fn begin_at(
        name: &str,
        identity: Identity,
        applied: u64,
        encode: impl FnOnce(&mut Vec<u64>),
    ) -> Result<Self, SegmentError> {
        let mut file = File::create(name)?;
        file.commit(applied, encode);
        file.header().settle();
        file.header().announce(identity);
        Ok(Self { file, held: Held::default(), identity })
    }

    /// One with what was copied from another. `None` where there is no room for that.
    fn adopt(name: &str, identity: Identity, adopted: &Adopted) -> Option<Recovered> {
        let mut file = File::create(name).ok()?;
        adopted.fill(&mut file)?;
        let (applied, state) = (adopted.applied, adopted.state.clone());
        file.commit(applied, |words| state.encode(words));
        file.header().settle();
        file.header().announce(identity);
        let found = Found { file, applied, unsettled: false, state: state.clone() };
        Some(Recovered { ledger: Self::recover(found, identity), applied, state, continued: true, unreadable: None })
    }

    /// Begins it anew, after a [`fault`](Self::fault): empty, with the sums that `encode` writes.
    ///
    /// # Errors
    /// When no file can be made; it stays as it is then, and lists nothing.
    pub fn begin_anew(&mut self, applied: u64, encode: impl FnOnce(&mut Vec<u64>)) -> Result<(), SegmentError> {
        let mut anew = Self::begin_at(self.file.name(), self.identity, applied, encode)?;
        anew.held.tags = core::mem::take(&mut self.held.tags);
        anew.held.tags.fill(anew.file.tags());
        *self = anew;
        Ok(())
    }

    /// Tells whether its file lost pages under it. What was listed is not to be had any more then, and nothing is listed.
    pub fn fault(&self) -> Fault {
        self.file.fault()
    }

    /// What is to be told of it, once.
    pub fn take_notice(&mut self) -> Option<String> {
        self.file.take_notice()
    }

    /// Continues where a killed aggregator was, by the table in [`shm_layout::ledger`].
    fn recover(found: Found, identity: Identity) -> Self {
        let Found { file, applied, unsettled, .. } = found;
        let mut held = Held::default();
        let (slots, entries, mut sums) = (file.slots(), Entries(file.slots()), Sums::new());
        let live = (0..slots.len()).filter_map(|at| {
            let event = entries.get(at)?;
            let dying = event.kind == DYING;
            if event.stamp > applied || dying && unsettled || !is_believable(&event, &mut sums) {
                entries.clear(at);
                return None;
            }
            if dying {
                entries.mark(at, false);
            }
            Some((at as u32, event))
        });
        held.recover(slots, live);
        held.tags = Tags::of(file.tags());
        file.header().settle();
        Self { file, held, identity }
    }

    /// Whether it has so few entries that they are in the caches: there is nothing to be gained by looking ahead.
    pub const fn is_small(&self) -> bool {
        self.held.len() < SMALL
    }

    /// Begins a batch of these records: makes room for its allocations, if there is some.
    pub fn begin(&mut self, batch: &[Event]) -> Batch<'_> {
        if self.held.room(self.file.capacity()) < batch.len() {
            let allocations = batch.iter().filter(|event| event.kind == Kind::Alloc as u8).count();
            while self.held.room(self.file.capacity()) < allocations && self.file.grow() {}
        }
        Batch::new(self.file.slots(), self.file.tags(), &mut self.held, self.file.fault())
    }

    /// Footprint of a program's circular buffers on a device.
    pub fn program_bytes(&self, device: u32, program: u32) -> u64 {
        self.held.program_bytes(device, program)
    }

    /// Makes everything since the last commit count, with the sums that `encode` writes, for records before `applied`.
    pub fn commit(&mut self, applied: u64, encode: impl FnOnce(&mut Vec<u64>)) {
        self.file.commit(applied, encode);
        self.held.bury(self.file.slots());
        self.file.header().settle();
        self.held.reuse();
    }

    /// When its process was taken out of the figures, by an earlier aggregator; 0 if it was not.
    pub fn gone_ns(&self) -> u64 {
        self.file.header().gone()
    }

    /// Its process is taken out of the figures at this moment; 0: it is not.
    pub fn set_gone(&self, monotonic_ns: u64) {
        self.file.header().set_gone(monotonic_ns);
    }

    /// Live allocations.
    #[allow(clippy::len_without_is_empty, reason = "public only for the fuzz targets, and nobody asks")]
    pub const fn len(&self) -> usize {
        self.held.len()
    }

    /// Every live allocation, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        let entries = Entries(self.file.slots());
        (0..self.file.capacity()).filter_map(move |at| entries.get(at).filter(|event| event.kind != DYING))
    }

    /// Unlinks the file: the process and all that it held is gone.
    pub fn delete(self) {
        self.file.delete();
    }
}
