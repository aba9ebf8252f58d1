//! Whether the figures and the ledgers say what the producers know to be true.

use crate::cast::Member;
use crate::figures::Seen;
use crate::truth::{Account, Truth, memory_name, told};
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use shm_layout::stats::{Figures, Row};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;

/// A chip as figures name it: its id, and whether that is only a logical number.
type ChipName = (u64, bool);

/// What was compared and where it did not agree.
#[derive(Debug, Default)]
pub struct Verdict {
    /// One line for each disagreement; none is a good verdict.
    pub wrong: Vec<String>,
    /// Rows compared.
    pub rows: u64,
    /// Of them, marked incomplete.
    pub incomplete: u64,
    /// Processes that were not compared, and why nobody can.
    pub excused: BTreeSet<u32>,
    /// Of them, those whose figures are not right.
    pub excused_and_wrong: BTreeSet<u32>,
    /// Allocations listed that were compared.
    pub listed: u64,
    /// Records dropped, by the nonce of the process.
    pub drops: BTreeMap<u64, u64>,
}

/// The figures of one account, or of one chip's memory kind.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    live: u64,
    footprint: u64,
    blocks: u64,
}

impl Sum {
    fn add(&mut self, live: u64, footprint: u64, blocks: u64) {
        self.live += live;
        self.footprint += footprint;
        self.blocks += blocks;
    }

    /// Bytes asked for are known where no record was dropped: a drop is counted by what it takes.
    fn is(&self, figures: &Figures) -> bool {
        let live = figures.detail_incomplete != 0 || self.live == figures.live_bytes;
        live && (self.footprint, self.blocks) == (figures.footprint_bytes, figures.blocks)
    }
}

/// Compares figures with the truth of those that live. `strict`: nobody is excused.
pub fn compare(seen: &Seen, members: &[Member], strict: bool) -> Verdict {
    let mut verdict = Verdict::default();
    let snapshot = &seen.snapshot;
    let truths: BTreeMap<u32, &Truth> =
        members.iter().filter_map(|member| Some((member.pid, member.truth.as_ref()?))).collect();
    if snapshot.health.hidden_processes + snapshot.health.hidden_rows > 0 {
        verdict.wrong.push("rows are hidden: there are more than fit".to_owned());
    }
    let mut chips: BTreeMap<(ChipName, u8), Sum> = BTreeMap::new();
    let mut unsure: HashSet<(ChipName, u8)> = HashSet::new();
    let mut known = HashSet::new();
    for (at, process) in snapshot.processes.iter().enumerate() {
        let pid = process.pid;
        verdict.drops.insert(process.nonce, process.dropped_events_total);
        let Some(truth) = truths.get(&pid) else {
            verdict.wrong.push(format!("process {pid} is dead, and in the figures"));
            continue;
        };
        if !known.insert(pid) {
            verdict.wrong.push(format!("process {pid} is in the figures twice"));
        }
        if process.lag_events != 0 {
            verdict.wrong.push(format!("process {pid} is quiet, and {} events behind", process.lag_events));
        }
        let dropped = process.dropped_events_total;
        if dropped > 0 && truth.bounded {
            verdict.wrong.push(format!("process {pid} kept within its ring, and {dropped} of its events were dropped"));
        }
        let rows: BTreeMap<(u32, u8), &Row> =
            snapshot.rows_of(at).map(|row| ((row.device, row.memory as u8), row)).collect();
        let may_be_wrong = !strict && dropped > 0 && truth.wildness.any();
        for account in &truth.accounts {
            let chip = chip_of(truth, account.device);
            let row = rows.get(&(account.device, account.memory)).copied();
            // Nothing excuses a figure that is said to be complete.
            let excused = may_be_wrong && row.is_some_and(|row| row.figures.detail_incomplete != 0);
            if excused {
                verdict.excused.insert(pid);
                unsure.insert((chip, account.memory));
                // Figures may be anywhere then: also where the truth has nothing any more.
                if let Some(row) = row {
                    let chip = &snapshot.chips[row.chip as usize];
                    unsure.insert(((chip.chip_id, chip.id_is_logical != 0), account.memory));
                }
            }
            chips.entry((chip, account.memory)).or_default().add(account.live, account.footprint, account.blocks);
            verdict.row(pid, account, chip, row, seen, dropped, excused);
        }
        for (device, memory) in rows.keys() {
            if !truth.accounts.iter().any(|a| (a.device, a.memory) == (*device, *memory)) {
                verdict
                    .wrong
                    .push(format!("process {pid} has a row for device {device}, memory {memory}, it never had"));
            }
        }
    }
    for (pid, truth) in &truths {
        let absent = truth.events > 0 && !known.contains(pid);
        if absent {
            verdict.wrong.push(format!("process {pid} has written {} events and is not in the figures", truth.events));
        }
        if truth.events > 0 && !truth.has_ring {
            verdict.wrong.push(format!("process {pid} has no ring"));
        }
    }
    verdict.chips(seen, &chips, &unsure);
    verdict
}

