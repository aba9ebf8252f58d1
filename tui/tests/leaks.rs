//! `tt-alloc leaks` and the groups of `tt-alloc buffers`, with real processes: each finding, and none of a healthy job.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use serde_json::{Value, json};
use shm_layout::event::{Event, Kind, Memory, flags};
use shm_layout::names::Prefix;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A process of this test binary's own, told line by line what to do.
struct Job {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

fn tell(kind: Kind, memory: Memory, event: Event) {
    producer::process::record(Event { kind: kind as u8, memory: memory as u8, ..event });
}

/// Runs as what this test binary was started for.
#[test]
fn job() {
    if std::env::var_os("LEAKS_JOB").is_none() {
        return;
    }
    static NEXT: AtomicU64 = AtomicU64::new(1 << 32);
    let alloc = |size| {
        let id = NEXT.fetch_add(1, Relaxed);
        tell(Kind::Alloc, Memory::Dram, Event { id, size, ..Event::default() });
        id
    };
    let free = |id| tell(Kind::Free, Memory::Dram, Event { id, ..Event::default() });
    println!("\nready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            // memory, id, size, flags
            "alloc" => {
                let memory = Memory::from_name(words[1]).unwrap();
                let event = Event { id: number(2), size: number(3), flags: number(4) as u16, ..Event::default() };
                tell(Kind::Alloc, memory, event);
            }
            "many" => drop((0..number(1)).map(|_| alloc(64)).collect::<Vec<_>>()),
            "free" => {
                tell(Kind::Free, Memory::from_name(words[1]).unwrap(), Event { id: number(2), ..Event::default() });
            }
            "open" => tell(Kind::DeviceInfo, Memory::Dram, Event { id: 0x7000, context: 3, ..Event::default() }),
            "close-device" => tell(Kind::DeviceClose, Memory::Dram, Event::default()),
            // An iteration every few milliseconds: each allocates and frees, and keeps one in the end.
            "leak" => drop(std::thread::spawn(move || {
                loop {
                    (0..3).map(|_| alloc(4096)).collect::<Vec<_>>().into_iter().for_each(free);
                    alloc(1 << 20);
                    std::thread::sleep(Duration::from_millis(5));
                }
            })),
            // As many at any time, each of which lives for a while.
            "steady" => drop(std::thread::spawn(move || {
                let mut live: VecDeque<u64> = (0..64).map(|_| alloc(1 << 20)).collect();
                loop {
                    live.push_back(alloc(1 << 20));
                    live.pop_front().into_iter().for_each(free);
                    std::thread::sleep(Duration::from_millis(2));
                }
            })),
            // Up to many and down to none, again and again, out of step with any look.
            "wave" => drop(std::thread::spawn(move || {
                for length in (20..90).cycle().step_by(17) {
                    let live: Vec<u64> = (0..length)
                        .map(|_| {
                            std::thread::sleep(Duration::from_millis(1));
                            alloc(1 << 16)
                        })
                        .collect();
                    live.into_iter().for_each(free);
                }
            })),
            "exit" => {
                producer::process::close();
                println!("\n=");
                std::process::exit(0);
            }
            other => panic!("{other}"),
        }
        println!("\n=");
    }
}

