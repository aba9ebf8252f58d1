//! What a hostile recording may cost: memory is counted while damaged and forged files are played.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tui::recording::frame::{self, kind};
use tui::recording::wire::{put_number, put_section};
use tui::recording::{Move, Player};

/// Counts what is there, and the most that was there.
struct Counted;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator; counting touches nothing of it.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// Bytes that playing a file of at most 100 KB may take: the limits of a look, twice, and of an inventory, twice.
const BOUND: usize = 80 << 20;

fn play(path: &Path) {
    let Ok(mut player) = Player::open(path) else { return };
    for _ in 0..4 {
        let _feed = player.feed();
        let _inventory = player.inventory().unwrap();
        player.go(Move::StepOn).unwrap();
    }
    player.seek(u64::MAX).unwrap();
    let _inventory = player.inventory().unwrap();
    player.go(Move::StepBack).unwrap();
}

fn most_while(what: impl FnOnce()) -> usize {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    what();
    MOST.load(Relaxed) - before
}

fn section(number: u64, content: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (mut piece, mut all) = (Vec::new(), Vec::new());
    content(&mut piece);
    put_section(&mut all, number, &piece);
    all
}

fn numbers(numbers: &[u64]) -> impl FnOnce(&mut Vec<u8>) + '_ {
    move |to| numbers.iter().for_each(|number| put_number(to, *number))
}

#[test]
fn no_file_takes_more_memory_than_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rec");
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/format-1.rec")).unwrap();
    for at in (0..golden.len()).step_by(golden.len() / 150) {
        for value in [0, 0x7f, 0xff] {
            let mut bytes = golden.clone();
            bytes[at] = value;
            std::fs::write(&path, &bytes).unwrap();
            let most = most_while(|| play(&path));
            assert!(most < BOUND, "{most} bytes for byte {at} as {value}");
        }
        std::fs::write(&path, &golden[..at]).unwrap();
        assert!(most_while(|| play(&path)) < BOUND, "cut at {at}");
    }
    // Frames that pass every checksum and promise as much as can be promised.
    let chips = section(4, numbers(&[64, 0, 0]));
    let samples = section(10, |to| {
        numbers(&[0, 1, 64])(to);
        (0..64 * 8).for_each(|_| numbers(&[4096, 0, 4096])(to));
    });
    let spans = section(13, |to| {
        numbers(&[20, 64])(to);
        (0..64 * 8).for_each(|_| numbers(&[720, 0, 720])(to));
    });
    let key = [
        chips.clone(),
        section(5, numbers(&[2048, 0, 0])),
        section(6, numbers(&[12_288, 0, 0])),
        section(7, numbers(&[64, 0, 0])),
        samples,
        spans,
    ]
    .concat();
    let beyond = [
        section(5, numbers(&[2049, 0, 0])),
        section(6, numbers(&[u64::MAX, 0, 0])),
        section(7, numbers(&[64, 0, u64::MAX])),
        section(10, numbers(&[0, 1, 65])),
        section(10, numbers(&[0, 1, 1, u64::MAX])),
        section(10, numbers(&[0, 1, 1, 1 << 28, 0, 1 << 28])),
        section(12, numbers(&[u64::MAX])),
        section(13, numbers(&[20, 64])),
        [section(10, numbers(&[0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0])), section(13, numbers(&[20, 1, 721]))].concat(),
        vec![4, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ];
    let mut inventory = vec![1];
    // Every allocation in one byte: no field differs from the one before, no tag.
    let holder = |to: &mut Vec<u8>| {
        numbers(&[7, 7, 7, 0, 0, 0, 0, 1, 0, 0, 40_000])(to);
        to.extend(vec![0; 80_000]);
    };
    inventory.extend(section(3, holder));
    let mut more = vec![1];
    (0..3).for_each(|_| more.extend(section(3, numbers(&[7, 7, 7, 0, 0, 0, 0, 3, 40_000, 0, 0, 0, 0, 0, 0, 0, 0]))));
    let mut delta = vec![1];
    delta.extend(section(10, numbers(&[1, 9, 4096, 4096])));
    // Very many processes, each with as many accounts as one may have, once with devices as well.
    let crowd = |devices: u64| {
        let holder = |to: &mut Vec<u8>, pid: u64| {
            numbers(&[pid, 7, 7, devices, 0, 0, 0, 0])(to);
            to.extend(section(2, numbers(&[256, 0, 0])));
        };
        let all = (0..2048).flat_map(|pid| section(3, |to| holder(to, pid)));
        [1].into_iter().chain(all).collect::<Vec<u8>>()
    };
    let crowds = [crowd(1), crowd(64)].map(|crowd| (Vec::new(), crowd.clone(), crowd));
    let beyond = beyond.into_iter().map(|bad| (bad, inventory.clone(), more.clone()));
    for (bad, inventory, more) in beyond.chain(crowds) {
        let mut bytes = frame::head();
        let frames: [(u16, &[u8]); 7] = [
            (kind::SESSION, &[]),
            (kind::KEY, &key),
            (kind::INVENTORY, &inventory),
            (kind::CHANGE, &more),
            (kind::DELTA, &delta),
            (kind::KEY, &bad),
            (kind::KEY, &chips),
        ];
        for (moment, (kind, content)) in (1..).zip(frames) {
            bytes.extend(frame::frame(kind, moment, moment, content).unwrap());
        }
        std::fs::write(&path, &bytes).unwrap();
        let most = most_while(|| play(&path));
        assert!(most < BOUND, "{most} bytes");
        // What can be played of it is.
        let mut player = Player::open(&path).unwrap();
        assert_eq!(player.feed().seen.unwrap().snapshot.processes.len(), 2048);
        player.seek(u64::MAX).unwrap();
        assert_eq!(player.feed().seen.unwrap().snapshot.chips.len(), 64);
    }
}
