//! Kernels of programs: the binaries that each has on each chip, and the region of L1 that is there for them.
//!
//! When a program is finalised for a device, `finalize_kernel_bins` gives each binary its place, and asks each
//! kernel for its binaries on the way: what is asked there, and whose kernel it is, is what is told. The
//! binaries of a program that was dispatched stay until the program goes, in DRAM; how many of them L1 holds
//! at a time is bounded by the ring that [`reserve`] takes from, which is told as their capacity.

use crate::bracket::Bracket;
use crate::getters::Getters;
use crate::guard::{aside, enabled};
use crate::next::next;
use crate::registry::{Inherited, Registry};
use crate::{chips, programs};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;

type Object = *const c_void;

thread_local! {
    /// Kernels, and how many binaries each has, that the finalisation of this thread has asked so far.
    static ASKED: RefCell<Option<Vec<(usize, usize)>>> = const { RefCell::new(None) };
    /// The `MeshDevice*` that this thread is about to dispatch to, and the era in which it is one.
    static DISPATCHED_TO: Cell<(usize, u64)> = const { Cell::new((0, 0)) };
    /// Ring, device and era of which this thread has told the capacity.
    static TOLD: Cell<(usize, usize, u64)> = const { Cell::new((0, 0, 0)) };
}

/// `WorkerConfigBufferMgr*` -> bytes of the rings that were added to it, the latest last.
static RINGS: Registry<Rings> = Registry::new();

/// A manager has one ring for each core type, Tensix first, and a few more; made anew, it has them again.
const MOST_RINGS: usize = 32;

#[derive(Default)]
struct Rings(HashMap<usize, VecDeque<u32>>);

impl Inherited for Rings {
    /// The pointers are as good as in the parent.
    fn inherit(&mut self) {}
}

type Add = unsafe extern "C-unwind" fn(Object, *const Object, Object) -> u32;

/// `KernelHandle ProgramImpl::add_kernel(const std::shared_ptr<Kernel>&, const HalProgrammableCoreType&)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl10add_kernelERKSt10shared_ptrINS0_6KernelEERKNS0_23HalProgrammableCoreTypeE")]
pub unsafe extern "C-unwind" fn add_kernel(program: Object, kernel: *const Object, core: Object) -> u32 {
    let next = next!(
        c"_ZN2tt8tt_metal6detail11ProgramImpl10add_kernelERKSt10shared_ptrINS0_6KernelEERKNS0_23HalProgrammableCoreTypeE",
        Add
    );
    // SAFETY: the arguments are passed on as they came.
    let handle = unsafe { next(program, kernel, core) };
    if enabled() && !kernel.is_null() {
        // SAFETY: a live shared_ptr, whose first word is the pointer.
        aside(|| programs::has_kernel(program, unsafe { *kernel }));
    }
    handle
}

/// The finalisation has returned: what it asked for is in its place now.
///
/// # Safety
/// `device` is a live `IDevice*`, and the kernels that were asked are alive.
unsafe fn finalized(asked: Vec<(usize, usize)>, device: Object) {
    aside(|| {
        for (kernel, binaries) in asked {
            let kernel = kernel as Object;
            // SAFETY: the caller's promise; the kernel has just been found to have these binaries for the device.
            let bytes = unsafe { Getters::get().kernel_bytes(kernel, device, binaries) };
            if let Some(bytes) = bytes {
                // SAFETY: the caller's promise.
                unsafe { programs::load(kernel, device, bytes) };
            }
        }
    });
}

type Finalize = unsafe extern "C-unwind" fn(Object, u32, Object, Object, u32, *mut u32, *mut u32) -> u32;

/// `uint32_t finalize_kernel_bins(IDevice*, uint32_t core_type, const std::unordered_map<KernelHandle,
/// std::shared_ptr<Kernel>>&, std::vector<std::shared_ptr<KernelGroup>>&, uint32_t base, uint32_t& offset,
/// uint32_t& size)`: once for each core type of the programs that are finalised together.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal16program_dispatch20finalize_kernel_binsEPNS0_7IDeviceEjRKSt13unordered_mapIjSt10shared_ptrINS0_6KernelEESt4hashIjESt8equal_toIjESaISt4pairIKjS7_EEERSt6vectorIS5_INS0_11KernelGroupEESaISL_EEjRjSP_")]
pub unsafe extern "C-unwind" fn finalize_kernel_bins(
    device: Object,
    core_type: u32,
    kernels: Object,
    groups: Object,
    base: u32,
    offset: *mut u32,
    size: *mut u32,
) -> u32 {
    let next = next!(
        c"_ZN2tt8tt_metal16program_dispatch20finalize_kernel_binsEPNS0_7IDeviceEjRKSt13unordered_mapIjSt10shared_ptrINS0_6KernelEESt4hashIjESt8equal_toIjESaISt4pairIKjS7_EEERSt6vectorIS5_INS0_11KernelGroupEESaISL_EEjRjSP_",
        Finalize
    );
    let bracket = enabled().then(|| Bracket::enter(&ASKED, Vec::new()));
    // SAFETY: the arguments are passed on as they came.
    let end = unsafe { next(device, core_type, kernels, groups, base, offset, size) };
    if let Some(bracket) = bracket {
        // SAFETY: tt-metal holds the device and the kernels until this call returns.
        unsafe { finalized(bracket.done().unwrap_or_default(), device) };
    }
    end
}

/// The beginning of a `std::vector`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Span {
    begin: usize,
    end: usize,
}

type BinariesOf = unsafe extern "C-unwind" fn(Object, u64) -> *const Span;

