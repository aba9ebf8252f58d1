//! The rows of a snapshot: plain old data, every offset fixed.

use super::telemetry::Telemetry;
use crate::event::MEMORY_KINDS;
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;

/// A figure that nobody told; `null` in JSON. Never a constant that merely looks likely.
pub const UNKNOWN: u64 = u64::MAX;

/// In a `baseline`: nobody asked for it, it was set at the end of the device's opening (`aggregator --auto-baseline`).
pub const BASELINE_AUTO: u64 = 1 << 63;

/// What is known of one memory kind, of a chip or of one process on a chip. All bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Figures {
    /// Bytes asked for and not yet freed.
    pub live_bytes: u64,
    /// Bytes these take from the allocator: the figure that equals tt-metal's own.
    pub footprint_bytes: u64,
    /// Live allocations.
    pub blocks: u64,
    /// The largest `footprint_bytes` so far.
    pub peak_footprint_bytes: u64,
    /// What the chip has of it; [`UNKNOWN`] where nobody told. In a process's row: as for its chip.
    pub capacity_bytes: u64,
    /// Footprint of every allocation so far.
    pub allocated_bytes_total: u64,
    /// Footprint of every free so far.
    pub freed_bytes_total: u64,
    /// CB: footprint of the program last dispatched. Other kinds: 0.
    pub resident_bytes: u64,
    /// KERNEL: footprint of fabric kernels. Other kinds: 0.
    pub fabric_bytes: u64,
    /// KERNEL: footprint of dispatch kernels. Other kinds: 0.
    pub dispatch_bytes: u64,
    /// 1 when records were lost, so that single allocations are missing though the totals are right.
    pub detail_incomplete: u64,
    /// `footprint_bytes` when a baseline was set, plus one, and [`BASELINE_AUTO`] where it set itself; 0: none is set. Of a chip: the
    /// sum of its processes', which set itself if all of them did.
    pub baseline: u64,
}

const _: () = assert!(size_of::<Figures>() == 96);
const _: () = assert!(offset_of!(Figures, live_bytes) == 0);
const _: () = assert!(offset_of!(Figures, footprint_bytes) == 8);
const _: () = assert!(offset_of!(Figures, blocks) == 16);
const _: () = assert!(offset_of!(Figures, peak_footprint_bytes) == 24);
const _: () = assert!(offset_of!(Figures, capacity_bytes) == 32);
const _: () = assert!(offset_of!(Figures, allocated_bytes_total) == 40);
const _: () = assert!(offset_of!(Figures, freed_bytes_total) == 48);
const _: () = assert!(offset_of!(Figures, resident_bytes) == 56);
const _: () = assert!(offset_of!(Figures, fabric_bytes) == 64);
const _: () = assert!(offset_of!(Figures, dispatch_bytes) == 72);
const _: () = assert!(offset_of!(Figures, detail_incomplete) == 80);
const _: () = assert!(offset_of!(Figures, baseline) == 88);

impl Figures {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        live_bytes: UNKNOWN,
        footprint_bytes: UNKNOWN,
        blocks: UNKNOWN,
        peak_footprint_bytes: UNKNOWN,
        capacity_bytes: UNKNOWN,
        allocated_bytes_total: UNKNOWN,
        freed_bytes_total: UNKNOWN,
        resident_bytes: 0,
        fabric_bytes: 0,
        dispatch_bytes: 0,
        detail_incomplete: 1,
        baseline: 0,
    };

    /// The capacity, if somebody told it.
    pub const fn capacity(&self) -> Option<u64> {
        if self.capacity_bytes == UNKNOWN { None } else { Some(self.capacity_bytes) }
    }

    /// `footprint_bytes` when a baseline was set, if one is.
    pub const fn baseline_bytes(&self) -> Option<u64> {
        (self.baseline & !BASELINE_AUTO).checked_sub(1)
    }

    /// Whether the baseline that is set set itself.
    pub const fn is_baseline_automatic(&self) -> bool {
        self.baseline & BASELINE_AUTO != 0
    }

    /// Adds the baseline of one process to its chip's.
    pub fn add_baseline(&mut self, one: &Self) {
        let Some(bytes) = one.baseline_bytes() else { return };
        // The sum of all that there are may be more than a word less its mark holds.
        let (before, all) = (self.baseline_bytes(), self.baseline == 0 || self.is_baseline_automatic());
        let sum = before.unwrap_or(0).saturating_add(bytes).min(BASELINE_AUTO - 2) + 1;
        self.baseline = if all && one.is_baseline_automatic() { sum | BASELINE_AUTO } else { sum };
    }

    /// What has come since a baseline was set, if one is; negative where more has gone.
    pub fn since_baseline_bytes(&self) -> Option<i64> {
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.baseline_bytes().map(|baseline| signed(self.footprint_bytes) - signed(baseline))
    }

    /// What is held, bytes: the footprint; of a process that is not tracked, what it asked for. `None`: not known.
    pub const fn held_bytes(&self) -> Option<u64> {
        match (self.footprint_bytes, self.live_bytes) {
            (UNKNOWN, UNKNOWN) => None,
            (UNKNOWN, live) => Some(live),
            (footprint, _) => Some(footprint),
        }
    }

    /// Clears what is live; peaks, capacities and cumulative sums stay.
    pub fn clear_live(&mut self) {
        *self = Self {
            peak_footprint_bytes: self.peak_footprint_bytes,
            capacity_bytes: self.capacity_bytes,
            allocated_bytes_total: self.allocated_bytes_total,
            freed_bytes_total: self.freed_bytes_total,
            ..Self::default()
        };
    }

    /// Whether there is anything to show: something is or was allocated.
    pub const fn is_used(&self) -> bool {
        self.footprint_bytes != 0 || self.blocks != 0 || self.allocated_bytes_total != 0
    }
}

