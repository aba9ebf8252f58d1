//! Compaction against a reference: what a reader makes of its past and of what is left is what it would have made of everything.

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use shm_layout::event::{Event, Kind, Memory, flags};
use support::cases::config;
use support::compaction::World;
use support::state::key;

/// Devices of the records; under miri few and low ones, since each row of the table takes seconds there.
const NUMBERS: [u32; 4] = if cfg!(miri) { [0, 1, 2, 3] } else { [0, 1, 70, 1023] };
/// Steps of a case, at most.
const OPS: usize = if cfg!(miri) { 60 } else { 200 };

/// What is done in a world, told by random bits.
impl World {
    /// A record, made of random bits so that it contradicts nothing but what may be contradicted.
    fn event(&mut self, bits: u64) -> Option<Event> {
        let pick = |shift: u32, of: u64| bits >> shift & 0xff_u64 & (of - 1);
        self.time += 1;
        let device = NUMBERS[pick(0, 4) as usize];
        let memory = [Memory::Dram, Memory::Cb][pick(8, 2) as usize];
        let id = 1 + pick(16, 4);
        let context = pick(24, 4) as u32;
        let size = [0, 64, 100, 1 << 33][pick(32, 4) as usize];
        let address = if pick(16, 4) < 2 && self.addresses { flags::ID_IS_ADDRESS } else { 0 };
        let new = |kind| Event { time: self.time, id, context, flags: address, ..Event::new(kind, memory, device) };
        let live = self.claimed.count((device, memory as u8, id));
        Some(match bits >> 56 & 31 {
            0..=10 => {
                // The rules of ids hold once there is a history; without one, anything goes.
                if live > 2 || live > 0 && address == 0 && (self.strict || pick(40, 4) != 0) {
                    return None;
                }
                let footprint = if pick(40, 2) == 0 { 0 } else { size * 2 };
                let global = if pick(48, 8) == 0 { flags::GLOBALLY_ALLOCATED } else { 0 };
                let tag = (pick(52, 4) as u16) << flags::TAG_SHIFT;
                Event { address: self.time * 64, size, footprint, flags: address | global | tag, ..new(Kind::Alloc) }
            }
            11..=22 => {
                let oldest = self.claimed.live.iter().find(|event| key(event) == (device, memory as u8, id));
                let told = oldest.filter(|_| self.tell && pick(40, 2) == 0);
                let (size, footprint) = told.map_or((0, 0), |told| (told.size, told.footprint));
                let global = told.map_or(0, |told| told.flags & flags::GLOBALLY_ALLOCATED);
                Event { size, footprint, flags: address | global, ..new(Kind::Free) }
            }
            23..=25 => {
                let group =
                    |event: &&Event| (event.device, event.memory, event.context) == (device, memory as u8, context);
                let members: Vec<Event> = self.claimed.live.iter().filter(group).copied().collect();
                let (id, size) = if pick(40, 2) == 0 {
                    (0, 0)
                } else {
                    (members.len() as u64, members.iter().map(Event::taken).sum())
                };
                Event { id, size, flags: 0, ..new(Kind::FreeAll) }
            }
            26 => Event { size: 12, ..new(Kind::DeviceInfo) },
            27 => new(Kind::DeviceClose),
            28 => Event { size: self.time, ..new(Kind::Capacity) },
            29 => new(Kind::ProgramResident),
            30 => Event { address: self.time % 5, ..new(Kind::Tag) },
            _ => match pick(40, 4) {
                0 => Event { kind: 99, ..new(Kind::Alloc) },
                1 => Event { memory: 7, ..new(Kind::Alloc) },
                2 => Event { device: 1024, ..new(Kind::Alloc) },
                _ => Event { kind: 0, ..new(Kind::Free) },
            },
        })
    }

    fn step(&mut self, op: u8, bits: u64) {
        let Some(event) = self.event(bits) else { return };
        match op {
            0..=1 => {
                self.compact();
            }
            2 => self.look(bits as usize % 9, bits & 16 != 0),
            3 => self.open_hole(&event),
            4..=6 => self.fill_hole(),
            _ => {
                if !self.push(&event) {
                    self.compact();
                    if self.event(bits).is_some_and(|event| !self.push(&event)) {
                        self.fill_hole();
                        self.look(usize::MAX, true);
                    }
                }
            }
        }
    }

    /// Something that was read long ago.
    fn prior(&mut self, bits: &[u64]) {
        for bits in bits {
            if let Some(event) = self.event(*bits)
                && self.claimed.count(key(&event)) == 0
            {
                [&mut self.reader, &mut self.all, &mut self.claimed].into_iter().for_each(|state| state.apply(&event));
            }
        }
    }
}

fn run(slots: usize, tell: bool, addresses: bool, prior: Option<Vec<u64>>, ops: Vec<(u8, u64)>) {
    let read = prior.as_ref().is_some_and(|prior| !prior.is_empty());
    let mut world = World::new(slots, prior.is_some(), read, tell, addresses);
    world.prior(&prior.unwrap_or_default());
    for (op, bits) in ops {
        // Without a history there never is one.
        if op != 2 || world.strict {
            world.step(op, bits);
        }
    }
    world.fill_hole();
    world.compact();
}

proptest! {
    #![proptest_config(config(if cfg!(debug_assertions) { 300 } else { 2000 }))]

    #[test]
    fn nothing_read_before(shift in 1..6_u32, tell: bool, ops in vec((0..40_u8, any::<u64>()), 1..OPS)) {
        run(1 << shift, tell, true, None, ops);
    }

    #[test]
    fn something_read_before(
        shift in 1..6_u32, prior in vec(any::<u64>(), 0..12), ops in vec((0..40_u8, any::<u64>()), 1..OPS),
    ) {
        run(1 << shift, false, true, Some(prior), ops);
    }

    #[test]
    fn something_read_before_and_frees_that_tell_sizes(
        shift in 1..6_u32, prior in vec(any::<u64>(), 0..12), ops in vec((0..40_u8, any::<u64>()), 1..OPS),
    ) {
        run(1 << shift, true, true, Some(prior), ops);
    }

    #[test]
    fn something_read_before_and_no_addresses(
        shift in 1..6_u32, tell: bool, prior in vec(any::<u64>(), 0..12), ops in vec((0..40_u8, any::<u64>()), 1..OPS),
    ) {
        run(1 << shift, tell, false, Some(prior), ops);
    }
}
