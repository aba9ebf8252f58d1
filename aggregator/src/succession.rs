//! Taking over from an earlier aggregator: no sum runs backwards, and nothing is counted twice.
//!
//! What a process allocated and freed is in its chips' sums as of the predecessor's last snapshot, and, up to its last committed
//! batch, in its ledger. So the sums are taken over whole, and where a process's ledger is found, what the snapshot knew
//! of it is taken out again: the ledger's word replaces it.
//!
//! A process that ended was counted as gone in snapshots from some moment on. Its ledger tells that moment, so that a successor
//! that still finds its files knows whether it was counted.

use crate::account::Live;
use crate::chips::Chips;
use crate::heritage::Heritage;
use shm_layout::event::Memory;
use shm_layout::names::{ProcessFile, Role};
use shm_layout::stats::{Anomalies, Chip, Gone};
use shm_layout::text;
use std::collections::HashMap;

/// What the predecessor's last snapshot says that a process had of one memory kind of a device.
#[derive(Clone, Copy, Debug)]
struct Known {
    device: u32,
    memory: u32,
    chip: (u64, u32),
    footprint: u64,
    peak: u64,
    allocated: u64,
    freed: u64,
}

/// A process of the predecessor's last snapshot that was not met yet.
#[derive(Clone, Debug)]
struct Awaited {
    known: Vec<Known>,
    events: u64,
    dropped: u64,
    last_event_unix_ns: u64,
    pid: u32,
    name: String,
    /// Its sums were taken out of the chips', because a snapshot without its rows was made.
    aside: bool,
}

/// What is still to be taken over.
#[derive(Debug, Default)]
pub struct Succession {
    awaited: HashMap<ProcessFile, Awaited>,
    /// Processes or rows did not fit into the snapshot: whoever is not in it may have been there.
    partial: bool,
    /// First and last moment of which the predecessors' figures tell, `CLOCK_MONOTONIC` ns.
    told_ns: Option<(u64, u64)>,
    /// Counters that the ledgers and those who are gone have to come up to.
    torn: u64,
    anomalies: Anomalies,
}

/// A process that was awaited and will not come.
#[derive(Debug)]
pub struct Missing {
    /// As the predecessor saw it.
    pub pid: u32,
    /// comm.
    pub name: String,
}

impl Succession {
    /// Everything that this predecessor knew. The chips are taken over by then, in its order.
    pub fn of(heritage: &Heritage) -> Self {
        let Heritage { snapshot, since_ns, .. } = heritage;
        let key = |chip: &Chip| (chip.chip_id, chip.id_is_logical);
        let awaited = snapshot.processes.iter().enumerate().map(|(at, process)| {
            let known = snapshot.rows_of(at).map(|row| Known {
                device: row.device,
                memory: row.memory,
                chip: key(&snapshot.chips[row.chip as usize]),
                footprint: row.figures.footprint_bytes,
                peak: row.figures.peak_footprint_bytes,
                allocated: row.figures.allocated_bytes_total,
                freed: row.figures.freed_bytes_total,
            });
            let file = ProcessFile { role: Role::Ring, uid: process.uid, pid: process.ring_pid, nonce: process.nonce };
            let awaited = Awaited {
                known: known.collect(),
                events: process.events_total,
                dropped: process.dropped_events_total,
                last_event_unix_ns: process.last_event_unix_ns,
                pid: process.pid,
                name: text::load(&process.name),
                aside: false,
            };
            (file, awaited)
        });
        Self {
            awaited: awaited.collect(),
            partial: (snapshot.health.hidden_processes, snapshot.health.hidden_rows) != (0, 0),
            told_ns: Some((*since_ns, snapshot.health.monotonic_ns)),
            torn: snapshot.health.torn_events_total,
            anomalies: snapshot.health.anomalies,
        }
    }

    /// Whether a process that was taken out of the figures at this moment (0: was not) is among those whom the predecessor
    /// counted as gone.
    pub fn was_counted(&self, gone_ns: u64) -> bool {
        self.told_ns.is_some_and(|(since, last)| gone_ns != 0 && (since..=last).contains(&gone_ns))
    }