/// One chip of the host.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Chip {
    /// Unique id of the chip (not a process's logical number).
    pub chip_id: u64,
    /// [`Arch`](crate::event::Arch) as a number.
    pub arch: u32,
    /// 1: the id is only a logical number, because no unique one was told; 2: it is only the driver's number.
    pub id_is_logical: u32,
    /// Board id; 0 unknown.
    pub board_id: u64,
    /// Tensix cores after harvesting; 0 unknown.
    pub tensix_cores: u32,
    /// The smallest logical number under which a process knows it: a label, not an identity. `u32::MAX`: no process told.
    pub device: u32,
    /// Tracked processes that have it open.
    pub processes: u32,
    /// 0.
    pub reserved: u32,
    /// Board name (`p150`), NUL-padded; empty when unknown.
    pub board: [u8; 24],
    /// By [`Memory`](crate::event::Memory) number.
    pub memory: [Figures; MEMORY_KINDS],
    /// What the driver tells of it.
    pub telemetry: Telemetry,
}

const _: () = assert!(size_of::<Chip>() == 64 + 8 * 96 + 200);
const _: () = assert!(offset_of!(Chip, chip_id) == 0);
const _: () = assert!(offset_of!(Chip, arch) == 8);
const _: () = assert!(offset_of!(Chip, id_is_logical) == 12);
const _: () = assert!(offset_of!(Chip, board_id) == 16);
const _: () = assert!(offset_of!(Chip, tensix_cores) == 24);
const _: () = assert!(offset_of!(Chip, device) == 28);
const _: () = assert!(offset_of!(Chip, processes) == 32);
const _: () = assert!(offset_of!(Chip, reserved) == 36);
const _: () = assert!(offset_of!(Chip, board) == 40);
const _: () = assert!(offset_of!(Chip, memory) == 64);
const _: () = assert!(offset_of!(Chip, telemetry) == 832);

/// [`Process::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// Alive.
    Running = 0,
    /// Ended in good order. Reserved: processes that have ended are not in a snapshot yet.
    Exited = 1,
    /// Ended otherwise. Reserved as well.
    Dead = 2,
}

impl State {
    /// Its name in JSON.
    pub const fn name(number: u32) -> &'static str {
        match number {
            0 => "running",
            1 => "exited",
            _ => "dead",
        }
    }
}

/// [`Process::source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Source {
    /// Its own ring.
    Ring = 0,
    /// The socket protocol of the original client: the aggregator writes its ring.
    Socket = 1,
    /// tt-metal's own counters: it is not tracked. What they do not tell is [`UNKNOWN`].
    TtMetal = 2,
    /// The driver's list of who has a device open: it is not tracked, and what it holds is not known.
    Driver = 3,
}

impl Source {
    /// Whether the figures are of the process's own records, and in the chips' sums.
    pub const fn is_tracked(number: u32) -> bool {
        number == Self::Ring as u32 || number == Self::Socket as u32
    }

    /// Its name in JSON.
    pub const fn name(number: u32) -> &'static str {
        match number {
            0 => "ring",
            1 => "socket",
            2 => "tt-metal",
            _ => "driver",
        }
    }
}

