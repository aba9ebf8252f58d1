//! What `DUMP_REMAINING` and `DUMP_KERNELS` print on the aggregator's standard output, in a thread of its own: whoever does not read
//! that output holds nobody up.

use super::{answers, ledgers};
use shm_layout::event::{Event, Memory};
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::procfs;
use shm_layout::stats::Snapshot;
use shm_layout::text;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Single allocations of a group are listed when they are no more than this.
const FEW: u64 = 10;
/// Lines of one printing.
const MOST_LINES: usize = 2000;
/// Kernels of one device that are listed.
const MOST_KERNELS: usize = 100;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// Everything that is live.
    Remaining,
    /// The kernels.
    Kernels,
}

/// What is to be printed, and whether in the log as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub dump: Dump,
    /// Also in the log.
    pub logged: bool,
}

/// Begins the printing thread; it ends when the sender is dropped.
///
/// # Errors
/// When there can be no further thread.
pub fn printer(prefix: &Prefix) -> std::io::Result<SyncSender<Order>> {
    let (sender, receiver): (_, Receiver<Order>) = sync_channel(2);
    let prefix = prefix.clone();
    std::thread::Builder::new().name("legacy-print".into()).spawn(move || {
        for Order { dump, logged } in receiver {
            let text = answers::snapshot(&prefix).map_or_else(String::new, |snapshot| print(dump, &snapshot, &prefix));
            for line in text.lines().filter(|_| logged) {
                tracing::info!("{line}");
            }
            let mut output = std::io::stdout().lock();
            // Whoever reads our output may be gone.
            let _printed = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        }
    })?;
    Ok(sender)
}

/// One allocation to be listed.
struct Listed {
    event: Event,
    pid: u32,
}

fn print(dump: Dump, snapshot: &Snapshot, prefix: &Prefix) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _written = match dump {
        Dump::Remaining => remaining(&mut text, snapshot, prefix),
        Dump::Kernels => kernels(&mut text, snapshot, prefix),
    };
    let mut lines: Vec<String> = text.lines().take(MOST_LINES).map(|line| text::clean(line.as_bytes())).collect();
    if text.lines().nth(MOST_LINES).is_some() {
        lines.push("... (the rest: tt-alloc buffers)".to_owned());
    }
    lines.join("\n") + "\n"
}

/// Blocks and bytes by device number and memory kind.
fn groups(snapshot: &Snapshot) -> BTreeMap<(u32, Memory), (u64, u64)> {
    let mut groups: BTreeMap<(u32, Memory), (u64, u64)> = BTreeMap::new();
    for chip in &snapshot.chips {
        for memory in Memory::ALL {
            let figures = &chip.memory[memory as usize];
            if figures.blocks > 0 || figures.footprint_bytes > 0 {
                let (blocks, bytes) = groups.entry((chip.device, memory)).or_default();
                *blocks = blocks.saturating_add(figures.blocks);
                *bytes = bytes.saturating_add(figures.footprint_bytes);
            }
        }
    }
    groups
}

/// Single allocations of these groups, from the ledgers of the processes that have some there.
fn listed(
    snapshot: &Snapshot,
    prefix: &Prefix,
    wanted: impl Fn(u32, Memory) -> bool,
) -> BTreeMap<(u32, Memory), Vec<Listed>> {
    let files: Vec<ProcessFile> =
        procfs::process_files(prefix).into_iter().filter(|file| file.role == Role::Ledger).collect();
    let mut listed: BTreeMap<(u32, Memory), Vec<Listed>> = BTreeMap::new();
    for (at, process) in snapshot.processes.iter().enumerate() {
        let of: Vec<_> = snapshot
            .rows_of(at)
            .filter_map(|row| {
                let memory = u8::try_from(row.memory).ok().and_then(Memory::from_u8)?;
                let shown = snapshot.chips.get(row.chip as usize)?.device;
                (row.figures.blocks > 0 && wanted(shown, memory)).then_some((row.device, memory, shown))
            })
            .collect();
        let file = files.iter().find(|file| (file.nonce, file.pid) == (process.nonce, process.ring_pid));
        let Some(live) = file.filter(|_| !of.is_empty()).and_then(|file| ledgers::live(prefix, file)) else { continue };
        for event in live {
            let here = of.iter().find(|(device, memory, _)| (*device, *memory as u8) == (event.device, event.memory));
            if let Some((_, memory, shown)) = here {
                listed.entry((*shown, *memory)).or_default().push(Listed { event, pid: process.pid });
            }
        }
    }
    listed
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

fn remaining(text: &mut String, snapshot: &Snapshot, prefix: &Prefix) -> std::fmt::Result {
    let groups = groups(snapshot);
    let few = |device, memory| groups.get(&(device, memory)).is_some_and(|(blocks, _)| *blocks <= FEW);
    let listed = listed(snapshot, prefix, few);
    writeln!(text, "=== Remaining allocated buffers ===")?;
    if groups.is_empty() {
        writeln!(text, "none")?;
    }
    let mut last = None;
    for ((device, memory), (blocks, bytes)) in &groups {
        if last.replace(device) != Some(device) {
            writeln!(text, "Device {device}:")?;
        }
        writeln!(text, "  {}: {blocks} {}, {:.2} MB total", memory.name(), memory.noun(), mib(*bytes))?;
        for Listed { event, pid } in listed.get(&(*device, *memory)).into_iter().flatten().take(FEW as usize) {
            writeln!(text, "    - 0x{:x}: {:.1} KB (PID {pid})", event.address, kib(event.taken()))?;
        }
    }
    Ok(())
}

fn kernels(text: &mut String, snapshot: &Snapshot, prefix: &Prefix) -> std::fmt::Result {
    let groups = groups(snapshot);
    let listed = listed(snapshot, prefix, |_, memory| memory == Memory::Kernel);
    let now = snapshot.health.monotonic_ns;
    writeln!(text, "=== Loaded kernels ===")?;
    let mut some = false;
    for ((device, _), (blocks, bytes)) in groups.iter().filter(|((_, memory), _)| *memory == Memory::Kernel) {
        some = true;
        writeln!(text, "Device {device}: {blocks} kernels, {:.2} MB total", mib(*bytes))?;
        for Listed { event, pid } in listed.get(&(*device, Memory::Kernel)).into_iter().flatten().take(MOST_KERNELS) {
            let age = now.saturating_sub(event.time) / 1_000_000_000;
            writeln!(text, "    - 0x{:x}: {:.1} KB (PID {pid}, age {age} s)", event.address, kib(event.taken()))?;
        }
    }
    if !some {
        writeln!(text, "none")?;
    }
    Ok(())
}
