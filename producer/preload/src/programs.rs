//! Programs: which there are, what each holds in L1, which kernels each has loaded, and which is resident
//! on which chip.

use crate::chips;
use crate::getters::Place;
use crate::guard::{flags, kernel_flags};
use crate::registry::{Inherited, Registry};
use shm_layout::event::{Event, Kind, Memory, flags as bits};
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

type Object = *const c_void;

static PROGRAMS: Registry<Programs> = Registry::new();
static IDS: AtomicU64 = AtomicU64::new(1);

#[derive(Default)]
struct Programs {
    /// `ProgramImpl*` -> the program; an address may come again after its program is gone.
    programs: HashMap<usize, Program>,
    /// `Kernel*` -> its `ProgramImpl*`, for as long as the program is known.
    kernels: HashMap<usize, usize>,
    /// Chip -> the program dispatched to it last.
    resident: HashMap<u32, u32>,
    last: u32,
}

struct Program {
    /// The context of what it holds.
    number: u32,
    /// The part of a mesh that it runs on, if it is not all of it.
    place: Option<Place>,
    held: Vec<Held>,
    /// The kernels in it, loaded or not.
    kernels: Vec<usize>,
    loaded: Vec<Loaded>,
}

/// The binaries of one kernel on one chip.
#[derive(Clone, Copy)]
struct Loaded {
    kernel: usize,
    chip: u32,
    /// Bytes on all its cores together.
    size: u64,
}

#[derive(Clone, Copy)]
struct Held {
    id: u64,
    part: Part,
    chip: u32,
    /// Bytes on all cores together.
    size: u64,
    /// Those of its `Alloc`.
    flags: u16,
}

/// The three ways in which a program takes L1; each is allocated, and allocated again, on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Circular buffers.
    Circular,
    /// Dataflow buffers, what newer operations have in their place.
    Dataflow,
    /// Scratchpads of kernels.
    Scratchpad,
}

/// A stretch of L1, the same on each of some cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) address: u64,
    /// Bytes on each core.
    pub(crate) size: u64,
    /// How many cores; `None` where this tt-metal does not say.
    pub(crate) cores: Option<u64>,
    /// It lies in an L1 buffer that is counted as such.
    pub(crate) borrowed: bool,
}

impl Stretch {
    /// Flags of what a program holds there.
    fn flags(&self) -> u16 {
        let borrowed = if self.borrowed { bits::GLOBALLY_ALLOCATED } else { 0 };
        let unknown = if self.cores.is_none() { bits::SIZE_UNKNOWN } else { 0 };
        flags() | borrowed | unknown
    }
}

impl Held {
    /// Bytes that it takes on all cores together: none where it lies in an L1 buffer that is counted as such.
    fn taken(&self) -> u64 {
        if self.flags & bits::GLOBALLY_ALLOCATED == 0 { self.size } else { 0 }
    }
}

impl Inherited for Programs {
    /// A child has dispatched nothing; what its parent's programs hold is the parent's.
    fn inherit(&mut self) {
        self.resident.clear();
        for program in self.programs.values_mut() {
            program.held.clear();
            program.loaded.clear();
        }
    }
}

impl Programs {
    fn of(&mut self, program: Object) -> &mut Program {
        let Self { programs, last, .. } = self;
        programs.entry(program as usize).or_insert_with(|| {
            *last = last.wrapping_add(1).max(1);
            Program { number: *last, place: None, held: Vec::new(), kernels: Vec::new(), loaded: Vec::new() }
        })
    }
}

/// The program holds this from now on. `first`: the first of its part in this allocation, so whatever
/// an earlier allocation of that part held is given back.
///
/// # Safety
/// `device` is the live `IDevice*` that the program is allocated for.
pub(crate) unsafe fn hold(program: Object, device: Object, part: Part, first: bool, stretch: Stretch) {
    let place = PROGRAMS.with(|programs| programs.of(program).place).flatten();
    // SAFETY: the caller's promise.
    let chips = unsafe { chips::covered_at(device, place) };
    // Relaxed: a number of its own for each, nothing else.
    let id = IDS.fetch_add(1, Ordering::Relaxed);
    let size = stretch.size * stretch.cores.unwrap_or(1);
    let flags = stretch.flags();
    let changed = PROGRAMS.with(|programs| {
        let program = programs.of(program);
        let mut again = Vec::new();
        if first {
            program.held.retain(|held| {
                let stale = held.part == part && chips.contains(&held.chip);
                if stale {
                    again.push(*held);
                }
                !stale
            });
        }
        program.held.extend(chips.iter().map(|&chip| Held { id, part, chip, size, flags }));
        (program.number, again)
    });
    let Some((number, again)) = changed else { return };
    for held in again {
        let mut event = Event::new(Kind::Free, Memory::Cb, held.chip);
        event.id = held.id;
        event.size = held.size;
        event.footprint = held.taken();
        event.context = number;
        event.flags = held.flags;
        producer::process::record(event);
    }
    for &chip in chips.iter() {
        let mut event = Event::new(Kind::Alloc, Memory::Cb, chip);
        event.id = id;
        event.address = stretch.address;
        event.size = size;
        event.context = number;
        event.flags = flags;
        producer::process::record(event);
    }
}

