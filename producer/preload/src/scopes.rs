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
    /// By place of the chip among `chips`.
    live: Box<[[Live; MEMORY_KINDS]]>,
}

/// What is alive of one memory on one chip.
#[derive(Default)]
struct Live {
    blocks: AtomicU64,
    /// Bytes taken from all banks, wrapping: below zero for a moment where a block is older than what is counted here.
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
    /// Nothing is alive any more; blocks and bytes taken until now.
    fn end(&self) -> (u64, u64) {
        // Relaxed: counters; nobody allocates in a scope or on a chip that ends.
        let (blocks, taken) = (self.blocks.swap(0, Ordering::Relaxed), self.taken.swap(0, Ordering::Relaxed));
        (blocks, taken.cast_signed().max(0).cast_unsigned())
    }
}

impl Scope {
    fn new(chips: Arc<[u32]>) -> Self {
        let live = chips.iter().map(|_| std::array::from_fn(|_| Live::default())).collect();
        Self { number: NUMBERS.fetch_add(1, Ordering::Relaxed), chips, live }
    }

    /// One more block of this memory on the chip at this place.
    pub(crate) fn grow(&self, at: usize, memory: Memory, taken: u64) {
        let live = &self.live[at][memory as usize];
        // Relaxed: counters.
        live.blocks.fetch_add(1, Ordering::Relaxed);
        live.taken.fetch_add(taken, Ordering::Relaxed);
    }

    /// One block less; false when there was none, because the scope has ended or the chip was closed since.
    pub(crate) fn shrink(&self, at: usize, memory: Memory, taken: u64) -> bool {
        let live = &self.live[at][memory as usize];
        // Relaxed: counters.
        let there = live.blocks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| now.checked_sub(1)).is_ok();
        if there {
            live.taken.fetch_sub(taken, Ordering::Relaxed);
        }
        there
    }

    fn end(&self) {
        for memory in Memory::ALL {
            for (&chip, live) in self.chips.iter().zip(&self.live) {
                let (blocks, taken) = live[memory as usize].end();
                if blocks == 0 {
                    continue;
                }
                let mut event = Event::new(Kind::FreeAll, memory, chip);
                event.context = self.number;
                event.id = blocks;
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

/// A chip is being closed: what scopes hold on it ends with it, and what they hold on other chips does not.
pub(crate) fn chip_closed(chip: u32) {
    let on_chip =
        |scopes: &mut Scopes| scopes.0.values().filter(|scope| scope.chips.contains(&chip)).cloned().collect();
    let held: Vec<Arc<Scope>> = SCOPES.with(on_chip).unwrap_or_default();
    for scope in held {
        for (_, live) in scope.chips.iter().zip(&scope.live).filter(|&(&of, _)| of == chip) {
            for memory in live {
                memory.end();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_chip_takes_only_its_own_share_of_a_mesh() {
        let scope = Arc::new(Scope::new(Arc::from([900, 901])));
        SCOPES.with(|scopes| scopes.0.insert(1, Arc::clone(&scope)));
        for at in [0, 1] {
            scope.grow(at, Memory::L1, 64);
            scope.grow(at, Memory::L1, 128);
        }
        assert!(scope.shrink(0, Memory::L1, 64) && scope.shrink(1, Memory::L1, 64));

        chip_closed(901);

        assert!(!scope.shrink(1, Memory::L1, 128), "it ended with its chip");
        assert_eq!(scope.live[1][Memory::L1 as usize].end(), (0, 0));
        assert_eq!(scope.live[0][Memory::L1 as usize].end(), (1, 128));
        SCOPES.with(|scopes| scopes.0.remove(&1));
    }
}
