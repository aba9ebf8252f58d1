//! The header: whose stacks these are, and what was not told.

use super::{MAGIC, STACKS, STACKS_BYTES, STACKS_OFFSET, StackSlot, VERSION};
use crate::atomics::Word64;
use crate::ring::{ENDIAN_MARK, Identity, IdentityError};
use bytemuck::Zeroable;
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const IDENTITY_WORDS: usize = size_of::<Identity>() / 8;

/// The header as it is mapped: atomic words only.
///
/// | offset | field | writer | meaning |
/// |---|---|---|---|
/// | 0 | identity | its process, once | that of its ring, but for magic, version and sizes (`slots`: stacks) |
/// | 256 | depth | its process, once | most addresses taken of a stack |
/// | 264 | told | its threads | stacks that are told |
/// | 272 | untold | its threads | allocations whose stack found no place |
/// | 280 | modules_untold | its threads | modules that found no place |
#[repr(C, align(128))]
#[derive(Debug)]
pub struct StacksHeader<W> {
    identity: [W; IDENTITY_WORDS],
    /// Most addresses taken of a stack.
    pub depth: W,
    /// Stacks that are told.
    pub told: W,
    /// Allocations whose stack found no place.
    pub untold: W,
    /// Modules that found no place.
    pub modules_untold: W,
    _pad: [W; 512 - IDENTITY_WORDS - 4],
}

const _: () = assert!(size_of::<StacksHeader<AtomicU64>>() == 4096);
const _: () = assert!(offset_of!(StacksHeader<AtomicU64>, depth) == 256);
const _: () = assert!(offset_of!(StacksHeader<AtomicU64>, told) == 264);
const _: () = assert!(offset_of!(StacksHeader<AtomicU64>, untold) == 272);
const _: () = assert!(offset_of!(StacksHeader<AtomicU64>, modules_untold) == 280);

/// The identity of the stacks of the process whose ring has this one.
pub const fn identity(ring: &Identity) -> Identity {
    Identity {
        magic: MAGIC,
        version: VERSION,
        header_bytes: super::MODULES_OFFSET as u32,
        record_bytes: size_of::<StackSlot<AtomicU64>>() as u32,
        slots: STACKS as u64,
        records_offset: STACKS_OFFSET as u64,
        total_bytes: STACKS_BYTES as u64,
        ..*ring
    }
}

/// Whether this copy describes stacks that this version reads.
///
/// # Errors
/// What is wrong.
pub fn check(found: &Identity) -> Result<(), IdentityError> {
    if found.magic == 0 {
        return Err(IdentityError::NotReady);
    }
    if found.magic == MAGIC.swap_bytes() || found.magic == MAGIC && found.endian != ENDIAN_MARK {
        return Err(IdentityError::Endian);
    }
    if found.magic != MAGIC {
        return Err(IdentityError::Magic);
    }
    if found.version != VERSION {
        return Err(IdentityError::Version { found: found.version });
    }
    if *found == identity(found) { Ok(()) } else { Err(IdentityError::Geometry) }
}

impl<W: Word64> StacksHeader<W> {
    /// Writes the identity and then announces the file by its magic. Once, by its process.
    pub fn announce(&self, identity: &Identity) {
        let words: [u64; IDENTITY_WORDS] = bytemuck::must_cast(*identity);
        for (to, word) in self.identity.iter().zip(words).skip(1) {
            // Relaxed: published by the magic below.
            to.store(word, Relaxed);
        }
        // SYNC(stacks.magic): publishes the identity and the depth; pairs with the Acquire in `identity`.
        self.identity[0].store(words[0], Release);
    }

    /// A copy of the identity; its magic is 0 while the file is not ready.
    pub fn identity(&self) -> Identity {
        let mut words = [0; IDENTITY_WORDS];
        // SYNC(stacks.magic): the identity is visible once the magic is; pairs with the Release in `announce`.
        words[0] = self.identity[0].load(Acquire);
        if words[0] == 0 {
            return Identity::zeroed();
        }
        for (word, from) in words.iter_mut().zip(&self.identity).skip(1) {
            // Relaxed: ordered by the magic.
            *word = from.load(Relaxed);
        }
        bytemuck::must_cast(words)
    }
}
