//! Programs and their circular buffers (and dataflow buffers and scratchpads).

use crate::chips;
use crate::getters::Getters;
use crate::guard::{aside, enabled, flags, lock};
use crate::next::next;
use shm_layout::event::{Event, Kind, Memory, flags as bits};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

type Object = *const c_void;

static PROGRAMS: Mutex<Option<Programs>> = Mutex::new(None);
static IDS: AtomicU64 = AtomicU64::new(1);

#[derive(Default)]
struct Programs {
    programs: HashMap<usize, Program>,
    resident: HashMap<u32, u32>,
    last: u32,
}

struct Program {
    number: u32,
    /// What it holds: id, which of the three kinds, chip.
    held: Vec<Held>,
}

#[derive(Clone, Copy)]
struct Held {
    id: u64,
    part: Part,
    chip: u32,
}

/// The three ways in which a program takes L1; each is allocated, and allocated again, on its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Circular,
    Dataflow,
    Scratchpad,
}

impl Programs {
    fn of(&mut self, program: usize) -> &mut Program {
        let Self { programs, last, .. } = self;
        programs.entry(program).or_insert_with(|| {
            *last += 1;
            Program { number: *last, held: Vec::new() }
        })
    }
}

fn with<T>(work: impl FnOnce(&mut Programs) -> T) -> Option<T> {
    lock(&PROGRAMS).map(|mut programs| work(programs.get_or_insert_default()))
}

/// The allocation that this thread is in: which program, which part, and whether it has told nothing yet.
#[derive(Clone, Copy)]
struct Allocating {
    program: usize,
    part: Part,
    first: bool,
}

thread_local! {
    static ALLOCATING: Cell<Option<Allocating>> = const { Cell::new(None) };
}

/// Puts back what the thread was in before, also when the bracketed call throws.
struct Bracket(Option<Allocating>);

impl Bracket {
    fn enter(program: Object, part: Part) -> Self {
        let now = Some(Allocating { program: program as usize, part, first: true });
        Self(ALLOCATING.try_with(|allocating| allocating.replace(now)).unwrap_or(None))
    }
}

impl Drop for Bracket {
    fn drop(&mut self) {
        let _ = ALLOCATING.try_with(|allocating| allocating.set(self.0));
    }
}

type OnDevice = unsafe extern "C-unwind" fn(Object, Object);

/// `void ProgramImpl::allocate_circular_buffers(const IDevice*)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl25allocate_circular_buffersEPKNS0_7IDeviceE")]
pub unsafe extern "C-unwind" fn allocate_circular_buffers(program: Object, device: Object) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl25allocate_circular_buffersEPKNS0_7IDeviceE", OnDevice);
    let _bracket = enabled().then(|| Bracket::enter(program, Part::Circular));
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, device) }
}

/// `void ProgramImpl::allocate_dataflow_buffers(const IDevice*)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl25allocate_dataflow_buffersEPKNS0_7IDeviceE")]
pub unsafe extern "C-unwind" fn allocate_dataflow_buffers(program: Object, device: Object) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl25allocate_dataflow_buffersEPKNS0_7IDeviceE", OnDevice);
    let _bracket = enabled().then(|| Bracket::enter(program, Part::Dataflow));
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, device) }
}

/// `void ProgramImpl::allocate_scratchpads(const IDevice*)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl20allocate_scratchpadsEPKNS0_7IDeviceE")]
pub unsafe extern "C-unwind" fn allocate_scratchpads(program: Object, device: Object) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl20allocate_scratchpadsEPKNS0_7IDeviceE", OnDevice);
    let _bracket = enabled().then(|| Bracket::enter(program, Part::Scratchpad));
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, device) }
}

type Track = unsafe extern "C-unwind" fn(Object, Object, u64, u64, bool, Object);
type TrackScratchpad = unsafe extern "C-unwind" fn(Object, Object, u64, u64, Object);

/// `void GraphTracker::track_allocate_cb(const CoreRangeSet&, uint64_t address, uint64_t size,
/// bool globally_allocated, const IDevice*)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal12GraphTracker17track_allocate_cbERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE")]
pub unsafe extern "C-unwind" fn track_allocate_cb(
    tracker: Object, cores: Object, address: u64, size: u64, global: bool, device: Object,
) {
    let next = next!(
        c"_ZN2tt8tt_metal12GraphTracker17track_allocate_cbERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE",
        Track
    );
    if enabled() {
        // SAFETY: tt-metal holds the objects until this call returns.
        aside(|| unsafe { held(cores, address, size, global, device) });
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(tracker, cores, address, size, global, device) }
}

/// `void GraphTracker::track_allocate_dataflow_buffer(const CoreRangeSet&, uint64_t address,
/// uint64_t size, bool borrows_memory, const IDevice*)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal12GraphTracker30track_allocate_dataflow_bufferERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE")]
pub unsafe extern "C-unwind" fn track_allocate_dataflow_buffer(
    tracker: Object, cores: Object, address: u64, size: u64, borrows: bool, device: Object,
) {
    let next = next!(
        c"_ZN2tt8tt_metal12GraphTracker30track_allocate_dataflow_bufferERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE",
        Track
    );
    if enabled() {
        // SAFETY: tt-metal holds the objects until this call returns.
        aside(|| unsafe { held(cores, address, size, borrows, device) });
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(tracker, cores, address, size, borrows, device) }
}

