//! The stacks of a list of allocations.

use super::file::{self, Copied, StacksError};
use super::image::{self, Names};
use crate::buffers::Buffer;
use serde::Serialize;
use shm_layout::event::flags;
use shm_layout::names::{Prefix, ProcessFile};
use shm_layout::stacks::{Module, Stack, held_by};
use shm_layout::text;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// One function that was on its way when something was allocated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Frame {
    /// Address that it returns to, in the process.
    pub address: u64,
    /// Path of the program or library; `None` where nobody told what was loaded there.
    pub module: Option<String>,
    /// The address in that file.
    pub offset: Option<u64>,
    /// Name of the function.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line there.
    pub line: Option<u32>,
}

impl Frame {
    /// In one line: "function at file:line (library.so+0x10)", as far as it is known.
    pub fn text(&self) -> String {
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => format!(" at {file}:{line}"),
            (Some(file), None) => format!(" at {file}"),
            _ => String::new(),
        };
        match (&self.function, self.within()) {
            (Some(function), Some(within)) => format!("{function}{place} ({within})"),
            (Some(function), None) => format!("{function}{place}"),
            (None, Some(within)) => format!("{:#x} ({within})", self.address),
            (None, None) => format!("{:#x}", self.address),
        }
    }

    /// The shortest that it may be called.
    pub fn name(&self) -> String {
        self.function.clone().or_else(|| self.within()).unwrap_or_else(|| format!("{:#x}", self.address))
    }

    fn within(&self) -> Option<String> {
        let module = self.module.as_deref()?;
        let short = module.rsplit('/').next().unwrap_or(module);
        Some(format!("{short}+{:#x}", self.offset?))
    }
}

/// A file, as far as names go.
type Image = (Vec<u8>, Vec<u8>);

/// Stacks of processes, and names of their addresses.
#[derive(Debug, Default)]
pub struct Told {
    processes: HashMap<ProcessFile, Copied>,
    names: HashMap<Image, Names>,
}

impl Told {
    /// The stacks of these allocations; and why those of some processes are not there.
    pub fn of(prefix: &Prefix, buffers: &[Buffer]) -> (Self, Vec<StacksError>) {
        let mut wanted: HashMap<ProcessFile, BTreeSet<u32>> = HashMap::new();
        for buffer in buffers.iter().filter(|buffer| buffer.allocation.has(flags::STACK)) {
            wanted.entry(buffer.of).or_default().insert(buffer.allocation.event.thread);
        }
        let (mut told, mut errors) = (Self::default(), Vec::new());
        for (ring, numbers) in wanted {
            match file::read(prefix, &ring, &numbers) {
                Ok(copied) => _ = told.processes.insert(ring, copied),
                Err(error) => errors.push(error),
            }
        }
        (told, errors)
    }

    /// Looks up the names of all addresses, each once. Of one's own processes: of others only modules are told.
    #[must_use]
    pub fn with_names(mut self) -> Self {
        let mut wanted: HashMap<Image, (Module, BTreeSet<u64>)> = HashMap::new();
        for process in self.processes.values().filter(|process| process.own) {
            let addresses: BTreeSet<u64> =
                process.stacks.values().flat_map(|stack| stack.addresses.iter().copied()).collect();
            for call in addresses.into_iter().map(call) {
                if let Some(module) = held_by(&process.modules, call) {
                    let (_, offsets) = wanted.entry(image(module)).or_insert_with(|| (*module, BTreeSet::new()));
                    offsets.insert(call.wrapping_sub(module.bias));
                }
            }
        }
        let named = wanted.into_iter().map(|(image, (module, offsets))| (image, image::names(&module, &offsets)));
        self.names = named.collect();
        self
    }

    /// Users whose processes' functions have no names, for they are not this viewer's.
    pub fn nameless_users(&self) -> BTreeSet<u32> {
        self.processes.iter().filter(|(_, process)| !process.own).map(|(ring, _)| ring.uid).collect()
    }

    /// The stack of this allocation.
    pub fn stack(&self, buffer: &Buffer) -> Option<&Stack> {
        if !buffer.allocation.has(flags::STACK) {
            return None;
        }
        self.processes.get(&buffer.of)?.stacks.get(&buffer.allocation.event.thread)
    }

