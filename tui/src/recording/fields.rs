//! The numbers of the fields. A number keeps its meaning for ever; what comes new gets a new one.
//!
//! Figures stand inside other records: those of a row from 16 on; those of memory kind `m` of a chip from `128 + 32 m` on. A chip's telemetry stands
//! from 32 on. Bank kind `k` of a device stands from `32 + 4 k` on.

use super::element::{Element, Field};
use bytemuck::Zeroable;
use shm_layout::event::{Event, MEMORY_KINDS, Memory};
use shm_layout::ledger::{Account, BANKED, Device};
use shm_layout::stats::{Chip, Difference, Figures, Health, Identity, Line, Process, Refusal, Row, Telemetry};

macro_rules! fields {
    ($type:ty, $empty:expr, $($number:literal $kind:ident $($path:ident).+),+ $(,)?) => {
        impl Element for $type {
            fn empty() -> Self {
                $empty
            }
            fn numbers() -> impl Iterator<Item = u32> {
                [$($number),+].into_iter()
            }
            fn field(&mut self, number: u32) -> Option<Field<'_>> {
                Some(match number {
                    $($number => Field::$kind(&mut self.$($path).+),)+
                    _ => return None,
                })
            }
        }
    };
}

fields!(Figures, Self::default(),
    0 Long live_bytes, 1 Long footprint_bytes, 2 Long blocks, 3 Long peak_footprint_bytes, 4 Long capacity_bytes,
    5 Long allocated_bytes_total, 6 Long freed_bytes_total, 7 Long resident_bytes, 8 Long fabric_bytes,
    9 Long dispatch_bytes, 10 Long detail_incomplete, 11 Long baseline,
);

fields!(Telemetry, Self::NONE,
    0 Long read_unix_ns, 1 Short presence, 2 Short number, 3 Long pci, 4 Long asic_id, 5 Long serial,
    6 Long temperature_millicelsius, 7 Long temperature_limit_millicelsius, 8 Long power_microwatts,
    9 Long power_limit_microwatts, 10 Long current_milliamperes, 11 Long current_limit_milliamperes,
    12 Long voltage_millivolts, 13 Long ai_clock_mhz, 14 Long axi_clock_mhz, 15 Long arc_clock_mhz, 16 Long fan_rpm,
    17 Long heartbeat, 18 Long thermal_trips, 19 Long open_by, 20 Text card, 21 Text firmware,
);

fields!(Process, Self::zeroed(),
    0 Short pid, 1 Short uid, 2 Short state, 3 Short source, 4 Long start_ticks, 5 Long start_unix_ns,
    6 Long last_event_unix_ns, 7 Long events_total, 8 Long dropped_events_total, 9 Long lag_events, 10 Long nonce,
    11 Short ring_pid, 12 Short incomplete, 13 Long torn_events_total, 14 Text name, 15 Text command_line,
    16 Long anomalies.free_unknown, 17 Long anomalies.double_free, 18 Long anomalies.invalid_record,
    19 Long anomalies.alloc_live, 20 Long anomalies.overflow, 21 Long anomalies.size_mismatch,
);

fields!(Line, Self::zeroed(), 0 Long unix_ns, 1 Short severity, 2 Short pid, 3 Text text);

fields!(Refusal, Self::zeroed(),
    0 Long nonce, 1 Short pid, 2 Short uid, 3 Short owner, 4 Short reason, 5 Short passing, 6 Long since_unix_ns,
    7 Text text,
);

fields!(Difference, Self::zeroed(),
    0 Short pid, 1 Short chip, 2 Short memory, 3 Long tracked_bytes, 4 Long told_bytes, 5 Long since_unix_ns,
);

fields!(Health, Self::default(),
    0 Long monotonic_ns, 1 Long unix_ns, 2 Long generation, 3 Long rings, 4 Long rejected_rings_total,
    5 Long events_total, 6 Long dropped_events_total, 7 Long torn_events_total, 8 Long lag_events,
    9 Long live_allocations, 10 Long hidden_processes, 11 Long hidden_rows, 12 Long cpu_ns, 13 Long deaths_total,
    14 Long refused_rings, 15 Long hidden_refusals, 16 Long places, 17 Long open_files_limit, 18 Long differences,
    19 Long unread_counters, 20 Long anomalies.free_unknown, 21 Long anomalies.double_free,
    22 Long anomalies.invalid_record, 23 Long anomalies.alloc_live, 24 Long anomalies.overflow,
    25 Long anomalies.size_mismatch,
);

