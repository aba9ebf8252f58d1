//! A host with realistic figures, for tests and for the example publisher.

use shm_layout::event::{Arch, Memory};
use shm_layout::stats::{
    Chip, Figures, Health, Identity, Line, Presence, Process, Row, Severity, Snapshot, State, Telemetry, UNKNOWN,
};
use shm_layout::text;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;
/// L1 of a Blackhole chip with 140 Tensix cores, bytes.
const L1: u64 = 210 * MIB;
/// Unix time of the sample's "now": 2023-11-14 22:13:20 UTC.
pub const UNIX_NS: u64 = 1_700_000_000_000_000_000;
/// Monotonic time of the sample's "now".
pub const NOW_NS: u64 = 90_000_000_000_000;

const KINDS: [(Memory, u64); 7] = [
    (Memory::Dram, 32 * GIB),
    (Memory::L1, L1),
    (Memory::L1Small, 0),
    (Memory::Trace, 0),
    (Memory::SystemMemory, UNKNOWN),
    (Memory::Cb, UNKNOWN),
    (Memory::Kernel, UNKNOWN),
];

fn figures(memory: Memory, footprint: u64, capacity_bytes: u64) -> Figures {
    Figures {
        live_bytes: footprint - footprint / 100,
        footprint_bytes: footprint,
        blocks: footprint / (3 * MIB) + u64::from(footprint > 0),
        peak_footprint_bytes: footprint + footprint / 12,
        capacity_bytes,
        allocated_bytes_total: footprint * 5,
        freed_bytes_total: footprint * 4,
        resident_bytes: if memory == Memory::Cb { footprint / 3 } else { 0 },
        fabric_bytes: if memory == Memory::Kernel { footprint / 8 } else { 0 },
        dispatch_bytes: if memory == Memory::Kernel { footprint / 16 } else { 0 },
        ..Figures::default()
    }
}

/// What a process holds of (DRAM, L1, `L1_SMALL`, TRACE, host, CB, KERNEL).
type Holding = [u64; 7];

fn holding(process: usize, chip: usize, chips: usize, swing: f64) -> Option<Holding> {
    let moved = |bytes: u64, by: f64| (bytes as f64 * (1.0 + by * swing)) as u64 / (2 * KIB) * (2 * KIB);
    match process {
        0 => {
            let dram = [19_800 * MIB, 21_504 * MIB, 9_216 * MIB, 611 * MIB][chip % 4];
            let l1 = [96 * MIB, 88 * MIB, 122 * MIB, 9 * MIB][chip % 4];
            Some([
                moved(dram, 0.06),
                moved(l1, 0.45),
                4480 * KIB,
                [200 * MIB, 200 * MIB, 200 * MIB, 0][chip % 4],
                64 * MIB,
                moved(31 * MIB, 0.3),
                5 * MIB,
            ])
        }
        1 if chip < 2 => Some([[4_900, 8_600][chip] * MIB, moved(28 * MIB, 0.5), 0, 0, 16 * MIB, 12 * MIB, 2 * MIB]),
        2 if chip + 1 == chips => Some([moved(130 * MIB, 0.2), moved(11 * MIB, 0.8), 0, 0, 0, 2 * MIB, 600 * KIB]),
        _ => None,
    }
}

fn process(pid: u32, uid: u32, name: &str, command_line: &str, events_total: u64) -> Process {
    Process {
        pid,
        uid,
        state: State::Running as u32,
        source: 0,
        start_ticks: u64::from(pid) * 7,
        start_unix_ns: UNIX_NS - 5_400_000_000_000,
        last_event_unix_ns: UNIX_NS - 40_000_000,
        events_total,
        dropped_events_total: 0,
        lag_events: 0,
        nonce: u64::from(pid) << 20,
        ring_pid: pid,
        incomplete: 0,
        torn_events_total: 0,
        anomalies: Default::default(),
        name: text::store(name.as_bytes()),
        command_line: text::store(command_line.as_bytes()),
    }
}

fn line(seconds_ago: u64, severity: Severity, pid: u32, words: &str) -> Line {
    let unix_ns = UNIX_NS - seconds_ago * 1_000_000_000;
    Line { unix_ns, severity: severity as u32, pid, text: text::store(words.as_bytes()) }
}

/// As a p150b tells it.
fn telemetry() -> Telemetry {
    Telemetry {
        read_unix_ns: UNIX_NS - 300_000_000,
        presence: Presence::Both as u32,
        number: 0,
        temperature_millicelsius: 45_250,
        power_microwatts: 38_000_000,
        ai_clock_mhz: 1350,
        ..Telemetry::NONE
    }
}

/// Blackhole chips and three processes, at rest.
pub fn host(chips: usize) -> Snapshot {
    host_at(chips, 0.0)
}