/// The chip that a device is: the last that it was opened as, or its number if it never was.
fn chip_of(truth: &Truth, device: u32) -> ChipName {
    let opened = truth.devices.iter().find(|opened| opened.device == device);
    opened.map_or((u64::from(device), true), |opened| (opened.chip_id, opened.logical))
}

impl Verdict {
    #[allow(clippy::too_many_arguments, reason = "one place, one comparison")]
    fn row(
        &mut self,
        pid: u32,
        account: &Account,
        chip: ChipName,
        row: Option<&Row>,
        seen: &Seen,
        dropped: u64,
        excused: bool,
    ) {
        let sum = Sum { live: account.live, footprint: account.footprint, blocks: account.blocks };
        let of = || format!("process {pid} device {} {}", account.device, memory_name(account.memory));
        let Some(row) = row else {
            if sum.blocks > 0 && !excused {
                self.wrong.push(format!("{}: no row, and the truth is {sum:?}", of()));
            }
            return;
        };
        self.rows += 1;
        let figures = &row.figures;
        let incomplete = figures.detail_incomplete != 0;
        self.incomplete += u64::from(incomplete);
        if !sum.is(figures) {
            if excused {
                self.excused_and_wrong.insert(pid);
                return;
            }
            self.wrong.push(format!(
                "{}: seen {} live, {} taken, {} blocks; true {} live, {} taken, {} blocks{}",
                of(),
                figures.live_bytes,
                figures.footprint_bytes,
                figures.blocks,
                sum.live,
                sum.footprint,
                sum.blocks,
                if incomplete { " (incomplete)" } else { "" },
            ));
        }
        if excused {
            return;
        }
        if incomplete && dropped == 0 {
            self.wrong.push(format!("{}: marked incomplete, and nothing was dropped", of()));
        }
        if figures.allocated_bytes_total != account.allocated {
            let (seen, truth) = (figures.allocated_bytes_total, account.allocated);
            self.wrong.push(format!("{}: {seen} bytes allocated in all, true {truth}", of()));
        }
        let balance = figures.allocated_bytes_total.checked_sub(figures.freed_bytes_total);
        if balance != Some(figures.footprint_bytes) {
            self.wrong.push(format!(
                "{}: {} allocated less {} freed is not {} taken",
                of(),
                figures.allocated_bytes_total,
                figures.freed_bytes_total,
                figures.footprint_bytes
            ));
        }
        let shown = &seen.snapshot.chips[row.chip as usize];
        let shown = (shown.chip_id, shown.id_is_logical != 0);
        if shown != chip {
            self.wrong.push(format!("{}: is on chip {shown:x?}, true {chip:x?}", of()));
        }
    }