/// One process: a tracked one, or one that somebody else tells of ([`Source`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Process {
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// Its user: the owner of its ring, or of the process that speaks to the socket.
    pub uid: u32,
    /// [`State`].
    pub state: u32,
    /// [`Source`].
    pub source: u32,
    /// Clock ticks after boot (field 22 of /proc/pid/stat).
    pub start_ticks: u64,
    /// Start, Unix time in ns; 0 unknown.
    pub start_unix_ns: u64,
    /// Its last event, Unix time in ns; 0 none.
    pub last_event_unix_ns: u64,
    /// Events read from it.
    pub events_total: u64,
    /// Events it could not write.
    pub dropped_events_total: u64,
    /// Events written and not yet read.
    pub lag_events: u64,
    /// Names its ring and its ledger.
    pub nonce: u64,
    /// Its pid in its own namespace, as in the ring's name.
    pub ring_pid: u32,
    /// Why single allocations are missing: bits of [`incomplete`](mod@super::incomplete).
    pub incomplete: u32,
    /// Slots that it claimed and never published.
    pub torn_events_total: u64,
    /// What could not be believed of it.
    pub anomalies: Anomalies,
    /// comm, NUL-padded, cleaned.
    pub name: [u8; 32],
    /// Command line, blanks between the words, cut, NUL-padded, cleaned.
    pub command_line: [u8; 200],
}

const _: () = assert!(size_of::<Process>() == 384);
const _: () = assert!(offset_of!(Process, pid) == 0);
const _: () = assert!(offset_of!(Process, uid) == 4);
const _: () = assert!(offset_of!(Process, state) == 8);
const _: () = assert!(offset_of!(Process, source) == 12);
const _: () = assert!(offset_of!(Process, start_ticks) == 16);
const _: () = assert!(offset_of!(Process, start_unix_ns) == 24);
const _: () = assert!(offset_of!(Process, last_event_unix_ns) == 32);
const _: () = assert!(offset_of!(Process, events_total) == 40);
const _: () = assert!(offset_of!(Process, dropped_events_total) == 48);
const _: () = assert!(offset_of!(Process, lag_events) == 56);
const _: () = assert!(offset_of!(Process, nonce) == 64);
const _: () = assert!(offset_of!(Process, ring_pid) == 72);
const _: () = assert!(offset_of!(Process, incomplete) == 76);
const _: () = assert!(offset_of!(Process, torn_events_total) == 80);
const _: () = assert!(offset_of!(Process, anomalies) == 88);
const _: () = assert!(offset_of!(Process, name) == 152);
const _: () = assert!(offset_of!(Process, command_line) == 184);

/// What one process holds of one memory kind on one chip.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Row {
    /// Index into the snapshot's processes.
    pub process: u32,
    /// Index into the snapshot's chips.
    pub chip: u32,
    /// The process's logical number of the chip.
    pub device: u32,
    /// [`Memory`](crate::event::Memory) number; `u32::MAX`: nothing is known but that the process has the chip open.
    pub memory: u32,
    /// The figures.
    pub figures: Figures,
}

const _: () = assert!(size_of::<Row>() == 112);
const _: () = assert!(offset_of!(Row, process) == 0);
const _: () = assert!(offset_of!(Row, chip) == 4);
const _: () = assert!(offset_of!(Row, device) == 8);
const _: () = assert!(offset_of!(Row, memory) == 12);
const _: () = assert!(offset_of!(Row, figures) == 16);

/// How much attention a line wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Severity {
    /// It happened.
    Info = 0,
    /// Somebody should look.
    Warning = 1,
    /// A figure may be wrong or missing.
    Error = 2,
}

/// One line of the event log.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Line {
    /// Unix time in ns.
    pub unix_ns: u64,
    /// [`Severity`].
    pub severity: u32,
    /// The process it is about; 0 none.
    pub pid: u32,
    /// The text, NUL-padded, cleaned.
    pub text: [u8; 240],
}

const _: () = assert!(size_of::<Line>() == 256);
const _: () = assert!(offset_of!(Line, unix_ns) == 0);
const _: () = assert!(offset_of!(Line, severity) == 8);
const _: () = assert!(offset_of!(Line, pid) == 12);
const _: () = assert!(offset_of!(Line, text) == 16);