    /// A process was met whose ledger continues: these accounts have just been added to their chips. Takes out what is in there
    /// already. When its last event was if the predecessor knew it, Unix time in ns; 0 none.
    pub fn meet(&mut self, file: &ProcessFile, accounts: &[Live], chips: &mut Chips) -> Option<u64> {
        let awaited = self.awaited.remove(file);
        let aside = awaited.as_ref().is_some_and(|awaited| awaited.aside);
        for live in accounts {
            let same = |known: &&Known| known.device == live.account.device && known.memory == live.account.memory;
            let known = awaited.as_ref().and_then(|awaited| awaited.known.iter().find(same));
            // What the predecessor knew of is in the chip's peak, or in that of the chip that the device was then.
            if let Some(memory) = live.memory()
                && known.is_none_or(|known| live.account.peak > known.peak)
            {
                let figures = chips.figures(live.chip, memory);
                figures.peak_footprint_bytes = figures.peak_footprint_bytes.max(live.account.peak);
            }
            match known {
                // Its sums are out of the chips' since nobody saw it any more.
                Some(_) if aside => {}
                Some(known) => {
                    let chip = &chips.all()[live.chip];
                    let now = (chip.chip_id, chip.id_is_logical);
                    // All of it has just been added to the chip that the device is now. What it had on another one stays there,
                    // unless that was only a number for a chip which was introduced since: then everything has moved.
                    let was_a_number = known.chip.1 != 0 && now.1 == 0;
                    let from = if was_a_number { known.chip } else { now };
                    take_out(chips, from, known.memory, known.allocated, known.freed);
                }
                None if self.partial => self.forget(live, chips),
                None => {}
            }
        }
        awaited.map(|awaited| awaited.last_event_unix_ns)
    }

    /// A snapshot is made without the rows of those who were not met yet: it must not have their sums, either, or a successor that
    /// finds it would count them again.
    pub fn set_aside(&mut self, chips: &mut Chips) {
        for awaited in self.awaited.values_mut().filter(|awaited| !awaited.aside) {
            awaited.aside = true;
            for known in &awaited.known {
                take_out(chips, known.chip, known.memory, known.allocated, known.freed);
            }
        }
    }

    /// Takes this account out of its chip's sums, which have it already.
    pub fn forget(&self, live: &Live, chips: &mut Chips) {
        let chip = &chips.all()[live.chip];
        let chip = (chip.chip_id, chip.id_is_logical);
        take_out(chips, chip, live.account.memory, live.account.allocated, live.account.freed);
    }

    /// A process whose ring is gone, or whose ledger cannot be continued: what it held counts as freed, the rest stays in the
    /// sums. A ring that is there still tells itself what it dropped. `None` if the predecessor did not know the process.
    pub fn give_up(
        &mut self,
        file: &ProcessFile,
        ring_is_there: bool,
        chips: &mut Chips,
        gone: &mut Gone,
    ) -> Option<Missing> {
        let Awaited { known, events, dropped, pid, name, aside, .. } = self.awaited.remove(file)?;
        for known in known {
            let Some(memory) = u8::try_from(known.memory).ok().and_then(Memory::from_u8) else { continue };
            if let Some(chip) = chips.find(known.chip.0, known.chip.1 != 0) {
                let figures = chips.figures(chip, memory);
                let back = if aside { (known.allocated, known.freed) } else { (0, 0) };
                figures.allocated_bytes_total = figures.allocated_bytes_total.saturating_add(back.0);
                figures.freed_bytes_total =
                    figures.freed_bytes_total.saturating_add(back.1).saturating_add(known.footprint);
            }
        }
        gone.events = gone.events.saturating_add(events);
        if !ring_is_there {
            gone.dropped = gone.dropped.saturating_add(dropped);
        }
        Some(Missing { pid, name })
    }

    /// Those that were not met yet.
    pub fn awaited(&self) -> impl Iterator<Item = ProcessFile> + '_ {
        self.awaited.keys().copied()
    }

    /// What those that were not met yet add to events and dropped events.
    pub fn owing(&self) -> (u64, u64) {
        self.awaited.values().fold((0, 0_u64), |(events, dropped), one| {
            (one.events.saturating_add(events), dropped.saturating_add(one.dropped))
        })
    }

    /// Brings counters up to what they were: nobody is told that there are fewer now. For want of a process, say.
    pub fn lift(&self, torn: &mut u64, anomalies: &mut Anomalies) {
        *torn = (*torn).max(self.torn);
        let now: &mut [u64; 8] = bytemuck::must_cast_mut(anomalies);
        let then: &[u64; 8] = bytemuck::must_cast_ref(&self.anomalies);
        now.iter_mut().zip(then).for_each(|(now, then)| *now = (*now).max(*then));
    }
}

fn take_out(chips: &mut Chips, chip: (u64, u32), memory: u32, allocated: u64, freed: u64) {
    let Some(memory) = u8::try_from(memory).ok().and_then(Memory::from_u8) else { return };
    let Some(chip) = chips.find(chip.0, chip.1 != 0) else { return };
    let figures = chips.figures(chip, memory);
    figures.allocated_bytes_total = figures.allocated_bytes_total.saturating_sub(allocated);
    figures.freed_bytes_total = figures.freed_bytes_total.saturating_sub(freed);
}