impl Job {
    fn start(ground: &Ground) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "job", "--nocapture", "--test-threads=1"]);
        command.envs([("LEAKS_JOB", "1"), ("TT_ALLOC_TRACKING_ENABLED", "1"), ("TT_ALLOC_PREFIX", &ground.0)]);
        // Exact times: a mark lies between two events. A ring that is soon full.
        command.envs([
            ("TT_ALLOC_CLOCK", "tsc"),
            ("TT_ALLOC_RING_BYTES", "65536"),
            ("TT_ALLOC_RING_MAX_BYTES", "65536"),
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut job = Self { child, input, output };
        job.until("ready");
        job
    }

    fn until(&mut self, what: &str) {
        let mut line = String::new();
        while line.trim_end() != what {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it has ended");
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.until("=");
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends in good order.
    fn exit(mut self) {
        self.tell("exit");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A prefix of this test's own; what has it at the end is removed.
struct Ground(String);

impl Ground {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(format!("leaks_{}_{}", std::process::id(), NEXT.fetch_add(1, Relaxed)))
    }

    fn aggregator(&self) -> aggregator::embedded::Embedded {
        // Not this host's devices: others may be using them.
        let nowhere = aggregator::telemetry::Root::at("/nonexistent");
        aggregator::embedded::start_in(&Prefix::new(&self.0).unwrap(), nowhere).unwrap()
    }

    fn tool(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tt-alloc"));
        command.args(arguments).env("TT_ALLOC_PREFIX", &self.0).env_remove("TT_ALLOC_TRACKING_ENABLED");
        let Output { status, stdout, stderr } = command.output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (code, said, wrong) = self.tool(&[arguments, &["--json"]].concat());
        assert_eq!(code, Some(0), "{wrong}");
        serde_json::from_str(&said).unwrap()
    }

    /// The answer, once this holds of it.
    fn see(&self, what: &str, arguments: &[&str], holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.json(arguments);
            if holds(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}: {answer:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Until so many are live.
    fn live(&self, count: usize) {
        self.see("the live ones", &["buffers", "--by", "memory"], |groups| groups["count"] == count);
    }

    fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.0);
        let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with(&dot)).collect()
    }

    /// Everybody and the aggregator end; nothing is left.
    fn end(&self, jobs: Vec<Job>, aggregator: aggregator::embedded::Embedded) {
        drop(jobs);
        self.see("nobody", &["stats"], |stats| stats["processes"].as_array().is_some_and(Vec::is_empty));
        drop(aggregator);
        assert!(self.tool(&["gc"]).0 == Some(0) && self.files().is_empty(), "{:?}", self.files());
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for name in self.files() {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
        }
    }
}

/// (kind, pid, suspect) of each finding.
fn found(report: &Value) -> Vec<(&str, Option<u64>, bool)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|f| (f["kind"].as_str().unwrap(), f["pid"].as_u64(), f["suspect"] == true)).collect()
}

const WATCH: [&str; 5] = ["leaks", "--watch", "4", "--every", "250ms"];

#[test]
fn one_that_keeps_a_buffer_an_iteration_is_found_by_watching_and_healthy_ones_are_not() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs: Vec<Job> = (0..3).map(|_| Job::start(&ground)).collect();
    jobs[1].tell("steady");
    jobs[2].tell("wave");
    ground.see("both", &["buffers", "--by", "process"], |all| all["groups"].as_array().unwrap().len() == 2);
    for _ in 0..4 {
        let (code, said, _) = ground.tool(&[&WATCH[..], &["--fail"]].concat());
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with("no leak found\n") && said.contains("4 times in"), "{said}");
    }
    jobs[0].tell("leak");
    let leaks = u64::from(jobs[0].pid());
    let report = ground.see("the leak", &WATCH, |report| report["suspects"] != 0);
    assert_eq!(found(&report), [("grew", Some(leaks), true)], "{report:#}");
    let one = &report["findings"][0];
    assert_eq!(one["size_class"], json!({"from_bytes": 1 << 20, "below_bytes": 2 << 20}));
    assert_eq!((&one["memory"], &one["class"], &one["device"]), (&"DRAM".into(), &"application".into(), &0.into()));
    let counts: Vec<u64> = one["looks"].as_array().unwrap().iter().map(|l| l["count"].as_u64().unwrap()).collect();
    assert!(counts.len() == 4 && counts.is_sorted() && one["count"] == counts[3] - counts[0], "{report:#}");
    let healthy = jobs[1].pid().to_string();
    assert!(found(&ground.json(&[&WATCH[..], &["--pid", &healthy]].concat())).is_empty());
    // Until a look finds it, so that a machine that stands still for a moment is no failure.
    let deadline = Instant::now() + PATIENCE;
    let said = loop {
        let (code, said, _) = ground.tool(&[&WATCH[..], &["--fail"]].concat());
        if code == Some(1) {
            break said;
        }
        assert!(Instant::now() < deadline, "{said}");
    };
    let suspect = format!("SUSPECT  grew           PID {leaks} (");
    assert!(said.contains(&suspect) && said.ends_with("\n1 suspect\n"), "{said}");
    assert_eq!(ground.tool(&["leaks", "--watch", "2"]).0, Some(2), "two looks tell nothing");
    ground.end(jobs, aggregator);
}

