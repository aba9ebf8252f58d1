//! Drops that are noticed while much is unread: they come into the books as of then, and nothing calls itself complete by chance.
//!
//! The reader is held up where a test wants it by a record that is claimed and not yet written, as a thread leaves one that is
//! interrupted there.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Event, Kind, Memory};
use shm_layout::ring::{Producer, Push, RECORDS_OFFSET, RingHeader, Slot};
use shm_layout::segment::{self, Access, Expect, Opened};
use shm_layout::stats::{Anomalies, Figures, Process, Snapshot, incomplete};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use support::daemon::Daemon;
use support::{Ground, Player, figures, play_if_asked, wait};

/// A ring of so many records that may not grow.
const SLOTS: u64 = 64;
const BOUNDED: [(&str, &str); 2] = [("TT_ALLOC_RING_BYTES", "4096"), ("TT_ALLOC_RING_MAX_BYTES", "4096")];
/// Bytes of every block, so that no figure tells which one it is.
const SIZE: u64 = 100;

#[test]
fn player() {
    play_if_asked();
}

/// A player's ring, opened by somebody who is neither its process nor its reader: no lock is lost when this is closed.
struct Ring(Opened);

impl Ring {
    fn of(player: &mut Player) -> Self {
        let expect = Expect { owners: &[], least: 1, most: u64::MAX };
        Self(segment::open(&player.tell("ring"), Access::ReadWrite, expect).unwrap())
    }

    fn header(&self) -> &RingHeader<AtomicU64> {
        self.0.mapping.one(0).unwrap()
    }

    fn dropped(&self) -> u64 {
        self.header().dropped.load(Relaxed)
    }

    /// Where the next record will be written.
    fn end(&self) -> u64 {
        self.header().sections[0].claimed()
    }

    /// Claims the next record, and does not write it. Its number.
    fn claim(&self) -> u64 {
        self.header().sections[0].claim.fetch_add(1, Relaxed)
    }

    /// Writes what was claimed: one block of L1.
    fn write(&self, claimed: u64) {
        let slots = self.0.mapping.array::<Slot<AtomicU64>>(RECORDS_OFFSET, SLOTS as usize).unwrap();
        let claim = AtomicU64::new(claimed);
        let event = Event { id: claimed, size: 1, ..Event::new(Kind::Alloc, Memory::L1, 0) };
        assert_eq!(Producer::new(&claim, slots).unwrap().push(&event), Push::Written(claimed));
    }

    /// Waits until everything before this record is read.
    fn must_be_read_to(&self, seq: u64) {
        let there = || self.header().cursor.load(Relaxed) == seq;
        wait("the reader", || there().then_some(())).unwrap();
    }
}

fn dram(snapshot: &Snapshot, pid: u32) -> Figures {
    figures(snapshot, pid, 0, Memory::Dram)
}

/// Blocks, bytes, and whether it is said that not all of them are listed.
fn shown(figures: &Figures) -> (u64, u64, bool) {
    (figures.blocks, figures.footprint_bytes, figures.detail_incomplete != 0)
}

fn process(snapshot: &Snapshot, pid: u32) -> Process {
    *snapshot.processes.iter().find(|process| process.pid == pid).unwrap()
}

/// Waits until the aggregator has published so many times: it has looked at every ring in between.
fn rounds(ground: &Ground, times: u64) {
    let now = ground.look().unwrap().health.generation;
    ground.see("rounds of the aggregator", |s| s.health.generation >= now + times);
}

/// One block that is read, id 1, and behind it a full ring: 20 blocks, from 1000 on, lie between the two records that are claimed and
/// not written, and 42 more behind the second.
fn full(player: &mut Player) -> (Ring, u64, u64) {
    player.alloc(0, Memory::Dram, 1, SIZE, 0);
    let ring = Ring::of(player);
    ring.must_be_read_to(1);
    let first = ring.claim();
    player.tell(&format!("burst 1000 20 {SIZE}"));
    let second = ring.claim();
    player.tell(&format!("burst 1020 42 {SIZE}"));
    assert_eq!((ring.end(), ring.dropped()), (1 + SLOTS, 0));
    (ring, first, second)
}

