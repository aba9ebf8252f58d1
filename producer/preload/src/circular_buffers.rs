//! What programs take from L1 for themselves: circular buffers, dataflow buffers, scratchpads.
//!
//! The calls inside a program's own allocation count; the same calls outside of it come from a graph
//! capture that runs nothing. tt-metal tells its GraphTracker each circular buffer. Of dataflow buffers
//! it tells nothing when they are really allocated, so they are seen one level below: first
//! `reserve_program_local_l1` for the cores of one buffer, then `mark_address` with its address and
//! size on the ranges of these cores.

use crate::bracket::Bracket;
use crate::getters::Getters;
use crate::guard::{aside, enabled};
use crate::next::next;
use crate::programs::{Part, Stretch, hold, release};
use std::cell::RefCell;
use std::ffi::c_void;

type Object = *const c_void;

/// The allocation that this thread is in.
struct Allocating {
    program: Object,
    device: Object,
    part: Part,
    /// The tracker has told something of it.
    told: bool,
    /// Cores of the dataflow buffer whose turn it is, until it is marked.
    cores: Option<Option<u64>>,
    /// Dataflow buffers seen so far.
    seen: Vec<Stretch>,
}

thread_local! {
    static ALLOCATING: RefCell<Option<Allocating>> = const { RefCell::new(None) };
}

fn with<T>(work: impl FnOnce(&mut Allocating) -> T) -> Option<T> {
    let work = |allocating: &RefCell<Option<Allocating>>| allocating.try_borrow_mut().ok()?.as_mut().map(work);
    ALLOCATING.try_with(work).ok().flatten()
}

/// From now on this thread is in an allocation.
fn begin(program: Object, device: Object, part: Part) -> Bracket<Allocating> {
    Bracket::enter(&ALLOCATING, Allocating { program, device, part, told: false, cores: None, seen: Vec::new() })
}

/// The allocation has returned: what was seen inside and not told by the tracker counts now.
fn finish(bracket: Bracket<Allocating>) {
    let Some(done) = bracket.done().filter(|done| !done.told) else { return };
    aside(|| {
        for (at, &stretch) in done.seen.iter().enumerate() {
            // SAFETY: tt-metal holds program and device until the bracketed call returns to it.
            unsafe { hold(done.program, done.device, done.part, at == 0, stretch) };
        }
    });
}

/// The tracker tells a stretch of L1.
///
/// # Safety
/// `cores` is a live `CoreRangeSet*`, `device` a live `IDevice*`.
unsafe fn told(cores: Object, address: u64, size: u64, borrowed: bool, device: Object) {
    let Some((program, part, first)) = with(|now| (now.program, now.part, !std::mem::replace(&mut now.told, true)))
    else {
        return;
    };
    // SAFETY: the caller's promise.
    let stretch = Stretch { address, size, cores: unsafe { count(cores) }, borrowed };
    // SAFETY: the caller's promise.
    unsafe { hold(program, device, part, first, stretch) };
}

unsafe fn count(cores: Object) -> Option<u64> {
    // SAFETY: a const getter of a live CoreRangeSet; its result is the low half of the register.
    Getters::get().cores.map(|get| u64::from(unsafe { get(cores) }))
}

type OnDevice = unsafe extern "C-unwind" fn(Object, Object);

/// `void ProgramImpl::allocate_circular_buffers(const IDevice*)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl25allocate_circular_buffersEPKNS0_7IDeviceE")]
pub unsafe extern "C-unwind" fn allocate_circular_buffers(program: Object, device: Object) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl25allocate_circular_buffersEPKNS0_7IDeviceE", OnDevice);
    let bracket = enabled().then(|| begin(program, device, Part::Circular));
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, device) };
    if let Some(bracket) = bracket {
        finish(bracket);
    }
}

/// `void ProgramImpl::allocate_dataflow_buffers(const IDevice*)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl25allocate_dataflow_buffersEPKNS0_7IDeviceE")]
pub unsafe extern "C-unwind" fn allocate_dataflow_buffers(program: Object, device: Object) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl25allocate_dataflow_buffersEPKNS0_7IDeviceE", OnDevice);
    let bracket = enabled().then(|| begin(program, device, Part::Dataflow));
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, device) };
    if let Some(bracket) = bracket {
        finish(bracket);
    }
}

