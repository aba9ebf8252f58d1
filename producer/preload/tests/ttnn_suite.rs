//! Stock ttnn on mock devices, tracked: what tt-alloc shows is what tt-metal's allocator holds, to the byte.
//!
//! The workloads are Python programs in `ttnn/workloads`; each compares by itself, at ten points or more. Here they
//! are started, killed, run beside each other and with an aggregator that comes late or dies. Every test has its own
//! prefix in /dev/shm, so they run in parallel.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod suite;

use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use suite::{KINDS, Session, Worker, provisioned};

/// Declares a test that needs ttnn: skipped with a loud message where there is none, failed in CI.
macro_rules! with_ttnn {
    ($($(#[$doc:meta])* fn $name:ident($session:ident on $cluster:literal) $body:block)*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            let Some(bench) = provisioned(stringify!($name)) else { return };
            let $session = &mut Session::new(bench, stringify!($name), $cluster);
            $body
        }
    )*};
}

#[path = "ttnn_suite/devices.rs"]
mod devices;
#[path = "ttnn_suite/leaks.rs"]
mod leaks;
#[path = "ttnn_suite/processes.rs"]
mod processes;
#[path = "ttnn_suite/sequences.rs"]
mod sequences;
#[path = "ttnn_suite/stacks.rs"]
mod stacks;

/// A workload under an aggregator, on one cluster; afterwards nothing of it is left.
macro_rules! workloads {
    ($($name:ident: $workload:literal on $cluster:literal;)*) => { with_ttnn! {$(
        fn $name(session on $cluster) {
            session.start_aggregator();
            let ended = session.run(&[concat!($workload, ".py")]);
            ended.must_succeed();
            let samples: u32 = ended.line("SAMPLES").parse().unwrap();
            assert!(samples >= 10, "{samples} samples");
            session.wait_until_nothing_is_held();
        }
    )*} };
}

workloads! {
    tensors_p150: "tensors" on "p150";
    tensors_n150: "tensors" on "n150";
    tensors_4xp150: "tensors" on "4xp150";
    sharded_p150: "sharded" on "p150";
    sharded_n150: "sharded" on "n150";
    sharded_4xp150: "sharded" on "4xp150";
    operations_p150: "operations" on "p150";
    operations_n150: "operations" on "n150";
    operations_4xp150: "operations" on "4xp150";
    operations_8xp150: "operations" on "8xp150";
    kernels_p150: "kernels" on "p150";
    kernels_n150: "kernels" on "n150";
    kernels_8xp150: "kernels" on "8xp150";
    fabric_kernels_4xp150: "fabric_kernels" on "4xp150";
    tensors_n300: "tensors" on "n300";
    meshes_n300: "meshes" on "n300";
    trace_p150: "trace" on "p150";
    trace_4xp150: "trace" on "4xp150";
    out_of_memory_p150: "out_of_memory" on "p150";
    out_of_memory_n150: "out_of_memory" on "n150";
    random_walk_p150: "random_walk" on "p150";
    random_walk_n150: "random_walk" on "n150";
    random_walk_4xp150: "random_walk" on "4xp150";
    threads_p150: "threads" on "p150";
    threads_4xp150: "threads" on "4xp150";
    meshes_4xp150: "meshes" on "4xp150";
    reopen_p150: "reopen" on "p150";
    reopen_4xp150: "reopen" on "4xp150";
    garbage_p150: "garbage" on "p150";
    phases_p150: "phases" on "p150";
    capture_p150: "capture" on "p150";
    capture_4xp150: "capture" on "4xp150";
    left_open_p150: "left_open" on "p150";
    left_open_4xp150: "left_open" on "4xp150";
    acceptance_4xp150: "acceptance" on "4xp150";
    acceptance_8xp150: "acceptance" on "8xp150";
    acceptance_n150: "acceptance" on "n150";
}

