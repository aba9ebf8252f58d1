//! What is published, kept from one snapshot to the next: only the rows of processes in which something happened are
//! written again. What is left to do for each snapshot runs over arrays that lie side by side.

use crate::account::Live;
use crate::chips::Chips;
use crate::claims::Claims;
use crate::seats::Seats;
use crate::tracked::Tracked;
use shm_layout::event::Memory;
use shm_layout::stats::{Anomalies, Figures, Health, MAX_PROCESSES, MAX_ROWS, Process, Row};

/// What a process adds to the host's health that its row does not tell.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    live_allocations: u64,
}

/// Rows of every process by pid, those beyond a snapshot's limits included.
#[derive(Debug, Default)]
pub struct Sheet {
    processes: Vec<Process>,
    rows: Vec<Row>,
    /// By process: the end of its rows.
    row_ends: Vec<usize>,
    tallies: Vec<Tally>,
    /// By seat: its index in `processes`.
    places: Vec<usize>,
    /// (pid, nonce, seat), in order.
    order: Vec<(u32, u64, usize)>,
    /// By chip: processes that have it open.
    open: Vec<u32>,
    /// What they say of chips.
    claims: Claims,
    /// By chip: whether somebody refers to it.
    used: Vec<bool>,
    /// Seats whose rows are out of date.
    changed: Vec<usize>,
    /// Processes came or went, or accounts came: the rows are to be laid out anew.
    stale: bool,
    /// How often they were.
    edition: u64,
}

impl Sheet {
    /// Something happened in the process in this seat. Told once until [`bring_up`](Self::bring_up).
    pub fn change(&mut self, seat: usize) {
        self.changed.push(seat);
    }

    /// A process came.
    pub fn come(&mut self) {
        self.stale = true;
    }

    /// This process goes from this seat.
    pub fn go(&mut self, seat: usize, tracked: &Tracked) {
        self.stale = true;
        self.claims.forget(seat);
        tracked.open_chips.iter().for_each(|chip| self.open[*chip] -= 1);
    }

    /// Whether something happened since the rows were brought up to date.
    pub fn is_behind(&self) -> bool {
        self.stale || !self.changed.is_empty()
    }

    /// Brings every row up to date.
    pub fn bring_up(&mut self, seats: &mut Seats, chips: &Chips) {
        for at in 0..self.changed.len() {
            let seat = self.changed[at];
            if let Some((tracked, state)) = seats.get(seat) {
                state.changed = false;
                tracked.refresh();
                self.look_at_devices(tracked, chips);
                self.claims.hear(seat, tracked, chips);
                if !self.stale {
                    self.rewrite(seat, tracked);
                }
            }
        }
        self.changed.clear();
        if self.stale {
            self.stale = false;
            self.lay_out(seats);
        }
    }

    fn look_at_devices(&mut self, tracked: &mut Tracked, chips: &Chips) {
        self.open.resize(self.open.len().max(chips.all().len()), 0);
        let mut open = core::mem::take(&mut tracked.open_chips);
        open.iter().for_each(|chip| self.open[*chip] -= 1);
        open.clear();
        let devices = tracked.books.devices.iter().filter(|device| device.open != 0);
        open.extend(devices.filter_map(|device| chips.find(device.chip_id, device.id_is_logical != 0)));
        open.iter().for_each(|chip| self.open[*chip] += 1);
        tracked.open_chips = open;
    }

    /// Writes the rows of one process again, where they are.
    fn rewrite(&mut self, seat: usize, tracked: &Tracked) {
        let place = self.places[seat];
        let first = place.checked_sub(1).map_or(0, |before| self.row_ends[before]);
        let mine = &mut self.rows[first..self.row_ends[place]];
        let mut rows = rows_of(tracked, place);
        let fit = mine.iter_mut().all(|to| rows.next().map(|row| *to = row).is_some());
        self.stale |= !fit || rows.next().is_some();
        self.processes[place] = *tracked.row();
        self.tallies[place] = tally_of(tracked);
    }

    /// Changes whenever processes came or went, or their rows.
    pub const fn edition(&self) -> u64 {
        self.edition
    }

    /// The rows of the process in this place.
    pub fn rows_of(&self, place: usize) -> &[Row] {
        let first = place.checked_sub(1).map_or(0, |before| self.row_ends[before]);
        self.row_ends.get(place).map_or(&[], |end| &self.rows[first..*end])
    }

