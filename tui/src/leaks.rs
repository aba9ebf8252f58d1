//! Who leaks, with the evidence: `tt-alloc leaks`.
//!
//! A finding is suspect only where what was asked leaves no harmless reading: a false alarm is worse than silence. What is kept
//! on purpose (programs in the cache, traces, the system's own) is told apart and is no leak by itself.
//!
//! | module | what it finds |
//! |---|---|
//! | [`outlived`] | what came after a mark and stayed |
//! | [`growth`] | what grew at every one of several looks |
//! | [`closed`] | what is held on a closed device; what nobody knows the size of |
//! | [`departures`] | what processes held that have ended; commands that leave more at every run |
//! | [`report`] | all of it as text and as JSON |

pub mod closed;
pub mod departures;
pub mod growth;
pub mod outlived;
pub mod report;

use crate::buffers::Query;
use crate::buffers::filter::is_system;
use crate::buffers::group_key::SizeClass;
use crate::ledger::{Allocation, Ledger};
use serde::{Serialize, Serializer};
use shm_layout::event::Memory;
use shm_layout::ledger::{Account, Device};
use shm_layout::report::chip_id_text;

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It grew at every look.
    Grew,
    /// It came after the mark and is still there.
    Outlived,
    /// It is held on a device that its process has closed.
    ClosedDevice,
    /// A command left more at every run.
    RunsGrew,
    /// A process ended in good order and had not freed it.
    LeftAtExit,
    /// Its size is not known.
    SizeUnknown,
}

impl Kind {
    /// For the text.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Grew => "grew",
            Self::Outlived => "outlived",
            Self::ClosedDevice => "closed-device",
            Self::RunsGrew => "runs-grew",
            Self::LeftAtExit => "left-at-exit",
            Self::SizeUnknown => "size-unknown",
        }
    }
}

/// Whom an allocation is for, as far as its record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The application's buffers.
    Application,
    /// Circular buffers and kernels, which programs hold that are kept to be run again.
    ProgramCache,
    /// Traces.
    Trace,
    /// Flagged as the system's, or host memory.
    System,
}

impl Class {
    /// Of this allocation.
    pub fn of(allocation: &Allocation) -> Self {
        match allocation.memory {
            _ if is_system(allocation) => Self::System,
            Memory::SystemMemory => Self::System,
            Memory::Trace => Self::Trace,
            Memory::Cb | Memory::Kernel => Self::ProgramCache,
            Memory::Dram | Memory::L1 | Memory::L1Small => Self::Application,
        }
    }

    /// Why what grows there is no leak by itself; `None` where it is one.
    pub const fn excuse(self) -> Option<&'static str> {
        match self {
            Self::Application => None,
            Self::ProgramCache => Some("of programs that are kept to be run again (program cache): no leak by itself"),
            Self::Trace => Some("traces are kept to be replayed: no leak by itself"),
            Self::System => Some("the system's, not the application's: no leak by itself"),
        }
    }
}

/// How many, and how much they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Allocations.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Sum {
    /// One more.
    pub fn add(&mut self, allocation: &Allocation) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(allocation.event.taken());
    }

    /// Of these.
    pub fn of<'a>(allocations: impl IntoIterator<Item = &'a Allocation>) -> Self {
        let mut sum = Self::default();
        allocations.into_iter().for_each(|allocation| sum.add(allocation));
        sum
    }
}

/// What one look saw, of the looks that a finding rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Since the first look.
    pub seconds: f64,
    /// Allocations.
    pub count: u64,
    /// Bytes that they take.
    pub footprint_bytes: u64,
}

/// One thing that was found. What does not apply, or is not known, is `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// Whether it is taken for a leak.
    pub suspect: bool,
    /// Whom it is for.
    pub class: Option<Class>,
    /// Of this process.
    pub pid: Option<u32>,
    /// Its name.
    pub process_name: Option<String>,
    /// Its user.
    pub uid: Option<u32>,
    /// The process's number of the device.
    pub device: Option<u32>,
    /// Unique id of the chip.
    pub chip_id: Option<String>,
    /// Memory kind.
    pub memory: Option<&'static str>,
    /// The size class, where the finding is about one.
    #[serde(serialize_with = "class_bounds")]
    pub size_class: Option<SizeClass>,
    /// The program, where the finding is about one.
    pub program: Option<u32>,
    /// The tag, where the finding is about one.
    pub tag: Option<String>,
    /// Allocations found.
    pub count: u64,
    /// Bytes that they take; of what has ended, to three digits.
    pub footprint_bytes: u64,
    /// Age of the oldest.
    pub oldest_age_seconds: Option<f64>,
    /// The looks, the first of them first.
    pub looks: Vec<Seen>,
    /// The evidence in words.
    pub text: String,
    /// What to do next; may be empty.
    pub next: String,
}

