//! What the original's viewers are told a chip holds: its Tensix cores times L1 of a core, never every tile of the NoC grid.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::event::{Kind, Memory};
use socket::*;
use support::{Ground, Player, play_if_asked};

#[test]
fn client() {
    speak_if_asked();
}

#[test]
fn player() {
    play_if_asked();
}

/// Unique id, architecture's number (as in the original), Tensix cores after harvesting, L1 of one, DRAM banks and bytes of each, tiles of the
/// whole NoC grid.
struct Chip {
    id: u64,
    arch: u64,
    cores: u64,
    l1: u64,
    banks: [u64; 2],
    tiles: u64,
}

const CHIPS: [Chip; 3] = [
    // p150 with all columns, 210 MiB: the original said 306.
    Chip { id: 0xB1, arch: 3, cores: 140, l1: 1_572_864, banks: [8, 4_278_190_080], tiles: 17 * 12 },
    // n150 with one row off, 102.9 MiB: the original said 171.6.
    Chip { id: 0xA1, arch: 2, cores: 72, l1: 1_499_136, banks: [12, 1 << 30], tiles: 10 * 12 },
    // One chip of an n300, 91.5 MiB.
    Chip { id: 0xA2, arch: 2, cores: 64, l1: 1_499_136, banks: [12, 1 << 30], tiles: 10 * 12 },
];

#[test]
fn l1_is_of_tensix_cores_and_not_of_the_noc_grid() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    for (device, chip) in CHIPS.iter().enumerate() {
        let mut say = |kind: Kind, memory: Memory, id: u64, size: u64, footprint: u64, context: u64| {
            let (kind, memory) = (kind as u8, memory as u8);
            player.tell(&format!("event {kind} {memory} {device} {id} 0 {size} {footprint} {context} 0"));
        };
        say(Kind::DeviceInfo, Memory::Dram, chip.id, chip.cores, 0, chip.arch);
        say(Kind::Capacity, Memory::L1, 0, chip.cores * chip.l1, chip.cores, 0);
        say(Kind::Capacity, Memory::Dram, 0, chip.banks[0] * chip.banks[1], chip.banks[0], 0);
    }
    // What comes by a ring is in what the socket's viewers are told.
    player.tell("alloc 1 0 1 1000 4096");
    let pid = player.pid();
    ground.see("what was told last", |s| support::figures(s, pid, 1, Memory::Dram).footprint_bytes == 4096);

    for bytes in [112, 144] {
        let mut client = Client::start(&ground, bytes);
        let (dram, l1, arch, per_core) = if bytes == 112 { (72, 80, 88, 100) } else { (88, 96, 104, 116) };
        for (device, chip) in CHIPS.iter().enumerate() {
            let info = client.ask(DEVICE_INFO_QUERY, device as i32);
            assert_eq!(info.u64(l1), chip.cores * chip.l1, "{bytes}: device {device}");
            assert_ne!(info.u64(l1), chip.tiles * chip.l1, "the original's figure");
            assert_eq!(u64::from(info.u32(per_core)), chip.l1);
            assert_eq!(u64::from(info.u32(arch)), chip.arch);
            // 64 bits: banks of 4 GiB became 0 in the original's 32.
            assert_eq!(info.u64(dram), chip.banks[0] * chip.banks[1]);
        }
        assert_eq!(client.ask(QUERY, 1).buffers(), [4096, 0, 0, 0]);
        // Of a device that nobody opened nothing is known, and nothing is made up.
        client.alloc(7, Memory::Dram, 0x1000, 5);
        let info = client.ask(DEVICE_INFO_QUERY, 7);
        assert_eq!((info.u64(dram), info.u64(l1), info.u32(per_core)), (0, 0, 0));
        client.kill();
        ground.see("it gone", |s| s.processes.len() == 1);
    }
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}
