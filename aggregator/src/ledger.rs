//! The ledger of one process: entries in a file that outlives this aggregator, and a private index to find them.
//!
//! The file's layout and why a kill at any instruction does no harm: [`shm_layout::ledger`].

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use shm_layout::event::{Event, Memory};
use shm_layout::ledger::{
    DYING, ENTRIES_OFFSET, Entries, Identity, LedgerHeader, LedgerState, STATE_WORDS, ledger_bytes, state_offset,
};
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::ring::Slot;
use shm_layout::segment::{self, Access, Expect, Mapping, SegmentError, remove_if_same};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::os::fd::OwnedFd;

/// Entries of a new ledger; it doubles when they are used up.
const FIRST_ENTRIES: usize = 512;
/// Entries above which a ledger does not grow (1 GiB): further allocations count in the totals only.
const MOST_ENTRIES: usize = 1 << 24;

/// What names an allocation within its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    pub fn of(event: &Event) -> Self {
        Self { device: event.device, memory: event.memory, id: event.id }
    }
}

/// Entries of one context (a program, an allocator), by (memory, context), with the stamps by which stale ones are told.
type Groups = HashMap<(u8, u32), Vec<(u32, u64)>>;

/// The live allocations of one process.
#[derive(Debug)]
pub struct Ledger {
    mapping: Mapping,
    file: OwnedFd,
    name: String,
    inode: (u64, u64),
    capacity: usize,
    free: Vec<u32>,
    /// Entries marked dying by the batch in flight.
    dying: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// By device: what a release or a close takes out together.
    groups: HashMap<u32, Groups>,
    /// Members of all groups, stale ones included.
    members: usize,
    block: usize,
    words: Vec<u64>,
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
        if let Some(recovered) = Self::recover(&name, &identity) {
            return Ok(recovered);
        }
        let created = match segment::create(&name, ledger_bytes(FIRST_ENTRIES)) {
            Err(SegmentError::Exists { .. }) => {
                // Ours, but not usable (an unfinished or foreign layout): begin anew. A stranger's file stays.
                segment::remove_own(&name);
                segment::create(&name, ledger_bytes(FIRST_ENTRIES))?
            }
            other => other?,
        };
        created.publish_to_all()?;
        let ledger = Self::over(created.mapping, created.file, name, created.inode, FIRST_ENTRIES);
        let header = ledger.header();
        header.set_capacity(FIRST_ENTRIES);
        header.commit(applied, 0);
        header.settle(applied);
        header.announce(identity);
        Ok(Recovered { ledger, applied, state: LedgerState::default(), continued: false })
    }

    fn over(mapping: Mapping, file: OwnedFd, name: String, inode: (u64, u64), capacity: usize) -> Self {
        Self {
            mapping,
            file,
            name,
            inode,
            capacity,
            free: (0..capacity as u32).rev().collect(),
            dying: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            groups: HashMap::new(),
            members: 0,
            block: 0,
            words: Vec::new(),
        }
    }

    /// Continues where a killed aggregator was, by the table in [`shm_layout::ledger`].
    fn recover(name: &str, identity: &Identity) -> Option<Recovered> {
        let me = nix::unistd::geteuid().as_raw();
        let expect = Expect { owners: &[me], least: ledger_bytes(1) as u64, most: ledger_bytes(MOST_ENTRIES) as u64 };
        let opened = segment::open(name, Access::ReadWrite, expect).ok()?;
        let header = opened.mapping.one::<LedgerHeader<AtomicU64>>(0)?;
        let found = header.identity();
        let same = found.check().is_ok() && found.nonce == identity.nonce && found.uid == identity.uid;
        let capacity = header.capacity();
        if !same || capacity == 0 || ledger_bytes(capacity) > opened.mapping.len() {
            return None;
        }
        let (applied, block) = header.committed();
        let committed = applied != header.settled();
        let state_words: Vec<u64> = opened
            .mapping
            .array::<AtomicU64>(state_offset(block), STATE_WORDS)?
            .iter()
            // Relaxed: written by an aggregator that is dead; its kill orders it.
            .map(|word| word.load(Relaxed))
            .collect();
        let state = LedgerState::decode(&state_words)?;
        let mut ledger = Self::over(opened.mapping, opened.file, opened.name, opened.inode, capacity);
        ledger.free.clear();
        ledger.block = block;
        for at in (0..capacity).rev() {
            let entries = ledger.entries();
            let Some(event) = entries.get(at) else {
                ledger.free.push(at as u32);
                continue;
            };
            let dying = event.kind == DYING;
            if event.stamp > applied || dying && committed {
                entries.clear(at);
                ledger.free.push(at as u32);
                continue;
            }
            if dying {
                entries.mark(at, false);
            }
            ledger.enter(at as u32, &event);
        }
        ledger.header().settle(applied);
        Some(Recovered { ledger, applied, state, continued: true })
    }

    fn header(&self) -> &LedgerHeader<AtomicU64> {
        self.mapping.one(0).unwrap_or_else(|| unreachable!("checked when the ledger was opened"))
    }

    fn entries(&self) -> Entries<'_, AtomicU64> {
        let slots = self.mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, self.capacity);
        Entries(slots.unwrap_or_else(|| unreachable!("checked when the ledger was opened or grown")))
    }

    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }

    fn enter(&mut self, at: u32, event: &Event) {
        let hash = self.hash(&Key::of(event));
        let (mapping, capacity, hasher) = (&self.mapping, self.capacity, &self.hasher);
        self.index.insert_unique(hash, at, |other| {
            let slots = mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, capacity);
            let event = slots.and_then(|slots| Entries(slots).get(*other as usize)).unwrap_or_default();
            hasher.hash_one(Key::of(&event))
        });
        let groups = self.groups.entry(event.device).or_default();
        groups.entry((event.memory, event.context)).or_default().push((at, event.stamp));
        self.members += 1;
    }

    /// Enters an allocation. False if there is no room for it.
    pub fn insert(&mut self, event: &Event) -> bool {
        if self.free.is_empty() && !self.grow() {
            return false;
        }
        let Some(at) = self.free.pop() else { return false };
        self.entries().insert(at as usize, event);
        self.enter(at, event);
        true
    }

    /// Whether something with this key is live.
    pub fn contains(&self, key: &Key) -> bool {
        let entries = self.entries();
        let same = |at: &u32| entries.get(*at as usize).is_some_and(|e| Key::of(&e) == *key);
        self.index.find(self.hash(key), same).is_some()
    }

    /// Takes out the oldest live allocation with this key.
    pub fn remove(&mut self, key: &Key) -> Option<Event> {
        let entries = self.entries();
        let matches = self.index.iter_hash(self.hash(key)).filter_map(|at| {
            let event = entries.get(*at as usize).filter(|e| Key::of(e) == *key)?;
            Some((*at, event))
        });
        let (at, event) = matches.min_by_key(|(_, event)| event.stamp)?;
        self.take_out(at, &event);
        Some(event)
    }

    /// Takes out everything of a context on one device: a program's circular buffers, an allocator's buffers.
    pub fn remove_group(&mut self, device: u32, memory: Memory, context: u32) -> Vec<Event> {
        let groups = self.groups.get_mut(&device);
        let members = groups.and_then(|groups| groups.remove(&(memory as u8, context))).unwrap_or_default();
        self.remove_members(members)
    }

    /// Takes out everything on one device.
    pub fn remove_device(&mut self, device: u32) -> Vec<Event> {
        let groups = self.groups.remove(&device).unwrap_or_default();
        groups.into_values().flat_map(|members| self.remove_members(members)).collect()
    }

    fn remove_members(&mut self, members: Vec<(u32, u64)>) -> Vec<Event> {
        self.members -= members.len();
        let mut removed = Vec::with_capacity(members.len());
        for (at, stamp) in members {
            if let Some(event) = self.entries().get(at as usize).filter(|e| e.stamp == stamp && e.kind != DYING) {
                self.take_out(at, &event);
                removed.push(event);
            }
        }
        removed
    }

    fn take_out(&mut self, at: u32, event: &Event) {
        self.entries().mark(at as usize, true);
        self.dying.push(at);
        let hash = self.hash(&Key::of(event));
        if let Ok(found) = self.index.find_entry(hash, |other| *other == at) {
            found.remove();
        }
    }

    /// Makes everything since the last commit count, with these sums, for records before `applied`.
    pub fn commit(&mut self, applied: u64, state: &LedgerState) {
        let block = 1 - self.block;
        let mut words = core::mem::take(&mut self.words);
        state.encode(&mut words);
        if let Some(to) = self.mapping.array::<AtomicU64>(state_offset(block), words.len().min(STATE_WORDS)) {
            for (to, word) in to.iter().zip(&words) {
                // Relaxed: published by the commit.
                to.store(*word, Relaxed);
            }
        }
        self.words = words;
        self.block = block;
        self.header().commit(applied, block);
        let dying = core::mem::take(&mut self.dying);
        for at in &dying {
            self.entries().clear(*at as usize);
        }
        self.header().settle(applied);
        self.free.extend(dying);
        if self.members > 2 * self.len() + FIRST_ENTRIES {
            self.forget_stale_members();
        }
    }

    /// Groups keep stale members when single blocks are freed.
    fn forget_stale_members(&mut self) {
        let entries = Entries(self.mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, self.capacity).unwrap_or(&[]));
        for groups in self.groups.values_mut() {
            groups.retain(|_, members| {
                members.retain(|(at, stamp)| entries.get(*at as usize).is_some_and(|e| e.stamp == *stamp));
                !members.is_empty()
            });
        }
        self.members = self.groups.values().flat_map(HashMap::values).map(Vec::len).sum();
    }

    fn grow(&mut self) -> bool {
        let capacity = self.capacity * 2;
        if capacity > MOST_ENTRIES {
            return false;
        }
        let Ok(mapping) = segment::grow(&self.name, &self.file, ledger_bytes(capacity)) else { return false };
        self.mapping = mapping;
        self.free.extend((self.capacity as u32..capacity as u32).rev());
        self.capacity = capacity;
        self.header().set_capacity(capacity);
        true
    }

    /// Live allocations.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Every live allocation.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        let entries = self.entries();
        self.index.iter().filter_map(move |at| entries.get(*at as usize))
    }

    /// Unlinks the file: the process and all that it held is gone.
    pub fn delete(self) {
        remove_if_same(&self.name, self.inode);
    }
}