/// `void ProgramImpl::allocate_scratchpads(const IDevice*)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl20allocate_scratchpadsEPKNS0_7IDeviceE")]
pub unsafe extern "C-unwind" fn allocate_scratchpads(program: Object, device: Object) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl20allocate_scratchpadsEPKNS0_7IDeviceE", OnDevice);
    let bracket = enabled().then(|| begin(program, device, Part::Scratchpad));
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, device) };
    if let Some(bracket) = bracket {
        finish(bracket);
    }
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
    tracker: Object,
    cores: Object,
    address: u64,
    size: u64,
    global: bool,
    device: Object,
) {
    let next =
        next!(c"_ZN2tt8tt_metal12GraphTracker17track_allocate_cbERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE", Track);
    if enabled() {
        // SAFETY: tt-metal holds the objects until this call returns.
        aside(|| unsafe { told(cores, address, size, global, device) });
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
    tracker: Object,
    cores: Object,
    address: u64,
    size: u64,
    borrows: bool,
    device: Object,
) {
    let next = next!(
        c"_ZN2tt8tt_metal12GraphTracker30track_allocate_dataflow_bufferERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE",
        Track
    );
    if enabled() {
        // SAFETY: tt-metal holds the objects until this call returns.
        aside(|| unsafe { told(cores, address, size, borrows, device) });
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
    tracker: Object,
    cores: Object,
    address: u64,
    size: u64,
    device: Object,
) {
    let next = next!(
        c"_ZN2tt8tt_metal12GraphTracker25track_allocate_scratchpadERKNS0_12CoreRangeSetEmmPKNS0_7IDeviceE",
        TrackScratchpad
    );
    if enabled() {
        // SAFETY: tt-metal holds the objects until this call returns.
        aside(|| unsafe { told(cores, address, size, false, device) });
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
        aside(|| release(program));
    }
}

type Reserve = unsafe extern "C-unwind" fn(Object, Object, Object) -> u64;
type Mark = unsafe extern "C-unwind" fn(Object, u64, u64, u64);

/// Ranges that tt-metal makes on its stack lie this near to our own frame.
const STACK: usize = 1 << 20;

/// `uint64_t ProgramImpl::reserve_program_local_l1(const IDevice*, const CoreRangeSet&)`: the cores are
/// those of a dataflow buffer, or a single range on the stack, about which the next mark is.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl24reserve_program_local_l1EPKNS0_7IDeviceERKNS0_12CoreRangeSetE")]
pub unsafe extern "C-unwind" fn reserve_program_local_l1(program: Object, device: Object, cores: Object) -> u64 {
    let next = next!(
        c"_ZN2tt8tt_metal6detail11ProgramImpl24reserve_program_local_l1EPKNS0_7IDeviceERKNS0_12CoreRangeSetE",
        Reserve
    );
    if enabled() {
        aside(|| {
            let here = 0_u8;
            let on_stack = (cores as usize).abs_diff(&raw const here as usize) < STACK;
            with(|now| {
                if now.part == Part::Dataflow && now.program == program && !on_stack {
                    // SAFETY: tt-metal holds the cores until this call returns.
                    now.cores = Some(unsafe { count(cores) });
                }
            });
        });
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, device, cores) }
}

/// `void ProgramImpl::CircularBufferAllocator::mark_address(uint64_t address, uint64_t size, uint64_t base)`:
/// once for each range of the cores.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl23CircularBufferAllocator12mark_addressEmmm")]
pub unsafe extern "C-unwind" fn mark_address(range: Object, address: u64, size: u64, base: u64) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl23CircularBufferAllocator12mark_addressEmmm", Mark);
    if enabled() {
        aside(|| {
            with(|now| {
                if now.part == Part::Dataflow
                    && let Some(cores) = now.cores.take()
                {
                    now.seen.push(Stretch { address, size, cores, borrowed: false });
                }
            });
        });
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(range, address, size, base) }
}
