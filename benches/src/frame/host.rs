//! A stats segment of a made-up host, published by a thread on the other processor, as an aggregator would.

use anyhow::Context;
use benches::machine::pin;
use shm_layout::event::{Arch, MEMORY_KINDS, Memory};
use shm_layout::names::Prefix;
use shm_layout::segment::{Created, create};
use shm_layout::stats::{
    Anomalies, Chip, Figures, Health, Identity, Line, MAX_ROWS, Process, Row, Snapshot, StatsHeader, StatsView,
    UNKNOWN, stats_bytes,
};
use shm_layout::text;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use tui::clock::{monotonic_ns, unix_ns};

const MIB: u64 = 1 << 20;
/// Looks between two samples of the history: at 10 Hz one a second.
const LOOKS_PER_SAMPLE: u64 = 10;
/// Samples that there are from the beginning: full graphs.
const PAST: u64 = 300;

/// What the publisher is asked for.
enum Task {
    Publish,
    Beat,
}

/// The segment and whoever publishes into it. Both go with it.
pub struct Host {
    /// Its names' prefix.
    pub prefix: Prefix,
    ask: Option<Sender<Task>>,
    done: Receiver<()>,
    publisher: Option<std::thread::JoinHandle<()>>,
}

impl Host {
    /// A host with so many devices and processes; publishing happens on this processor.
    pub fn start(devices: usize, processes: usize, cpu: usize) -> anyhow::Result<Self> {
        let prefix = Prefix::new(&format!("tt_bench_frame_{}", std::process::id()))?;
        let created = create(&prefix.stats(), stats_bytes()).context("make a stats segment")?;
        let (ask, asked) = channel();
        let (tell, done) = channel();
        let publisher = std::thread::spawn(move || {
            pin(cpu);
            publish(&created, devices, processes, &asked, &tell);
            created.remove();
        });
        let host = Self { prefix, ask: Some(ask), done, publisher: Some(publisher) };
        host.publish()?;
        Ok(host)
    }

    /// Publishes the next snapshot, every figure another one; returns when it is out.
    pub fn publish(&self) -> anyhow::Result<()> {
        self.ask(Task::Publish)
    }

    /// Publishes nothing; the heartbeat goes on.
    pub fn beat(&self) -> anyhow::Result<()> {
        self.ask(Task::Beat)
    }

    fn ask(&self, task: Task) -> anyhow::Result<()> {
        self.ask.as_ref().context("ended")?.send(task).context("the publisher ended")?;
        self.done.recv().context("the publisher ended")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ask = None;
        let _ended = self.publisher.take().map(std::thread::JoinHandle::join);
    }
}

fn publish(created: &Created, devices: usize, processes: usize, asked: &Receiver<Task>, tell: &Sender<()>) {
    let behind = size_of::<StatsHeader<AtomicU64>>();
    let words = created.mapping.array(behind, (created.mapping.len() - behind) / 8);
    let view = created.mapping.one(0).zip(words).and_then(|(header, words)| StatsView::new(header, words));
    let Some(view) = view else { return };
    view.announce(identity());
    let mut snapshot = snapshot(devices, processes);
    let mut words = Vec::new();
    let mut samples = 0;
    let mut round = 0;
    while let Ok(task) = asked.recv() {
        if matches!(task, Task::Publish) {
            change(&mut snapshot, round);
            while samples < PAST + round / LOOKS_PER_SAMPLE {
                record(&view, &snapshot, samples);
                samples += 1;
            }
            snapshot.encode(&mut words);
            view.snapshots().publish(&words);
            round += 1;
        }
        // Relaxed: the heartbeat orders nothing.
        view.header.heartbeat.store(monotonic_ns(), Relaxed);
        if tell.send(()).is_err() {
            return;
        }
    }
}

fn record(view: &StatsView<'_, AtomicU64>, snapshot: &Snapshot, sample: u64) {
    for (at, chip) in snapshot.chips.iter().enumerate() {
        for memory in [Memory::Dram, Memory::L1] {
            let now = chip.memory[memory as usize].footprint_bytes;
            view.record_sample(at, memory as usize, sample, now - now / 3 * (sample % 7) / 7);
        }
    }
    view.advance_history(sample);
}

fn identity() -> Identity {
    Identity {
        pid: std::process::id(),
        uid: nix::unistd::geteuid().as_raw(),
        start_ticks: shm_layout::procfs::stat("self").map_or(0, |stat| stat.start_ticks),
        started_unix_ns: unix_ns(),
        started_monotonic_ns: monotonic_ns(),
        ..Identity::unannounced()
    }
}

