//! The original's socket with sixteen threads whose ids are addresses, which are used again at once, by any thread, also before the free of
//! their last use is told. The client's own allocator is the truth, and it counts that itself.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::event::Memory::{self, Dram, L1, L1Small, Trace};
use shm_layout::stats::{Snapshot, incomplete};
use socket::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use support::Ground;

const THREADS: usize = 16;
const DEVICES: usize = 8;
const ADDRESSES: u64 = 128;
/// Where memory kinds share them.
const SHARED: u64 = 2;
/// Blocks that a thread holds; where memory kinds share addresses, so few that most addresses are free at times: then all guesses end.
const MOST: [usize; 2] = [1, 48];
const STEPS: usize = 1500;
const ROUNDS: usize = 4;
const KINDS: [Memory; 4] = [Dram, L1, L1Small, Trace];

/// What is live, by device and memory kind: bytes and blocks.
type Totals = BTreeMap<(u32, Memory), (u64, u64)>;

#[derive(Clone, Copy)]
struct Buffer {
    device: usize,
    kind: usize,
    address: u64,
    size: u64,
}

/// tt-metal's allocator, as far as it gives out addresses: of each device and memory kind, the last freed first.
struct Crowd {
    spaces: Vec<Mutex<Vec<u64>>>,
    /// One connection for all threads, as the original's client has it, or one each.
    streams: Vec<Mutex<UnixStream>>,
    /// Blocks that a thread holds.
    most: usize,
    /// Buffers that another thread is to free.
    handed_over: Mutex<VecDeque<Buffer>>,
}

impl Crowd {
    /// `apart`: no address is one of two memory kinds.
    fn new(path: &std::ffi::OsStr, connections: usize, apart: bool) -> Self {
        let space = |number: usize| {
            let (base, addresses) =
                if apart { ((number % KINDS.len()) as u64 * ADDRESSES, ADDRESSES) } else { (0, SHARED) };
            Mutex::new((1..=addresses).rev().map(|n| (base + n) * 32).collect())
        };
        Self {
            spaces: (0..DEVICES * KINDS.len()).map(space).collect(),
            streams: (0..connections).map(|_| Mutex::new(UnixStream::connect(path).unwrap())).collect(),
            most: MOST[usize::from(apart)],
            handed_over: Mutex::default(),
        }
    }

    fn space(&self, device: usize, kind: usize) -> &Mutex<Vec<u64>> {
        &self.spaces[device * KINDS.len() + kind]
    }

    fn tell(&self, thread: usize, kind: u8, buffer: Buffer, size: u64) {
        let what = if kind == ALLOC { KINDS[buffer.kind] as u8 } else { 0 };
        let pid = std::process::id() as i32;
        let bytes = message(144, kind, buffer.device as i32, size, what, pid, buffer.address);
        self.streams[thread % self.streams.len()].lock().unwrap().write_all(&bytes).unwrap();
    }

    fn free(&self, thread: usize, buffer: Buffer) {
        // In this order, as in tt-metal: somebody may have the address again, and say so, before its free is told.
        self.space(buffer.device, buffer.kind).lock().unwrap().push(buffer.address);
        if buffer.size.is_multiple_of(3) {
            std::thread::yield_now();
        }
        self.tell(thread, FREE, buffer, 0);
    }

    fn work(&self, thread: usize, state: &mut u64, own: &mut Vec<Buffer>, steps: usize) {
        let mut below = |bound: usize| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            (*state % bound as u64) as usize
        };
        for _ in 0..steps {
            match below(10) {
                0..5 if own.len() < self.most => {
                    let (device, kind) = (below(DEVICES), below(KINDS.len()));
                    let Some(address) = self.space(device, kind).lock().unwrap().pop() else { continue };
                    let buffer = Buffer { device, kind, address, size: 1 + below(1 << 33) as u64 };
                    self.tell(thread, ALLOC, buffer, buffer.size);
                    own.push(buffer);
                }
                5..8 if !own.is_empty() => {
                    let buffer = own.swap_remove(below(own.len()));
                    self.free(thread, buffer);
                }
                // Only over one connection: of several, nothing says whether a free or its allocation came first.
                8 if self.streams.len() == 1 => self.handed_over.lock().unwrap().extend(own.pop()),
                9 => {
                    let taken = self.handed_over.lock().unwrap().pop_front();
                    taken.into_iter().for_each(|buffer| self.free(thread, buffer));
                }
                _ => {}
            }
        }
    }
}

