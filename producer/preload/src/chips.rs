//! The chips of this process: which `Device` is which chip, and what was said about each.

mod banks;

use crate::getters::{Class, Getters, Place};
use crate::guard::flags;
use crate::registry::{Inherited, Registry, count_forks};
use banks::{Banks, banks, capacity, channel_bytes};
use shm_layout::event::{Arch as Generation, Event, Kind, Memory, flags as bits};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Changes whenever a device, a mesh or an allocator comes or goes: what a thread remembered about
/// pointers before that is forgotten.
static ERA: AtomicU64 = AtomicU64::new(1);

static CHIPS: Registry<Chips> = Registry::new();

#[derive(Default)]
struct Chips {
    /// `Device*` -> logical device number.
    devices: HashMap<usize, u32>,
    /// Logical device number -> what the chip is.
    chips: HashMap<u32, Chip>,
}

#[derive(Clone, Copy, Default)]
struct Chip {
    unique: Option<u64>,
    announced: Announced,
    /// Tensix cores; 0 is not known.
    cores: u64,
    /// Bytes of the kernel region that were told since it was opened; 0 is none.
    kernel_region: u64,
}

/// How far the announcement of a chip is.
///
/// ```text
///   No ──► Begun ──► Done      the thread that claims it says it; whoever else meets `Begun` waits for `Done`
///    ▲       │         │
///    └───────┴─────────┘       closed, or in a forked child
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Announced {
    #[default]
    No,
    Begun,
    Done,
}

/// How long a thread waits for another that is announcing a chip. Longer than the making of a ring, which
/// the first record of a process does.
const PATIENCE: Duration = Duration::from_millis(200);

impl Inherited for Chips {
    /// The pointers are as good as in the parent, but the child has told nobody of its chips yet.
    fn inherit(&mut self) {
        for chip in self.chips.values_mut() {
            // Also one that a thread of the parent had begun: that thread is not here.
            chip.announced = Announced::No;
            chip.kernel_region = 0;
        }
    }
}

/// The era in which a remembered pointer is valid.
pub(crate) fn era() -> u64 {
    ERA.load(Ordering::Acquire)
}

/// Pointers seen before may name something else from now on.
pub(crate) fn new_era() {
    ERA.fetch_add(1, Ordering::AcqRel);
}

/// This `Device` has this logical number.
pub(crate) fn born(device: *const c_void, number: u32) {
    count_forks();
    CHIPS.with(|chips| chips.devices.insert(device as usize, number));
    new_era();
}

/// This `Device` is no more.
pub(crate) fn gone(device: *const c_void) {
    CHIPS.with(|chips| chips.devices.remove(&(device as usize)));
    new_era();
}

/// The chip with this logical number has this unique id.
pub(crate) fn identify(number: u32, unique: u64) {
    CHIPS.with(|chips| chips.chips.entry(number).or_default().unique = Some(unique));
}

/// The logical number of a `Device`, if it is known.
pub(crate) fn number(device: *const c_void) -> Option<u32> {
    CHIPS.with(|chips| chips.devices.get(&(device as usize)).copied()).flatten()
}

/// The chips that a device covers, each announced by now: one of a `Device`, all of a `MeshDevice`.
///
/// # Safety
/// `device` is null or a live `IDevice*`.
pub(crate) unsafe fn covered(device: *const c_void) -> Arc<[u32]> {
    let era = era();
    let recent = |recent: &RefCell<Option<Covered>>| {
        let recent = recent.try_borrow().ok()?;
        recent.as_ref().filter(|r| r.device == device as usize && r.era == era).map(|r| Arc::clone(&r.chips))
    };
    if let Some(chips) = RECENT.try_with(recent).ok().flatten() {
        return chips;
    }
    // SAFETY: the caller's promise.
    let chips: Arc<[u32]> = unsafe { each(device) }.into_iter().flatten().collect();
    let covered = Covered { device: device as usize, era, chips: Arc::clone(&chips) };
    let _ = RECENT.try_with(|recent| recent.try_borrow_mut().map(|mut recent| *recent = Some(covered)));
    chips
}