#[test]
fn what_outlives_a_mark_is_told_and_what_is_kept_on_purpose_is_told_apart() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs = vec![Job::start(&ground)];
    let pid = u64::from(jobs[0].pid());
    for id in 1..=4 {
        jobs[0].tell(&format!("alloc DRAM {id} 1000 0"));
    }
    ground.live(4);
    let none = ground.json(&["leaks"]);
    assert!(found(&none).is_empty() && none["not_looked_for"][0].as_str().unwrap().contains("no baseline is set"));
    assert_eq!(ground.tool(&["baseline", "set"]).0, Some(0));
    let leaks = ["leaks", "--grace", "0s"];
    // All are replaced: no more than there was.
    for id in 1..=4 {
        jobs[0].tell(&format!("alloc DRAM {} 1000 0", id + 10));
        jobs[0].tell(&format!("free DRAM {id}"));
    }
    ground.live(4);
    let steady = ground.json(&leaks);
    assert_eq!((found(&steady), &steady["looked_at"]["baselines"]), (vec![], &1.into()), "{steady:#}");
    // What tt-metal and the cache keep.
    jobs[0].tell(&format!("alloc DRAM 50 70000 {}", flags::SYSTEM));
    ground.live(5);
    let system = ground.json(&leaks);
    assert_eq!(found(&system), [("outlived", Some(pid), false)], "{system:#}");
    assert_eq!((&system["findings"][0]["class"], &system["suspects"]), (&"system".into(), &0.into()));
    // One more, and it stays.
    jobs[0].tell("alloc DRAM 20 500 0");
    ground.live(6);
    let (code, said, _) = ground.tool(&[&leaks[..], &["--fail"]].concat());
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("SUSPECT  outlived       PID {pid} (")), "{said}");
    assert!(
        said.contains("500 B more than at the baseline of") && said.contains("5 that came since are still there"),
        "{said}"
    );
    let young = ground.json(&["leaks", "--grace", "1h"]);
    assert!(found(&young).is_empty(), "what is younger may be work in progress: {young:#}");
    jobs[0].tell("free DRAM 20");
    ground.live(5);
    assert_eq!(ground.json(&leaks)["suspects"], 0, "it is gone");

    // Since a moment, of which nobody knows what there was.
    for memory in ["TRACE", "CB", "KERNEL", "SYSTEM_MEMORY"] {
        jobs[0].tell(&format!("alloc {memory} 60 4096 0"));
    }
    ground.live(9);
    let since = ground.json(&["leaks", "--since", "1h", "--grace", "0s"]);
    let classes = |suspect: bool| {
        let findings = since["findings"].as_array().unwrap().iter().filter(|f| f["suspect"] == suspect);
        findings.map(|f| f["class"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(classes(true), ["application"], "{since:#}");
    let mut apart = classes(false);
    apart.sort_unstable();
    assert_eq!(apart, ["program-cache", "program-cache", "system", "system", "trace"]);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(found(&ground.json(&["leaks", "--since", "1s"])).is_empty(), "nothing came in the last second");
    for (bad, why) in [("soon", "or a moment"), ("2100-01-01 00:00", "still to come")] {
        let (code, _, wrong) = ground.tool(&["leaks", "--since", bad]);
        assert!(code == Some(2) && wrong.contains(why), "{wrong}");
    }
    ground.end(jobs, aggregator);
}

#[test]
fn closed_devices_and_unknown_sizes() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs = vec![Job::start(&ground)];
    let pid = u64::from(jobs[0].pid());
    jobs[0].tell("open");
    jobs[0].tell("alloc L1 1 0 8");
    jobs[0].tell("alloc DRAM 2 4096 0");
    ground.live(2);
    let report = ground.json(&["leaks"]);
    assert_eq!(found(&report), [("size-unknown", Some(pid), false)], "{report:#}");
    assert_eq!((&report["findings"][0]["memory"], &report["findings"][0]["chip_id"]), (&"L1".into(), &"0x7000".into()));
    jobs[0].tell("close-device");
    ground.live(0);
    assert!(found(&ground.json(&["leaks"])).is_empty(), "its close has ended what was there");
    jobs[0].tell("alloc DRAM 3 4096 0");
    jobs[0].tell("alloc CB 4 4096 0");
    ground.live(2);
    let report = ground.json(&["leaks"]);
    assert_eq!(found(&report), [("closed-device", Some(pid), true), ("closed-device", Some(pid), false)], "{report:#}");
    assert_eq!(
        (&report["findings"][1]["class"], &report["findings"][0]["count"]),
        (&"program-cache".into(), &1.into())
    );
    jobs[0].tell("close-device");
    ground.live(0);
    assert!(found(&ground.json(&["leaks"])).is_empty());
    ground.end(jobs, aggregator);
}

#[test]
fn what_ended_processes_had_not_freed_and_runs_that_leave_more() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let run = |leaves: u64| {
        let mut job = Job::start(&ground);
        (0..leaves).for_each(|id| job.tell(&format!("alloc DRAM {} 4096 0", id + 1)));
        let pid = u64::from(job.pid());
        // Nobody is told of one that the aggregator never saw.
        job.tell("alloc L1 99 64 0");
        ground.live(leaves as usize + 1);
        job.tell("free L1 99");
        job.exit();
        pid
    };
    let last =
        |pid| move |report: &Value| report["findings"].as_array().unwrap().iter().any(|finding| finding["pid"] == pid);
    // Runs that leave as much each time, as a job does that never closes its device.
    for _ in 0..3 {
        let pid = run(2);
        let report = ground.see("its end", &["leaks"], last(pid));
        assert!(found(&report).iter().all(|(kind, _, suspect)| *kind == "left-at-exit" && !suspect), "{report:#}");
        let stats = ground.json(&["stats"]);
        assert_eq!(stats["devices"][0]["memory"]["DRAM"]["footprint_bytes"], 0, "nothing adds up over runs");
    }
    let runs = |report: &Value| {
        let all = report["findings"].as_array().unwrap();
        all.iter()
            .find(|f| f["kind"] == "runs-grew")
            .map(|f| (f["suspect"] == true, f["text"].as_str().unwrap().to_owned()))
    };
    for leaves in 3..=6 {
        let pid = run(leaves);
        let report = ground.see("its end", &["leaks"], last(pid));
        match runs(&report) {
            None => assert!(leaves < 4, "{report:#}"),
            Some((suspect, text)) => {
                assert!(leaves >= 4 && suspect == (leaves == 6), "{leaves}: {text}");
                assert!(
                    text.contains("job --nocapture") && text.contains(&format!(" 2 to {leaves} buffers")),
                    "{text}"
                );
            }
        }
    }
    assert_eq!(ground.tool(&["leaks", "--fail"]).0, Some(1));
    let only = run(0);
    ground.see("its end", &["stats"], |stats| {
        stats["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["pid"] == only && line["text"].as_str().unwrap().ends_with("exited"))
    });
    assert_eq!(runs(&ground.json(&["leaks"])), None, "one run left nothing");
    ground.end(Vec::new(), aggregator);
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let ground = Ground::new();
    let mut jobs = vec![Job::start(&ground), Job::start(&ground)];
    assert_eq!(ground.tool(&["leaks"]).0, Some(3), "nobody aggregates");
    // More than its ring holds, and all of it alive.
    jobs[0].tell("many 3000");
    jobs[1].tell("many 3");
    let aggregator = ground.aggregator();
    let pid = jobs[0].pid();
    for list in [&["buffers"][..], &["buffers", "--by", "memory"], &["leaks"]] {
        let about = |answer: &Value| answer["not_known"].as_array().unwrap().iter().any(|one| one["pid"] == pid);
        ground.see("that records were dropped", list, about);
        let (_, said, wrong) = ground.tool(list);
        assert!((said + &wrong).contains("its ring was full"), "{list:?}: {wrong}");
    }
    let (code, said, _) = ground.tool(&["leaks", "--strict"]);
    assert!(code == Some(4) && said.ends_with("no leak found in what could be looked at\n"), "{said}");
    let other = jobs[1].pid().to_string();
    let (code, said, _) = ground.tool(&["leaks", "--strict", "--pid", &other]);
    assert!(code == Some(0) && said.ends_with("no leak found\n"), "{said}");
    // A ledger that is not where it should be.
    let pid = format!(".{other}.");
    let ledger = ground.files().into_iter().find(|name| name.contains(".ledger.") && name.contains(&pid)).unwrap();
    let (here, away) = (format!("/dev/shm/{ledger}"), format!("/dev/shm/{}.away", ground.0));
    std::fs::rename(&here, &away).unwrap();
    let (code, said, _) = ground.tool(&["leaks", "--strict", "--pid", &other]);
    assert!(code == Some(4) && said.contains("its single allocations cannot be read from here"), "{said}");
    std::fs::rename(&away, &here).unwrap();
    ground.end(jobs, aggregator);
}

#[test]
fn buffers_are_filtered_and_grouped() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs = vec![Job::start(&ground), Job::start(&ground)];
    for (memory, id, size, flags) in [("DRAM", 1, 4096, 0), ("DRAM", 2, 1024, 0), ("L1", 3, 2048, flags::SYSTEM)] {
        jobs[0].tell(&format!("alloc {memory} {id} {size} {flags}"));
    }
    jobs[1].tell("alloc DRAM 1 8192 0");
    ground.live(4);
    let ids = |filter: &[&str]| {
        let list = ground.json(&[&["buffers"], filter].concat());
        let ids = list["buffers"].as_array().unwrap().iter().map(|b| b["id"].as_u64().unwrap());
        ids.collect::<Vec<u64>>()
    };
    assert_eq!(ids(&["--min-size", "2KiB"]), [1, 1, 3]);
    assert_eq!((ids(&["--system"]), ids(&["--application"])), (vec![3], vec![1, 1, 2]));
    assert_eq!((ids(&["--older-than", "1h"]), ids(&["--younger-than", "1h"]).len()), (vec![], 4));
    assert_eq!((ids(&["--program", "7"]), ids(&["--user", "4123456789"])), (vec![], vec![]));
    let me = nix::unistd::geteuid().to_string();
    assert_eq!(ids(&["--user", &me]).len(), 4);
    let groups = ground.json(&["buffers", "--by", "process,memory"]);
    let key =
        |at: usize| (groups["groups"][at]["process"]["pid"].as_u64().unwrap(), groups["groups"][at]["count"].as_u64());
    assert_eq!(groups["groups"].as_array().unwrap().len(), 3);
    assert_eq!((key(0), key(1)), ((jobs[1].pid().into(), Some(1)), (jobs[0].pid().into(), Some(2))), "{groups:#}");
    assert_eq!(groups["footprint_bytes"], 15_360);
    let (_, table, wrong) = ground.tool(&["buffers", "--by", "size-class", "-n", "2"]);
    let first: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(first[..5], ["8", "KiB..16", "KiB", "1", "8.00"], "{table}");
    assert!(table.lines().count() == 4 && wrong.contains("2 more"), "{table}{wrong}");
    for wrong in [["--by", "colour"], ["--min-size", "x"], ["--older-than", "5"], ["--user", "no such user"]] {
        assert_eq!(ground.tool(&[&["buffers"], &wrong[..]].concat()).0, Some(2), "{wrong:?}");
    }
    ground.end(jobs, aggregator);
}
