//! The largest live allocations of one process, read from its ledger now and then.

mod spread;

pub use spread::Spread;

use crate::inventory::Inventory;
use crate::ledger::{Allocation, Ledger, LedgerError};
use crate::roster::ProcessKey;
use shm_layout::event::Memory;
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::procfs;
use shm_layout::segment::SegmentError;
use shm_layout::stats::Process;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Allocations and programs listed.
const LISTED: usize = 16;
/// Read again after this time, ns.
const EVERY_NS: u64 = 2_000_000_000;
/// Of a process with more live allocations than this nothing is listed: reading them would make the screen wait.
const MOST: u64 = 200_000;

/// What one program has on one device, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// The process's logical number of the device.
    pub device: u32,
    /// As its process numbers it.
    pub number: u32,
    /// Its circular buffers.
    pub cb: u64,
    /// Its binaries.
    pub kernel: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The largest allocations.
    pub largest: Vec<Allocation>,
    /// How many others there are.
    pub more: usize,
    /// The largest programs.
    pub programs: Vec<Program>,
    /// How all of them are spread.
    pub spread: Spread,
}

/// The list of one process, and when it was read.
#[derive(Debug)]
pub struct Holdings {
    of: Option<ProcessKey>,
    read_ns: u64,
    /// The list, or why there is none.
    pub list: Result<List, String>,
}

impl Default for Holdings {
    fn default() -> Self {
        Self { of: None, read_ns: 0, list: Ok(List::default()) }
    }
}

impl Holdings {
    /// Reads again if it is time, or another process is meant. `live`: its live allocations, as published.
    pub fn look(&mut self, prefix: &Prefix, owners: &[u32], process: &Process, live: u64, now_ns: u64) {
        let key = ProcessKey::from(process);
        if self.of == Some(key) && now_ns.saturating_sub(self.read_ns) < EVERY_NS {
            return;
        }
        self.list = if live > MOST {
            let count = crate::units::count(live);
            Err(format!("{count} are live, too many to list here: tt-alloc buffers --pid {} does", process.pid))
        } else {
            read(prefix, owners, process, now_ns)
        };
        (self.of, self.read_ns) = (Some(key), now_ns);
    }
}

impl Holdings {
    /// The list of a process in a recording; `None`: single allocations were not recorded.
    pub fn recall(&mut self, process: &Process, inventory: Option<&Inventory>) {
        let key = ProcessKey::from(process);
        let read_ns = inventory.map_or(0, |inventory| inventory.read_ns);
        if (self.of, self.read_ns) == (Some(key), read_ns) {
            return;
        }
        let holder = inventory.and_then(|inventory| inventory.of(process));
        self.list = holder.map(|holder| list(holder.allocations.clone(), read_ns)).ok_or_else(|| {
            let told = inventory.and_then(|inventory| inventory.missing.first());
            told.cloned().unwrap_or_else(|| "not in this recording".to_owned())
        });
        (self.of, self.read_ns) = (Some(key), read_ns);
    }
}

fn read(prefix: &Prefix, owners: &[u32], process: &Process, now_ns: u64) -> Result<List, String> {
    let mine =
        |file: &&ProcessFile| file.role == Role::Ledger && (file.pid, file.nonce) == (process.ring_pid, process.nonce);
    let files = procfs::process_files(prefix);
    let file = files.iter().find(mine).ok_or("there is no ledger of it")?;
    let ledger = Ledger::open(prefix, file, owners).map_err(|error| match error {
        LedgerError::Segment(SegmentError::Permission { .. }) => {
            "only root and the aggregator's user may read its ledger".to_owned()
        }
        other => other.to_string(),
    })?;
    let all = ledger.allocations();
    if ledger.was_cut_short() {
        return Err("its ledger was cut short while it was read".to_owned());
    }
    Ok(list(all, now_ns))
}

/// Of everything that is live at this moment.
fn list(mut all: Vec<Allocation>, now_ns: u64) -> List {
    let (programs, spread) = (programs(&all), Spread::of(&all, now_ns));
    let by_size = |one: &Allocation| (Reverse(one.event.taken()), one.event.device, one.event.id);
    if all.len() > LISTED {
        all.select_nth_unstable_by_key(LISTED, by_size);
    }
    let more = all.len().saturating_sub(LISTED);
    all.truncate(LISTED);
    all.sort_by_key(by_size);
    List { largest: all, more, programs, spread }
}