/// Frees are dropped, and that is noticed; then the same ring drops frees of what lies behind that moment, still unread. By
/// then as many frees were dropped as all that is read until that moment: but for those later ones, nothing would seem to be
/// alive, although the first block is.
#[test]
fn frees_dropped_after_drops_were_noticed_do_not_end_what_is_alive() {
    let ground = Ground::new();
    let mut aggregator = Daemon::start(&ground);
    let mut player = Player::start_with(&ground, &BOUNDED);
    let pid = player.pid();
    let (ring, first, second) = full(&mut player);
    player.free(0, Memory::Dram, 1000, SIZE, 0);
    assert_eq!(ring.dropped(), 1);
    let noticed_at = ring.end();
    ground.see("the drop is noticed", |s| shown(&dram(s, pid)) == (1, SIZE, true));
    // Room behind that moment: one block that ends unread, and 19 that stay.
    ring.write(first);
    ring.must_be_read_to(second);
    let third = ring.claim();
    assert_eq!(third, noticed_at);
    player.tell(&format!("burst 5000 1 {SIZE}"));
    player.tell(&format!("burst 6000 19 {SIZE}"));
    assert_eq!(ring.dropped(), 1);
    player.tell(&format!("unburst 1001 61 {SIZE}"));
    player.tell(&format!("unburst 5000 1 {SIZE}"));
    assert_eq!(ring.dropped(), 63, "as many as were allocated up to the third hole");
    // Read up to the moment when it was noticed, that one free is in the books.
    ring.write(second);
    ring.must_be_read_to(third);
    ground.see("what was so then", |s| shown(&dram(s, pid)) == (62, 62 * SIZE, true));
    ring.write(third);
    ring.must_be_read_to(ring.end());
    ground.see("the truth", |s| shown(&dram(s, pid)) == (20, 20 * SIZE, true));
    aggregator.kill();
    aggregator = Daemon::start(&ground);
    ground.see("the truth again", |s| shown(&dram(s, pid)) == (20, 20 * SIZE, true));
    player.free(0, Memory::Dram, 1, SIZE, 0);
    ground.see("one fewer", |s| shown(&dram(s, pid)) == (19, 19 * SIZE, true));
    player.tell(&format!("unburst 6000 19 {SIZE}"));
    let seen = ground.see("nothing", |s| shown(&dram(s, pid)) == (0, 0, false));
    let end = dram(&seen, pid);
    assert_eq!((end.allocated_bytes_total, end.freed_bytes_total), (83 * SIZE, 83 * SIZE));
    assert_eq!(process(&seen, pid).anomalies, Anomalies::default());
    player.alloc(0, Memory::Dram, 1, 7, 0);
    ground.see("one more, and it is listed", |s| shown(&dram(s, pid)) == (1, 7, false));
    aggregator.end_after(&ground, [player]);
}

/// A free asks for all drops at once, before those that were noticed earlier have their turn: none is counted twice.
#[test]
fn drops_that_a_free_has_asked_for_are_not_counted_again_in_their_turn() {
    let ground = Ground::new();
    let aggregator = Daemon::start(&ground);
    let mut player = Player::start_with(&ground, &BOUNDED);
    let pid = player.pid();
    let (ring, first, second) = full(&mut player);
    // Dropped: one allocation. It is noticed as soon as the row says so.
    player.alloc(0, Memory::Dram, 8, SIZE, 0);
    assert_eq!((ring.end(), ring.dropped()), (1 + SLOTS, 1));
    ground.see("the drop is noticed", |s| shown(&dram(s, pid)) == (1, SIZE, true));
    // Room behind that moment. Its free is told there, and a second allocation is dropped.
    ring.write(first);
    ring.must_be_read_to(second);
    let third = ring.claim();
    player.free(0, Memory::Dram, 8, SIZE, 0);
    player.tell(&format!("burst 2000 19 {SIZE}"));
    player.alloc(0, Memory::Dram, 9, SIZE, 0);
    assert_eq!(ring.dropped(), 2);
    ring.write(second);
    ring.must_be_read_to(third);
    ground.see("the first drop", |s| shown(&dram(s, pid)) == (64, 64 * SIZE, true));
    // The second is noticed, up to the end as it is now; a third comes after that, and that free is before both.
    rounds(&ground, 2);
    player.tell(&format!("burst 3000 43 {SIZE}"));
    assert_eq!(ring.dropped(), 2);
    player.alloc(0, Memory::Dram, 10, SIZE, 0);
    assert_eq!(ring.dropped(), 3);
    ring.write(third);
    ring.must_be_read_to(ring.end());
    let blocks = 1 + 62 + 19 + 43 + 2;
    ground.see("everything", |s| dram(s, pid).blocks >= blocks);
    rounds(&ground, 2);
    let seen = ground.look().unwrap();
    assert_eq!(shown(&dram(&seen, pid)), (blocks, blocks * SIZE, true));
    assert_eq!(dram(&seen, pid).allocated_bytes_total, (blocks + 1) * SIZE);
    assert_eq!(process(&seen, pid).anomalies, Anomalies::default());
    aggregator.end_after(&ground, [player]);
}