with_ttnn! {
    /// Two processes on one chip: the total is their sum. One is killed: its rows go, the other's stay as they are.
    fn two_processes_and_a_kill(session on "p150") {
        session.start_aggregator();
        let mut stays = Worker::start(session);
        let mut dies = Worker::start(session);
        for round in 0..5 {
            stays.tell("alloc 20");
            dies.tell("alloc 31");
            stays.tell("operate");
            dies.tell("operate");
            stays.tell("free 7");
            let sum = add(&stays.truth(), &dies.truth());
            session.see(&format!("both, round {round}"), |stats| agrees(stats, &sum));
            stays.tell("check beside another process");
            dies.tell("check beside another process");
        }
        let survivor = stays.truth();
        let (killed, at) = (dies.pid, dies.kill());
        session.see("the survivor alone", |stats| rows_of(stats, killed) == 0 && agrees(stats, &survivor));
        let (line, noticed) = session.death_of(killed);
        assert!(noticed - at < 1.0, "noticed after {} s", noticed - at);
        for word in ["buffer", "CB", "kernel", "B)"] {
            assert!(line.contains(word), "{line:?} does not name {word:?}");
        }
        stays.tell("check after the other one's death");
        stays.tell("alloc 10");
        stays.tell("check and it goes on");
        stays.finish();
        session.wait_until_nothing_is_held();
    }

    /// The original system's question: is everything cleaned up when a process with an open device is killed?
    fn system_kernel_cleanup_faq(session on "p150") {
        session.start_aggregator();
        let mut killed = Worker::start(session);
        killed.tell("alloc 5");
        killed.tell("operate");
        killed.tell("check held");
        let held = killed.truth();
        let pid = killed.pid;
        session.see("circular buffers and kernels of it", |stats| {
            memory_of(stats, pid, "CB", "registered_bytes") > 0
                && memory_of(stats, pid, "KERNEL", "application_bytes") > 0
                && agrees(stats, &held)
        });
        let at = killed.kill();
        // Every kind, also kernels and circular buffers.
        session.wait_until_nothing_is_held();
        session.see("its rows gone", |stats| rows_of(stats, pid) == 0);
        let (line, noticed) = session.death_of(pid);
        assert!(noticed - at < 1.0, "noticed after {} s", noticed - at);
        assert!(line.starts_with(&format!("PID {pid} (python")) && line.contains(" died: removed "), "{line:?}");
        // Five tensors, and the argument and the result of the operation; its argument went out of scope.
        assert!(line.contains("6 buffers"), "{line:?}");
    }

    /// A process that aborts, or leaves with its device open, is cleaned up like a killed one.
    fn abort_is_cleaned_up(session on "4xp150") {
        session.start_aggregator();
        let mut worker = Worker::start(session);
        worker.tell("alloc 12");
        worker.tell("operate");
        worker.tell("check held");
        let pid = worker.pid;
        assert_eq!(worker.abandon("crash").signal(), Some(6));
        session.wait_until_nothing_is_held();
        session.death_of(pid);
    }

    /// Off means off: no file, no thread, no output, whether the hooks are loaded or not.
    fn off_is_invisible(session on "p150") {
        session.run_untracked(&["plain.py"], &[]).must_succeed(); // fills the kernel cache: the first run logs more
        let bare = session.run_untracked(&["plain.py"], &[]);
        bare.must_succeed();
        let hooks = session.hooks();
        for variable in [None, Some("0"), Some("off"), Some("")] {
            let mut environment = vec![("LD_PRELOAD", hooks.as_str())];
            environment.extend(variable.map(|value| ("TT_ALLOC_TRACKING_ENABLED", value)));
            let off = session.run_untracked(&["plain.py"], &environment);
            // Part of the output: how many threads it has, and how many files with our prefix there are.
            assert_eq!(off.comparable(), bare.comparable(), "TT_ALLOC_TRACKING_ENABLED={variable:?}");
            assert!(off.line("SELF").ends_with(" 0"), "files: {}", off.line("SELF"));
            assert_eq!(session.files(), [""; 0]);
        }
        let on = session.run(&["plain.py"]);
        assert!(on.line("SELF").ends_with(" 1"), "tracked, it has its ring: {}", on.line("SELF"));
    }

    /// Nothing that a script prints or returns is different when it is tracked, with and without an aggregator.
    fn tracked_looks_like_untracked(session on "p150") {
        session.run_untracked(&["plain.py"], &[]);
        for aggregated in [false, true] {
            if aggregated {
                session.start_aggregator();
            }
            for (ending, code) in [("ok", 0), ("exit", 7), ("raise", 1)] {
                let bare = session.run_untracked(&["plain.py", ending], &[]);
                let tracked = session.run(&["plain.py", ending]);
                assert_eq!(bare.status.code(), Some(code), "{ending}");
                let without_self = |ended: &suite::Ended| {
                    let (code, out, err) = ended.comparable();
                    // Threads must be the same; the number of files is ours to differ in.
                    let out = out.lines().map(|line| match line.strip_prefix("SELF ") {
                        Some(own) => own.split(' ').next().unwrap().to_owned(),
                        None => line.to_owned(),
                    });
                    (code, out.collect::<Vec<_>>(), err)
                };
                assert_eq!(without_self(&tracked), without_self(&bare), "{ending}");
            }
        }
    }

    /// No aggregator, a clean exit: nothing of ours stays in /dev/shm.
    fn no_aggregator_leaves_nothing(session on "p150") {
        session.run(&["plain.py", "ok"]).must_succeed();
        assert_eq!(session.files(), [""; 0]);
        assert_eq!(session.run(&["plain.py", "exit"]).status.code(), Some(7));
        assert_eq!(session.files(), [""; 0]);
    }

    /// "6.4 MB of kernels before the crash, 0.2 MB for ever after": a process that is killed with kernels of its
    /// application and of the fabric leaves none of either, three times over.
    fn killed_with_live_kernels(session on "4xp150") {
        session.start_aggregator();
        for _ in 0..3 {
            let mut killed = Worker::start(session);
            killed.tell("alloc 3");
            killed.tell("operate");
            killed.tell("check held");
            let pid = killed.pid;
            let kernels = |stats: &Value| memory_of(stats, pid, "KERNEL", "application_bytes");
            let held = kernels(&session.see("its kernels", |stats| kernels(stats) > 0));
            killed.tell("operate");
            killed.tell("check cached programs load nothing again");
            session.see("the same kernels", |stats| kernels(stats) == held);
            let at = killed.kill();
            session.wait_until_nothing_is_held();
            let (line, noticed) = session.death_of(pid);
            assert!(noticed - at < 1.0, "noticed after {} s", noticed - at);
            assert!(line.contains("kernels ("), "{line:?}");
        }
    }

    /// "System buffers leak 14 MB per run": three runs, and nothing is left after each, with the same aggregator.
    fn repeated_runs_leak_nothing(session on "p150") {
        session.start_aggregator();
        for _ in 0..3 {
            session.run(&["left_open.py"]).must_succeed();
            session.wait_until_nothing_is_held();
        }
        session.run(&["reopen.py"]).must_succeed();
        session.wait_until_nothing_is_held();
    }

    /// An aggregator that comes when a process has been running for a while sees all that it holds.
    fn late_aggregator(session on "p150") {
        let mut worker = Worker::start(session);
        worker.tell("alloc 50");
        worker.tell("operate");
        worker.tell("free 20");
        session.start_aggregator();
        worker.tell("check by a late aggregator");
        worker.tell("alloc 20");
        worker.tell("check and going on");
        worker.finish();
        session.wait_until_nothing_is_held();
    }

    /// An aggregator that ends or is killed, and another one that takes over: exact, also for what happened between.
    fn aggregator_restarts(session on "4xp150") {
        session.start_aggregator();
        let mut worker = Worker::start(session);
        for round in 0..4 {
            worker.tell("alloc 30");
            worker.tell("operate");
            worker.tell(&format!("check before restart {round}"));
            if round % 2 == 0 { session.stop_aggregator() } else { session.kill_aggregator() }
            worker.tell("alloc 11");
            worker.tell("free 25");
            session.start_aggregator();
            worker.tell(&format!("check after restart {round}"));
        }
        // It dies while nobody looks.
        session.kill_aggregator();
        worker.tell("alloc 5");
        worker.kill();
        session.start_aggregator();
        session.wait_until_nothing_is_held();
    }

    /// The aggregator is killed every 200 ms while a workload runs: its figures are exact at every point all the same.
    fn restless_random_walk(session on "4xp150") {
        session.restless.get_or_insert(Duration::from_millis(200));
        session.start_aggregator();
        session.run(&["random_walk.py"]).must_succeed();
        session.wait_until_nothing_is_held();
        assert!(session.restarts() > 0, "never killed");
    }

    /// The same beside a process that is killed.
    fn restless_and_a_kill(session on "p150") {
        session.restless.get_or_insert(Duration::from_millis(200));
        session.start_aggregator();
        let (mut stays, mut dies) = (Worker::start(session), Worker::start(session));
        for round in 0..3 {
            stays.tell("alloc 20");
            dies.tell("alloc 31");
            stays.tell("operate");
            let sum = add(&stays.truth(), &dies.truth());
            session.see(&format!("both, round {round}"), |stats| agrees(stats, &sum));
            stays.tell("free 7");
        }
        let (survivor, killed) = (stays.truth(), dies.pid);
        dies.kill();
        session.see("the survivor alone", |stats| rows_of(stats, killed) == 0 && agrees(stats, &survivor));
        session.death_of(killed);
        stays.finish();
        session.wait_until_nothing_is_held();
        assert!(session.restarts() > 0);
    }

    /// A device closed and opened again under an observer: nothing of the first life in the second.
    fn closed_under_observation(session on "4xp150") {
        session.start_aggregator();
        let mut worker = Worker::start(session);
        for round in 0..3 {
            worker.tell("alloc 15");
            worker.tell("operate");
            worker.tell(&format!("check open {round}"));
            worker.tell("close");
            worker.tell(&format!("check closed {round}"));
            worker.tell("open");
            worker.tell(&format!("check open again {round}"));
        }
        worker.finish();
    }

    /// tt-metal's own shared-memory statistics switched off: the hooks do not need them.
    fn without_metal_statistics(session on "4xp150") {
        session.environment.push(("TT_METAL_SHM_TRACKING_DISABLED".into(), "1".into()));
        session.start_aggregator();
        session.run(&["tensors.py"]).must_succeed();
        session.run(&["acceptance.py"]).must_succeed();
    }

    /// The comparison itself can fail: with the hooks loaded in no process, the workload says that figures differ.
    fn disagreement_is_noticed(session on "p150") {
        session.start_aggregator();
        session.environment.push(("TT_ALLOC_PATIENCE".into(), "1".into()));
        let ended = session.run_untracked(&["tensors.py"], &[]);
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.err.contains("tt-alloc and the allocator disagree"), "{}", ended.err);
    }

    /// Of a version that nobody tried `doctor` says so, and what it finds in it all the same.
    fn doctor_knows_what_was_tried(session on "p150") {
        let package = session.package();
        for tried in ["0.76.0", "0.81.1", "0.81.7.dev3"] {
            let said = session.doctor_of_version(tried, &package);
            assert!(said.starts_with("ok ") && said.contains(&format!("ttnn {tried}: tracked; ")), "{said}");
        }
        for other in ["0.75.0", "0.78.0", "0.82.0", "1.81.0", "nightly"] {
            let said = session.doctor_of_version(other, &package);
            let words = format!("ttnn {other}: not one that was tried (0.76, 0.77, 0.79, 0.81); tracked; ");
            assert!(said.starts_with("note ") && said.contains(&words), "{said}");
        }
        let said = session.doctor();
        assert!(said.starts_with("ok ") && said.contains(": tracked; all "), "{said}");
    }

    /// Killed while no aggregator runs: `tt-alloc gc` removes what it left.
    fn leftovers_are_collected(session on "p150") {
        let mut worker = Worker::start(session);
        worker.tell("alloc 3");
        worker.kill();
        assert_ne!(session.files(), [""; 0], "its ring waits for somebody");
        session.gc();
        assert_eq!(session.files(), [""; 0]);
    }
}

