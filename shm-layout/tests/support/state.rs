//! What records mean, said as simply as possible: what is alive, which devices are known, sums and peaks.

use shm_layout::event::{Event, Kind, Memory};
use shm_layout::tag::Name;
use std::collections::BTreeMap;

/// Open, chip, resident program, capacities.
pub type Device = (bool, u64, u32, [u64; 8]);
/// Device, kind of memory and id: what an allocation and its free have in common.
pub type Key = (u32, u8, u64);

pub fn key(event: &Event) -> Key {
    (event.device, event.memory, event.id)
}

/// All that follows from a row of records.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub live: Vec<Event>,
    pub devices: BTreeMap<u32, Device>,
    pub tags: BTreeMap<u8, Name>,
    pub allocated: BTreeMap<(usize, u8), u64>,
    pub footprint: BTreeMap<(usize, u8), u64>,
    pub peak: BTreeMap<(usize, u8), u64>,
    pub unknown_frees: u64,
}

impl State {
    fn end(&mut self, which: impl Fn(&Event) -> bool) {
        let (gone, left) = self.live.iter().partition(|event| which(event));
        self.live = left;
        let gone: Vec<Event> = gone;
        for event in gone {
            *self.footprint.entry((event.device as usize, event.memory)).or_default() -= event.taken();
        }
    }

    pub fn apply(&mut self, event: &Event) {
        let (Some(kind), Some(_), true) =
            (Kind::from_u8(event.kind), Memory::from_u8(event.memory), event.device <= 1023)
        else {
            return;
        };
        let cell = (event.device as usize, event.memory);
        match kind {
            Kind::Alloc => {
                self.live.push(Event { stamp: 0, ..*event });
                *self.allocated.entry(cell).or_default() += event.taken();
                let now = self.footprint.entry(cell).or_default();
                *now += event.taken();
                let peak = self.peak.entry(cell).or_default();
                *peak = (*peak).max(*now);
            }
            Kind::Free => match self.live.iter().position(|other| key(other) == key(event)) {
                Some(at) => {
                    let entry = self.live.remove(at);
                    *self.footprint.entry(cell).or_default() -= entry.taken();
                }
                None => self.unknown_frees += 1,
            },
            Kind::FreeAll => self.end(|other| {
                (other.device, other.memory, other.context) == (event.device, event.memory, event.context)
            }),
            Kind::DeviceInfo => {
                if self.devices.get(&event.device).is_some_and(|device| device.0) {
                    self.end(|other| other.device == event.device);
                }
                self.devices.insert(event.device, (true, event.id, 0, [u64::MAX; 8]));
            }
            Kind::DeviceClose => {
                self.end(|other| other.device == event.device);
                if let Some(device) = self.devices.get_mut(&event.device) {
                    (device.0, device.2) = (false, 0);
                }
            }
            Kind::Capacity => {
                if let Some(device) = self.devices.get_mut(&event.device) {
                    device.3[event.memory as usize] = event.size;
                }
            }
            Kind::ProgramResident => {
                if let Some(device) = self.devices.get_mut(&event.device) {
                    device.2 = event.context;
                }
            }
            Kind::Tag => self.tags.extend(event.told_tag()),
            Kind::Doubt => {}
        }
    }

    pub fn count(&self, of: Key) -> usize {
        self.live.iter().filter(|event| key(event) == of).count()
    }

    /// The live records, of each key the oldest first.
    pub fn sorted(&self) -> Vec<Event> {
        let mut live = self.live.clone();
        live.sort_by_key(key);
        live
    }
}
