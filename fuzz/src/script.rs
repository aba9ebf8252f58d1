//! Inputs as scripts: numbers in few bytes, records in few bytes, and the way back for the seeds.

use shm_layout::event::{Event, Kind, Memory};

/// The input, read from the front. Behind its end everything is 0.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// So many bytes, or those that are left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (now, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        now
    }

    /// A number of any size in three bytes: 16 bits, where they lie, whether the highest bit is set (as in the claim of a section
    /// that is sealed), and whether all are inverted.
    pub fn number(&mut self) -> u64 {
        let (bits, place) = (u64::from(self.short()), self.byte());
        let number = bits << (place & 63) | if place & 0x40 == 0 { 0 } else { 1 << 63 };
        if place & 0x80 == 0 { number } else { !number }
    }

    /// A record of usual kinds in eleven bytes.
    pub fn event(&mut self) -> Event {
        let (kind, memory, device, id) = (self.byte() % 10, self.byte() % 9, self.byte(), self.byte());
        let (size, footprint) = (self.number(), self.number());
        let (context, flags) = (self.byte(), self.byte());
        Event {
            kind,
            memory,
            device: u32::from(device),
            id: u64::from(id),
            address: u64::from(id) << 12,
            size,
            footprint,
            context: u32::from(context),
            flags: u16::from(flags),
            ..Event::default()
        }
    }
}

/// Writes what [`Reader`] reads.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A byte.
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Two bytes.
    pub fn short(mut self, short: u16) -> Self {
        self.0.extend(short.to_le_bytes());
        self
    }

    /// These bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// A number that three bytes can tell.
    pub fn number(self, number: u64) -> Self {
        let fits = |bits: u64| {
            let place = if bits >> 16 == 0 { 0 } else { bits.trailing_zeros().min(48) };
            (bits >> place <= 0xFFFF).then_some((bits, place))
        };
        let plain = fits(number).map(|(bits, place)| (bits, place, 0));
        let inverse = || fits(!number).map(|(bits, place)| (bits, place, 0x80));
        let sealed = || fits(number & !(1 << 63)).map(|(bits, place)| (bits, place, 0x40));
        let told = plain.or_else(inverse).or_else(sealed);
        let (bits, place, flag) = told.unwrap_or_else(|| panic!("{number:#x} takes more than three bytes"));
        self.short((bits >> place) as u16).byte(place as u8 | flag)
    }

    /// A record.
    pub fn event(self, event: &Event) -> Self {
        self.byte(event.kind)
            .byte(event.memory)
            .byte(event.device as u8)
            .byte(event.id as u8)
            .number(event.size)
            .number(event.footprint)
            .byte(event.context as u8)
            .byte(event.flags as u8)
    }
}

/// An allocation.
pub fn alloc(memory: Memory, device: u32, id: u64, size: u64) -> Event {
    Event { id, size, ..Event::new(Kind::Alloc, memory, device) }
}

/// A free.
pub fn free(memory: Memory, device: u32, id: u64, size: u64) -> Event {
    Event { id, size, ..Event::new(Kind::Free, memory, device) }
}
