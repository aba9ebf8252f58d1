//! What a chip has, and what tt-metal's own counters tell beside our records.

use crate::suite::{HOST_ROOT, Session, Worker, provisioned};
use serde_json::Value;

/// L1 of one Tensix core, bytes.
const WORMHOLE_L1: u64 = 1_499_136;
const BLACKHOLE_L1: u64 = 1_572_864;
/// DRAM of a chip, bytes: 6 banks of 2 GiB, and 8 of 4 GiB less 16 MiB each.
const WORMHOLE_DRAM: u64 = 12 << 30;
const BLACKHOLE_DRAM: u64 = 8 * ((4 << 30) - (16 << 20));

/// The L1 capacities of a cluster's chips, as they are told, are those of so many Tensix cores each. The original multiplied by
/// every tile of the NoC grid: DRAM, ethernet and router tiles counted as memory.
fn l1_is_of_tensix_cores(session: &mut Session, chips: usize, cores: u64, l1: u64, whole_grid: u64) {
    session.start_aggregator();
    let worker = Worker::start(session);
    let stats = session.see("every chip", |stats| opened(stats).len() == chips);
    for device in opened(&stats) {
        assert_eq!(device["tensix_cores"], cores);
        assert_eq!(device["memory"]["L1"]["capacity_bytes"], cores * l1, "{cores} cores of {l1} bytes");
        assert_ne!(device["memory"]["L1"]["capacity_bytes"], whole_grid * l1, "the original's figure");
        let dram = if l1 == WORMHOLE_L1 { WORMHOLE_DRAM } else { BLACKHOLE_DRAM };
        assert_eq!(device["memory"]["DRAM"]["capacity_bytes"], dram, "no constant, and nothing rounded");
    }
    worker.finish();
    session.wait_until_nothing_is_held();
}

/// The chips that the worker has open.
fn opened(stats: &Value) -> Vec<&Value> {
    stats["devices"].as_array().unwrap().iter().filter(|device| device["processes"] == 1).collect()
}

fn process(stats: &Value, pid: u32) -> Option<&Value> {
    stats["processes"].as_array().unwrap().iter().find(|process| process["pid"] == pid)
}

fn held(stats: &Value, pid: u32, kind: &str, figure: &str) -> u64 {
    let devices = process(stats, pid).map_or(&[][..], |process| process["devices"].as_array().unwrap());
    devices.iter().filter_map(|device| device["memory"][kind][figure].as_u64()).sum()
}

with_ttnn! {
    fn l1_is_of_tensix_cores_not_of_the_noc_grid_n150(session on "n150") {
        l1_is_of_tensix_cores(session, 1, 72, WORMHOLE_L1, 10 * 12);
    }

    fn l1_is_of_tensix_cores_not_of_the_noc_grid_n300(session on "n300") {
        l1_is_of_tensix_cores(session, 2, 64, WORMHOLE_L1, 10 * 12);
    }

    fn l1_is_of_tensix_cores_not_of_the_noc_grid_p150(session on "p150") {
        l1_is_of_tensix_cores(session, 1, 140, BLACKHOLE_L1, 17 * 12);
    }

    /// Counters that ttnn writes itself: a process that is not tracked appears beside a tracked one, in no sum; what the counters
    /// say of both is the same, as both do the same.
    fn what_tt_metal_counts_itself_is_shown_beside(session on "n300") {
        session.environment.push((HOST_ROOT.into(), "/".into()));
        session.start_aggregator();
        let mut tracked = Worker::start(session);
        let mut untracked = Worker::start_untracked(session);
        for worker in [&mut tracked, &mut untracked] {
            worker.tell("alloc 12");
            worker.tell("operate");
        }
        let (mine, other) = (tracked.pid, untracked.pid);
        let stats = session.see("both", |stats| {
            process(stats, other).is_some_and(|process| process["source"] == "tt-metal")
                && held(stats, other, "DRAM", "live_bytes") == held(stats, mine, "DRAM", "live_bytes")
                && held(stats, other, "L1", "live_bytes") == held(stats, mine, "L1", "live_bytes")
        });
        assert!(held(&stats, other, "DRAM", "live_bytes") > 0 && held(&stats, other, "L1", "live_bytes") > 0);
        assert_eq!(process(&stats, mine).unwrap()["source"], "ring");
        let all: u64 = opened(&stats).iter().filter_map(|device| device["memory"]["DRAM"]["live_bytes"].as_u64()).sum();
        assert_eq!(all, held(&stats, mine, "DRAM", "live_bytes"), "the tracked one's alone");
        assert_eq!(stats["processes"].as_array().unwrap().iter().filter(|process| process["pid"] == mine).count(), 1);
        // Time enough for a difference to be told, if there were one.
        std::thread::sleep(std::time::Duration::from_secs(7));
        let stats = session.stats().unwrap();
        assert_eq!(stats["aggregator"]["differences"], serde_json::json!([]), "records and counters agree");
        untracked.finish();
        session.see("its end", |stats| process(stats, other).is_none());
        tracked.finish();
        session.wait_until_nothing_is_held();
    }
}
