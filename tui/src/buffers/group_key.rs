//! What live allocations are grouped by, and what the groups are called.

use super::Buffer;
use crate::ledger::Allocation;
use serde_json::{Value, json};
use shm_layout::event::{Memory, flags};
use shm_layout::report::chip_id_text;

/// What groups are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum By {
    /// Footprints between two powers of two.
    SizeClass,
    /// The program of a circular buffer or kernel; of a buffer, the allocator that it is of.
    Program,
    /// How long it has been alive, in seven steps.
    Age,
    /// The process.
    Process,
    /// The chip; where its id was not told, the process's number of it.
    Device,
    /// The memory kind.
    Memory,
    /// The phase that was named when it was allocated.
    Tag,
}

impl By {
    /// The column's title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::SizeClass => "SIZE CLASS",
            Self::Program => "PROGRAM",
            Self::Age => "AGE",
            Self::Process => "PROCESS",
            Self::Device => "DEVICE",
            Self::Memory => "MEMORY",
            Self::Tag => "TAG",
        }
    }

    /// The key in JSON, and the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SizeClass => "size_class",
            Self::Program => "program",
            Self::Age => "age",
            Self::Process => "process",
            Self::Device => "device",
            Self::Memory => "memory",
            Self::Tag => "tag",
        }
    }
}

/// The tag of an allocation, where its process told one.
pub fn tag_of(allocation: &Allocation) -> Option<String> {
    allocation.tag().map(str::to_owned)
}

/// Footprints of about one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SizeClass {
    /// The source did not tell it.
    Unknown,
    /// It takes no bytes: a circular buffer in a buffer that is counted already.
    Nothing,
    /// From two to this power to below twice that.
    Power(u8),
}

impl SizeClass {
    /// The class of this allocation.
    pub fn of(allocation: &Allocation) -> Self {
        match allocation.event.taken() {
            0 if allocation.has(flags::SIZE_UNKNOWN) => Self::Unknown,
            0 => Self::Nothing,
            bytes => Self::Power(bytes.ilog2() as u8),
        }
    }

    /// "1 MiB..2 MiB".
    pub fn text(self) -> String {
        let power = |power: u8| {
            const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
            format!("{} {}", 1_u64 << (power % 10), UNITS[usize::from(power / 10).min(6)])
        };
        match self {
            Self::Unknown => "?".to_owned(),
            Self::Nothing => "0 B".to_owned(),
            Self::Power(from) => format!("{}..{}", power(from), power(from + 1)),
        }
    }

    /// Its first size and the first beyond it, bytes; `null` where that is not known.
    pub fn json(self) -> Value {
        match self {
            Self::Unknown => Value::Null,
            Self::Nothing => json!({"from_bytes": 0, "below_bytes": 1}),
            Self::Power(from) => {
                json!({"from_bytes": 1_u64 << from, "below_bytes": 1_u64.checked_shl(u32::from(from) + 1)})
            }
        }
    }
}

/// Where the steps of ages begin, s; the first begins at 0.
const AGES: [u64; 6] = [1, 10, 60, 600, 3600, 86_400];
const AGE_NAMES: [&str; 7] = ["<1s", "1s..10s", "10s..1m", "1m..10m", "10m..1h", "1h..1d", ">1d"];

/// Number of the step that this age is in, from the youngest.
pub fn age_class(age_ns: u64) -> usize {
    let seconds = age_ns / 1_000_000_000;
    AGES.iter().filter(|from| seconds >= **from).count()
}

/// What a step is called.
pub fn age_name(step: usize) -> &'static str {
    AGE_NAMES[step.min(AGES.len())]
}

/// One part of a group's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Sizes.
    SizeClass(SizeClass),
    /// Process id, ledger and number: two processes' programs 7 are two programs. `None`: it is of none.
    Program(Option<(u32, u64, u32)>),
    /// Number of the step.
    Age(usize),
    /// Process id, ledger and name.
    Process(u32, u64, String),
    /// Of this id.
    Chip(u64),
    /// Of no known id: this number.
    Device(u32),
    /// Memory kind.
    Memory(Memory),
    /// The tag.
    Tag(Option<String>),
}

impl Part {
    /// Of this allocation.
    pub fn of(by: By, buffer: &Buffer, now_ns: u64) -> Self {
        let Buffer { pid, nonce, process_name, allocation, .. } = buffer;
        let event = &allocation.event;
        match by {
            By::SizeClass => Self::SizeClass(SizeClass::of(allocation)),
            By::Program => Self::Program(Some(event.context).filter(|n| *n != 0).map(|n| (*pid, *nonce, n))),
            By::Age => Self::Age(age_class(allocation.age_ns(now_ns))),
            By::Process => Self::Process(*pid, *nonce, process_name.clone()),
            By::Device => allocation.chip_id.map_or(Self::Device(event.device), Self::Chip),
            By::Memory => Self::Memory(allocation.memory),
            By::Tag => Self::Tag(tag_of(allocation)),
        }
    }

    /// For the table.
    pub fn text(&self) -> String {
        match self {
            Self::SizeClass(class) => class.text(),
            Self::Program(program) => program.map_or_else(|| "-".to_owned(), |(pid, _, n)| format!("{n} of PID {pid}")),
            Self::Age(step) => age_name(*step).to_owned(),
            Self::Process(pid, _, name) => format!("{pid} ({})", if name.is_empty() { "?" } else { name }),
            Self::Chip(id) => chip_id_text(*id),
            Self::Device(number) => format!("{number} (no chip id)"),
            Self::Memory(memory) => memory.name().to_owned(),
            Self::Tag(tag) => tag.clone().unwrap_or_else(|| "-".to_owned()),
        }
    }

    /// For JSON.
    pub fn json(&self) -> Value {
        match self {
            Self::SizeClass(class) => class.json(),
            Self::Program(program) => program.map_or(Value::Null, |(pid, _, n)| json!({"pid": pid, "number": n})),
            Self::Age(step) => {
                let from = step.checked_sub(1).and_then(|before| AGES.get(before)).unwrap_or(&0);
                json!({"from_seconds": from, "below_seconds": AGES.get(*step)})
            }
            Self::Process(pid, _, name) => json!({"pid": pid, "name": Some(name).filter(|name| !name.is_empty())}),
            Self::Chip(id) => json!({"chip_id": chip_id_text(*id), "device": null}),
            Self::Device(number) => json!({"chip_id": null, "device": number}),
            Self::Memory(memory) => memory.name().into(),
            Self::Tag(tag) => json!(tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_their_bounds() {
        for (power, text) in [(0, "1 B..2 B"), (9, "512 B..1 KiB"), (20, "1 MiB..2 MiB"), (33, "8 GiB..16 GiB")] {
            assert_eq!(SizeClass::Power(power).text(), text);
        }
        assert_eq!(SizeClass::Power(20).json(), json!({"from_bytes": 1 << 20, "below_bytes": 2 << 20}));
        assert_eq!(SizeClass::Power(63).json()["below_bytes"], Value::Null);
        assert!(SizeClass::Power(63).text().ends_with("16 EiB"));
        assert_eq!(SizeClass::Unknown.json(), Value::Null);
        assert_eq!(Part::Age(0).json(), json!({"from_seconds": 0, "below_seconds": 1}));
        assert_eq!(Part::Age(3).json(), json!({"from_seconds": 60, "below_seconds": 600}));
        assert_eq!(Part::Age(6).json(), json!({"from_seconds": 86_400, "below_seconds": null}));
        assert_eq!(AGE_NAMES.len(), AGES.len() + 1);
    }
}