/// What could not be believed, counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Anomalies {
    /// Frees of something that was never announced.
    pub free_unknown: u64,
    /// Frees of something that was freed before.
    pub double_free: u64,
    /// Records with an impossible kind, memory or device.
    pub invalid_record: u64,
    /// Announcements of an id that is live already.
    pub alloc_live: u64,
    /// Sizes that would have passed 2^62 in sum, and devices, accounts or chips beyond what fits.
    pub overflow: u64,
    /// Frees whose size differs from what was announced.
    pub size_mismatch: u64,
    /// 0.
    pub reserved: [u64; 2],
}

const _: () = assert!(size_of::<Anomalies>() == 64);
const _: () = assert!(offset_of!(Anomalies, free_unknown) == 0);
const _: () = assert!(offset_of!(Anomalies, double_free) == 8);
const _: () = assert!(offset_of!(Anomalies, invalid_record) == 16);
const _: () = assert!(offset_of!(Anomalies, alloc_live) == 24);
const _: () = assert!(offset_of!(Anomalies, overflow) == 32);
const _: () = assert!(offset_of!(Anomalies, size_mismatch) == 40);
const _: () = assert!(offset_of!(Anomalies, reserved) == 48);

impl Anomalies {
    /// How many of any kind.
    pub fn sum(&self) -> u64 {
        [self.free_unknown, self.double_free, self.invalid_record, self.alloc_live, self.overflow, self.size_mismatch]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// The aggregator's own state.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Health {
    /// When this snapshot was made, `CLOCK_MONOTONIC` ns.
    pub monotonic_ns: u64,
    /// The same moment, Unix time in ns.
    pub unix_ns: u64,
    /// Snapshots published so far.
    pub generation: u64,
    /// Rings attached.
    pub rings: u64,
    /// Rings refused so far.
    pub rejected_rings_total: u64,
    /// Events read so far.
    pub events_total: u64,
    /// Events that producers could not write.
    pub dropped_events_total: u64,
    /// Slots claimed by dead processes and never published.
    pub torn_events_total: u64,
    /// Events written and not yet read, over all rings.
    pub lag_events: u64,
    /// Live allocations, over all ledgers.
    pub live_allocations: u64,
    /// Processes that did not fit into this snapshot.
    pub hidden_processes: u64,
    /// Rows that did not fit into this snapshot.
    pub hidden_rows: u64,
    /// CPU time that the aggregator used, ns.
    pub cpu_ns: u64,
    /// Processes found dead so far.
    pub deaths_total: u64,
    /// Rings that are there now and are not read.
    pub refused_rings: u64,
    /// Of these, so many did not fit into this snapshot.
    pub hidden_refusals: u64,
    /// Processes that can be tracked at once.
    pub places: u64,
    /// The limit on open files that this comes from.
    pub open_files_limit: u64,
    /// Kinds of memory of a tracked process on a chip of which tt-metal's own counters tell something else.
    pub differences: u64,
    /// Files of tt-metal's own counters that are there and are not read: of another layout, not to be opened, or no such file.
    pub unread_counters: u64,
    /// What could not be believed.
    pub anomalies: Anomalies,
}

const _: () = assert!(size_of::<Health>() == 224);
const _: () = assert!(offset_of!(Health, monotonic_ns) == 0);
const _: () = assert!(offset_of!(Health, unix_ns) == 8);
const _: () = assert!(offset_of!(Health, generation) == 16);
const _: () = assert!(offset_of!(Health, rings) == 24);
const _: () = assert!(offset_of!(Health, rejected_rings_total) == 32);
const _: () = assert!(offset_of!(Health, events_total) == 40);
const _: () = assert!(offset_of!(Health, dropped_events_total) == 48);
const _: () = assert!(offset_of!(Health, torn_events_total) == 56);
const _: () = assert!(offset_of!(Health, lag_events) == 64);
const _: () = assert!(offset_of!(Health, live_allocations) == 72);
const _: () = assert!(offset_of!(Health, hidden_processes) == 80);
const _: () = assert!(offset_of!(Health, hidden_rows) == 88);
const _: () = assert!(offset_of!(Health, cpu_ns) == 96);
const _: () = assert!(offset_of!(Health, deaths_total) == 104);
const _: () = assert!(offset_of!(Health, refused_rings) == 112);
const _: () = assert!(offset_of!(Health, hidden_refusals) == 120);
const _: () = assert!(offset_of!(Health, places) == 128);
const _: () = assert!(offset_of!(Health, open_files_limit) == 136);
const _: () = assert!(offset_of!(Health, differences) == 144);
const _: () = assert!(offset_of!(Health, unread_counters) == 152);
const _: () = assert!(offset_of!(Health, anomalies) == 160);