/// `void GraphTracker::track_allocate_scratchpad(const CoreRangeSet&, uint64_t address, uint64_t size,
/// const IDevice*)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal12GraphTracker25track_allocate_scratchpadERKNS0_12CoreRangeSetEmmPKNS0_7IDeviceE")]
pub unsafe extern "C-unwind" fn track_allocate_scratchpad(
    tracker: Object, cores: Object, address: u64, size: u64, device: Object,
) {
    let next = next!(
        c"_ZN2tt8tt_metal12GraphTracker25track_allocate_scratchpadERKNS0_12CoreRangeSetEmmPKNS0_7IDeviceE",
        TrackScratchpad
    );
    if enabled() {
        // SAFETY: tt-metal holds the objects until this call returns.
        aside(|| unsafe { held(cores, address, size, false, device) });
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(tracker, cores, address, size, device) }
}

type Plain = unsafe extern "C-unwind" fn(Object);

/// `void ProgramImpl::deallocate_circular_buffers()`: on the way out of a program.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl27deallocate_circular_buffersEv")]
pub unsafe extern "C-unwind" fn deallocate_circular_buffers(program: Object) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl27deallocate_circular_buffersEv", Plain);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program) };
    if enabled() {
        aside(|| released(program));
    }
}

type Compile = unsafe extern "C-unwind" fn(Object, Object, bool);

/// `void ProgramImpl::compile_and_allocate(IDevice*, bool force_slow_dispatch)`: at each dispatch.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl20compile_and_allocateEPNS0_7IDeviceEb")]
pub unsafe extern "C-unwind" fn compile_and_allocate(program: Object, device: Object, slow: bool) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl20compile_and_allocateEPNS0_7IDeviceEb", Compile);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, device, slow) };
    if enabled() {
        // SAFETY: tt-metal holds the objects until this call returns.
        aside(|| unsafe { dispatched(program, device) });
    }
}

unsafe fn held(cores: Object, address: u64, size: u64, global: bool, device: Object) {
    // Outside of a program's own allocation (a graph capture that runs nothing) nothing is taken.
    let Some(now) = ALLOCATING.try_with(Cell::get).ok().flatten() else { return };
    // SAFETY: the caller's promise.
    let chips = unsafe { chips::covered(device) };
    // SAFETY: a const getter of a live CoreRangeSet.
    let count = Getters::get().cores.map(|get| u64::from(unsafe { get(cores) }));
    let id = IDS.fetch_add(1, Ordering::Relaxed);
    let told = with(|programs| {
        let program = programs.of(now.program);
        let mut again = Vec::new();
        if now.first {
            program.held.retain(|held| {
                let stale = held.part == now.part && chips.contains(&held.chip);
                if stale {
                    again.push(*held);
                }
                !stale
            });
        }
        program.held.extend(chips.iter().map(|&chip| Held { id, part: now.part, chip }));
        (program.number, again)
    });
    let _ = ALLOCATING.try_with(|allocating| allocating.set(Some(Allocating { first: false, ..now })));
    let Some((number, again)) = told else { return };
    for held in again {
        let mut event = Event::new(Kind::Free, Memory::Cb, held.chip);
        event.id = held.id;
        event.context = number;
        producer::process::record(event);
    }
    for chip in chips {
        let mut event = Event::new(Kind::Alloc, Memory::Cb, chip);
        event.id = id;
        event.address = address;
        event.size = size * count.unwrap_or(1);
        event.context = number;
        event.flags = flags();
        if global {
            event.flags |= bits::GLOBALLY_ALLOCATED;
        }
        if count.is_none() {
            event.flags |= bits::SIZE_UNKNOWN;
        }
        producer::process::record(event);
    }
}

fn released(program: Object) {
    let Some(Some(program)) = with(|programs| programs.programs.remove(&(program as usize))) else { return };
    let mut chips: Vec<u32> = program.held.iter().map(|held| held.chip).collect();
    chips.sort_unstable();
    chips.dedup();
    for chip in chips {
        let mut event = Event::new(Kind::FreeAll, Memory::Cb, chip);
        event.context = program.number;
        event.id = program.held.iter().filter(|held| held.chip == chip).count() as u64;
        producer::process::record(event);
    }
}

unsafe fn dispatched(program: Object, device: Object) {
    // SAFETY: the caller's promise.
    let chips = unsafe { chips::covered(device) };
    let changed = with(|programs| {
        let number = programs.of(program as usize).number;
        let changed = |&chip: &u32| programs.resident.insert(chip, number) != Some(number);
        (number, chips.into_iter().filter(changed).collect::<Vec<_>>())
    });
    let Some((number, chips)) = changed else { return };
    for chip in chips {
        let mut event = Event::new(Kind::ProgramResident, Memory::Cb, chip);
        event.context = number;
        event.flags = flags();
        producer::process::record(event);
    }
}

/// The chip was closed: what programs held on it ended with it.
pub(crate) fn chip_closed(chip: u32) {
    with(|programs| {
        programs.resident.remove(&chip);
        for program in programs.programs.values_mut() {
            program.held.retain(|held| held.chip != chip);
        }
    });
}
