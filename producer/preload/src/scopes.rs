//! Allocators of tt-metal: each has its own addresses and covers the chips of its device.
//!
//! A chip can be covered by several: that of its own `Device`, that of each mesh and submesh that it
//! belongs to, those of a sub-device manager. The context of a buffer record is the number given to its
//! allocator here, so that what is alive when an allocator is cleared or destroyed ends with it.

use crate::chips;
use crate::registry::{Inherited, Registry};
use shm_layout::event::{Event, Kind, MEMORY_KINDS, Memory};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One allocator.
pub(crate) struct Scope {
    /// The context of its buffers.
    pub(crate) number: u32,
    /// The chips that it allocates on, all at the same address.
    pub(crate) chips: Arc<[u32]>,
    live: [Live; MEMORY_KINDS],
}

/// What is alive of one memory, on each chip.
#[derive(Default)]
struct Live {
    blocks: AtomicU64,
    /// Bytes asked for.
    asked: AtomicU64,
    /// Bytes taken from all banks.
    taken: AtomicU64,
}

#[derive(Default)]
struct Scopes(HashMap<usize, Arc<Scope>>);

impl Inherited for Scopes {
    /// What is alive in an allocator is its parent's; the child's scopes begin empty.
    fn inherit(&mut self) {
        self.0.clear();
    }
}

static SCOPES: Registry<Scopes> = Registry::new();
static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// A scope that this thread used: valid in its era only.
struct Remembered {
    allocator: usize,
    era: u64,
    scope: Arc<Scope>,
}

const REMEMBERED: usize = 4;

thread_local! {
    static RECENT: RefCell<([Option<Remembered>; REMEMBERED], usize)> =
        const { RefCell::new(([const { None }; REMEMBERED], 0)) };
}

impl Live {
    /// Nothing is alive any more; blocks, bytes asked for and bytes taken until now.
    fn end(&self) -> (u64, u64, u64) {
        // Relaxed: counters; nobody allocates in a scope that ends.
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        (take(&self.blocks), take(&self.asked), take(&self.taken))
    }
}

impl Scope {
    fn new(chips: Arc<[u32]>) -> Self {
        Self { number: NUMBERS.fetch_add(1, Ordering::Relaxed), chips, live: std::array::from_fn(|_| Live::default()) }
    }

    /// One more block of this memory.
    pub(crate) fn grow(&self, memory: Memory, asked: u64, taken: u64) {
        let live = &self.live[memory as usize];
        // Relaxed: counters.
        live.blocks.fetch_add(1, Ordering::Relaxed);
        live.asked.fetch_add(asked, Ordering::Relaxed);
        live.taken.fetch_add(taken, Ordering::Relaxed);
    }

    /// One block less; false when there was none, because the scope has ended since.
    pub(crate) fn shrink(&self, memory: Memory, asked: u64, taken: u64) -> bool {
        let live = &self.live[memory as usize];
        let less = |counter: &AtomicU64, by: u64| {
            // Relaxed: counters.
            counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| now.checked_sub(by)).is_ok()
        };
        // The bytes are those that `grow` added, so they are there when the block is.
        less(&live.blocks, 1) && (less(&live.asked, asked) | less(&live.taken, taken))
    }

    fn end(&self) {
        for memory in Memory::ALL {
            let (blocks, asked, taken) = self.live[memory as usize].end();
            if blocks == 0 {
                continue;
            }
            for &chip in self.chips.iter() {
                let mut event = Event::new(Kind::FreeAll, memory, chip);
                event.context = self.number;
                event.id = blocks;
                event.size = asked;
                event.footprint = taken;
                producer::process::record(event);
            }
        }
    }
}

/// The scope of a live allocator that belongs to a live device.
///
/// # Safety
/// `allocator` is a live `AllocatorImpl*`, `device` the live `IDevice*` that it allocates for.
pub(crate) unsafe fn of(allocator: *const c_void, device: *const c_void) -> Option<Arc<Scope>> {
    let era = chips::era();
    let recent = |recent: &RefCell<([Option<Remembered>; REMEMBERED], usize)>| {
        recent.try_borrow().ok().and_then(|recent| {
            let hit = recent.0.iter().flatten().find(|r| r.allocator == allocator as usize && r.era == era);
            hit.map(|r| Arc::clone(&r.scope))
        })
    };
    if let Some(scope) = RECENT.try_with(recent).ok().flatten() {
        return Some(scope);
    }
    let known = find(allocator);
    let scope = match known {
        Some(scope) => scope,
        None => {
            // SAFETY: the caller's promise.
            let chips = unsafe { chips::covered(device) };
            if chips.is_empty() {
                return None;
            }
            let fresh = || Arc::new(Scope::new(chips));
            SCOPES.with(|scopes| Arc::clone(scopes.0.entry(allocator as usize).or_insert_with(fresh)))?
        }
    };
    let remembered = Remembered { allocator: allocator as usize, era, scope: Arc::clone(&scope) };
    let _ = RECENT.try_with(|recent| {
        if let Ok(mut recent) = recent.try_borrow_mut() {
            let at = recent.1 % REMEMBERED;
            recent.1 = at + 1;
            recent.0[at] = Some(remembered);
        }
    });
    Some(scope)
}

fn find(allocator: *const c_void) -> Option<Arc<Scope>> {
    SCOPES.with(|scopes| scopes.0.get(&(allocator as usize)).cloned()).flatten()
}

/// Every block of this allocator was given back at once.
pub(crate) fn cleared(allocator: *const c_void) {
    if let Some(scope) = find(allocator) {
        scope.end();
    }
}

/// This allocator is destroyed; its address may be another's next.
pub(crate) fn destroyed(allocator: *const c_void) {
    let scope = SCOPES.with(|scopes| scopes.0.remove(&(allocator as usize))).flatten();
    chips::new_era();
    if let Some(scope) = scope {
        scope.end();
    }
}

/// A chip was closed: what scopes hold on it ended with it.
pub(crate) fn chip_closed(chip: u32) {
    let on_chip = |scopes: &mut Scopes| scopes.0.values().filter(|scope| *scope.chips == [chip]).cloned().collect();
    let ended: Vec<Arc<Scope>> = SCOPES.with(on_chip).unwrap_or_default();
    for scope in ended {
        for live in &scope.live {
            live.end();
        }
    }
}
