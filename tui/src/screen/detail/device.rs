//! The page of one device: every memory kind, who holds it, identity, and what the driver tells of it.

use super::memory_facts;
use crate::screen::dashboard::Dashboard;
use crate::screen::devices::short_name;
use crate::screen::page::Page;
use crate::screen::view::Subject;
use crate::source::Observation;
use crate::table::{capacity, chip_name, shown_memories};
use crate::units;
use shm_layout::event::{Arch, Memory};
use shm_layout::stats::{Chip, Presence, Telemetry, UNKNOWN};
use shm_layout::text;

/// Writes it.
pub fn write(page: &mut Page, dashboard: &Dashboard, seen: &Observation, subject: Subject) {
    let chips = &seen.snapshot.chips;
    let Some(at) = chips.iter().position(|chip| Subject::from(chip) == subject) else { return };
    let chip = &chips[at];
    // What it holds first: a small screen shows no more than that.
    page.heading("Memory");
    let shown = shown_memories(std::slice::from_ref(chip));
    if shown.is_empty() {
        page.say("", "no tracked process has told of any");
    }
    for memory in shown {
        page.tell(short_name(memory), memory_facts(memory, &chip.memory[memory as usize], capacity(chip, memory)));
    }
    holders(page, dashboard, seen, at);
    identity(page, chip);
    telemetry(page, &chip.telemetry, seen.unix_ns);
}

fn identity(page: &mut Page, chip: &Chip) {
    page.heading("Identity");
    page.tell("chip", vec![chip_name(chip)]);
    let board = text::load(&chip.board);
    let mut kind = vec![Arch::from_u32(chip.arch).name().to_owned()];
    kind.extend(Some(board).filter(|board| !board.is_empty()));
    kind.extend((chip.board_id != 0).then(|| format!("board id {:#x}", chip.board_id)));
    kind.extend((chip.tensix_cores > 0).then(|| format!("{} Tensix cores", chip.tensix_cores)));
    page.tell("kind", kind);
    let by = match chip.telemetry.presence {
        presence if presence == Presence::Tracked as u32 => "tracked processes; the driver tells nothing of it",
        presence if presence == Presence::Both as u32 => "tracked processes and the driver",
        presence if presence == Presence::Driver as u32 => "the driver; no tracked process has opened it",
        _ => "tt-metal's counters; no tracked process has opened it",
    };
    page.say("known by", by);
}

/// A figure in its unit; nothing where it is not told.
fn figure(name: &str, figure: u64, part: u64, decimals: usize, unit: &str) -> Option<String> {
    let blank = if name.is_empty() { "" } else { " " };
    (figure != UNKNOWN).then(|| format!("{name}{blank}{:.decimals$} {unit}", figure as f64 / part as f64))
}

fn telemetry(page: &mut Page, told: &Telemetry, now_unix_ns: u64) {
    if !told.is_known() {
        return;
    }
    page.heading("Driver");
    let mut node = Vec::new();
    node.extend((told.number != u32::MAX).then(|| format!("/dev/tenstorrent/{}", told.number)));
    node.extend(told.pci_text().map(|pci| format!("PCI {pci}")));
    node.extend((told.open_by != UNKNOWN).then(|| format!("open by {}", units::exact(told.open_by))));
    page.tell("device", node);
    let mut card: Vec<String> = Some(text::load(&told.card)).filter(|card| !card.is_empty()).into_iter().collect();
    card.extend((told.serial != UNKNOWN).then(|| format!("serial {:#x}", told.serial)));
    card.extend((told.asic_id != UNKNOWN).then(|| format!("ASIC {:#x}", told.asic_id)));
    page.tell("card", card);
    let firmware = text::load(&told.firmware);
    let mut running: Vec<String> = Some(firmware).filter(|version| !version.is_empty()).into_iter().collect();
    running.extend((told.heartbeat != UNKNOWN).then(|| format!("heartbeat {}", units::exact(told.heartbeat))));
    page.tell("firmware", running);
    let some = |facts: Vec<Option<String>>| facts.into_iter().flatten().collect::<Vec<_>>();
    let thermal = vec![
        figure("", told.temperature_millicelsius, 1000, 1, "C"),
        figure("limit", told.temperature_limit_millicelsius, 1000, 1, "C"),
        (told.thermal_trips != UNKNOWN).then(|| format!("thermal shutdowns {}", units::exact(told.thermal_trips))),
    ];
    page.tell("temperature", some(thermal));
    let power = vec![
        figure("", told.power_microwatts, 1_000_000, 1, "W"),
        figure("limit", told.power_limit_microwatts, 1_000_000, 1, "W"),
    ];
    page.tell("power", some(power));
    let current = vec![
        figure("", told.current_milliamperes, 1000, 1, "A"),
        figure("limit", told.current_limit_milliamperes, 1000, 1, "A"),
    ];
    page.tell("current", some(current));
    page.tell("voltage", some(vec![figure("", told.voltage_millivolts, 1000, 3, "V")]));
    let clocks = vec![
        figure("AI", told.ai_clock_mhz, 1, 0, "MHz"),
        figure("AXI", told.axi_clock_mhz, 1, 0, "MHz"),
        figure("ARC", told.arc_clock_mhz, 1, 0, "MHz"),
    ];
    page.tell("clocks", some(clocks));
    page.tell("fan", some(vec![figure("", told.fan_rpm, 1, 0, "rpm")]));
    page.say("read", &format!("{} ago", units::age(now_unix_ns.saturating_sub(told.read_unix_ns))));
}

/// Who holds how much of it, the largest first.
fn holders(page: &mut Page, dashboard: &Dashboard, seen: &Observation, at: usize) {
    const KINDS: [Memory; 3] = [Memory::Dram, Memory::L1, Memory::Cb];
    let mut holders: Vec<(usize, [u64; 3])> = Vec::new();
    for row in seen.snapshot.rows.iter().filter(|row| row.chip as usize == at) {
        let process = row.process as usize;
        if holders.last().is_none_or(|(last, _)| *last != process) {
            holders.push((process, [0; 3]));
        }
        let held = KINDS.iter().position(|memory| *memory as u32 == row.memory);
        if let (Some(kind), Some((_, sums))) = (held, holders.last_mut()) {
            sums[kind] = sums[kind].saturating_add(row.figures.held_bytes().unwrap_or(0));
        }
    }
    holders.sort_by_key(|(process, [dram, l1, _])| (u64::MAX - dram, u64::MAX - l1, *process));
    page.heading("Processes");
    if holders.is_empty() {
        page.say("", "nobody holds anything on it");
    }
    for (process, sums) in holders {
        let Some(process) = seen.snapshot.processes.get(process) else { continue };
        let row = dashboard.rows.iter().find(|row| row.totals.key() == process.into());
        let mut facts: Vec<String> = KINDS
            .iter()
            .zip(sums)
            .map(|(memory, bytes)| format!("{} {}", memory.name(), units::bytes(bytes)))
            .collect();
        facts.push(text::load(&process.name));
        facts.extend(row.and_then(|row| row.totals.mark()).map(|mark| format!("not tracked: {mark}")));
        page.tell(&process.pid.to_string(), facts);
    }
}