/// `{chip: {kind: {bytes, blocks}}}` of two processes together.
fn add(one: &Value, other: &Value) -> Value {
    let mut sum = one.clone();
    for (chip, kinds) in sum.as_object_mut().unwrap() {
        for (kind, figures) in kinds.as_object_mut().unwrap() {
            for (unit, value) in figures.as_object_mut().unwrap() {
                *value = (value.as_u64().unwrap() + other[chip][kind][unit].as_u64().unwrap()).into();
            }
        }
    }
    sum
}

/// The device totals are these.
fn agrees(stats: &Value, truth: &Value) -> bool {
    truth.as_object().unwrap().iter().all(|(chip, kinds)| {
        let devices = stats["devices"].as_array().unwrap();
        let device = devices.iter().find(|device| device["chip_id"] == **chip);
        KINDS.iter().all(|kind| {
            let (bytes, blocks) = device.map_or((0, 0), |device| {
                let figures = &device["memory"][kind];
                (figures["footprint_bytes"].as_u64().unwrap(), figures["blocks"].as_u64().unwrap())
            });
            kinds[kind]["bytes"] == bytes && kinds[kind]["blocks"] == blocks
        })
    })
}

/// Chips on which this process is shown to be.
fn rows_of(stats: &Value, pid: u32) -> usize {
    let processes = stats["processes"].as_array().unwrap().iter();
    processes.filter(|process| process["pid"] == pid).map(|process| process["devices"].as_array().unwrap().len()).sum()
}

/// One figure of one process, on all chips together.
fn memory_of(stats: &Value, pid: u32, kind: &str, figure: &str) -> u64 {
    let processes = stats["processes"].as_array().unwrap().iter().filter(|process| process["pid"] == pid);
    let rows = processes.flat_map(|process| process["devices"].as_array().unwrap());
    rows.map(|row| row["memory"][kind][figure].as_u64().unwrap()).sum()
}
