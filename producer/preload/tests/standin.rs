//! The system's kernels and buffers, which tt-metal never loads on mock devices: a stand-in for libtt_metal.so makes the
//! same calls (`standin/metal.c`), and the hooks in front of it tell them. The cases are those that the original's authors
//! wrote down: 6.4 MB of kernels, 0.2 MB when the programs are gone, nothing when the process is.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod suite;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use suite::{Bench, Session, Worker};

const FABRIC: u64 = 2 * 56 * 1024;
const DISPATCH: u64 = 2 * 46 * 1024;
const SYSTEM_BUFFERS: u64 = 14 << 20;
/// Tensix cores, and bytes for kernels in each.
const REGION: u64 = 140 * 70_656;

/// The job, linked with the stand-in, made by the first test that asks. C++ names in C: there need be no C++ compiler.
fn job() -> PathBuf {
    static JOB: OnceLock<PathBuf> = OnceLock::new();
    JOB.get_or_init(make).clone()
}

fn make() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standin");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standin");
    std::fs::create_dir_all(&directory).unwrap();
    let (library, job) = (directory.join("libtt_metal.so"), directory.join("job"));
    let cc = |arguments: &[&str]| {
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let made =
            Command::new(compiler).args(["-O0", "-Wall", "-Wextra"]).args(arguments).output().expect("a C compiler");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let (at, of) = (|name: &str| sources.join(name).display().to_string(), |path: &Path| path.display().to_string());
    cc(&["-fPIC", "-shared", &at("metal.c"), "-o", &of(&library)]);
    cc(&[&at("job.c"), &of(&library), "-o", &of(&job), &format!("-Wl,-rpath,{}", directory.display())]);
    job
}

fn session(test: &str) -> Session {
    Session::new(Box::leak(Box::new(Bench::of_program(job()))), test, "p150")
}

/// (application, fabric, dispatch, cumulative) of the only chip that there is.
fn kernels(stats: &Value) -> Option<(u64, u64, u64, Option<bool>)> {
    let figures = &stats["devices"].as_array()?.first()?["memory"]["KERNEL"];
    let bytes = |key: &str| figures[key].as_u64();
    let cumulative = figures["cumulative"].as_bool();
    Some((bytes("application_bytes")?, bytes("fabric_bytes")?, bytes("dispatch_bytes")?, cumulative))
}

#[test]
fn kernels_before_and_after_a_crash() {
    let session = &mut session("standin_crash");
    session.start_aggregator();
    for _ in 0..3 {
        let mut killed = Worker::start(session);
        killed.tell("open");
        // None of the application: nobody has said yet how much room there is for them, or it is known from before.
        session.see("the system's kernels", |stats| {
            kernels(stats).is_some_and(|(a, f, d, _)| (a, f, d) == (0, FABRIC, DISPATCH))
        });
        killed.tell("load 62 100000 1");
        session.see("6.4 MB", |stats| kernels(stats) == Some((6_200_000, FABRIC, DISPATCH, Some(false))));
        killed.tell("unload");
        session.see("0.2 MB", |stats| kernels(stats) == Some((0, FABRIC, DISPATCH, Some(false))));
        killed.tell("load 62 100000 1");
        session.see("6.4 MB again", |stats| kernels(stats) == Some((6_200_000, FABRIC, DISPATCH, Some(false))));
        let pid = killed.pid;
        killed.kill();
        session.wait_until_nothing_is_held();
        let (line, _) = session.death_of(pid);
        assert!(line.contains("66 kernels (6."), "{line:?}");
    }
}

#[test]
fn more_than_the_region_holds_is_cumulative() {
    let session = &mut session("standin_cumulative");
    session.start_aggregator();
    let mut job = Worker::start(session);
    job.tell("open");
    job.tell("load 1 70656 140");
    session.see("as much as there is", |stats| kernels(stats) == Some((REGION, FABRIC, DISPATCH, Some(false))));
    job.tell("load 1 8 1");
    session.see("more", |stats| kernels(stats) == Some((REGION + 8, FABRIC, DISPATCH, Some(true))));
    job.tell("unload");
    session.see("none", |stats| kernels(stats) == Some((0, FABRIC, DISPATCH, Some(false))));
    job.finish();
    session.wait_until_nothing_is_held();
}

