//! The original's sequences through the hooks: what `workloads/sequences.py` does in one process, and what takes several. Unloads of the
//! system's kernels, which mock devices never load, are in `standin.rs`.

use crate::suite::{Session, Worker, provisioned};
use crate::{agrees, memory_of, rows_of};
use serde_json::Value;

const CHIPS: usize = 8;

/// What this process is shown to hold on each chip: blocks of buffers, circular buffers and kernels.
fn blocks(stats: &Value, pid: u32) -> Vec<[u64; 3]> {
    let processes = stats["processes"].as_array().unwrap().iter().filter(|process| process["pid"] == pid);
    let rows = processes.flat_map(|process| process["devices"].as_array().unwrap());
    let of = |row: &Value, kind: &str| row["memory"][kind]["blocks"].as_u64().unwrap();
    rows.map(|row| [of(row, "DRAM") + of(row, "L1"), of(row, "CB"), of(row, "KERNEL")]).collect()
}

/// Runs `sequences.py`; afterwards nothing of it is left.
fn sequences(session: &mut Session) {
    session.start_aggregator();
    let ended = session.run(&["sequences.py"]);
    ended.must_succeed();
    let samples: u32 = ended.line("SAMPLES").parse().unwrap();
    assert!(samples >= 30, "{samples} samples");
    session.wait_until_nothing_is_held();
}

with_ttnn! {
    fn sequences_p150(session on "p150") {
        sequences(session);
    }

    fn sequences_of_a_mesh_of_eight(session on "8xp150") {
        sequences(session);
    }

    /// Each chip of a mesh of eight has the buffers, circular buffers and kernels of a process, and each loses all of them when it is killed;
    /// what another process has at the same addresses stays.
    fn a_crash_with_live_kernels_on_a_mesh_of_eight(session on "8xp150") {
        session.start_aggregator();
        let mut stays = Worker::start(session);
        let mut dies = Worker::start(session);
        for worker in [&mut stays, &mut dies] {
            worker.tell("alloc 9");
            worker.tell("operate");
        }
        let (allocator, pid) = (dies.truth(), dies.pid);
        stays.tell("free 3");
        dies.tell("check held");
        let held = session.see("the same on every chip", |stats| {
            let of = blocks(stats, pid);
            of.len() == CHIPS && of.iter().all(|of| *of == of_one(&allocator, stats, pid))
        });
        assert!(memory_of(&held, pid, "KERNEL", "application_bytes") > 0);
        dies.kill();
        let truth = stays.truth();
        session.see("the other one's alone", |stats| rows_of(stats, pid) == 0 && agrees(stats, &truth));
        let (line, _) = session.death_of(pid);
        assert!(line.contains("kernels (") && line.contains("CBs ("), "{line:?}");
        stays.tell("check after the other one's death");
        stays.finish();
        session.wait_until_nothing_is_held();
    }

    /// Three runs that free nothing and close nothing: on each of eight chips nothing is left of any.
    fn three_runs_that_leak_on_a_mesh_of_eight(session on "8xp150") {
        session.start_aggregator();
        for _ in 0..3 {
            session.run(&["left_open.py"]).must_succeed();
            session.wait_until_nothing_is_held();
        }
    }
}

/// Blocks of one chip: the buffers that its allocator has, and as many circular buffers and kernels as the first row shows, some of each.
fn of_one(truth: &Value, stats: &Value, pid: u32) -> [u64; 3] {
    let kinds = truth.as_object().unwrap().values().next().unwrap();
    let buffers = kinds["DRAM"]["blocks"].as_u64().unwrap() + kinds["L1"]["blocks"].as_u64().unwrap();
    let first = blocks(stats, pid)[0];
    [buffers, first[1].max(1), first[2].max(1)]
}
