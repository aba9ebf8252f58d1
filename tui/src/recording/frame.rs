//! Frames, as they lie in the file one behind the other.

use std::io;

/// First bytes of a recording.
pub const MAGIC: [u8; 8] = *b"TTALREC\n";
/// Version of the framing: of everything outside the contents.
pub const FORMAT: u32 = 1;
/// Bytes before the first frame: magic, format, 4 bytes of 0.
pub const HEAD_BYTES: usize = 16;
/// Bytes of a frame before its content.
pub const HEADER_BYTES: usize = 36;
/// Bytes of a frame's content, at most.
pub const MOST_CONTENT: u32 = 32 << 20;
/// Where a frame begins. Not text, and not what numbers look like.
pub const MARKER: [u8; 4] = [0xf1, 0xc5, b'T', 0xfe];

/// What a frame holds. A reader steps over kinds that it does not know, and over contents of a later version.
pub mod kind {
    /// A session begins: host, release, boot.
    pub const SESSION: u16 = 1;
    /// A look, whole.
    pub const KEY: u16 = 2;
    /// A look, by its differences from the one before.
    pub const DELTA: u16 = 3;
    /// There was nothing to see, and why.
    pub const ABSENCE: u16 = 4;
    /// Single allocations, all of them.
    pub const INVENTORY: u16 = 5;
    /// Single allocations, by the differences from the last that were written whole.
    pub const CHANGE: u16 = 6;
    /// The session ended in good order.
    pub const END: u16 = 7;
}

/// Version of the contents that this release writes, and the latest that it understands.
pub const VERSION: u16 = 1;

/// What stands before a frame's content.
///
/// | offset | bytes | |
/// |---|---|---|
/// | 0 | 4 | [`MARKER`] |
/// | 4 | 4 | length of the content, bytes |
/// | 8 | 2 | kind |
/// | 10 | 2 | version of the content |
/// | 12 | 4 | CRC-32 (IEEE) of the content |
/// | 16 | 8 | the moment, `CLOCK_MONOTONIC` ns |
/// | 24 | 8 | the moment, Unix time in ns |
/// | 32 | 4 | CRC-32 of the 32 bytes before |
///
/// All little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of the content, bytes.
    pub length: u32,
    /// See [`kind`].
    pub kind: u16,
    /// Of the content.
    pub version: u16,
    /// Of the content.
    pub crc: u32,
    /// The moment, `CLOCK_MONOTONIC` ns.
    pub monotonic_ns: u64,
    /// The same moment, Unix time in ns.
    pub unix_ns: u64,
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|n| bytes[at + n])
}

impl Header {
    /// The header of these bytes; `None`: they are none.
    pub fn of(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let header = Self {
            length: u32::from_le_bytes(word(bytes, 4)),
            kind: u16::from_le_bytes(word(bytes, 8)),
            version: u16::from_le_bytes(word(bytes, 10)),
            crc: u32::from_le_bytes(word(bytes, 12)),
            monotonic_ns: u64::from_le_bytes(word(bytes, 16)),
            unix_ns: u64::from_le_bytes(word(bytes, 24)),
        };
        let whole = bytes[..4] == MARKER && u32::from_le_bytes(word(bytes, 32)) == crc32fast::hash(&bytes[..32]);
        (whole && header.length <= MOST_CONTENT).then_some(header)
    }

    /// Whether this is the content.
    pub fn is_of(&self, content: &[u8]) -> bool {
        crc32fast::hash(content) == self.crc
    }

    /// Where the next frame begins, if this one begins there.
    pub const fn end(&self, offset: u64) -> u64 {
        offset.saturating_add(HEADER_BYTES as u64 + self.length as u64)
    }
}

/// A whole frame as it is written.
///
/// # Errors
/// When the content is longer than any may be.
pub fn frame(kind: u16, monotonic_ns: u64, unix_ns: u64, content: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(content.len()).ok().filter(|length| *length <= MOST_CONTENT);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "more than a frame may hold"))?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    bytes.extend(MARKER);
    bytes.extend(length.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(crc32fast::hash(content).to_le_bytes());
    bytes.extend(monotonic_ns.to_le_bytes());
    bytes.extend(unix_ns.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend_from_slice(content);
    Ok(bytes)
}

/// What stands at the beginning of the file.
pub fn head() -> Vec<u8> {
    [&MAGIC[..], &FORMAT.to_le_bytes(), &[0; 4]].concat()
}

/// The format that the beginning of a file tells; `None`: it is no recording.
pub fn format(head: &[u8; HEAD_BYTES]) -> Option<u32> {
    (head[..8] == MAGIC).then(|| u32::from_le_bytes(word(head, 8)))
}