#[test]
fn buffers_that_the_system_never_frees_do_not_add_up() {
    let session = &mut session("standin_leaks");
    session.start_aggregator();
    for _ in 0..3 {
        let mut job = Worker::start(session);
        job.tell("open");
        let pid = job.pid;
        session.see("its system buffers, and no others", |stats| {
            let device = &stats["devices"][0]["memory"]["DRAM"];
            device["footprint_bytes"] == SYSTEM_BUFFERS && device["blocks"] == 1
        });
        let buffers = session.buffers(pid);
        let system = buffers.iter().filter(|buffer| buffer["system"] == true).count();
        // One buffer, two kernels of the fabric and two of the dispatcher.
        assert_eq!((buffers.len(), system), (5, 5), "{buffers:?}");
        job.finish();
        session.wait_until_nothing_is_held();
    }
}

#[test]
fn what_is_there_when_a_device_is_open_is_the_baseline() {
    let session = &mut session("standin_baseline");
    session.start_aggregator_with(&["--auto-baseline"]);
    let mut job = Worker::start(session);
    let compared = |stats: &Value, memory: &str| {
        let figures = &stats["devices"][0]["memory"][memory];
        let (was, since) = (figures["baseline_bytes"].as_u64(), figures["since_baseline_bytes"].as_i64());
        (was, since, figures["baseline_automatic"].as_bool())
    };
    job.tell("open");
    session.see("the system's", |stats| {
        compared(stats, "DRAM") == (Some(SYSTEM_BUFFERS), Some(0), Some(true))
            && compared(stats, "KERNEL") == (Some(FABRIC + DISPATCH), Some(0), Some(true))
    });
    job.tell("load 62 100000 1");
    session.see("the application's", |stats| {
        compared(stats, "DRAM") == (Some(SYSTEM_BUFFERS), Some(0), Some(true))
            && compared(stats, "KERNEL") == (Some(FABRIC + DISPATCH), Some(6_200_000), Some(true))
    });
    job.finish();
    session.wait_until_nothing_is_held();
}

#[test]
fn stacks_lead_from_the_program_into_the_library_and_leave_the_hooks_out() {
    let session = &mut session("standin_stacks");
    session.environment.push(("TT_ALLOC_STACKS".into(), "1".into()));
    session.start_aggregator();
    let mut job = Worker::start(session);
    job.tell("open");
    job.tell("load 1 100000 1");
    session.see("the job's kernel", |stats| kernels(stats) == Some((100_000, FABRIC, DISPATCH, Some(false))));
    let buffers: Value = serde_json::from_str(&session.tool(&["buffers", "--stacks", "--json"])).unwrap();
    let buffers = buffers["buffers"].as_array().unwrap();
    assert_eq!(buffers.len(), 6, "{buffers:?}");
    for buffer in buffers {
        let frames = buffer["stack"].as_array().unwrap();
        let (first, last) = (&frames[0], frames.iter().rposition(|frame| frame["function"] == "main"));
        assert!(first["module"].as_str().unwrap().ends_with("/libtt_metal.so"), "{first}");
        assert!(first["function"].is_string(), "{first}");
        let main = &frames[last.unwrap_or_else(|| panic!("no main: {frames:?}"))];
        assert!(main["module"].as_str().unwrap().ends_with("/job"), "{main}");
        assert_eq!(buffer["thread"], job.pid, "the thread is the stack's");
    }
    let folded = session.tool(&["stacks", "--folded"]);
    let of_job = folded.lines().find(|line| line.ends_with(" 100000")).unwrap_or_else(|| panic!("{folded}"));
    assert!(of_job.contains(";main;make_program"), "{of_job}");
    job.finish();
    session.wait_until_nothing_is_held();
}

#[test]
fn doctor_says_what_a_library_lacks() {
    let session = &mut session("standin_doctor");
    let package = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("package-{}", std::process::id()));
    let library = package.join("build/lib/libtt_metal.so");
    std::fs::create_dir_all(library.parent().unwrap()).unwrap();
    std::fs::copy(job().with_file_name("libtt_metal.so"), &library).unwrap();
    let said = session.doctor_of_version("0.99.0", &package);
    let words =
        "ttnn 0.99.0: not one that was tried (0.76, 0.77, 0.79, 0.81); cannot be tracked, it lacks what tells buffers";
    assert!(said.starts_with("BAD ") && said.contains(words), "{said}");
    std::fs::remove_dir_all(&package).unwrap();
}