/// Runs as the client when this test binary was started for it: at each quiet point it says what is live and waits for a line; after the
/// last it goes on for ever.
#[test]
fn crowd() {
    let Some(path) = std::env::var_os("TEST_SOCKET_CROWD") else { return };
    let how = std::env::var("TEST_SOCKET_HOW").unwrap();
    let (connections, apart) = how.split_once(' ').unwrap();
    let crowd = Crowd::new(&path, connections.parse().unwrap(), apart == "apart");
    println!("\nready");
    let mut states: Vec<u64> = (1..=THREADS as u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let mut own: Vec<Vec<Buffer>> = vec![Vec::new(); THREADS];
    for round in 0..=ROUNDS {
        let steps = if round == ROUNDS { usize::MAX } else { STEPS };
        std::thread::scope(|scope| {
            for (thread, (state, own)) in states.iter_mut().zip(&mut own).enumerate() {
                let crowd = &crowd;
                scope.spawn(move || crowd.work(thread, state, own, steps));
            }
        });
        let mut live = Totals::new();
        for buffer in own.iter().flatten().chain(crowd.handed_over.lock().unwrap().iter()) {
            let sum = live.entry((buffer.device as u32, KINDS[buffer.kind])).or_default();
            *sum = (sum.0 + buffer.size, sum.1 + 1);
        }
        for ((device, memory), (bytes, blocks)) in live {
            println!("live {device} {} {bytes} {blocks}", memory as u8);
        }
        println!("quiet");
        std::io::stdout().flush().unwrap();
        std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    }
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(ground: &Ground, how: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crowd", "--nocapture", "--test-threads=1"])
            .env("TEST_SOCKET_CROWD", path(ground))
            .env("TEST_SOCKET_HOW", how)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Self { child, input, output };
        while process.line() != "ready" {}
        process
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the client ended");
        line.trim_end().to_owned()
    }

    fn quiet(&mut self) -> Totals {
        let mut live = Totals::new();
        loop {
            let line = self.line();
            if line == "quiet" {
                assert!(!live.is_empty());
                return live;
            }
            let words: Vec<u64> = line.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
            let [device, memory, bytes, blocks] = words[..] else { panic!("{line}") };
            live.insert((device as u32, Memory::from_u8(memory as u8).unwrap()), (bytes, blocks));
        }
    }

    fn go_on(&mut self) {
        writeln!(self.input).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is shown of a process that is more than nothing, and whether each row is marked as incomplete.
fn rows(snapshot: &Snapshot, pid: u32) -> BTreeMap<(u32, Memory), ((u64, u64), bool)> {
    let Some(at) = snapshot.processes.iter().position(|process| process.pid == pid) else { return BTreeMap::new() };
    let of = snapshot.rows_of(at).map(|row| {
        let figures = (row.figures.footprint_bytes, row.figures.blocks);
        ((row.device, Memory::from_u8(row.memory as u8).unwrap()), (figures, row.figures.detail_incomplete != 0))
    });
    of.filter(|(_, (figures, marked))| *figures != (0, 0) || *marked).collect()
}

fn shown(snapshot: &Snapshot, pid: u32) -> Totals {
    let held = rows(snapshot, pid).into_iter().filter(|(_, (figures, _))| *figures != (0, 0));
    held.map(|(of, (figures, _))| (of, figures)).collect()
}

fn of_chips(snapshot: &Snapshot) -> Totals {
    let mut all = Totals::new();
    for chip in &snapshot.chips {
        for memory in KINDS {
            let figures = &chip.memory[memory as usize];
            all.insert((chip.device, memory), (figures.footprint_bytes, figures.blocks));
        }
    }
    all.retain(|_, sum| *sum != (0, 0));
    all
}

fn exactly(ground: &Ground, pid: u32, live: &Totals) {
    let seen = support::wait("these figures", || ground.look().filter(|snapshot| shown(snapshot, pid) == *live));
    let snapshot = seen.unwrap_or_else(|why| {
        let shown = ground.look().map(|snapshot| shown(&snapshot, pid)).unwrap_or_default();
        let differ = live.keys().chain(shown.keys()).filter(|of| live.get(of) != shown.get(of));
        let differ: Vec<_> = differ.map(|of| (of, live.get(of), shown.get(of))).collect();
        panic!("{why} of {pid}: (where, truth, shown) {differ:?}")
    });
    let process = snapshot.processes.iter().find(|process| process.pid == pid).unwrap();
    assert_eq!((process.dropped_events_total, process.incomplete, process.anomalies.sum()), (0, 0, 0));
}

fn events(snapshot: &Snapshot, pid: u32) -> u64 {
    snapshot.processes.iter().find(|process| process.pid == pid).map_or(0, |process| process.events_total)
}

/// Exact at each quiet point; killed in the endless round, all of it is gone, and another process with the same addresses keeps its own.
fn two_processes(connections: usize) {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let how = format!("{connections} apart");
    let (mut stays, mut dies) = (Process::start(&ground, &how), Process::start(&ground, &how));
    let (survivor, killed) = (stays.pid(), dies.pid());
    let (one, other) = (stays.quiet(), dies.quiet());
    exactly(&ground, survivor, &one);
    exactly(&ground, killed, &other);
    let mut sum = one;
    for (of, (bytes, blocks)) in other {
        let all = sum.entry(of).or_default();
        *all = (all.0 + bytes, all.1 + blocks);
    }
    ground.see("chips that are the sum of both", |snapshot| of_chips(snapshot) == sum);
    for _ in 1..ROUNDS {
        dies.go_on();
        exactly(&ground, killed, &dies.quiet());
    }
    let before = events(&ground.look().unwrap(), killed);
    stays.go_on();
    dies.go_on();
    ground.see("many events of its last round", |snapshot| events(snapshot, killed) > before + 10_000);
    dies.kill();
    ground.see("its end", |snapshot| snapshot.processes.iter().all(|process| process.pid != killed));
    for round in 1..ROUNDS {
        let live = stays.quiet();
        exactly(&ground, survivor, &live);
        ground.see(&format!("the survivor's alone, round {round}"), |snapshot| of_chips(snapshot) == live);
        stays.go_on();
    }
    stays.kill();
    ground.see("nothing", |snapshot| snapshot.processes.is_empty() && of_chips(snapshot).is_empty());
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn sixteen_threads_over_one_connection_and_a_kill() {
    two_processes(1);
}

#[test]
fn sixteen_threads_over_sixteen_connections_and_a_kill() {
    two_processes(16);
}

/// DRAM and L1 have the same addresses, as on a device, and a free does not say which it frees: where a figure is not the truth, that row
/// says so.
#[test]
fn where_memory_kinds_share_addresses_nothing_is_wrong_without_a_mark() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Process::start(&ground, "1 shared");
    let pid = client.pid();
    for round in 0..ROUNDS {
        let truth = client.quiet();
        let wrong = |snapshot: &Snapshot| {
            let rows = rows(snapshot, pid);
            let of = |of: &(u32, Memory)| rows.get(of).copied().unwrap_or_default();
            let everywhere: BTreeSet<_> = truth.keys().chain(rows.keys()).copied().collect();
            let wrong = everywhere.into_iter().map(|at| (at, truth.get(&at).copied().unwrap_or_default(), of(&at)));
            wrong.filter(|(_, truth, (shown, marked))| !marked && shown != truth).collect::<Vec<_>>()
        };
        let seen = support::wait("the truth or a mark", || ground.look().filter(|seen| wrong(seen).is_empty()));
        let snapshot = seen.unwrap_or_else(|why| {
            panic!("{why}, round {round}: (where, truth, (shown, marked)) {:?}", wrong(&ground.look().unwrap()))
        });
        let process = snapshot.processes.iter().find(|process| process.pid == pid).unwrap();
        assert_eq!(process.incomplete & !incomplete::AMBIGUOUS, 0);
        assert_eq!((process.dropped_events_total, process.anomalies.sum()), (0, 0));
        client.go_on();
    }
    client.kill();
    ground.see("nothing", |snapshot| snapshot.processes.is_empty() && of_chips(snapshot).is_empty());
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}
