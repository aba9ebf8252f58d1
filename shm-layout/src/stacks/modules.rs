//! What is loaded where: the programs and libraries that addresses of stacks lie in.

use super::StacksHeader;
use crate::atomics::Word64;
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Most bytes of a build id; SHA-1 has 20.
pub const BUILD_ID_BYTES: usize = 32;
/// Most bytes of a path.
pub const PATH_BYTES: usize = 240;

const CLAIMED: u64 = 1;
const THERE: u64 = 2;

const ID_WORDS: usize = BUILD_ID_BYTES / 8;
const PATH_WORDS: usize = PATH_BYTES / 8;

/// A place for one module.
#[repr(C)]
#[derive(Debug)]
pub struct ModuleSlot<W> {
    /// 0: free; 1: being written; 2: there.
    pub state: W,
    /// Address of its first byte in the process.
    pub begin: W,
    /// Address behind its last byte.
    pub end: W,
    /// What was added to the addresses that its file has.
    pub bias: W,
    /// Bytes of the build id; 0 = none.
    pub build_id_bytes: W,
    /// The linker's note of that name, NUL-padded.
    pub build_id: [W; ID_WORDS],
    /// Bytes of its path as the loader knows it; more than 240 = cut.
    pub path_bytes: W,
    /// The path, NUL-padded.
    pub path: [W; PATH_WORDS],
}

const _: () = assert!(size_of::<ModuleSlot<AtomicU64>>() == 320);
const _: () = assert!(offset_of!(ModuleSlot<AtomicU64>, begin) == 8);
const _: () = assert!(offset_of!(ModuleSlot<AtomicU64>, end) == 16);
const _: () = assert!(offset_of!(ModuleSlot<AtomicU64>, bias) == 24);
const _: () = assert!(offset_of!(ModuleSlot<AtomicU64>, build_id_bytes) == 32);
const _: () = assert!(offset_of!(ModuleSlot<AtomicU64>, build_id) == 40);
const _: () = assert!(offset_of!(ModuleSlot<AtomicU64>, path_bytes) == 72);
const _: () = assert!(offset_of!(ModuleSlot<AtomicU64>, path) == 80);

/// A module. Of somebody else's file: a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    /// Address of its first byte.
    pub begin: u64,
    /// Address behind its last byte.
    pub end: u64,
    /// What was added to the addresses that its file has.
    pub bias: u64,
    /// Its build id, as many bytes as it has.
    pub build_id: [u8; BUILD_ID_BYTES],
    /// Bytes of the build id.
    pub build_id_bytes: usize,
    /// Its path, as many bytes as it has.
    pub path: [u8; PATH_BYTES],
    /// Bytes of the path; more than there are: it was cut.
    pub path_bytes: usize,
}

impl Module {
    /// With no build id and no path.
    pub const fn at(begin: u64, end: u64, bias: u64) -> Self {
        Self {
            begin,
            end,
            bias,
            build_id: [0; BUILD_ID_BYTES],
            build_id_bytes: 0,
            path: [0; PATH_BYTES],
            path_bytes: 0,
        }
    }

    /// With this build id; none, if it is too long.
    #[must_use]
    pub fn with_build_id(mut self, id: &[u8]) -> Self {
        if let Some(to) = self.build_id.get_mut(..id.len()) {
            to.copy_from_slice(id);
            self.build_id_bytes = id.len();
        }
        self
    }

    /// With this path, or as much of it as there is room for.
    #[must_use]
    pub fn with_path(mut self, path: &[u8]) -> Self {
        self.path_bytes = path.len();
        for (to, from) in self.path.iter_mut().zip(path) {
            *to = *from;
        }
        self
    }

    /// The build id, if there is one.
    pub fn build_id(&self) -> Option<&[u8]> {
        self.build_id.get(..self.build_id_bytes).filter(|id| !id.is_empty())
    }

    /// The path, if there is one and it is whole.
    pub fn path(&self) -> Option<&[u8]> {
        self.path.get(..self.path_bytes).filter(|path| !path.is_empty())
    }

