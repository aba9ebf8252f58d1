//! Tracked processes that do what they are told, and the aggregator beside them.

use shm_layout::event::{Arch, Event, Kind, Memory};
use shm_layout::names::Prefix;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Says that a process started by a test plays a job, and what it is called.
const JOB: &str = "TEST_SCREEN_JOB";

/// A prefix of a test's own; what has it at the end is removed.
pub struct Ground(pub Prefix);

impl Ground {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Relaxed);
        Self(Prefix::new(&format!("screen_{}_{n}", std::process::id())).unwrap())
    }

    /// Its aggregator, which knows nothing of this host's devices.
    pub fn aggregator(&self) -> aggregator::embedded::Embedded {
        aggregator::embedded::start_in(&self.0, aggregator::telemetry::Root::at("/nonexistent")).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.0);
        let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with(&dot)).collect()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.files().iter().for_each(|name| drop(std::fs::remove_file(format!("/dev/shm/{name}"))));
    }
}

/// What a job does when it is one: each line that it is told is answered.
pub fn play() {
    let Ok(name) = std::env::var(JOB) else { return };
    // The process's and not this thread's.
    std::fs::write("/proc/self/comm", name).unwrap();
    println!("\nready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let memory = |at: usize| Memory::from_name(words[at]).unwrap();
        let event = match words[0] {
            "open" => {
                let device = number(1) as u32;
                let info = Event::new(Kind::DeviceInfo, Memory::Dram, device);
                let info = Event { id: 0x7000 + number(1), context: Arch::Blackhole as u32, size: 140, ..info };
                producer::process::record(info);
                let capacity = |kind, bytes| Event { size: bytes, ..Event::new(Kind::Capacity, kind, device) };
                producer::process::record(capacity(Memory::L1, 210 << 20));
                capacity(Memory::Dram, 32 << 30)
            }
            "alloc" => {
                let event = Event::new(Kind::Alloc, memory(3), number(2) as u32);
                Event { id: number(1), address: number(1) << 20, size: number(4), footprint: number(4), ..event }
            }
            "free" => Event { id: number(1), ..Event::new(Kind::Free, memory(3), number(2) as u32) },
            _ => break,
        };
        producer::process::record(event);
        println!("done");
        std::io::stdout().flush().unwrap();
    }
    producer::process::close();
    std::process::exit(0);
}

/// A tracked process.
pub struct Job {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Job {
    /// One that is called so, and has opened these devices. The test binary has a test `job` that calls [`play`].
    pub fn start(ground: &Ground, name: &str, devices: &[u32]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "job", "--nocapture", "--test-threads=1"]);
        command.envs([(JOB, name), ("TT_ALLOC_TRACKING_ENABLED", "1")]).env("TT_ALLOC_PREFIX", ground.0.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut job = Self { input: child.stdin.take().unwrap(), child, output };
        while job.line() != "ready" {}
        devices.iter().for_each(|device| job.does(&format!("open {device}")));
        job
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the job ended");
        line.trim().to_owned()
    }

    /// Does one thing: `alloc ID DEVICE MEMORY BYTES`, `free ID DEVICE MEMORY`.
    pub fn does(&mut self, what: &str) {
        writeln!(self.input, "{what}").unwrap();
        assert_eq!(self.line(), "done");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.kill();
    }
}