/// The chips of a device that lie inside `place`.
///
/// # Safety
/// `device` is null or a live `IDevice*`.
pub(crate) unsafe fn covered_at(device: *const c_void, place: Option<Place>) -> Arc<[u32]> {
    // SAFETY: the caller's promise.
    let all = unsafe { covered(device) };
    let Some(place) = place.filter(|place| place.area() < all.len()) else { return all };
    let getters = Getters::get();
    // SAFETY: the caller's promise; only a mesh is asked for its columns.
    let columns = unsafe { if getters.class(device) == Class::Mesh { getters.columns(device) } else { 0 } };
    if columns == 0 {
        return all;
    }
    // SAFETY: the caller's promise.
    let each = unsafe { each(device) };
    let inside = |(at, chip): (usize, Option<u32>)| chip.filter(|_| place.holds(at, columns));
    each.into_iter().enumerate().filter_map(inside).collect()
}

/// What a thread remembers about the device that it used last: valid in its era only.
struct Covered {
    device: usize,
    era: u64,
    chips: Arc<[u32]>,
}

thread_local! {
    static RECENT: RefCell<Option<Covered>> = const { RefCell::new(None) };
}

/// The chip of each device under this one, in its order; `None` for one whose number is not known.
unsafe fn each(device: *const c_void) -> Vec<Option<u32>> {
    let getters = Getters::get();
    // SAFETY: the caller's promise.
    let (devices, ids) = match unsafe { getters.class(device) } {
        Class::Other => return Vec::new(),
        Class::Device => (vec![device], Vec::new()),
        // SAFETY: a live MeshDevice.
        Class::Mesh => unsafe { getters.mesh(device) },
    };
    let paired = devices.len() == ids.len();
    let mut chips = Vec::with_capacity(devices.len());
    for (at, &device) in devices.iter().enumerate() {
        let chip = number(device).or_else(|| {
            let number = paired.then(|| ids[at])?;
            CHIPS.with(|chips| chips.devices.insert(device as usize, number));
            Some(number)
        });
        if let Some(chip) = chip {
            // SAFETY: a live device, or one of a live mesh.
            unsafe { announce(device, chip) };
        }
        chips.push(chip);
    }
    chips
}

/// The end of an announcement, also where it is cut short: nobody waits for it any more.
struct Announcing(u32);

impl Drop for Announcing {
    fn drop(&mut self) {
        CHIPS.with(|chips| {
            // Anything but `Begun`: the chip was closed or the process forked since, and it is another's turn.
            if let Some(chip) = chips.chips.get_mut(&self.0).filter(|chip| chip.announced == Announced::Begun) {
                chip.announced = Announced::Done;
            }
        });
    }
}