fields!(Identity, Self::unannounced(),
    0 Short version, 1 Short pid, 2 Short uid, 3 Long start_ticks, 4 Long started_unix_ns,
    5 Long started_monotonic_ns,
);

fields!(Event, Self::new(shm_layout::event::Kind::Alloc, Memory::Dram, 0),
    0 Long stamp, 1 Long time, 2 Long id, 3 Long address, 4 Long size, 5 Long footprint, 6 Short device,
    7 Short thread, 8 Short context, 9 Byte kind, 10 Byte memory, 11 Half flags,
);

const ROW_FIGURES: u32 = 16;

impl Element for Row {
    fn empty() -> Self {
        Self::zeroed()
    }

    fn numbers() -> impl Iterator<Item = u32> {
        (0..4).chain(Figures::numbers().map(|number| ROW_FIGURES + number))
    }

    fn field(&mut self, number: u32) -> Option<Field<'_>> {
        Some(match number {
            0 => Field::Short(&mut self.process),
            1 => Field::Short(&mut self.chip),
            2 => Field::Short(&mut self.device),
            3 => Field::Short(&mut self.memory),
            _ => return self.figures.field(number.checked_sub(ROW_FIGURES)?),
        })
    }
}

const TELEMETRY: u32 = 32;
const MEMORIES: u32 = 128;
const PER_MEMORY: u32 = 32;

impl Element for Chip {
    fn empty() -> Self {
        Self { telemetry: Telemetry::NONE, ..Self::zeroed() }
    }

    fn numbers() -> impl Iterator<Item = u32> {
        let figures = |memory: u32| Figures::numbers().map(move |number| MEMORIES + memory * PER_MEMORY + number);
        let telemetry = Telemetry::numbers().map(|number| TELEMETRY + number);
        (0..8).chain(telemetry).chain((0..MEMORY_KINDS as u32).flat_map(figures))
    }

    fn field(&mut self, number: u32) -> Option<Field<'_>> {
        Some(match number {
            0 => Field::Long(&mut self.chip_id),
            1 => Field::Short(&mut self.arch),
            2 => Field::Short(&mut self.id_is_logical),
            3 => Field::Long(&mut self.board_id),
            4 => Field::Short(&mut self.tensix_cores),
            5 => Field::Short(&mut self.device),
            6 => Field::Short(&mut self.processes),
            7 => Field::Text(&mut self.board),
            TELEMETRY..MEMORIES => return self.telemetry.field(number - TELEMETRY),
            _ => {
                let number = number.checked_sub(MEMORIES)?;
                return self.memory.get_mut((number / PER_MEMORY) as usize)?.field(number % PER_MEMORY);
            }
        })
    }
}

fields!(Account, Self::default(),
    0 Short device, 1 Short memory, 2 Long peak, 3 Long allocated, 4 Long freed, 5 Signed unlisted_bytes,
    6 Signed unlisted_blocks, 7 Long outstanding, 8 Long incomplete, 9 Long baseline, 10 Long baseline_unix_ns,
);

const CAPACITIES: u32 = 16;
const BANKS: u32 = 32;
const PER_BANKS: u32 = 4;

impl Element for Device {
    fn empty() -> Self {
        Self::zeroed()
    }

    fn numbers() -> impl Iterator<Item = u32> {
        let banks =
            (0..BANKED.len() as u32).flat_map(|kind| (0..3).map(move |number| BANKS + kind * PER_BANKS + number));
        (0..10).chain((0..MEMORY_KINDS as u32).map(|memory| CAPACITIES + memory)).chain(banks)
    }