/// The program has this kernel from now on.
pub(crate) fn has_kernel(program: Object, kernel: Object) {
    PROGRAMS.with(|programs| {
        programs.of(program).kernels.push(kernel as usize);
        programs.kernels.insert(kernel as usize, program as usize);
    });
}

/// The binaries of a kernel have their places on the chips of this device; `size` bytes on all its cores
/// together. Said once for each chip; of a kernel of no known program, nothing is.
///
/// # Safety
/// `device` is the live `IDevice*` that the program of the kernel is finalised for.
pub(crate) unsafe fn load(kernel: Object, device: Object, size: u64) {
    let kernel = kernel as usize;
    let place = PROGRAMS.with(|programs| Some(programs.programs.get(programs.kernels.get(&kernel)?)?.place)).flatten();
    let Some(place) = place else { return };
    // SAFETY: the caller's promise.
    let chips = unsafe { chips::covered_at(device, place) };
    let new = PROGRAMS.with(|programs| {
        let program = programs.programs.get_mut(programs.kernels.get(&kernel)?)?;
        let is_new = |chip: &&u32| !program.loaded.iter().any(|there| (there.kernel, there.chip) == (kernel, **chip));
        let new: Vec<u32> = chips.iter().filter(is_new).copied().collect();
        program.loaded.extend(new.iter().map(|&chip| Loaded { kernel, chip, size }));
        Some((program.number, new))
    });
    let Some((number, chips)) = new.flatten() else { return };
    // Relaxed: a number of its own for each, nothing else.
    let id = IDS.fetch_add(1, Ordering::Relaxed);
    for chip in chips {
        let mut event = Event::new(Kind::Alloc, Memory::Kernel, chip);
        event.id = id;
        event.size = size;
        event.context = number;
        event.flags = kernel_flags();
        producer::process::record(event);
    }
}

/// The program gives back what it holds, its kernels go, and it is forgotten: its address may be another's next.
pub(crate) fn release(program: Object) {
    let gone = PROGRAMS.with(|programs| {
        let gone = programs.programs.remove(&(program as usize))?;
        for kernel in &gone.kernels {
            programs.kernels.remove(kernel);
        }
        Some(gone)
    });
    let Some(program) = gone.flatten() else { return };
    // No flags: they are of a block, and one that is borrowed would make the others take nothing too.
    end(Memory::Cb, program.number, program.held.iter().map(|held| (held.chip, held.taken())));
    end(Memory::Kernel, program.number, program.loaded.iter().map(|loaded| (loaded.chip, loaded.size)));
}

/// One `FreeAll` for each chip of these blocks of a program.
fn end(memory: Memory, program: u32, blocks: impl Iterator<Item = (u32, u64)>) {
    let mut sums: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for (chip, bytes) in blocks {
        let sum = sums.entry(chip).or_default();
        *sum = (sum.0 + 1, sum.1 + bytes);
    }
    for (chip, (blocks, bytes)) in sums {
        let mut event = Event::new(Kind::FreeAll, memory, chip);
        event.context = program;
        event.id = blocks;
        event.size = bytes;
        event.footprint = bytes;
        producer::process::record(event);
    }
}

/// The chip was closed: what programs held on it ended with it.
pub(crate) fn chip_closed(chip: u32) {
    PROGRAMS.with(|programs| {
        programs.resident.remove(&chip);
        for program in programs.programs.values_mut() {
            program.held.retain(|held| held.chip != chip);
            program.loaded.retain(|loaded| loaded.chip != chip);
        }
    });
}

/// The program runs on this part of a mesh, or on all of it.
pub(crate) fn placed(program: Object, place: Option<Place>) {
    PROGRAMS.with(|programs| programs.of(program).place = place);
}

/// The program is the one that was dispatched last to the chips of this device.
///
/// # Safety
/// `device` is the live `IDevice*` that the program is dispatched to.
pub(crate) unsafe fn dispatched(program: Object, device: Object) {
    let place = PROGRAMS.with(|programs| programs.of(program).place).flatten();
    // SAFETY: the caller's promise.
    let chips = unsafe { chips::covered_at(device, place) };
    let changed = PROGRAMS.with(|programs| {
        let number = programs.of(program).number;
        let changed = |chip: &&u32| programs.resident.insert(**chip, number) != Some(number);
        (number, chips.iter().filter(changed).copied().collect::<Vec<_>>())
    });
    let Some((number, chips)) = changed else { return };
    for chip in chips {
        let mut event = Event::new(Kind::ProgramResident, Memory::Cb, chip);
        event.context = number;
        event.flags = flags();
        producer::process::record(event);
    }
}