/// By what was noticed nothing is alive; but more was dropped since, which has not had its turn.
#[test]
fn while_drops_are_not_in_the_books_nothing_is_called_complete() {
    let ground = Ground::new();
    let aggregator = Daemon::start(&ground);
    let mut player = Player::start_with(&ground, &BOUNDED);
    let pid = player.pid();
    let (ring, first, second) = full(&mut player);
    // Noticed all at once: the frees of everything that was told.
    aggregator.stop();
    player.free(0, Memory::Dram, 1, SIZE, 0);
    player.tell(&format!("unburst 1000 62 {SIZE}"));
    assert_eq!(ring.dropped(), 63);
    aggregator.go_on();
    ground.see("the drops are noticed", |s| shown(&dram(s, pid)) == (1, SIZE, true));
    ring.write(first);
    ring.must_be_read_to(second);
    let third = ring.claim();
    player.tell(&format!("burst 2000 20 {SIZE}"));
    player.tell(&format!("burst 3000 5 {SIZE}"));
    assert_eq!(ring.dropped(), 68);
    ring.write(second);
    ring.must_be_read_to(third);
    ground.see("nothing of what was told first", |s| dram(s, pid).blocks == 0);
    rounds(&ground, 2);
    assert_eq!(shown(&dram(&ground.look().unwrap(), pid)), (0, 0, true));
    ring.write(third);
    ground.see("the truth", |s| shown(&dram(s, pid)) == (25, 25 * SIZE, true));
    player.tell(&format!("unburst 2000 20 {SIZE}"));
    player.tell(&format!("unburst 3000 5 {SIZE}"));
    let seen = ground.see("nothing", |s| shown(&dram(s, pid)) == (0, 0, false));
    assert_eq!(process(&seen, pid).anomalies, Anomalies::default());
    aggregator.end_after(&ground, [player]);
}

/// Fills so many slots with what stays, on a device of its own.
fn fill(player: &mut Player, slots: u64) {
    for n in 0..slots {
        player.alloc(3, Memory::Trace, 1000 + n, 1, 0);
    }
}

#[test]
fn where_a_device_s_opening_was_dropped_nothing_that_comes_later_is_called_complete() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &BOUNDED);
    let pid = player.pid();
    fill(&mut player, SLOTS);
    // Dropped: a device is introduced.
    player.tell(&format!("event {} 0 10 3088 0 64 0 3 0", Kind::DeviceInfo as u8));
    let mut aggregator = Daemon::start(&ground);
    let told = |s: &Snapshot| s.processes.iter().any(|p| p.pid == pid && p.incomplete & incomplete::CONTROLS_LOST != 0);
    let seen = ground.see("the lost record", told);
    assert_eq!(figures(&seen, pid, 3, Memory::Trace).detail_incomplete, 1);
    let on_10 = |s: &Snapshot| shown(&figures(s, pid, 10, Memory::Dram));
    player.alloc(10, Memory::Dram, 1, 1000, 0);
    ground.see("an account that came later", |s| on_10(s) == (1, 1000, true));
    // It does not end with what is alive, nor with the aggregator.
    player.free(10, Memory::Dram, 1, 1000, 0);
    ground.see("its end", |s| on_10(s) == (0, 0, true));
    aggregator.kill();
    let aggregator = Daemon::start(&ground);
    player.alloc(11, Memory::Dram, 2, 5, 0);
    let seen = ground.see("another one", |s| shown(&figures(s, pid, 11, Memory::Dram)) == (1, 5, true));
    assert!(told(&seen));
    aggregator.end_after(&ground, [player]);
}

#[test]
fn what_is_dropped_of_a_high_device_is_told_as_lost_and_no_other_device_s() {
    const HIGH: u32 = 70;
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &BOUNDED);
    let pid = player.pid();
    player.tell(&format!("event {} 0 {HIGH} 3184 0 64 0 3 0", Kind::DeviceInfo as u8));
    for id in 1..SLOTS {
        player.alloc(HIGH, Memory::Dram, id, SIZE, 0);
    }
    let ring = Ring::of(&mut player);
    for id in 0..5 {
        player.alloc(HIGH, Memory::Dram, 1000 + id, 1000, 0);
    }
    assert_eq!(ring.dropped(), 5);
    let aggregator = Daemon::start(&ground);
    let seen = ground.see("what was written", |s| figures(s, pid, HIGH, Memory::Dram).blocks == SLOTS - 1);
    assert_eq!(shown(&figures(&seen, pid, HIGH, Memory::Dram)), (SLOTS - 1, (SLOTS - 1) * SIZE, true));
    let process = process(&seen, pid);
    assert_eq!((process.dropped_events_total, process.incomplete & incomplete::CONTROLS_LOST), (5, 128));
    // 0xC70 and nothing else: no device 63 that never was.
    assert_eq!(seen.rows.iter().map(|row| row.device).collect::<Vec<_>>(), [HIGH]);
    assert_eq!(seen.chips.iter().map(|chip| (chip.chip_id, chip.id_is_logical)).collect::<Vec<_>>(), [(3184, 0)]);
    aggregator.end_after(&ground, [player]);
}