    /// Whether this address lies in it.
    pub const fn holds(&self, address: u64) -> bool {
        self.begin <= address && address < self.end
    }

    fn words(&self) -> [u64; 39] {
        let mut words = [0; 39];
        let [begin, end, bias, id_bytes, rest @ ..] = &mut words;
        (*begin, *end, *bias, *id_bytes) = (self.begin, self.end, self.bias, self.build_id_bytes as u64);
        let (id, rest) = rest.split_at_mut(ID_WORDS);
        store(id, &self.build_id);
        if let [path_bytes, path @ ..] = rest {
            *path_bytes = self.path_bytes as u64;
            store(path, &self.path);
        }
        words
    }
}

fn store(to: &mut [u64], bytes: &[u8]) {
    for (word, bytes) in to.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
}

impl<W: Word64> ModuleSlot<W> {
    fn each(&self) -> impl Iterator<Item = &W> {
        [&self.begin, &self.end, &self.bias, &self.build_id_bytes]
            .into_iter()
            .chain(&self.build_id)
            .chain([&self.path_bytes])
            .chain(&self.path)
    }

    fn is(&self, words: &[u64]) -> bool {
        // Relaxed: behind the state, which was acquired.
        self.each().zip(words).all(|(word, expected)| word.load(Relaxed) == *expected)
    }

    /// A copy, if it is there.
    pub fn module(&self) -> Option<Module> {
        // SYNC(stacks.module): the module is there; pairs with the Release in `tell`.
        if self.state.load(Acquire) != THERE {
            return None;
        }
        // Relaxed: behind the state; of a file of somebody else's, whatever is there.
        let load = |word: &W| word.load(Relaxed);
        let mut module = Module::at(load(&self.begin), load(&self.end), load(&self.bias));
        module.build_id_bytes = usize::try_from(load(&self.build_id_bytes)).unwrap_or(usize::MAX);
        module.path_bytes = usize::try_from(load(&self.path_bytes)).unwrap_or(usize::MAX);
        for (to, word) in module.build_id.as_chunks_mut().0.iter_mut().zip(&self.build_id) {
            *to = load(word).to_le_bytes();
        }
        for (to, word) in module.path.as_chunks_mut().0.iter_mut().zip(&self.path) {
            *to = load(word).to_le_bytes();
        }
        Some(module)
    }
}

/// Tells this module, if it is not told. Waits for nobody: one that another thread is just writing may be there twice. Counted, where
/// there is no place for it.
pub fn tell<W: Word64>(header: &StacksHeader<W>, slots: &[ModuleSlot<W>], module: &Module) {
    let words = module.words();
    for slot in slots {
        // SYNC(stacks.module): the module is there; pairs with the Release below.
        let mut state = slot.state.load(Acquire);
        while state == 0 {
            // Relaxed: whoever wins writes alone; publishes below. SYNC(stacks.module): as above, of whoever was quicker.
            match slot.state.compare_exchange_weak(0, CLAIMED, Relaxed, Acquire) {
                Ok(_) => {
                    for (to, word) in slot.each().zip(words) {
                        // Relaxed: published below.
                        to.store(word, Relaxed);
                    }
                    // SYNC(stacks.module): publishes the module; pairs with the Acquire above and in `module`.
                    slot.state.store(THERE, Release);
                    return;
                }
                Err(found) => state = found,
            }
        }
        if state == THERE && slot.is(&words) {
            return;
        }
    }
    // Relaxed: a counter.
    header.modules_untold.fetch_add(1, Relaxed);
}

/// The one of these modules that holds this address; `None` where none does, or several different ones: one was unloaded, and another came in
/// its place.
pub fn held_by(modules: &[Module], address: u64) -> Option<&Module> {
    let mut holding = modules.iter().filter(|module| module.holds(address));
    let first = holding.next()?;
    holding.all(|other| other == first).then_some(first)
}
