//! The chips of this process: which `Device` is which chip, and what was said about each.

use crate::getters::{Getters, Class};
use crate::guard::{flags, lock};
use shm_layout::event::{Arch, Event, Kind, Memory, flags as bits};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Changes whenever a device, a mesh or an allocator comes or goes: what a thread remembered about
/// pointers before that is forgotten.
static ERA: AtomicU64 = AtomicU64::new(1);

static CHIPS: Mutex<Option<Chips>> = Mutex::new(None);

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
    announced: bool,
}

fn with<T>(work: impl FnOnce(&mut Chips) -> T) -> Option<T> {
    lock(&CHIPS).map(|mut chips| work(chips.get_or_insert_default()))
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
    with(|chips| chips.devices.insert(device as usize, number));
    new_era();
}

/// This `Device` is no more.
pub(crate) fn gone(device: *const c_void) {
    with(|chips| chips.devices.remove(&(device as usize)));
    new_era();
}

/// The chip with this logical number has this unique id.
pub(crate) fn identify(number: u32, unique: u64) {
    with(|chips| chips.chips.entry(number).or_default().unique = Some(unique));
}

/// The logical number of a `Device`, if it is known.
pub(crate) fn number(device: *const c_void) -> Option<u32> {
    with(|chips| chips.devices.get(&(device as usize)).copied()).flatten()
}

/// The chips that a device covers, each announced by now: one of a `Device`, all of a `MeshDevice`.
///
/// # Safety
/// `device` is null or a live `IDevice*`.
pub(crate) unsafe fn covered(device: *const c_void) -> Vec<u32> {
    let getters = Getters::get();
    // SAFETY: the caller's promise.
    match unsafe { getters.class(device) } {
        Class::Other => Vec::new(),
        Class::Device => {
            let Some(number) = number(device) else { return Vec::new() };
            // SAFETY: a live Device.
            unsafe { announce(device, number) };
            vec![number]
        }
        Class::Mesh => {
            // SAFETY: a live MeshDevice.
            let (devices, ids) = unsafe { getters.mesh(device) };
            let paired = devices.len() == ids.len();
            let mut covered = Vec::with_capacity(devices.len());
            for (at, &device) in devices.iter().enumerate() {
                let known = number(device).or_else(|| paired.then(|| ids[at]));
                let Some(number) = known else { continue };
                if number_is_new(device) {
                    born_quietly(device, number);
                }
                // SAFETY: the devices of a live mesh are live.
                unsafe { announce(device, number) };
                covered.push(number);
            }
            covered
        }
    }
}

fn number_is_new(device: *const c_void) -> bool {
    number(device).is_none()
}

fn born_quietly(device: *const c_void, number: u32) {
    with(|chips| chips.devices.insert(device as usize, number));
}

/// Says what the chip is and what it holds, once for each time it is opened.
///
/// # Safety
/// `device` is a live, initialised `Device*`.
pub(crate) unsafe fn announce(device: *const c_void, number: u32) {
    let unsaid = with(|chips| {
        let chip = chips.chips.entry(number).or_default();
        (!std::mem::replace(&mut chip.announced, true)).then_some(chip.unique)
    });
    let Some(Some(unique)) = unsaid else { return };
    let getters = Getters::get();
    // SAFETY: const getters of a live Device.
    let grid = getters.device_grid.map(|get| unsafe { get(device) });
    let cores = grid.map_or(0, |grid| (grid.x * grid.y) as u64);

    let mut info = Event::new(Kind::DeviceInfo, Memory::Dram, number);
    info.id = unique.unwrap_or(u64::from(number));
    info.size = cores;
    // SAFETY: as above.
    info.context = getters.device_arch.map_or(Arch::Unknown, |get| Arch::from_u32(unsafe { get(device) })) as u32;
    info.flags = flags() | if unique.is_some() { 0 } else { bits::CHIP_ID_UNKNOWN };
    producer::process::record(info);

    // SAFETY: as above.
    let l1 = getters.device_l1.map_or(0, |get| u64::from(unsafe { get(device) })) * cores;
    capacity(number, Memory::L1, l1, cores);
    capacity(number, Memory::Cb, l1, cores);

    // SAFETY: as above.
    let channels = getters.device_channels.map_or(0, |get| u64::from(unsafe { get(device) }));
    // SAFETY: as above.
    let low = getters.device_channel_bytes.map_or(0, |get| u64::from(unsafe { get(device) }));
    // SAFETY: as above; the getter gives the place of a unique_ptr, which is one word.
    let allocator = getters.device_allocator.map_or(std::ptr::null(), |get| unsafe { *get(device) });
    // SAFETY: null or the allocator of a live Device.
    unsafe {
        capacity(number, Memory::Dram, channels * channel_bytes(allocator, low), channels);
        for memory in [Memory::L1Small, Memory::Trace] {
            let (bytes, banks) = region(allocator, memory);
            capacity(number, memory, bytes, banks);
        }
    }
}

fn capacity(number: u32, memory: Memory, bytes: u64, banks: u64) {
    if bytes == 0 {
        return;
    }
    let mut event = Event::new(Kind::Capacity, memory, number);
    event.size = bytes;
    event.footprint = banks;
    producer::process::record(event);
}

/// The size of one DRAM channel: tt-metal says only its lowest 32 bits, so a channel of 4 GiB reads 0.
/// The allocator's bank, which is a little smaller than the channel, tells how many times 4 GiB to add.
unsafe fn channel_bytes(allocator: *const c_void, low: u64) -> u64 {
    // SAFETY: the caller's promise.
    let (bytes, banks) = unsafe { region(allocator, Memory::Dram) };
    if bytes == 0 || banks == 0 {
        return low;
    }
    let bank = bytes / banks;
    low + (bank.saturating_sub(low)).div_ceil(1 << 32) * (1 << 32)
}

/// Bytes and banks that an allocator has of this memory.
unsafe fn region(allocator: *const c_void, memory: Memory) -> (u64, u64) {
    let getters = Getters::get();
    let (Some(banks), Some(size)) = (getters.banks, getters.bank_size) else { return (0, 0) };
    if allocator.is_null() {
        return (0, 0);
    }
    let kind = memory as u32;
    // SAFETY: const getters of a live allocator; the number of banks is the low 32 bits of the register.
    let (banks, size) = unsafe { (banks(allocator, &raw const kind) & 0xffff_ffff, size(allocator, &raw const kind)) };
    (banks * size, banks)
}

/// The chip was closed: what is alive on it ends with it.
pub(crate) fn closed(number: u32) {
    let open = with(|chips| {
        let chip = chips.chips.get_mut(&number)?;
        chip.unique = None;
        std::mem::take(&mut chip.announced).then_some(())
    });
    new_era();
    if open.flatten().is_some() {
        producer::process::record(Event::new(Kind::DeviceClose, Memory::Dram, number));
    }
}
