//! Every program of every process on every device of it, with what it holds.

use crate::inventory::{Holder, Inventory};
use crate::ledger::Allocation;
use shm_layout::event::{Memory, flags};
use std::cmp::{Ordering, Reverse};
use std::collections::{HashMap, HashSet};

/// One program of one process on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// In the name of its ring.
    pub ring_pid: u32,
    /// In the name of its ring.
    pub nonce: u64,
    /// Its name; empty once it is gone.
    pub name: String,
    /// The process's number of the device.
    pub device: u32,
    /// The chip: its id, and the kind of that id; `None` where the process did not tell.
    pub chip: Option<(u64, u32)>,
    /// The program's number in its process; 0: of none (the system's own kernels).
    pub program: u32,
    /// Circular buffers.
    pub buffers: u64,
    /// Those of them that lie in an L1 buffer that is counted as such.
    pub borrowed: u64,
    /// What the others take on all cores together, bytes.
    pub registered: u64,
    /// It is the one that was dispatched to the chip last.
    pub resident: bool,
    /// Kernels of the application, bytes on all cores together.
    pub application: u64,
    /// Kernels of the fabric.
    pub fabric: u64,
    /// Kernels of the dispatcher.
    pub dispatch: u64,
    /// Something of it has a size that nobody told.
    pub size_unknown: bool,
    /// When the newest of all these came, `CLOCK_MONOTONIC` ns.
    pub newest_ns: u64,
}

impl Row {
    /// Whose it is.
    pub const fn owner(&self) -> (u32, u64) {
        (self.ring_pid, self.nonce)
    }

    /// Among equals.
    pub const fn place(&self) -> (u32, u64, u32, u32) {
        (self.pid, self.nonce, self.device, self.program)
    }

    /// All its kernels, bytes.
    pub const fn kernels(&self) -> u64 {
        self.application.saturating_add(self.fabric).saturating_add(self.dispatch)
    }

    /// What is resident of it, bytes.
    pub const fn resident_bytes(&self) -> u64 {
        if self.resident { self.registered } else { 0 }
    }

    fn add(&mut self, allocation: &Allocation) {
        let taken = allocation.event.taken();
        self.newest_ns = self.newest_ns.max(allocation.event.time);
        self.size_unknown |= allocation.has(flags::SIZE_UNKNOWN);
        match allocation.memory {
            Memory::Cb => {
                self.buffers += 1;
                self.borrowed += u64::from(allocation.has(flags::GLOBALLY_ALLOCATED));
                self.registered = self.registered.saturating_add(taken);
            }
            _ if allocation.has(flags::FABRIC) => self.fabric = self.fabric.saturating_add(taken),
            _ if allocation.has(flags::DISPATCH) => self.dispatch = self.dispatch.saturating_add(taken),
            _ => self.application = self.application.saturating_add(taken),
        }
    }
}

/// What the rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// Registered circular buffers.
    #[default]
    Registered,
    /// Kernels.
    Kernels,
    /// The newest first.
    Newest,
    /// Process id.
    Pid,
    /// The program's number.
    Program,
}

impl Key {
    const ALL: [Self; 5] = [Self::Registered, Self::Kernels, Self::Newest, Self::Pid, Self::Program];

    /// The next one, or the one before.
    pub fn step(self, forward: bool) -> Self {
        let at = Self::ALL.iter().position(|key| *key == self).unwrap_or(0);
        let by = if forward { 1 } else { Self::ALL.len() - 1 };
        Self::ALL[(at + by) % Self::ALL.len()]
    }

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Kernels => "kernels",
            Self::Newest => "newest",
            Self::Pid => "PID",
            Self::Program => "program",
        }
    }

    /// Whether the natural order has the largest first.
    pub const fn downwards(self) -> bool {
        matches!(self, Self::Registered | Self::Kernels | Self::Newest)
    }

    /// The natural order.
    pub fn compare(self, a: &Row, b: &Row) -> Ordering {
        let by = |of: fn(&Row) -> u64| Reverse(of(a)).cmp(&Reverse(of(b)));
        match self {
            Self::Registered => by(|row| row.registered),
            Self::Kernels => by(Row::kernels),
            Self::Newest => by(|row| row.newest_ns),
            Self::Pid => a.pid.cmp(&b.pid),
            Self::Program => a.program.cmp(&b.program),
        }
    }
}

/// What they add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Programs, each once on however many devices it is; the rows of none are not counted.
    pub programs: u64,
    /// Circular buffers.
    pub buffers: u64,
    /// What they take, bytes.
    pub registered: u64,
    /// Of those the resident ones'.
    pub resident: u64,
    /// Kernels of the application, bytes.
    pub application: u64,
    /// Of the fabric.
    pub fabric: u64,
    /// Of the dispatcher.
    pub dispatch: u64,
}

impl Totals {
    /// Of these.
    pub fn of(rows: &[Row]) -> Self {
        let sum = |of: fn(&Row) -> u64| rows.iter().map(of).fold(0, u64::saturating_add);
        let programs: HashSet<_> =
            rows.iter().filter(|row| row.program != 0).map(|row| (row.owner(), row.program)).collect();
        Self {
            programs: programs.len() as u64,
            buffers: sum(|row| row.buffers),
            registered: sum(|row| row.registered),
            resident: sum(Row::resident_bytes),
            application: sum(|row| row.application),
            fabric: sum(|row| row.fabric),
            dispatch: sum(|row| row.dispatch),
        }
    }
}

/// All of them, in no order.
pub fn of(inventory: &Inventory) -> Vec<Row> {
    // Of two processes on one chip the one that dispatched last has its program there.
    let mut last: HashMap<(u64, u32), u64> = HashMap::new();
    for device in inventory.holders.iter().flat_map(|holder| &holder.devices) {
        if device.open != 0 && device.resident_program != 0 {
            let latest = last.entry((device.chip_id, device.id_is_logical)).or_default();
            *latest = (*latest).max(device.dispatched_ns);
        }
    }
    let mut rows = Vec::new();
    for holder in &inventory.holders {
        let mut of_holder: HashMap<(u32, u32), Row> = HashMap::new();
        let numbers = holder.device_numbers();
        for (number, memory) in numbers.iter().flat_map(|number| [(*number, Memory::Cb), (*number, Memory::Kernel)]) {
            for allocation in holder.on_device(number, memory) {
                let program = allocation.event.context;
                let fresh = || row(holder, number, program, &last);
                of_holder.entry((number, program)).or_insert_with(fresh).add(allocation);
            }
        }
        rows.extend(of_holder.into_values());
    }
    rows
}

fn row(holder: &Holder, number: u32, program: u32, last: &HashMap<(u64, u32), u64>) -> Row {
    let device = holder.device(number);
    let chip = device.map(|device| (device.chip_id, device.id_is_logical));
    let resident = program != 0
        && device.is_some_and(|device| {
            device.open != 0
                && device.resident_program == program
                && chip.and_then(|chip| last.get(&chip)).is_some_and(|latest| *latest == device.dispatched_ns)
        });
    Row {
        pid: holder.pid,
        ring_pid: holder.ring_pid,
        nonce: holder.nonce,
        name: holder.name.clone(),
        device: number,
        chip,
        program,
        buffers: 0,
        borrowed: 0,
        registered: 0,
        resident,
        application: 0,
        fabric: 0,
        dispatch: 0,
        size_unknown: false,
        newest_ns: 0,
    }
}
