//! Rings that are there and are not read, each with its reason.

use crate::names::{ProcessFile, Role};
use crate::text;
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;

/// Why a ring is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Reason {
    /// A newer aggregator's reason.
    Other = 0,
    /// It may not be opened.
    Permission = 1,
    /// Not a regular file.
    NotRegular = 2,
    /// Its file belongs to somebody else than its name says.
    Owner = 3,
    /// No ring has this size.
    Size = 4,
    /// Its blocks are not reserved.
    Sparse = 5,
    /// It has several names.
    Linked = 6,
    /// It was never announced.
    NotReady = 7,
    /// Not a ring.
    NotARing = 8,
    /// Another version of the layout.
    Version = 9,
    /// Its header contradicts itself or the file.
    Geometry = 10,
    /// Its header names another user or another ring.
    Impostor = 11,
    /// Its process began to make room in it and never ended.
    Compacting = 12,
    /// Somebody else drains it.
    Busy = 13,
    /// As many processes are tracked as there is room for.
    NoRoom = 14,
    /// A system call failed.
    System = 15,
    /// It was cut short while it was read.
    Shrunk = 16,
}

impl Reason {
    /// Every one, by number.
    pub const ALL: [Self; 17] = [
        Self::Other,
        Self::Permission,
        Self::NotRegular,
        Self::Owner,
        Self::Size,
        Self::Sparse,
        Self::Linked,
        Self::NotReady,
        Self::NotARing,
        Self::Version,
        Self::Geometry,
        Self::Impostor,
        Self::Compacting,
        Self::Busy,
        Self::NoRoom,
        Self::System,
        Self::Shrunk,
    ];

    /// Of a number; [`Other`](Self::Other) where this version does not know it.
    pub fn of(number: u32) -> Self {
        Self::ALL.get(number as usize).copied().unwrap_or(Self::Other)
    }

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Permission => "permission",
            Self::NotRegular => "not-regular",
            Self::Owner => "owner",
            Self::Size => "size",
            Self::Sparse => "sparse",
            Self::Linked => "linked",
            Self::NotReady => "not-ready",
            Self::NotARing => "not-a-ring",
            Self::Version => "version",
            Self::Geometry => "geometry",
            Self::Impostor => "impostor",
            Self::Compacting => "compacting",
            Self::Busy => "busy",
            Self::NoRoom => "no-room",
            Self::System => "system",
            Self::Shrunk => "shrunk",
        }
    }
}

/// One ring that is there and is not read.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Refusal {
    /// Names the ring, with the next two.
    pub nonce: u64,
    /// Process id, as in the ring's name: a claim.
    pub pid: u32,
    /// User, as in the ring's name: a claim.
    pub uid: u32,
    /// Owner of the file.
    pub owner: u32,
    /// [`Reason`].
    pub reason: u32,
    /// 1: it is tried again every few seconds.
    pub passing: u32,
    /// 0.
    pub reserved: u32,
    /// When it was refused first, Unix time in ns.
    pub since_unix_ns: u64,
    /// The reason in words, NUL-padded, cleaned.
    pub text: [u8; 120],
}

const _: () = assert!(size_of::<Refusal>() == 160);
const _: () = assert!(offset_of!(Refusal, nonce) == 0);
const _: () = assert!(offset_of!(Refusal, pid) == 8);
const _: () = assert!(offset_of!(Refusal, uid) == 12);
const _: () = assert!(offset_of!(Refusal, owner) == 16);
const _: () = assert!(offset_of!(Refusal, reason) == 20);
const _: () = assert!(offset_of!(Refusal, passing) == 24);
const _: () = assert!(offset_of!(Refusal, reserved) == 28);
const _: () = assert!(offset_of!(Refusal, since_unix_ns) == 32);
const _: () = assert!(offset_of!(Refusal, text) == 40);

impl Refusal {
    /// The ring's name, taken apart.
    pub const fn file(&self) -> ProcessFile {
        ProcessFile { role: Role::Ring, uid: self.uid, pid: self.pid, nonce: self.nonce }
    }

    /// The reason in words, cleaned; its name where none were told.
    pub fn words(&self) -> String {
        let words = text::load(&self.text);
        if words.is_empty() { Reason::of(self.reason).name().to_owned() } else { words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_belong_together() {
        for (number, reason) in (0..).zip(Reason::ALL) {
            assert_eq!((reason as u32, Reason::of(number)), (number, reason));
            assert!(Reason::ALL.iter().filter(|other| other.name() == reason.name()).count() == 1, "{reason:?}");
        }
        assert_eq!(Reason::of(u32::MAX), Reason::Other);
    }
}