    /// Its frames, the innermost first; none where it has no stack.
    pub fn frames(&self, buffer: &Buffer) -> Vec<Frame> {
        let Some((process, stack)) = self.processes.get(&buffer.of).zip(self.stack(buffer)) else { return Vec::new() };
        stack.addresses.iter().flat_map(|address| self.frames_of(process, *address)).collect()
    }

    fn frames_of(&self, process: &Copied, address: u64) -> Vec<Frame> {
        let Some(module) = held_by(&process.modules, call(address)) else {
            return vec![Frame { address, ..Frame::default() }];
        };
        let path = &module.path[..module.path_bytes.min(module.path.len())];
        let frame = Frame {
            address,
            module: Some(text::clean(path)),
            offset: Some(address.wrapping_sub(module.bias)),
            ..Frame::default()
        };
        let names = self.names.get(&image(module)).filter(|_| process.own);
        match names.and_then(|names| names.get(&call(address).wrapping_sub(module.bias))) {
            Some(functions) if !functions.is_empty() => functions
                .iter()
                .cloned()
                .map(|image::Function { name, file, line }| Frame { function: name, file, line, ..frame.clone() })
                .collect(),
            _ => vec![frame],
        }
    }

    /// Sets the threads of these allocations, and their stacks if they are asked for: those that have one stack share its frames.
    pub fn fill(&self, buffers: &mut [Buffer], stacks: bool) {
        let mut told: HashMap<(ProcessFile, u32), Rc<[Frame]>> = HashMap::new();
        let none: Rc<[Frame]> = Rc::default();
        for buffer in buffers {
            let stack = self.stack(buffer);
            if let Some(stack) = stack {
                buffer.thread = Some(stack.thread).filter(|thread| *thread != 0);
            }
            if stacks {
                buffer.stack = Some(Rc::clone(match stack {
                    Some(_) => told
                        .entry((buffer.of, buffer.allocation.event.thread))
                        .or_insert_with(|| self.frames(buffer).into()),
                    None => &none,
                }));
            }
        }
    }
}

/// Where the call was that returns to this address.
const fn call(address: u64) -> u64 {
    address.wrapping_sub(1)
}

fn image(module: &Module) -> Image {
    (module.path().unwrap_or_default().to_vec(), module.build_id().unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::ledger::Allocation;
    use crate::ledger::fixture::alloc;
    use shm_layout::event::{Event, Memory};
    use shm_layout::names::Role;

    #[test]
    fn allocations_of_one_stack_share_its_frames() {
        let ring = |pid| ProcessFile { role: Role::Ring, uid: 0, pid, nonce: 7 };
        let buffer = |pid, number, flags| {
            let event = Event { flags, thread: number, ..alloc(1, 0, Memory::Dram, 64, 10) };
            let allocation = Allocation { event, memory: Memory::Dram, chip_id: None, tag: None };
            let name = "p".to_owned();
            Buffer { pid, uid: 0, nonce: 7, process_name: name, allocation, of: ring(pid), thread: None, stack: None }
        };
        let stack = |at: u64| Stack { thread: 42, addresses: vec![at, at + 1], cut: false };
        let copied =
            |at| Copied { stacks: [(1, stack(at)), (2, stack(at + 10))].into(), modules: Vec::new(), own: true };
        let processes = [(ring(8), copied(100)), (ring(9), copied(200))].into();
        let told = Told { processes, names: HashMap::new() };
        let mut all = [(8, 1), (8, 2), (8, 1), (9, 1), (8, 3)].map(|(pid, number)| buffer(pid, number, flags::STACK));
        all[4].allocation.event.flags = 0;
        told.fill(&mut all, true);
        let stacks = all.each_ref().map(|buffer| buffer.stack.clone().unwrap());
        let first = stacks.each_ref().map(|frames| frames.first().map(|frame| frame.address));
        assert_eq!(first, [Some(100), Some(110), Some(100), Some(200), None]);
        assert!(Rc::ptr_eq(&stacks[0], &stacks[2]), "kept once");
        assert_eq!(all.each_ref().map(|buffer| buffer.thread), [Some(42), Some(42), Some(42), Some(42), None]);
    }
}