/// The same, with the allocations moved by `swing` (-1 to 1).
pub fn host_at(chips: usize, swing: f64) -> Snapshot {
    let processes = vec![
        process(41_207, 0, "python3", "python3 train.py --model llama-3.1-8b --mesh 2x2 --batch-size 32", 8_412_331),
        process(
            41_893,
            0,
            "vllm",
            "python3 -m vllm.entrypoints.openai.api_server --port 8000 --max-model-len 8192",
            412_907,
        ),
        process(52_011, 65_534, "ttnn_bench", "./build/ttnn_bench --op matmul --sweep", 20_118),
    ];
    let mut rows = Vec::new();
    for owner in 0..processes.len() {
        for chip in 0..chips {
            let Some(held) = holding(owner, chip, chips, swing) else { continue };
            for ((memory, capacity), bytes) in KINDS.into_iter().zip(held) {
                let figures = figures(memory, bytes, capacity);
                let (process, chip, device) = (owner as u32, chip as u32, chip as u32);
                rows.push(Row { process, chip, device, memory: memory as u32, figures });
            }
        }
    }
    let chips = (0..chips as u32).map(|at| {
        let mut chip = Chip {
            chip_id: 0x0471_c1a5_0000_0000 + u64::from(at) * 0x1_0b21,
            arch: Arch::Blackhole as u32,
            id_is_logical: 0,
            board_id: 0x0000_0461,
            tensix_cores: 140,
            device: at,
            processes: 1 + u32::from(at < 2),
            reserved: 0,
            board: text::store(b"p150b"),
            memory: Default::default(),
            telemetry: if at == 0 { telemetry() } else { Telemetry::NONE },
        };
        for (memory, capacity) in KINDS {
            let mine = rows.iter().filter(|r| r.chip == at && r.memory == memory as u32).map(|r| r.figures);
            let sum = mine.clone().map(|f| f.footprint_bytes).sum();
            chip.memory[memory as usize] = Figures {
                resident_bytes: mine.map(|f| f.resident_bytes).max().unwrap_or(0),
                ..figures(memory, sum, capacity)
            };
        }
        chip
    });
    Snapshot {
        chips: chips.collect(),
        processes,
        rows,
        lines: vec![
            line(3721, Severity::Info, 41_207, "PID 41207 (python3) attached: 4 chips"),
            line(1207, Severity::Info, 41_893, "PID 41893 (vllm) attached: 2 chips"),
            line(311, Severity::Warning, 41_893, "PID 41893: 12 frees of unknown allocations"),
            line(
                95,
                Severity::Info,
                50_877,
                "PID 50877 died: removed 5 buffers (15.2 MB), 8 CBs (2.4 MB), 4 kernels (0.20 MB)",
            ),
            line(12, Severity::Error, 0, "ring tt_alloc.ring.1000.777.00000000deadbeef refused: not a regular file"),
            line(4, Severity::Info, 52_011, "PID 52011 (ttnn_bench) attached: 1 chip"),
        ],
        refusals: Vec::new(),
        differences: Vec::new(),
        health: Health {
            monotonic_ns: NOW_NS - 60_000_000,
            unix_ns: UNIX_NS - 60_000_000,
            generation: 900_211,
            rings: 3,
            events_total: 8_845_356,
            live_allocations: 24_311,
            cpu_ns: 62_000_000_000,
            deaths_total: 1,
            places: 2048,
            open_files_limit: 65_536,
            ..Health::default()
        },
    }
}

/// An aggregator that has run for a bit more than three hours.
pub fn identity() -> Identity {
    Identity {
        pid: 1201,
        uid: 0,
        start_ticks: 4242,
        started_unix_ns: UNIX_NS - 11_533_000_000_000,
        started_monotonic_ns: NOW_NS - 11_533_000_000_000,
        ..Identity::unannounced()
    }
}

#[cfg(test)]
pub use seen::observation;

#[cfg(test)]
mod seen {
    use super::*;
    use crate::source::{History, Observation};
    use shm_layout::event::MEMORY_KINDS;
    use shm_layout::stats::{HISTORY_SAMPLES, HISTORY_SAMPLES_PER_SPAN};

    /// Samples that were taken: an hour.
    const TAKEN: usize = 3600;

    /// What a viewer sees of [`host`], with an hour of history: a slow rise, and waves in the last five minutes.
    pub fn observation(chips: usize) -> Observation {
        let snapshot = host(chips);
        let wave = |bytes: u64, period: u64| -> Vec<u64> {
            let before = (TAKEN - HISTORY_SAMPLES) as u64;
            let rise = (0..before).map(|n| bytes / 4 + bytes / 4 * n / before);
            rise.chain((0..HISTORY_SAMPLES as u64).map(|n| bytes / 2 + bytes / 2 * (n % period) / period)).collect()
        };
        let history = snapshot.chips.iter().map(|chip| {
            let periods = [300, 60, 300, 300, 300, 40, 300, 300];
            let all: [Vec<u64>; MEMORY_KINDS] =
                std::array::from_fn(|memory| wave(chip.memory[memory].footprint_bytes, periods[memory]));
            let spans = |samples: &[u64]| {
                let spans = samples.chunks(HISTORY_SAMPLES_PER_SPAN as usize);
                spans.filter_map(|span| span.iter().max().copied()).collect()
            };
            std::rc::Rc::new(History {
                spans: std::array::from_fn(|memory| spans(&all[memory])),
                samples: all.map(|samples| samples[TAKEN - HISTORY_SAMPLES..].to_vec()),
            })
        });
        Observation {
            prefix: Default::default(),
            history: history.collect(),
            history_head: TAKEN as u64,
            snapshot,
            identity: identity(),
            heartbeat_ns: NOW_NS - 60_000_000,
            now_ns: NOW_NS,
            unix_ns: UNIX_NS,
        }
    }
}
