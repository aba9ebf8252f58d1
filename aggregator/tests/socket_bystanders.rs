//! What the original's viewers are told where the host has devices that no tracked process uses: those have no number.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::event::Memory;
use shm_layout::stats::Presence;
use socket::*;
use std::path::PathBuf;
use std::process::Command;
use support::Ground;

#[test]
fn client() {
    speak_if_asked();
}

/// A host's files; gone with it.
struct Host(PathBuf);

impl Host {
    /// With so many Blackholes of the driver.
    fn with_devices(count: u64) -> Self {
        let host = Self(std::env::temp_dir().join(format!("tt_alloc_socket_{}", std::process::id())));
        let class = host.0.join("sys/class/tenstorrent");
        std::fs::create_dir_all(&class).unwrap();
        for number in 0..count {
            let own = host.0.join(format!("sys/devices/0000:{number:02x}:00.0/tenstorrent/tenstorrent!{number}"));
            std::fs::create_dir_all(&own).unwrap();
            std::fs::write(own.join("tt_asic_id"), format!("{:016X}\n", 0xA000 + number)).unwrap();
            std::os::unix::fs::symlink("../..", own.join("device")).unwrap();
            std::os::unix::fs::symlink(&own, class.join(format!("tenstorrent!{number}"))).unwrap();
        }
        host
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_number_of_devices_is_of_those_that_were_told_of() {
    let ground = Ground::new();
    let host = Host::with_devices(4);
    let mut command = Command::new(env!("CARGO_BIN_EXE_aggregator"));
    command.env("TT_ALLOC_HOST_ROOT", &host.0);
    let daemon = Daemon::start_by(command, &ground);
    let of_driver = |chip: &&shm_layout::stats::Chip| chip.telemetry.presence == Presence::Driver as u32;
    ground.see("the driver's devices", |s| s.chips.iter().filter(of_driver).count() == 4);
    let mut client = Client::start(&ground, 144);
    let info = client.ask(DEVICE_INFO_QUERY, -1);
    assert_eq!((info.u32(120), info.u32(124)), (0, 0), "nobody told of one");
    client.alloc(1, Memory::Dram, 0x1000, 11);
    let info = client.ask(DEVICE_INFO_QUERY, -1);
    assert_eq!((info.u32(120), info.u32(124)), (1, 2));
    assert_eq!(client.ask(DEVICE_INFO_QUERY, 1).u32(120), 1);
    assert_eq!(client.ask(DEVICE_INFO_QUERY, 0).u32(120), 0);
    client.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}
