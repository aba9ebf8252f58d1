//! Tags: names that a process gives to its phases ("model load", "decode").
//!
//! ```text
//!   Tag   context = 3, id address size footprint = "decode", 32 bytes     once for each name and ring
//!   Alloc flags = 0x03..                                                  in phase 3
//! ```
//!
//! An allocation carries a number and no name: so it stays 64 bytes, in the ring and in the [`ledger`](crate::ledger), which keeps the
//! names in a table of its own. Numbers are the process's, 1 to 255; 0 is none.

use crate::event::{Event, Kind, Memory, flags};
use crate::text;

/// Numbers that there are, 0 among them, which has no name.
pub const TAGS: usize = 256;
/// Bytes of a name; what is longer is cut.
pub const NAME_BYTES: usize = 32;
/// 64-bit words of a name.
pub const NAME_WORDS: usize = NAME_BYTES / 8;

const _: () = assert!(flags::TAG == 0xFF << flags::TAG_SHIFT && flags::TAG_SHIFT + 8 == u16::BITS);

/// A name as it is told and kept: NUL-padded bytes. They are somebody else's word: [`text`](Self::text) is for showing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name(pub [u64; NAME_WORDS]);

impl Name {
    /// The first 32 bytes, cut at a character where this is UTF-8; up to the first NUL.
    pub const fn new(bytes: &[u8]) -> Self {
        let mut end = 0;
        while end < bytes.len() && end < NAME_BYTES && bytes[end] != 0 {
            end += 1;
        }
        if end == NAME_BYTES && end < bytes.len() {
            let whole = end;
            // A character has three bytes that go on, at most.
            while end > 0 && whole - end < 3 && bytes[end] & 0xC0 == 0x80 {
                end -= 1;
            }
            if bytes[end] & 0xC0 == 0x80 {
                end = whole;
            }
        }
        let mut words = [0; NAME_WORDS];
        let mut at = 0;
        while at < end {
            words[at / 8] |= (bytes[at] as u64) << (at % 8 * 8);
            at += 1;
        }
        Self(words)
    }

    /// Whether it is none.
    pub const fn is_empty(&self) -> bool {
        self.0[0] as u8 == 0
    }

    /// As text that may be shown.
    pub fn text(&self) -> String {
        text::load(&self.bytes())
    }

    /// With nothing in it that may not be shown.
    #[must_use]
    pub fn cleaned(&self) -> Self {
        Self::new(&text::store::<NAME_BYTES>(self.text().as_bytes()))
    }

    fn bytes(&self) -> [u8; NAME_BYTES] {
        bytemuck::must_cast(self.0)
    }
}

impl Event {
    /// The record that gives `number` this name.
    pub const fn tag(number: u8, name: Name) -> Self {
        let Name([id, address, size, footprint]) = name;
        Self { id, address, size, footprint, context: number as u32, ..Self::new(Kind::Tag, Memory::Dram, 0) }
    }

    /// Of a [`Kind::Tag`]: the number and its name. `None` where it is no number, or 0: such a record says nothing.
    pub fn told_tag(&self) -> Option<(u8, Name)> {
        let number = u8::try_from(self.context).ok().filter(|number| *number != 0)?;
        Some((number, Name([self.id, self.address, self.size, self.footprint])))
    }

    /// Number of the tag that it was told under; 0 none.
    pub const fn tag_number(&self) -> u8 {
        (self.flags >> flags::TAG_SHIFT) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_a_character() {
        let thirty = "x".repeat(30);
        for (name, kept) in [
            ("decode", "decode"),
            ("", ""),
            ("a\0b", "a"),
            (&format!("{thirty}ab"), &format!("{thirty}ab")),
            (&format!("{thirty}abc"), &format!("{thirty}ab")),
            (&format!("{thirty}é"), &format!("{thirty}é")),
            (&format!("{thirty}aé"), &format!("{thirty}a")),
            (&format!("{thirty}€"), &thirty),
            (&format!("{thirty}a🦀"), &format!("{thirty}a")),
            (&format!("{thirty}éé"), &format!("{thirty}é")),
        ] {
            assert_eq!(Name::new(name.as_bytes()).text(), kept, "{name}");
            assert_eq!(Name::new(name.as_bytes()).is_empty(), kept.is_empty());
        }
        assert_eq!(Name::new(&[0x80; 40]).text().chars().count(), 32, "no UTF-8 at all: every byte is one");
    }

    #[test]
    fn what_moves_a_cursor_is_not_shown() {
        let name = Name::new("\x1b[2J\u{202e}x\n".as_bytes());
        assert_eq!((name.text(), name.cleaned().text()), ("?[2J?x?".to_owned(), "?[2J?x?".to_owned()));
        let wide = Name::new(&[0xFF; 32]).cleaned();
        assert_eq!(wide.text(), "\u{fffd}".repeat(10), "what replaces a byte has three");
    }

    #[test]
    fn a_record_carries_a_number_and_a_name() {
        let event = Event::tag(255, Name::new(b"prefill"));
        assert_eq!((event.told_tag(), event.kind), (Some((255, Name::new(b"prefill"))), Kind::Tag as u8));
        for context in [0, 256, u32::MAX] {
            assert_eq!(Event { context, ..event }.told_tag(), None);
        }
        assert_eq!(Event { flags: 7 << flags::TAG_SHIFT | flags::SYSTEM, ..event }.tag_number(), 7);
    }
}
