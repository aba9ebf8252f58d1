//! Numbers and texts as they are written: in as few bytes as they need, and read only after a look whether they are there.

/// Bytes of one text, at most.
pub const MOST_TEXT: usize = 4096;

/// Content that cannot be what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its content contradicts itself")]
pub struct Malformed;

/// Seven bits a byte, the lowest first; the eighth bit: there are more.
pub fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// By how much a number differs from another, little either way in few bytes.
pub fn put_change(to: &mut Vec<u8>, from: u64, number: u64) {
    let change = number.wrapping_sub(from) as i64;
    put_number(to, ((change << 1) ^ (change >> 63)) as u64);
}

/// Its length, then its bytes.
pub fn put_text(to: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(MOST_TEXT)];
    put_number(to, text.len() as u64);
    to.extend_from_slice(text);
}

/// A section: its number, its length, its content. A reader steps over those that it does not know.
pub fn put_section(to: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_number(to, number);
    put_number(to, content.len() as u64);
    to.extend_from_slice(content);
}

/// What is still to be read.
#[derive(Clone, Copy, Debug)]
pub struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    /// All of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number.
    ///
    /// # Errors
    /// When it does not end, or has more than 64 bits.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    /// A number that was written as its difference from another.
    ///
    /// # Errors
    /// As of a number.
    pub fn change(&mut self, from: u64) -> Result<u64, Malformed> {
        let folded = self.number()?;
        let change = (folded >> 1) as i64 ^ -((folded & 1) as i64);
        Ok(from.wrapping_add(change as u64))
    }

    /// A count of something, at most so many.
    ///
    /// # Errors
    /// When it is more.
    pub fn count(&mut self, most: usize) -> Result<usize, Malformed> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= most).ok_or(Malformed)
    }

    /// Everything that is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next so many bytes.
    ///
    /// # Errors
    /// When there are not as many.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A text, not cleaned.
    ///
    /// # Errors
    /// When it is cut short, or longer than any.
    pub fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count(MOST_TEXT)?;
        self.bytes(length)
    }

    /// The next section, if there is one: its number and its content.
    ///
    /// # Errors
    /// When it is cut short.
    pub fn section(&mut self) -> Result<Option<(u64, Self)>, Malformed> {
        if self.is_empty() {
            return Ok(None);
        }
        let number = self.number()?;
        let length = self.count(self.0.len())?;
        Ok(Some((number, Self(self.bytes(length)?))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(number: u64, from: u64) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            put_change(&mut bytes, from, number);
            let mut wire = Wire::new(&bytes);
            prop_assert_eq!((wire.number(), wire.change(from)), (Ok(number), Ok(number)));
            prop_assert!(wire.is_empty());
            let mut wire = Wire::new(&bytes[..bytes.len() - 1]);
            prop_assert!(wire.number().is_ok() && wire.change(from).is_err());
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        assert_eq!(Wire::new(&[0xff; 20]).number(), Err(Malformed));
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(Wire::new(&most).number(), Ok(u64::MAX));
        most[9] = 2;
        assert_eq!(Wire::new(&most).number(), Err(Malformed));
        let mut bytes = Vec::new();
        put_change(&mut bytes, 0, u64::MAX);
        assert_eq!(bytes.len(), 1, "what nobody told takes one byte");
        assert_eq!(Wire::new(&[3, b'a', b'b']).text(), Err(Malformed));
    }
}