    fn chips(&mut self, seen: &Seen, truths: &BTreeMap<(ChipName, u8), Sum>, unsure: &HashSet<(ChipName, u8)>) {
        let snapshot = &seen.snapshot;
        let mut shown: HashSet<(ChipName, u8)> = HashSet::new();
        for (at, chip) in snapshot.chips.iter().enumerate() {
            let name = (chip.chip_id, chip.id_is_logical != 0);
            for memory in Memory::ALL {
                let figures = &chip.memory[memory as usize];
                let key = (name, memory as u8);
                shown.insert(key);
                let of = || format!("chip {name:x?} {}", memory.name());
                let mut rows = Sum::default();
                let mine = snapshot.rows.iter().filter(|r| r.chip as usize == at && r.memory == memory as u32);
                mine.for_each(|row| rows.add(row.figures.live_bytes, row.figures.footprint_bytes, row.figures.blocks));
                if rows.live != figures.live_bytes || !rows.is(figures) {
                    self.wrong.push(format!("{}: {figures:?} is not the sum of its rows, {rows:?}", of()));
                }
                let truth = truths.get(&key).copied().unwrap_or_default();
                if !unsure.contains(&key) && !truth.is(figures) {
                    self.wrong.push(format!(
                        "{}: seen {} live, {} taken, {} blocks; true {truth:?}",
                        of(),
                        figures.live_bytes,
                        figures.footprint_bytes,
                        figures.blocks
                    ));
                }
            }
        }
        for (key, truth) in truths {
            if truth.blocks > 0 && !shown.contains(key) && !unsure.contains(key) {
                self.wrong.push(format!("chip {:x?} is not there, and has {truth:?}", key.0));
            }
        }
    }

    /// Compares the ledgers with the truth, where the detail is complete.
    pub fn ledgers(&mut self, seen: &Seen, members: &[Member], prefix: &Prefix) {
        let owner = [nix::unistd::geteuid().as_raw()];
        let (ledgers, refused) = tui::ledger::ledgers(prefix, &owner);
        self.wrong.extend(refused.iter().map(|error| format!("a ledger is refused: {error}")));
        for (at, process) in seen.snapshot.processes.iter().enumerate() {
            let Some(truth) = members.iter().find(|m| m.pid == process.pid).and_then(|m| m.truth.as_ref()) else {
                continue;
            };
            let Some(ledger) = ledgers.iter().find(|ledger| ledger.identity().nonce == process.nonce) else {
                self.wrong.push(format!("process {}: no ledger", process.pid));
                continue;
            };
            let mut listed: BTreeMap<(u32, u8), Account> = BTreeMap::new();
            for allocation in ledger.allocations() {
                let event = allocation.event;
                let account = listed.entry((event.device, event.memory));
                account.or_insert_with(|| Account::of(event.device, event.memory)).add(&event);
            }
            for row in seen.snapshot.rows_of(at).filter(|row| row.figures.detail_incomplete == 0) {
                let key = (row.device, row.memory as u8);
                let Some(truth) = truth.accounts.iter().find(|a| (a.device, a.memory) == key) else { continue };
                let found = listed.get(&key).copied().unwrap_or_else(|| Account::of(key.0, key.1));
                self.listed += found.blocks;
                if (found.blocks, found.digest) != (truth.blocks, truth.digest) {
                    self.wrong.push(format!(
                        "process {} device {} {}: its ledger lists {} allocations of {} bytes, true {} of {}{}",
                        process.pid,
                        key.0,
                        memory_name(key.1),
                        found.blocks,
                        found.footprint,
                        truth.blocks,
                        truth.footprint,
                        if found.blocks == truth.blocks { ", and some differ" } else { "" },
                    ));
                }
            }
        }
    }
}