    fn lay_out(&mut self, seats: &mut Seats) {
        self.edition += 1;
        self.order.clear();
        self.order.extend(seats.iter_mut().map(|(seat, tracked)| (tracked.ring.pid, tracked.file.nonce, seat)));
        self.order.sort_unstable();
        self.places.resize(seats.places(), 0);
        self.processes.clear();
        self.rows.clear();
        self.row_ends.clear();
        self.tallies.clear();
        for (place, (_, _, seat)) in self.order.iter().enumerate() {
            let Some((tracked, _)) = seats.get(*seat) else { continue };
            self.places[*seat] = place;
            self.processes.push(*tracked.row());
            self.rows.extend(rows_of(tracked, place));
            self.row_ends.push(self.rows.len());
            self.tallies.push(tally_of(tracked));
        }
    }

    /// Sums the rows up over each chip, and tells the chips which of them are used.
    pub fn sum_chips(&mut self, chips: &mut Chips) {
        self.used.clear();
        self.used.resize(chips.all().len(), false);
        for (at, chip) in chips.all_mut().iter_mut().enumerate() {
            chip.processes = self.open.get(at).copied().unwrap_or(0);
            self.used[at] = chip.processes > 0;
            chip.memory.iter_mut().for_each(Figures::clear_live);
        }
        for row in &self.rows {
            let Some(memory) = u8::try_from(row.memory).ok().and_then(Memory::from_u8) else { continue };
            add_live(chips.figures(row.chip as usize, memory), &row.figures);
            self.used[row.chip as usize] = true;
        }
        self.claims.settle(chips);
        chips.mark_used(|chip| self.used[chip]);
    }

    /// Lines to be told about what processes say of chips, and of which process.
    pub fn news(&mut self, now_ns: u64) -> Vec<(u32, String)> {
        self.claims.news(now_ns)
    }

    /// Adds every process to these figures of the host.
    pub fn add_to(&self, health: &mut Health) {
        health.rings = self.processes.len() as u64;
        for process in &self.processes {
            health.events_total = health.events_total.saturating_add(process.events_total);
            health.dropped_events_total = health.dropped_events_total.saturating_add(process.dropped_events_total);
            health.torn_events_total = health.torn_events_total.saturating_add(process.torn_events_total);
            health.lag_events = health.lag_events.saturating_add(process.lag_events);
            add_anomalies(&mut health.anomalies, &process.anomalies);
        }
        for tally in &self.tallies {
            health.live_allocations += tally.live_allocations;
        }
        health.hidden_processes = (self.processes.len() - self.processes().len()) as u64;
        health.hidden_rows = (self.rows.len() - self.rows().len()) as u64;
    }

    /// The processes that fit into a snapshot.
    pub fn processes(&self) -> &[Process] {
        &self.processes[..self.processes.len().min(MAX_PROCESSES)]
    }

    /// Their rows, as many as fit.
    pub fn rows(&self) -> &[Row] {
        let end = self.processes().len().checked_sub(1).map_or(0, |last| self.row_ends[last]);
        &self.rows[..end.min(MAX_ROWS)]
    }
}

fn rows_of(tracked: &Tracked, place: usize) -> impl Iterator<Item = Row> + '_ {
    let books = &tracked.books;
    let row = move |live: &Live| {
        let device = live.account.device;
        let resident = if live.memory()? == Memory::Cb { books.resident(device) } else { 0 };
        let figures = live.figures(resident, books.capacity(device, live.account.memory));
        Some(Row { process: place as u32, chip: live.chip as u32, device, memory: live.account.memory, figures })
    };
    books.accounts.iter().filter_map(row)
}

fn tally_of(tracked: &Tracked) -> Tally {
    Tally { live_allocations: tracked.live_allocations() }
}

fn add_live(sum: &mut Figures, one: &Figures) {
    sum.live_bytes = sum.live_bytes.saturating_add(one.live_bytes);
    sum.footprint_bytes = sum.footprint_bytes.saturating_add(one.footprint_bytes);
    sum.blocks = sum.blocks.saturating_add(one.blocks);
    sum.fabric_bytes = sum.fabric_bytes.saturating_add(one.fabric_bytes);
    sum.dispatch_bytes = sum.dispatch_bytes.saturating_add(one.dispatch_bytes);
    sum.detail_incomplete |= one.detail_incomplete;
    sum.add_baseline(one);
    sum.peak_footprint_bytes = sum.peak_footprint_bytes.max(sum.footprint_bytes);
}

/// Adds what could not be believed.
pub fn add_anomalies(sum: &mut Anomalies, one: &Anomalies) {
    sum.free_unknown = sum.free_unknown.saturating_add(one.free_unknown);
    sum.double_free = sum.double_free.saturating_add(one.double_free);
    sum.invalid_record = sum.invalid_record.saturating_add(one.invalid_record);
    sum.alloc_live = sum.alloc_live.saturating_add(one.alloc_live);
    sum.overflow = sum.overflow.saturating_add(one.overflow);
    sum.size_mismatch = sum.size_mismatch.saturating_add(one.size_mismatch);
}