/// Those with the most, by device and number.
fn programs(all: &[Allocation]) -> Vec<Program> {
    let mut found: BTreeMap<(u32, u32), Program> = BTreeMap::new();
    for Allocation { event, memory, .. } in all.iter().filter(|one| one.event.context != 0) {
        let (device, number) = (event.device, event.context);
        let of = |program: &mut Program| match memory {
            Memory::Cb => program.cb = program.cb.saturating_add(event.taken()),
            Memory::Kernel => program.kernel = program.kernel.saturating_add(event.taken()),
            _ => {}
        };
        if matches!(memory, Memory::Cb | Memory::Kernel) {
            of(found.entry((device, number)).or_insert(Program { device, number, cb: 0, kernel: 0 }));
        }
    }
    let mut programs: Vec<Program> = found.into_values().collect();
    programs
        .sort_by_key(|program| (Reverse(program.cb.saturating_add(program.kernel)), program.device, program.number));
    programs.truncate(LISTED);
    programs
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::ledger::fixture::{self, Written, alloc};
    use crate::sample;
    use shm_layout::event::Event;

    fn process_of(written: &Written) -> Process {
        let mut process = sample::host(1).processes[0];
        (process.ring_pid, process.nonce) = (written.file.pid, written.file.nonce);
        process
    }

    fn me() -> Vec<u32> {
        vec![nix::unistd::geteuid().as_raw()]
    }

    #[test]
    fn the_largest_come_first_and_the_rest_is_counted() {
        let mut events: Vec<Event> = (1..=30).map(|n| alloc(n, 0, Memory::Dram, n * 1000, n)).collect();
        let of_program = |context, memory, id, size| Event { context, ..alloc(id, 1, memory, size, 9) };
        events.push(of_program(7, Memory::Cb, 100, 64));
        events.push(of_program(7, Memory::Kernel, 101, 128));
        events.push(of_program(8, Memory::Kernel, 102, 1024));
        events.push(of_program(9, Memory::Dram, 103, 1));
        let written = fixture::write("holdings", &events);
        let mut holdings = Holdings::default();
        holdings.look(&written.prefix, &me(), &process_of(&written), 34, 5);
        let list = holdings.list.clone().unwrap();
        assert_eq!(list.largest.iter().map(|a| a.event.id).collect::<Vec<_>>(), (15..=30).rev().collect::<Vec<_>>());
        assert_eq!(list.more, 18);
        // A footprint is 64 bytes more than what was asked for.
        let expected =
            [(8, 0, 1088), (7, 128, 192)].map(|(number, cb, kernel)| Program { device: 1, number, cb, kernel });
        assert_eq!(list.programs, expected);
        // Not at each look.
        written.mark_dying(29);
        holdings.look(&written.prefix, &me(), &process_of(&written), 34, EVERY_NS);
        assert_eq!(holdings.list.as_ref().unwrap(), &list);
        holdings.look(&written.prefix, &me(), &process_of(&written), 34, EVERY_NS + 5);
        assert_eq!(holdings.list.as_ref().unwrap().largest[0].event.id, 29);
        // Another process: at once.
        let mut other = process_of(&written);
        other.nonce += 1;
        holdings.look(&written.prefix, &me(), &other, 34, EVERY_NS + 6);
        assert_eq!(holdings.list, Err("there is no ledger of it".to_owned()));
    }

    #[test]
    fn what_is_not_listed_is_said() {
        let written = fixture::write("holdings_not", &[alloc(1, 0, Memory::Dram, 1, 1)]);
        let mut holdings = Holdings::default();
        holdings.look(&written.prefix, &me(), &process_of(&written), MOST + 1, 5);
        assert!(holdings.list.clone().unwrap_err().contains("too many to list here: tt-alloc buffers --pid 41207"));
        let mut holdings = Holdings::default();
        holdings.look(&written.prefix, &[4_123_456_789], &process_of(&written), 1, 5);
        assert!(holdings.list.unwrap_err().contains("left out"), "a stranger's is not believed");
    }
}