/// What ledgers list and producers do not have, and the other way round; the first of each. For the report of a failure.
pub fn differences(members: &[Member], prefix: &Prefix) -> String {
    const FIRST: usize = 8;
    let mut text = String::new();
    let owner = [nix::unistd::geteuid().as_raw()];
    for ledger in tui::ledger::ledgers(prefix, &owner).0 {
        let pid = ledger.identity().pid;
        let Some(blocks) = members.iter().find(|m| m.pid == pid).and_then(|m| m.blocks.as_ref()) else { continue };
        let mut truth: BTreeMap<[u64; 8], i64> = BTreeMap::new();
        blocks.iter().for_each(|block| *truth.entry(*block).or_default() += 1);
        for allocation in ledger.allocations() {
            *truth.entry(told(&allocation.event)).or_default() -= 1;
        }
        for (what, sign) in [("lacks", 1), ("has too much", -1)] {
            let those: Vec<_> = truth.iter().filter(|(_, count)| **count * sign > 0).collect();
            for ([device, memory, id, address, size, footprint, context, flags], count) in those.iter().take(FIRST) {
                let _ = writeln!(
                    text,
                    "  ledger of {pid} {what} {}x device {device} {} id {id:#x} address {address:#x} size {size} footprint \
                     {footprint} context {context:#x} flags {flags:#x}",
                    count.abs(),
                    memory_name(*memory as u8),
                );
            }
            if those.len() > FIRST {
                let _ = writeln!(text, "  … and {} more that it {what}", those.len() - FIRST);
            }
        }
    }
    text
}

/// The figures and the truth side by side, for the report of a failure.
pub fn tables(seen: Option<&Seen>, members: &[Member]) -> String {
    let mut text = String::from("truth:\n");
    for member in members {
        let Some(truth) = &member.truth else {
            let _ = writeln!(text, "  {} does not say", member.pid);
            continue;
        };
        let _ = writeln!(text, "  {}: {} events, {:?}", member.pid, truth.events, truth.wildness);
        for account in truth.accounts.iter().filter(|a| a.blocks > 0) {
            let _ = writeln!(
                text,
                "    device {} {:<13} chip {:x?}: {} live, {} taken, {} blocks, {} allocated",
                account.device,
                memory_name(account.memory),
                chip_of(truth, account.device),
                account.live,
                account.footprint,
                account.blocks,
                account.allocated,
            );
        }
    }
    let Some(seen) = seen else { return text + "figures: none\n" };
    let _ = writeln!(text, "figures of aggregator {}: {:?}", seen.identity.pid, seen.snapshot.health);
    for (at, process) in seen.snapshot.processes.iter().enumerate() {
        let (events, dropped, lag) = (process.events_total, process.dropped_events_total, process.lag_events);
        let _ = writeln!(text, "  {}: {events} events, {dropped} dropped, {lag} behind", process.pid);
        for row in seen.snapshot.rows_of(at).filter(|row| row.figures.is_used()) {
            let figures = &row.figures;
            let _ = writeln!(
                text,
                "    device {} {:<13} chip {:x}: {} live, {} taken, {} blocks, {} allocated, {} freed{}",
                row.device,
                memory_name(row.memory as u8),
                seen.snapshot.chips[row.chip as usize].chip_id,
                figures.live_bytes,
                figures.footprint_bytes,
                figures.blocks,
                figures.allocated_bytes_total,
                figures.freed_bytes_total,
                if figures.detail_incomplete != 0 { " (incomplete)" } else { "" },
            );
        }
    }
    for line in &seen.snapshot.lines {
        let _ = writeln!(text, "  line: {}", shm_layout::text::load(&line.text));
    }
    text
}

/// So that a digest is not taken for what it is not: two allocations that differ have two.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::digest;
    use shm_layout::event::{Event, Kind};

    #[test]
    fn every_field_that_is_compared_changes_the_digest() {
        let event = Event { id: 1, size: 2, footprint: 3, address: 4, ..Event::new(Kind::Alloc, Memory::Dram, 0) };
        for other in [
            Event { id: 2, ..event },
            Event { size: 3, ..event },
            Event { footprint: 4, ..event },
            Event { address: 5, ..event },
            Event { device: 1, ..event },
            Event { memory: 1, ..event },
            Event { context: 1, ..event },
            Event { flags: 1, ..event },
        ] {
            assert_ne!(digest(&event), digest(&other));
        }
    }
}
