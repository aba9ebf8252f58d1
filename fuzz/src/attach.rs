//! A file that calls itself a ring: opened, checked, read a little.
//!
//! Byte 0 even: the rest is the file. Odd: a sound ring of `1 << byte 1` slots whose header the rest changes, as
//! (word, number) pairs; bit 1 of byte 0: the file is cut to half; bit 2: it is written with holes; bits 3 and 4: so many further
//! sections.

use crate::ground;
use crate::ring;
use crate::script::{Reader, Writer};
use aggregator::fuzzing::AttachedRing;
use shm_layout::names::DIRECTORY;
use shm_layout::ring::{
    FIRST_SECTION_OFFSET, HEADER_BYTES, RingHeader, SECTIONS_OFFSET, Section, ring_bytes, section_end,
};
use std::fs::{File, OpenOptions};
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

const PID: u32 = 0x3FFF_FFFF;
const NONCE: u64 = 0xA77;
/// The file goes on being the same: names come and go slowly in /dev/shm.
static FILE: OnceLock<File> = OnceLock::new();

/// Words of the header, for [`changed`].
pub mod word {
    use super::{AtomicU64, RingHeader, SECTIONS_OFFSET, Section, offset_of};

    pub const CURSOR: u16 = (offset_of!(RingHeader<AtomicU64>, cursor) / 8) as u16;
    pub const CLOSED: u16 = (offset_of!(RingHeader<AtomicU64>, closed) / 8) as u16;
    pub const SECTION_COUNT: u16 = (offset_of!(RingHeader<AtomicU64>, section_count) / 8) as u16;
    pub const CLAIM: u16 = (offset_of!(Section<AtomicU64>, claim) / 8) as u16;
    pub const SLOTS: u16 = (offset_of!(Section<AtomicU64>, slots) / 8) as u16;
    pub const MOVED_FROM: u16 = (offset_of!(Section<AtomicU64>, moved_from) / 8) as u16;
    pub const START: u16 = (offset_of!(Section<AtomicU64>, start) / 8) as u16;
    pub const COMPACTING: u16 = (offset_of!(Section<AtomicU64>, compacting) / 8) as u16;
    pub const UNKNOWN_FREES: u16 = (offset_of!(Section<AtomicU64>, unknown_frees) / 8) as u16;

    /// This word of section `number`.
    pub const fn of_section(number: u16, word: u16) -> u16 {
        ((SECTIONS_OFFSET + number as usize * size_of::<Section<AtomicU64>>()) / 8) as u16 + word
    }
}

/// Slots of a section at most (attach.rs of the aggregator).
const MOST_SLOTS: u64 = 1 << 24;
/// Sections further than these cannot be reached: there are twelve.
const MOST_SECTIONS: usize = 16;

/// Any bytes as a file.
pub fn raw(bytes: &[u8]) -> Vec<u8> {
    Writer::default().byte(0).bytes(bytes).0
}

/// A sound ring with some words of its header changed: (word, value).
pub fn changed(flags: u8, log: u8, words: &[(u16, u64)]) -> Vec<u8> {
    words.iter().fold(Writer::default().byte(1 | flags).byte(log), |to, (at, value)| to.short(*at).number(*value)).0
}

fn image(data: &[u8]) -> (Vec<u8>, bool) {
    let mut script = Reader(data);
    let mode = script.byte();
    if mode & 1 == 0 {
        return (script.0.to_vec(), false);
    }
    let slots = 1 << (script.byte() % 8);
    let identity = ring::identity(ground::ring_file(PID, NONCE), slots, 1, b"attach");
    let mut image = vec![0; ring_bytes(slots) as usize];
    let identity = bytemuck::bytes_of(&identity);
    image[..identity.len()].copy_from_slice(identity);
    let mut put = |at: u16, value: u64| {
        let at = usize::from(at) * 8;
        image[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    let further = u16::from(mode >> 3 & 3);
    put(word::SECTION_COUNT, u64::from(further) + 1);
    put(word::of_section(0, word::SLOTS), slots);
    let (mut end, mut of_last) = (section_end(FIRST_SECTION_OFFSET, slots).expect("small"), slots);
    for number in 1..=further {
        of_last = (of_last * 2).max(64);
        put(word::of_section(number, word::SLOTS), of_last);
        end = section_end(end, of_last).expect("small");
    }
    image.resize(end, 0);
    while !script.is_empty() {
        let (at, value) = (usize::from(script.short()) * 8, script.number());
        if let Some(word) = image.get_mut(at..at + 8) {
            word.copy_from_slice(&value.to_le_bytes());
        }
    }
    if mode & 2 != 0 {
        image.truncate(HEADER_BYTES / 2);
    }
    (image, mode & 4 != 0)
}

/// One input.
pub fn run(data: &[u8]) {
    let (image, holes) = image(data);
    let ring = ground::ring_file(PID, NONCE);
    let file = FILE.get_or_init(|| {
        let path = format!("{DIRECTORY}/{}", ring.name(ground::prefix()));
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("a file")
    });
    file.set_len(0).expect("an empty file");
    if holes {
        file.set_len(image.len() as u64).expect("a file with holes");
    } else {
        file.write_all_at(&image, 0).expect("room in /dev/shm");
    }
    let Ok(mut attached) = AttachedRing::attach(ground::prefix(), &ring) else { return };
    let identity = attached.identity;
    assert!(!holes, "a file with holes could kill its reader");
    assert_eq!(identity.check(image.len() as u64), Ok(()));
    assert_eq!((identity.uid, identity.pid, identity.nonce), (ring.uid, ring.pid, ring.nonce));
    assert!(ring_bytes(identity.slots) <= image.len() as u64);
    let cursor = attached.believable_cursor();
    if attached.turn_to(cursor).is_err() {
        return;
    }
    let mut next = cursor;
    for at in 0..MOST_SECTIONS {
        assert!(at < MOST_SECTIONS - 1, "there are not so many sections");
        // A section begins behind what could be claimed in the one before.
        next = attached.read(next, 0, &mut Vec::new());
        if let Some(jump) = attached.jump(next) {
            assert!(jump.to > next && jump.records <= jump.to && jump.unknown_frees <= jump.records, "{jump:?}");
            next = jump.to;
        }
        let claim = attached.claim(next);
        assert!((next..=next + MOST_SLOTS).contains(&claim) && attached.end(next) >= claim);
        assert!(attached.lag(next) <= MOST_SLOTS * MOST_SECTIONS as u64);
        let mut read = Vec::new();
        let to = attached.read(next, 1024, &mut read);
        assert_eq!(to, next + read.len() as u64);
        let _awaited = (attached.awaited(to), attached.is_at_seal(to), attached.was_being_compacted());
        read.clear();
        let until = claim.min(next + 4096);
        let (end, found) = attached.read_dead(next, until, &mut read);
        assert!(end == until && found.read + found.torn == end - next && found.read == read.len() as u64);
        attached.release_unreturned(next);
        attached.release(next, to);
        attached.set_cursor(to);
        next = claim;
        if !attached.go_on(next) && !attached.go_on_dead().unwrap_or(false) {
            break;
        }
    }
    let _told = (attached.dropped(), attached.lost_controls(), attached.closed(), attached.owner_is_dead());
}
