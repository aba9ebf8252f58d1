//! What the tests share: a prefix of their own, an aggregator, producers in processes of their own, the figures.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; a test may unwrap")]

pub mod daemon;
pub mod dice;
pub mod past;
pub mod published;
pub mod small_shm;
pub mod tags;

use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::{DIRECTORY, Prefix};
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::{Figures, Snapshot};
use shm_layout::text;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A prefix of this test's own; whatever has it at the end is removed, and was a fault if `must_be_clean` said so.
pub struct Ground {
    pub prefix: Prefix,
}

impl Ground {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        // In a pid namespace of its own every test has the same pid.
        let outer = std::env::var("TEST_GROUND").unwrap_or_else(|_| format!("test_{}", std::process::id()));
        Self { prefix: Prefix::new(&format!("{outer}_{n}")).unwrap() }
    }

    pub fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.prefix);
        let entries = std::fs::read_dir(DIRECTORY).unwrap().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with(&dot)).collect()
    }

    pub fn must_be_clean(&self) {
        wait("an empty /dev/shm", || self.files().is_empty().then_some(()))
            .unwrap_or_else(|_| panic!("left: {:?}", self.files()));
    }

    /// No ring and no ledger is left, while an aggregator runs.
    pub fn must_be_clean_but_for_stats(&self) {
        let of_process = |name: &String| [".ring.", ".ledger.", ".stacks."].iter().any(|role| name.contains(role));
        wait("no ring and no ledger", || (!self.files().iter().any(of_process)).then_some(()))
            .unwrap_or_else(|_| panic!("left: {:?}", self.files()));
    }

    pub fn aggregator(&self) -> aggregator::embedded::Embedded {
        // Not this host's devices: others may be using them.
        self.aggregator_in("/nonexistent")
    }

    /// With the host's files in this folder.
    pub fn aggregator_in(&self, root: impl Into<std::path::PathBuf>) -> aggregator::embedded::Embedded {
        aggregator::embedded::start_in(&self.prefix, aggregator::telemetry::Root::at(root)).unwrap()
    }

    /// The ring of this name as anybody of its user may open it.
    pub fn ring(&self, name: &str) -> segment::Opened {
        let expect = Expect { owners: &[], least: 1, most: u64::MAX };
        segment::open(name, Access::Read, expect).unwrap()
    }

    /// The snapshot of now, if an aggregator publishes.
    pub fn look(&self) -> Option<Snapshot> {
        let opened = published::stats_segment(self, Access::Read)?;
        published::snapshot(&published::view(&opened)?)
    }

    /// The first snapshot of which this holds.
    pub fn see(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
        wait(what, || self.look().filter(&holds)).unwrap_or_else(|why| panic!("{why}; last: {:#?}", self.look()))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for name in self.files() {
            let _ = std::fs::remove_file(format!("{DIRECTORY}/{name}"));
        }
    }
}

pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("waited in vain for {what}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The figures of a process on its only chip of this device number.
pub fn figures(snapshot: &Snapshot, pid: u32, device: u32, memory: Memory) -> Figures {
    let Some(at) = snapshot.processes.iter().position(|p| p.pid == pid) else { return Figures::default() };
    let found = snapshot.rows_of(at).find(|row| row.device == device && row.memory == memory as u32);
    found.map_or(Figures::default(), |row| row.figures)
}

pub fn lines(snapshot: &Snapshot) -> Vec<String> {
    snapshot.lines.iter().map(|line| text::load(&line.text)).collect()
}

/// A producer in a process of its own, told line by line what to do; each line is answered by one.
pub struct Player {
    pub child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Runs as the player when this test binary was started for it. The first line of every test file's `player` test.
pub fn play_if_asked() {
    if std::env::var_os("TEST_PLAYER").is_none() {
        return;
    }
    println!("\nready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<u64> = line.split(' ').skip(1).filter_map(|word| word.parse().ok()).collect();
        let answer = match line.split(' ').next().unwrap() {
            "alloc" => {
                let [device, memory, id, size, footprint] = words[..] else { panic!("{line}") };
                let memory = Memory::from_u8(memory as u8).unwrap();
                let event =
                    Event { id, size, footprint, address: id, ..Event::new(Kind::Alloc, memory, device as u32) };
                producer::process::record(event);
                String::new()
            }
            "free" => {
                let [device, memory, id, size, footprint] = words[..] else { panic!("{line}") };
                let memory = Memory::from_u8(memory as u8).unwrap();
                producer::process::record(Event {
                    id,
                    size,
                    footprint,
                    ..Event::new(Kind::Free, memory, device as u32)
                });
                String::new()
            }
            "event" => {
                let [kind, memory, device, id, address, size, footprint, context, flags] = words[..] else {
                    panic!("{line}")
                };
                producer::process::record(Event {
                    kind: kind as u8,
                    memory: memory as u8,
                    device: device as u32,
                    id,
                    address,
                    size,
                    footprint,
                    context: context as u32,
                    flags: flags as u16,
                    ..Event::default()
                });
                String::new()
            }
            "burst" => {
                // count allocations of `size` bytes in DRAM of device 0, ids from `first` on
                let [first, count, size] = words[..] else { panic!("{line}") };
                for id in first..first + count {
                    producer::process::record(Event { id, size, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
                }
                String::new()
            }
            "churn" => {
                // keeps `live` blocks in DRAM of device 0, the oldest replaced `rounds` times
                let [first, live, rounds, size] = words[..] else { panic!("{line}") };
                let tell =
                    |kind, id| producer::process::record(Event { id, size, ..Event::new(kind, Memory::Dram, 0) });
                (first..first + live).for_each(|id| tell(Kind::Alloc, id));
                for id in first..first + rounds {
                    tell(Kind::Alloc, id + live);
                    tell(Kind::Free, id);
                }
                String::new()
            }
            "unburst" => {
                let [first, count, size] = words[..] else { panic!("{line}") };
                for id in first..first + count {
                    producer::process::record(Event { id, size, ..Event::new(Kind::Free, Memory::Dram, 0) });
                }
                String::new()
            }
            "threads" => {
                // each of `threads` threads allocates `count` blocks and frees every second one
                let [threads, count, size] = words[..] else { panic!("{line}") };
                std::thread::scope(|scope| {
                    for thread in 0..threads {
                        scope.spawn(move || {
                            for n in 0..count {
                                let id = thread << 32 | n;
                                producer::process::record(Event { id, size, ..Event::new(Kind::Alloc, Memory::L1, 0) });
                                if n % 2 == 1 {
                                    producer::process::record(Event {
                                        id,
                                        size,
                                        ..Event::new(Kind::Free, Memory::L1, 0)
                                    });
                                }
                            }
                        });
                    }
                });
                String::new()
            }
            "exec" => {
                // Another program in this process: its pid lives on, its ring is not mapped any more.
                use std::os::unix::process::CommandExt;
                println!("ok");
                std::io::stdout().flush().unwrap();
                panic!("{}", Command::new("sleep").arg("20").exec());
            }
            "fork" => fork_and_allocate(words[0]),
            "lose_lock" => {
                // A process loses its record locks on a file when it closes any descriptor of it.
                let ring = producer::process::ring_name().unwrap();
                drop(std::fs::File::open(format!("{DIRECTORY}/{ring}")).unwrap());
                String::new()
            }
            "replace" => {
                // Every descriptor of the ring becomes one of this file; how many
                let own = std::fs::OpenOptions::new().read(true).write(true).open(&line["replace ".len()..]).unwrap();
                let of_ring = |fd: &i32| {
                    let link = std::fs::read_link(format!("/proc/self/fd/{fd}"));
                    link.is_ok_and(|to| to.to_string_lossy().contains(".ring."))
                };
                let fds: Vec<i32> = (3..256).filter(of_ring).collect();
                for fd in &fds {
                    // SAFETY: the numbers are only given another file, as a program may do with any descriptor.
                    assert_eq!(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&own), *fd) }, *fd);
                }
                fds.len().to_string()
            }
            "push" => {
                producer::tag::push(&line["push ".len()..]);
                String::new()
            }
            "pop" => {
                producer::tag::pop();
                String::new()
            }
            "ring" => producer::process::ring_name().unwrap_or("none").to_owned(),
            "close" => {
                producer::process::close();
                std::process::exit(0)
            }
            other => panic!("{other}"),
        };
        println!("ok {answer}");
        std::io::stdout().flush().unwrap();
    }
    std::process::exit(0)
}

/// A child made by fork allocates `size` bytes, says its pid, and lives until it is killed.
fn fork_and_allocate(size: u64) -> String {
    // SAFETY: the player has one thread, so the child may go on as it likes.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Parent { child } => child.to_string(),
        nix::unistd::ForkResult::Child => {
            producer::process::record(Event { id: 1, size, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
            std::thread::sleep(PATIENCE);
            std::process::exit(0)
        }
    }
}

impl Player {
    pub fn start(ground: &Ground) -> Self {
        Self::start_with(ground, &[])
    }

    pub fn start_with(ground: &Ground, environment: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(std::env::current_exe().unwrap()), ground, environment)
    }

    /// With a ring of 1,000 records or so.
    pub fn small(ground: &Ground) -> Self {
        Self::start_with(ground, &[("TT_ALLOC_RING_BYTES", "65536")])
    }

    /// As another user; only root can do that.
    pub fn start_as(ground: &Ground, uid: u32) -> Self {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.uid(uid).gid(uid);
        Self::start_by(command, ground, &[])
    }

    fn start_by(mut command: Command, ground: &Ground, environment: &[(&str, &str)]) -> Self {
        let mut child = command
            .args(["--exact", "player", "--nocapture", "--test-threads=1"])
            .env("TEST_PLAYER", "1")
            .env("TT_ALLOC_TRACKING_ENABLED", "1")
            .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
            .env("TT_ALLOC_RING_BYTES", (4 << 20).to_string())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line != "ready\n" {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the player ended");
        }
        Self { child, input, output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Says a line and waits for the answer.
    pub fn tell(&mut self, line: &str) -> String {
        self.say(line);
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.strip_prefix("ok").unwrap_or_else(|| panic!("{line}: {answer:?}")).trim().to_owned()
    }

    pub fn alloc(&mut self, device: u32, memory: Memory, id: u64, size: u64, footprint: u64) {
        self.tell(&format!("alloc {device} {} {id} {size} {footprint}", memory as u8));
    }

    pub fn free(&mut self, device: u32, memory: Memory, id: u64, size: u64, footprint: u64) {
        self.tell(&format!("free {device} {} {id} {size} {footprint}", memory as u8));
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends in good order.
    pub fn close(mut self) {
        writeln!(self.input, "close").unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