/// Every process holds every memory kind of as many devices as there is room for in a snapshot.
fn snapshot(devices: usize, processes: usize) -> Snapshot {
    let chips: Vec<Chip> = (0..devices as u32).map(|at| chip(at, processes as u32)).collect();
    let rows_each = (devices * Memory::ALL.len()).min(MAX_ROWS / processes);
    let rows = (0..processes).flat_map(|process| {
        (0..rows_each).map(move |n| {
            let chip = ((process + n / Memory::ALL.len()) % devices) as u32;
            let memory = Memory::ALL[n % Memory::ALL.len()] as u32;
            Row { process: process as u32, chip, device: chip, memory, figures: Figures::default() }
        })
    });
    let lines = (0..40u32).map(|n| Line {
        unix_ns: unix_ns(),
        severity: n % 3,
        pid: 10_000 + n,
        text: text::store(format!("PID {} (python3) attached: 4 chips", 10_000 + n).as_bytes()),
    });
    Snapshot {
        health: Health { rings: processes as u64, ..Health::default() },
        processes: (0..processes as u32).map(process).collect(),
        rows: rows.collect(),
        lines: lines.collect(),
        refusals: Vec::new(),
        differences: Vec::new(),
        chips,
    }
}

fn chip(at: u32, processes: u32) -> Chip {
    let mut memory = [Figures::default(); MEMORY_KINDS];
    for (kind, figures) in memory.iter_mut().enumerate() {
        figures.capacity_bytes = match kind {
            k if k == Memory::Dram as usize => 32 << 30,
            k if k == Memory::L1 as usize => 210 * MIB,
            _ => UNKNOWN,
        };
    }
    Chip {
        chip_id: 0x0471_c1a5_0000_0000 + u64::from(at),
        arch: Arch::Blackhole as u32,
        id_is_logical: 0,
        board_id: 0x461,
        tensix_cores: 140,
        device: at,
        processes,
        reserved: 0,
        board: text::store(b"p150b"),
        memory,
        telemetry: Default::default(),
    }
}

fn process(at: u32) -> Process {
    let command = format!(
        "/home/user{}/venv/bin/python3 -m vllm.entrypoints.openai.api_server --model llama-3.1-8b --port {} --max-model-len 8192",
        at % 17,
        8000 + at
    );
    Process {
        pid: 10_000 + at * 3,
        uid: at % 3,
        state: 0,
        source: 0,
        start_ticks: u64::from(at) * 77,
        start_unix_ns: unix_ns(),
        last_event_unix_ns: 0,
        events_total: 0,
        dropped_events_total: 0,
        lag_events: 0,
        nonce: u64::from(at) << 20 | 5,
        ring_pid: 10_000 + at * 3,
        incomplete: 0,
        torn_events_total: 0,
        anomalies: Anomalies::default(),
        name: text::store(format!("worker_{at}").as_bytes()),
        command_line: text::store(command.as_bytes()),
    }
}

/// Moves every figure: another order of the processes at each look, other digits in each cell.
fn change(snapshot: &mut Snapshot, round: u64) {
    for chip in &mut snapshot.chips {
        for figures in &mut chip.memory {
            figures.footprint_bytes = 0;
        }
    }
    for row in &mut snapshot.rows {
        // A fixed sequence that looks like noise (splitmix64): the same in every run.
        let mut x = (round << 40) ^ (u64::from(row.process) << 16) ^ (u64::from(row.chip) << 8) ^ u64::from(row.memory);
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bytes = (x ^ (x >> 31)) % (8 * MIB);
        let f = &mut row.figures;
        (f.live_bytes, f.footprint_bytes, f.blocks) = (bytes, bytes, 1 + bytes / 4096);
        f.allocated_bytes_total += bytes;
        f.peak_footprint_bytes = f.peak_footprint_bytes.max(bytes);
        f.resident_bytes = if row.memory == Memory::Cb as u32 { bytes / 3 } else { 0 };
        let sum = &mut snapshot.chips[row.chip as usize].memory[row.memory as usize];
        sum.footprint_bytes += bytes;
        sum.blocks = f.blocks;
        sum.peak_footprint_bytes = sum.peak_footprint_bytes.max(sum.footprint_bytes);
        sum.resident_bytes = sum.resident_bytes.max(f.resident_bytes);
    }
    for process in &mut snapshot.processes {
        process.events_total += 3 + round % 11;
    }
    let health = &mut snapshot.health;
    health.generation += 1;
    health.events_total += 4321;
    health.monotonic_ns = monotonic_ns();
    health.unix_ns = unix_ns();
}