fn class_bounds<S: Serializer>(class: &Option<SizeClass>, serializer: S) -> Result<S::Ok, S::Error> {
    class.map(SizeClass::json).serialize(serializer)
}

impl Finding {
    /// Of what a process that lives holds on one of its devices; the text begins with where that is.
    fn of(kind: Kind, held: &Held, device: u32, memory: Memory, class: Class, sum: Sum) -> Self {
        let chip_id = held.chip_id(device).map(chip_id_text);
        let chip = chip_id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
        Self {
            kind,
            suspect: class == Class::Application,
            class: Some(class),
            pid: Some(held.pid),
            process_name: Some(held.name.clone()).filter(|name| !name.is_empty()),
            uid: Some(held.uid),
            device: Some(device),
            chip_id,
            memory: Some(memory.name()),
            size_class: None,
            program: None,
            tag: None,
            count: sum.count,
            footprint_bytes: sum.bytes,
            oldest_age_seconds: None,
            looks: Vec::new(),
            text: format!("{}, device {device}{chip}, {}", held.who(), memory.name()),
            next: String::new(),
        }
    }

    /// The age of the oldest of these, ns.
    fn with_oldest<'a>(mut self, allocations: impl IntoIterator<Item = &'a Allocation>, now_ns: u64) -> (Self, u64) {
        let oldest = allocations.into_iter().map(|allocation| allocation.age_ns(now_ns)).max().unwrap_or(0);
        self.oldest_age_seconds = Some(oldest as f64 / 1e9);
        (self, oldest)
    }
}

/// One process as its ledger has it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Names its ledger.
    pub nonce: u64,
    /// Its name; empty once it is gone.
    pub name: String,
    /// When it began, Unix time in ns, to a hundredth of a second; 0 if that cannot be told.
    pub began_unix_ns: u64,
    /// Its devices.
    pub devices: Vec<Device>,
    /// Its accounts.
    pub accounts: Vec<Account>,
    /// What is live of it, of what was asked about.
    pub allocations: Vec<Allocation>,
}

impl Held {
    /// "PID 4242 (python3)".
    pub fn who(&self) -> String {
        format!("PID {} ({})", self.pid, if self.name.is_empty() { "?" } else { &self.name })
    }

    fn device(&self, device: u32) -> Option<&Device> {
        self.devices.iter().find(|known| known.device == device)
    }

    fn chip_id(&self, device: u32) -> Option<u64> {
        self.device(device).filter(|known| known.id_is_logical == 0).map(|known| known.chip_id)
    }
}

/// What all ledgers had at one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The moment, `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// The processes that were asked about.
    pub processes: Vec<Held>,
}

impl Look {
    /// Reads the ledgers of whom the query means.
    pub fn take(ledgers: &[Ledger], query: &Query, at_ns: u64) -> Self {
        let of = |ledger: &Ledger| {
            let (identity, state) = (*ledger.identity(), ledger.state());
            Held {
                pid: identity.pid,
                uid: identity.uid,
                nonce: identity.nonce,
                name: ledger.process_name(),
                began_unix_ns: aggregator::start_unix_ns(identity.start_ticks),
                devices: state.devices,
                accounts: state.accounts,
                allocations: ledger.allocations().into_iter().filter(|allocation| query.has(allocation)).collect(),
            }
        };
        Self { at_ns, processes: ledgers.iter().filter(|ledger| query.means(ledger)).map(of).collect() }
    }

    /// Live allocations of all.
    pub fn allocations(&self) -> usize {
        self.processes.iter().map(|held| held.allocations.len()).sum()
    }
}

#[cfg(test)]
mod fixture {
    use super::*;
    use crate::ledger::fixture::alloc;
    use shm_layout::event::Event;

    /// One second, ns.
    pub const SECOND: u64 = 1_000_000_000;

    /// A buffer that takes so many bytes, of device 0, allocated at this second.
    pub fn buffer(id: u64, memory: Memory, footprint: u64, second: u64) -> Allocation {
        made(Event { footprint, ..alloc(id, 0, memory, footprint, second * SECOND) })
    }

    /// Of this record.
    pub fn made(event: Event) -> Allocation {
        let memory = Memory::from_u8(event.memory).unwrap_or(Memory::Dram);
        Allocation { event, memory, chip_id: Some(0x1c), tag: None }
    }

    /// A process that holds these, on device 0, and has been there for ever.
    pub fn held(pid: u32, allocations: Vec<Allocation>) -> Held {
        let zeroed: Device = bytemuck::Zeroable::zeroed();
        Held {
            pid,
            uid: 1000,
            nonce: u64::from(pid),
            name: "python3".to_owned(),
            began_unix_ns: 0,
            devices: vec![Device { chip_id: 0x1c, open: 1, ..zeroed }],
            accounts: Vec::new(),
            allocations,
        }
    }

    /// A look at this second.
    pub fn look(second: u64, processes: Vec<Held>) -> Look {
        Look { at_ns: second * SECOND, processes }
    }
}