    fn field(&mut self, number: u32) -> Option<Field<'_>> {
        Some(match number {
            0 => Field::Short(&mut self.device),
            1 => Field::Short(&mut self.arch),
            2 => Field::Long(&mut self.chip_id),
            3 => Field::Long(&mut self.board_id),
            4 => Field::Short(&mut self.tensix_cores),
            5 => Field::Short(&mut self.id_is_logical),
            6 => Field::Short(&mut self.open),
            7 => Field::Short(&mut self.resident_program),
            8 => Field::Long(&mut self.opened_ns),
            9 => Field::Long(&mut self.dispatched_ns),
            CAPACITIES..BANKS => Field::Long(self.capacity.get_mut((number - CAPACITIES) as usize)?),
            _ => {
                let number = number.checked_sub(BANKS)?;
                let banks = self.banks.get_mut((number / PER_BANKS) as usize)?;
                match number % PER_BANKS {
                    0 => Field::Short(&mut banks.count),
                    1 => Field::Short(&mut banks.first),
                    2 => Field::Long(&mut banks.bytes),
                    _ => return None,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::super::element::{put_list, take_list};
    use super::super::wire::Wire;
    use super::*;
    use bytemuck::Pod;
    use proptest::prelude::*;

    /// Any words, with texts and reserved words as they may be.
    fn made<T: Element + Pod>(seed: &[u64], tidy: impl Fn(&mut T)) -> T {
        let mut record = T::zeroed();
        let words: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut record));
        for (at, word) in words.iter_mut().enumerate() {
            *word = seed[at % seed.len()].rotate_left(at as u32);
        }
        for number in T::numbers() {
            if let Some(Field::Text(text)) = record.field(number) {
                text.fill(0);
                text[..3].copy_from_slice(b"abc");
            }
        }
        tidy(&mut record);
        record
    }

    fn comes_back<T: Element + Pod + std::fmt::Debug>(seed: &[u64], tidy: impl Fn(&mut T)) {
        let (a, b) = (made::<T>(seed, &tidy), made::<T>(&seed[1..], &tidy));
        let mut bytes = Vec::new();
        let (before, now) = ([a, b, T::empty()], [b, T::empty(), a, b]);
        put_list(&mut bytes, &before, 1, &now);
        let mut wire = Wire::new(&bytes);
        assert_eq!(take_list(&mut wire, &before, 4), Ok(now.to_vec()));
        assert!(wire.is_empty());
        for end in 0..bytes.len() {
            assert!(take_list(&mut Wire::new(&bytes[..end]), &before, 4).is_err(), "cut at {end}");
        }
        assert!(take_list(&mut Wire::new(&bytes), &before, 3).is_err(), "more than there may be");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        /// A field that the table forgets does not come back.
        #[test]
        fn every_field_of_every_record_comes_back(seed in prop::collection::vec(any::<u64>(), 7)) {
            comes_back::<Figures>(&seed, |_| {});
            comes_back::<Telemetry>(&seed, |_| {});
            comes_back::<Line>(&seed, |_| {});
            comes_back::<Row>(&seed, |_| {});
            comes_back::<Event>(&seed, |_| {});
            comes_back::<Device>(&seed, |_| {});
            // Of use to the aggregator alone.
            comes_back::<Account>(&seed, |one| one.drops_seen = [0; 4]);
            comes_back::<Difference>(&seed, |one| one.reserved = 0);
            comes_back::<Refusal>(&seed, |one| one.reserved = 0);
            comes_back::<Chip>(&seed, |one| one.reserved = 0);
            comes_back::<Health>(&seed, |one| one.anomalies.reserved = [0; 2]);
            comes_back::<Process>(&seed, |one| one.anomalies.reserved = [0; 2]);
            comes_back::<Identity>(&seed, |one| {
                *one = Identity {
                    version: one.version, pid: one.pid, uid: one.uid, start_ticks: one.start_ticks,
                    started_unix_ns: one.started_unix_ns, started_monotonic_ns: one.started_monotonic_ns,
                    ..Identity::unannounced()
                };
            });
        }
    }

    #[test]
    fn a_number_stands_for_one_field() {
        fn once<T: Element>() {
            let mut all: Vec<u32> = T::numbers().collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
            let mut record = T::empty();
            assert!(all.iter().all(|number| record.field(*number).is_some()));
            assert!(record.field(9999).is_none());
        }
        once::<Chip>();
        once::<Row>();
        once::<Device>();
        once::<Account>();
        once::<Process>();
        once::<Health>();
    }

    #[test]
    fn fields_of_a_later_version_are_stepped_over() {
        use super::super::wire::{put_change, put_number, put_text};
        let mut bytes = Vec::new();
        put_number(&mut bytes, 4);
        put_number(&mut bytes, 77_000 << 1);
        put_change(&mut bytes, 0, 5);
        put_number(&mut bytes, 78_000 << 1 | 1);
        put_text(&mut bytes, b"what is this");
        put_number(&mut bytes, 2 << 1);
        put_change(&mut bytes, 0, 41_207);
        // Of another type than here.
        put_number(&mut bytes, 1 << 1 | 1);
        put_text(&mut bytes, b"a word");
        let mut line = Line::empty();
        super::super::element::take_record(&mut Wire::new(&bytes), &mut line).unwrap();
        assert_eq!(line, Line { pid: 41_207, ..Line::empty() });
    }
}
