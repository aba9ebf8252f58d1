//! A circular buffer that lies in an L1 buffer takes nothing of its own: the buffer is counted already.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Kind, Memory, flags};
use support::{Ground, Player, figures, play_if_asked};

#[test]
fn player() {
    play_if_asked();
}

#[test]
fn a_circular_buffer_inside_a_buffer_is_a_block_of_no_bytes() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.tell("alloc 0 1 1 8192 8192");
    for (id, flags) in [(1, flags::GLOBALLY_ALLOCATED), (2, 0)] {
        let (kind, memory) = (Kind::Alloc as u8, Memory::Cb as u8);
        player.tell(&format!("event {kind} {memory} 0 {id} 64 4096 0 7 {flags}"));
    }
    let pid = player.pid();
    let shown = ground.see("both", |snapshot| figures(snapshot, pid, 0, Memory::Cb).blocks == 2);
    let of = |memory| figures(&shown, pid, 0, memory);
    assert_eq!((of(Memory::Cb).footprint_bytes, of(Memory::L1).footprint_bytes), (4096, 8192));
    // Its end takes nothing away.
    let (kind, memory) = (Kind::Free as u8, Memory::Cb as u8);
    player.tell(&format!("event {kind} {memory} 0 1 64 4096 0 7 {}", flags::GLOBALLY_ALLOCATED));
    let shown = ground.see("one", |snapshot| figures(snapshot, pid, 0, Memory::Cb).blocks == 1);
    assert_eq!(figures(&shown, pid, 0, Memory::Cb).footprint_bytes, 4096);
    assert_eq!(shown.health.anomalies.sum(), 0);
    player.kill();
    ground.see("nobody", |snapshot| snapshot.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}