/// What `claim` answers as long as nobody else is at it; `None` when that took too long.
fn wait<R>(mut claim: impl FnMut(&mut Chips) -> Option<R>) -> Option<R> {
    let mut since = None;
    let mut turn = 0_u32;
    loop {
        if let Some(claimed) = CHIPS.with(&mut claim)? {
            return Some(claimed);
        }
        if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return None;
        }
        turn += 1;
        if turn < 100 {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// Says what the chip is and what it holds, once for each time it is opened. When this returns it has been
/// said, so what the caller says of the chip comes after it.
///
/// # Safety
/// `device` is a live, initialised `Device*`.
pub(crate) unsafe fn announce(device: *const c_void, number: u32) {
    let claim = |chips: &mut Chips| {
        let chip = chips.chips.entry(number).or_default();
        match chip.announced {
            Announced::No => {
                chip.announced = Announced::Begun;
                Some(Some(chip.unique))
            }
            Announced::Begun => None,
            Announced::Done => Some(None),
        }
    };
    let Some(Some(unique)) = wait(claim) else { return };
    let _announcing = Announcing(number);
    let getters = Getters::get();
    // SAFETY: const getters of a live Device.
    let grid = getters.device_grid.map(|get| unsafe { get(device) });
    let cores = grid.map_or(0, |grid| (grid.x * grid.y) as u64);
    CHIPS.with(|chips| {
        let chip = chips.chips.entry(number).or_default();
        (chip.cores, chip.kernel_region) = (cores, 0);
    });

    let mut info = Event::new(Kind::DeviceInfo, Memory::Dram, number);
    info.id = unique.unwrap_or(u64::from(number));
    info.size = cores;
    // SAFETY: as above.
    info.context =
        getters.device_arch.map_or(Generation::Unknown, |get| Generation::from_u32(unsafe { get(device) })) as u32;
    info.flags = flags() | if unique.is_some() { 0 } else { bits::CHIP_ID_UNKNOWN };
    producer::process::record(info);

    // SAFETY: as above; the getter gives the place of a unique_ptr, which is one word.
    let allocator = getters.device_allocator.map_or(std::ptr::null(), |get| unsafe { *get(device) });
    // SAFETY: as above.
    let l1 = getters.device_l1.map_or(0, |get| u64::from(unsafe { get(device) })) * cores;
    // SAFETY: as above.
    let channels = getters.device_channels.map_or(0, |get| u64::from(unsafe { get(device) }));
    // SAFETY: as above.
    let low = getters.device_channel_bytes.map_or(0, |get| u64::from(unsafe { get(device) }));
    // SAFETY: null or the allocator of a live Device.
    unsafe {
        // What a chip has is more than what its allocator hands out: of that the banks tell.
        let tensix = banks(allocator, Memory::L1);
        capacity(number, Memory::L1, l1, &tensix);
        capacity(number, Memory::Cb, l1, &Banks { count: cores, ..Banks::default() });
        let dram = banks(allocator, Memory::Dram);
        capacity(number, Memory::Dram, channels * channel_bytes(&dram, low), &dram);
        for (memory, below) in [(Memory::L1Small, tensix), (Memory::Trace, dram)] {
            let banks = banks(allocator, memory);
            capacity(number, memory, banks.count * banks.bytes, &Banks { first: below.end(), ..banks });
        }
    }
}

/// Each Tensix core of this chip has so many bytes for the kernels of programs. Said when it is new.
pub(crate) fn kernel_region(number: u32, bytes_per_core: u64) {
    let new = CHIPS.with(|chips| {
        let chip = chips.chips.get_mut(&number).filter(|chip| chip.announced == Announced::Done)?;
        let bytes = bytes_per_core.checked_mul(chip.cores)?;
        (std::mem::replace(&mut chip.kernel_region, bytes) != bytes).then_some((bytes, chip.cores))
    });
    if let Some((bytes, cores)) = new.flatten() {
        capacity(number, Memory::Kernel, bytes, &Banks { count: cores, ..Banks::default() });
    }
}

/// The chip was closed: what is alive on it ends with it. `forget` runs before that is said, and only
/// where the chip was open: a `Device` may be closed more than once.
pub(crate) fn closed(number: u32, forget: impl FnOnce()) {
    let take = |chips: &mut Chips| chips.chips.get_mut(&number).map(|chip| std::mem::take(&mut chip.announced));
    let settled = |chips: &mut Chips| {
        let begun = chips.chips.get(&number).is_some_and(|chip| chip.announced == Announced::Begun);
        (!begun).then(|| take(chips))
    };
    // One that is announced for longer than anybody waits is as good as open.
    let before = wait(settled).unwrap_or_else(|| CHIPS.with(take).flatten());
    new_era();
    if before.is_some_and(|announced| announced != Announced::No) {
        forget();
        producer::process::record(Event::new(Kind::DeviceClose, Memory::Dram, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(number: u32) -> Announced {
        CHIPS.with(|chips| chips.chips.entry(number).or_default().announced).unwrap_or_default()
    }

    fn set(number: u32, announced: Announced) {
        CHIPS.with(|chips| chips.chips.entry(number).or_default().announced = announced);
    }

    #[test]
    fn who_meets_an_announcement_waits_for_its_end() {
        set(900, Announced::Begun);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                std::thread::sleep(PATIENCE / 8);
                drop(Announcing(900));
            });
            // SAFETY: null is looked at by nobody: there is no tt-metal, and the announcement is another's.
            unsafe { announce(std::ptr::null(), 900) };
            assert!(state(900) == Announced::Done);
        });
    }

    #[test]
    fn an_announcement_that_never_ends_is_not_waited_for_for_ever_and_not_repeated() {
        set(901, Announced::Begun);
        // SAFETY: as above.
        unsafe { announce(std::ptr::null(), 901) };
        assert!(state(901) == Announced::Begun);
    }

    #[test]
    fn a_chip_is_closed_once_and_an_announcement_of_before_does_not_open_it() {
        set(902, Announced::Done);
        let mut forgotten = 0;
        closed(902, || forgotten += 1);
        closed(902, || forgotten += 1);
        assert_eq!(forgotten, 1);
        drop(Announcing(902));
        assert!(state(902) == Announced::No);
    }

    #[test]
    fn a_forked_child_announces_again_what_its_parent_had_begun() {
        let mut chips = Chips::default();
        chips.chips.insert(0, Chip { unique: Some(7), announced: Announced::Begun, ..Chip::default() });
        chips.inherit();
        assert!(chips.chips[&0].announced == Announced::No && chips.chips[&0].unique == Some(7));
    }
}
