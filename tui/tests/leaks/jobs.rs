//! Processes that are told what to hold, an aggregator, and what the commands say of them.

use serde_json::Value;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A process of this test binary's own, told line by line what to do.
pub struct Job {
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
    pub fn start(ground: &Ground) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "jobs::job", "--nocapture", "--test-threads=1"]);
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

    pub fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.until("=");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends in good order.
    pub fn exit(mut self) {
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
pub struct Ground(pub String);

impl Ground {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(format!("leaks_{}_{}", std::process::id(), NEXT.fetch_add(1, Relaxed)))
    }

    pub fn aggregator(&self) -> aggregator::embedded::Embedded {
        self.aggregator_with(false)
    }

    /// With or without `--auto-baseline`.
    pub fn aggregator_with(&self, auto_baseline: bool) -> aggregator::embedded::Embedded {
        // Not this host's devices: others may be using them.
        let root = aggregator::telemetry::Root::at("/nonexistent");
        let options = aggregator::daemon::Options { root, auto_baseline };
        aggregator::embedded::start_with(&Prefix::new(&self.0).unwrap(), options).unwrap()
    }

    pub fn tool(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tt-alloc"));
        command.args(arguments).env("TT_ALLOC_PREFIX", &self.0).env_remove("TT_ALLOC_TRACKING_ENABLED");
        let Output { status, stdout, stderr } = command.output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let (code, said, wrong) = self.tool(&[arguments, &["--json"]].concat());
        assert_eq!(code, Some(0), "{wrong}");
        serde_json::from_str(&said).unwrap()
    }

    /// The answer, once this holds of it.
    pub fn see(&self, what: &str, arguments: &[&str], holds: impl Fn(&Value) -> bool) -> Value {
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
    pub fn live(&self, count: usize) {
        self.see("the live ones", &["buffers", "--by", "memory"], |groups| groups["count"] == count);
    }

    pub fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.0);
        let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with(&dot)).collect()
    }

    /// Everybody and the aggregator end; nothing is left.
    pub fn end(&self, jobs: Vec<Job>, aggregator: aggregator::embedded::Embedded) {
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
