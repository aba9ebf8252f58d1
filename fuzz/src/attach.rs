//! A file that calls itself a ring: opened, checked, read a little.
//!
//! Byte 0 even: the rest is the file. Odd: a sound ring of `1 << byte 1` slots whose header the rest changes, as
//! (offset, number) pairs; bit 1 of byte 0: the file is cut to half; bit 2: it is written with holes.

use crate::ground;
use crate::ring;
use crate::script::{Reader, Writer};
use aggregator::fuzzing::AttachedRing;
use shm_layout::names::DIRECTORY;
use shm_layout::ring::{HEADER_BYTES, ring_bytes};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

const PID: u32 = 0x3FFF_FFFF;
const NONCE: u64 = 0xA77;
/// The file goes on being the same: names come and go slowly in /dev/shm.
static FILE: OnceLock<File> = OnceLock::new();

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
    let Ok(attached) = AttachedRing::attach(ground::prefix(), &ring) else { return };
    let identity = attached.identity;
    assert!(!holes, "a file with holes could kill its reader");
    assert_eq!(identity.check(image.len() as u64), Ok(()));
    assert_eq!((identity.uid, identity.pid, identity.nonce), (ring.uid, ring.pid, ring.nonce));
    assert_eq!(ring_bytes(identity.slots), image.len() as u64);
    let cursor = attached.believable_cursor();
    let claim = attached.claim(cursor);
    assert!((cursor..=cursor + identity.slots).contains(&claim));
    let mut read = Vec::new();
    let to = attached.read(cursor, 1024, &mut read);
    assert_eq!(to, cursor + read.len() as u64);
    let (end, found) = attached.consumer().drain_dead(cursor, claim, |_| {});
    assert!(end == claim && found.read + found.torn == end - cursor);
    attached.consumer().release_unreturned(cursor);
    attached.set_cursor(to);
    let _told = (attached.dropped(), attached.lost_controls(), attached.closed(), attached.owner_is_dead());
}