/// `const std::vector<const ll_api::memory*>& Kernel::binaries(uint64_t build_key) const`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZNK2tt8tt_metal6Kernel8binariesEm")]
pub unsafe extern "C-unwind" fn binaries(kernel: Object, build: u64) -> *const Span {
    let next = next!(c"_ZNK2tt8tt_metal6Kernel8binariesEm", BinariesOf);
    // SAFETY: the arguments are passed on as they came.
    let found = unsafe { next(kernel, build) };
    let asked = |cell: &RefCell<Option<Vec<(usize, usize)>>>| {
        let mut cell = cell.try_borrow_mut().ok()?;
        let asked = cell.as_mut().filter(|asked| asked.iter().all(|(before, _)| *before != kernel as usize))?;
        // SAFETY: a reference to a vector of the kernel.
        let Span { begin, end } = unsafe { *found.as_ref()? };
        asked.push((kernel as usize, end.checked_sub(begin)? / size_of::<Object>()));
        Some(())
    };
    if enabled() {
        aside(|| {
            let _ = ASKED.try_with(asked);
        });
    }
    found
}

type Generate = unsafe extern "C-unwind" fn(Object, Object, bool);

/// `void ProgramImpl::generate_dispatch_commands(MeshDevice*, bool)`: at each dispatch, before [`reserve`].
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl26generate_dispatch_commandsEPNS0_11distributed10MeshDeviceEb")]
pub unsafe extern "C-unwind" fn generate_dispatch_commands(program: Object, mesh: Object, cached: bool) {
    let next = next!(
        c"_ZN2tt8tt_metal6detail11ProgramImpl26generate_dispatch_commandsEPNS0_11distributed10MeshDeviceEb",
        Generate
    );
    if enabled() {
        let _ = DISPATCHED_TO.try_with(|to| to.set((mesh as usize, chips::era())));
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, mesh, cached) }
}

type AddBuffer = unsafe extern "C-unwind" fn(Object, u32, u32);

/// `void WorkerConfigBufferMgr::init_add_buffer(uint32_t address, uint32_t size)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal21WorkerConfigBufferMgr15init_add_bufferEjj")]
pub unsafe extern "C-unwind" fn init_add_buffer(manager: Object, address: u32, size: u32) {
    let next = next!(c"_ZN2tt8tt_metal21WorkerConfigBufferMgr15init_add_bufferEjj", AddBuffer);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(manager, address, size) };
    if enabled() {
        aside(|| {
            RINGS.with(|rings| {
                let rings = rings.0.entry(manager as usize).or_default();
                if rings.len() == MOST_RINGS {
                    rings.pop_front();
                }
                rings.push_back(size);
            });
            // A ring at the place of another is another.
            chips::new_era();
        });
    }
}

/// `std::pair<ConfigBufferSync, std::vector<ConfigBufferEntry>&>`: trivially copyable, two words, in two registers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    sync: u64,
    entries: u64,
}

type Reserve = unsafe extern "C-unwind" fn(Object, Object) -> Reserved;

/// `WorkerConfigBufferMgr::reserve(const std::vector<uint32_t>& sizes)`: room in the ring for one program.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal21WorkerConfigBufferMgr7reserveERKSt6vectorIjSaIjEE")]
pub unsafe extern "C-unwind" fn reserve(manager: Object, sizes: Object) -> Reserved {
    let next = next!(c"_ZN2tt8tt_metal21WorkerConfigBufferMgr7reserveERKSt6vectorIjSaIjEE", Reserve);
    // SAFETY: the arguments are passed on as they came.
    let reserved = unsafe { next(manager, sizes) };
    if enabled() {
        // SAFETY: tt-metal passed the vector on.
        aside(|| unsafe { region(manager, sizes.cast()) });
    }
    reserved
}

/// What this thread is about to dispatch to, once; `None` where a dispatch was told that did not come to this, as one that threw, and its
/// mesh may be gone by now.
fn dispatched_to() -> Option<usize> {
    let (mesh, era) = DISPATCHED_TO.try_with(|to| to.replace((0, 0))).ok()?;
    (mesh != 0 && era == chips::era()).then_some(mesh)
}

/// Tells how large the kernel region is, where it was not told yet. Room is asked in every ring of the manager,
/// so the first of as many as there were added last is that of the Tensix cores.
///
/// # Safety
/// `sizes` is null or a vector of 32-bit numbers.
unsafe fn region(manager: Object, sizes: *const Span) {
    let Some(mesh) = dispatched_to() else { return };
    let now = (manager as usize, mesh, chips::era());
    if TOLD.try_with(|told| told.replace(now)) == Ok(now) {
        return;
    }
    // SAFETY: the caller's promise.
    let Some(Span { begin, end }) = (unsafe { sizes.as_ref() }) else { return };
    let asked = end.saturating_sub(*begin) / size_of::<u32>();
    let tensix = |rings: &mut Rings| {
        let rings = rings.0.get(&(manager as usize))?;
        rings.get(rings.len().checked_sub(asked)?).copied()
    };
    let Some(Some(bytes)) = RINGS.with(tensix) else { return };
    // SAFETY: a mesh that has not gone since the dispatch to it began: its era is this one.
    let chips = unsafe { chips::covered(mesh as Object) };
    for &chip in chips.iter() {
        chips::kernel_region(chip, u64::from(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the dispatch throws before it reserves, what it was to is remembered: a later one must not look there.
    #[test]
    fn a_mesh_of_a_dispatch_that_failed_is_forgotten_when_a_mesh_goes() {
        let begin = |mesh| DISPATCHED_TO.set((mesh, chips::era()));
        // Other tests begin eras of their own at any time.
        let met = (0..1000).any(|_| {
            begin(4096);
            dispatched_to() == Some(4096)
        });
        assert!(met, "the mesh of this dispatch");
        assert_eq!(dispatched_to(), None, "once");
        begin(4096);
        chips::new_era();
        assert_eq!(dispatched_to(), None);
    }
}
