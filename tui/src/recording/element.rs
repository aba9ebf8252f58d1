//! Lists of plain records, written as what differs from the list before.
//!
//! ```text
//!   list     count  shift  changed  { gap  record } x changed
//!   record   fields  { number << 1 | is_text   change of the number, or length and bytes } x fields
//! ```
//!
//! Record `n` is based on record `n + shift` of the list before, or on an empty one where there is none; `gap` records between two changed ones are
//! as they were. A field is named by its number for ever: one that a reader does not know is stepped over, whatever it is.

use super::wire::{Malformed, Wire, put_change, put_number, put_text};
use shm_layout::text;

/// One field of a record.
#[derive(Debug)]
pub enum Field<'a> {
    /// 64 bits.
    Long(&'a mut u64),
    /// 64 bits with a sign.
    Signed(&'a mut i64),
    /// 32 bits.
    Short(&'a mut u32),
    /// 16 bits.
    Half(&'a mut u16),
    /// 8 bits.
    Byte(&'a mut u8),
    /// Padded with NUL.
    Text(&'a mut [u8]),
}

impl Field<'_> {
    fn number(&self) -> u64 {
        match self {
            Self::Long(n) => **n,
            Self::Signed(n) => n.cast_unsigned(),
            Self::Short(n) => u64::from(**n),
            Self::Half(n) => u64::from(**n),
            Self::Byte(n) => u64::from(**n),
            Self::Text(_) => 0,
        }
    }

    const fn set(&mut self, number: u64) {
        match self {
            Self::Long(n) => **n = number,
            Self::Signed(n) => **n = number.cast_signed(),
            Self::Short(n) => **n = number as u32,
            Self::Half(n) => **n = number as u16,
            Self::Byte(n) => **n = number as u8,
            Self::Text(_) => {}
        }
    }
}

/// A record of numbered fields.
pub trait Element: Copy + PartialEq {
    /// Nothing is told.
    fn empty() -> Self;
    /// The numbers of its fields.
    fn numbers() -> impl Iterator<Item = u32>;
    /// The field of this number.
    fn field(&mut self, number: u32) -> Option<Field<'_>>;
}

fn told(text: &[u8]) -> &[u8] {
    &text[..text.iter().position(|byte| *byte == 0).unwrap_or(text.len())]
}

/// Writes the fields in which a record differs from another.
pub fn put_record<T: Element>(to: &mut Vec<u8>, base: &T, record: &T) {
    let (mut base, mut record) = (*base, *record);
    let mut fields = Vec::new();
    let mut count = 0;
    for number in T::numbers() {
        let (Some(before), Some(now)) = (base.field(number), record.field(number)) else { continue };
        match (before, now) {
            (Field::Text(before), Field::Text(now)) if told(before) != told(now) => {
                put_number(&mut fields, u64::from(number) << 1 | 1);
                put_text(&mut fields, told(now));
            }
            (Field::Text(_), Field::Text(_)) => continue,
            (before, now) if before.number() != now.number() => {
                put_number(&mut fields, u64::from(number) << 1);
                put_change(&mut fields, before.number(), now.number());
            }
            _ => continue,
        }
        count += 1;
    }
    put_number(to, count);
    to.extend(fields);
}

/// Changes a record as told.
///
/// # Errors
/// When it is cut short.
pub fn take_record<T: Element>(wire: &mut Wire<'_>, record: &mut T) -> Result<(), Malformed> {
    for _ in 0..wire.number()? {
        let tag = wire.number()?;
        let field = u32::try_from(tag >> 1).ok().and_then(|number| record.field(number));
        if tag & 1 == 1 {
            let told = wire.text()?;
            if let Some(Field::Text(field)) = field {
                // Cleaned as everything that others wrote.
                let stored = text::store::<256>(told);
                let room = field.len().min(stored.len());
                field.fill(0);
                field[..room].copy_from_slice(&stored[..room]);
            }
        } else {
            let base = field.as_ref().map_or(0, Field::number);
            let number = wire.change(base)?;
            if let Some(mut field) = field {
                field.set(number);
            }
        }
    }
    Ok(())
}

/// Writes a list by what differs from the one before, which is `shift` records ahead of it.
pub fn put_list<T: Element>(to: &mut Vec<u8>, before: &[T], shift: usize, now: &[T]) {
    let base = |at: usize| before.get(at + shift).copied().unwrap_or_else(T::empty);
    let changed: Vec<usize> = (0..now.len()).filter(|at| base(*at) != now[*at]).collect();
    put_number(to, now.len() as u64);
    put_number(to, shift as u64);
    put_number(to, changed.len() as u64);
    let mut next = 0;
    for at in changed {
        put_number(to, (at - next) as u64);
        put_record(to, &base(at), &now[at]);
        next = at + 1;
    }
}

/// The list of which this is the difference from the one before; at most so many records.
///
/// # Errors
/// When its numbers contradict each other.
pub fn take_list<T: Element>(wire: &mut Wire<'_>, before: &[T], most: usize) -> Result<Vec<T>, Malformed> {
    let count = wire.count(most)?;
    let shift = wire.count(before.len())?;
    let mut list: Vec<T> = before[shift..].iter().take(count).copied().collect();
    list.resize(count, T::empty());
    let mut next = 0;
    for _ in 0..wire.count(count)? {
        let at = wire.count(count)? + next;
        take_record(wire, list.get_mut(at).ok_or(Malformed)?)?;
        next = at + 1;
    }
    Ok(list)
}

/// How many of the list before have gone from its front, so that most of the rest is where it was.
pub fn shift<T: Element>(before: &[T], now: &[T]) -> usize {
    now.first().and_then(|first| before.iter().position(|one| one == first)).unwrap_or(0)
}
