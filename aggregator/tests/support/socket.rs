//! A client of the original's protocol, byte by byte, in a process of its own; and an aggregator that listens to it.
#![allow(dead_code, unused_imports, clippy::unwrap_used, reason = "each test file uses its part; a test may unwrap")]

mod storm;

use super::support::{Ground, wait};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use shm_layout::event::Memory;
use shm_layout::stats::Snapshot;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use storm::left_by_storm;
use storm::storm;

pub const ALLOC: u8 = 1;
pub const FREE: u8 = 2;
pub const QUERY: u8 = 3;
pub const RESPONSE: u8 = 4;
pub const DUMP_REMAINING: u8 = 5;
pub const DEVICE_INFO_QUERY: u8 = 6;
pub const DEVICE_INFO_RESPONSE: u8 = 7;
pub const CB_ALLOC: u8 = 8;
pub const CB_FREE: u8 = 9;
pub const KERNEL_LOAD: u8 = 10;
pub const KERNEL_UNLOAD: u8 = 11;
pub const DUMP_KERNELS: u8 = 12;

pub fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// A message of this size, as the original's client fills it in.
pub fn message(bytes: usize, kind: u8, device: i32, size: u64, what: u8, pid: i32, id: u64) -> Vec<u8> {
    let mut message = vec![0; bytes];
    message[0] = kind;
    message[4..8].copy_from_slice(&device.to_le_bytes());
    message[8..16].copy_from_slice(&size.to_le_bytes());
    message[16] = what;
    message[20..24].copy_from_slice(&pid.to_le_bytes());
    message[24..32].copy_from_slice(&id.to_le_bytes());
    if matches!(kind, ALLOC | CB_ALLOC | KERNEL_LOAD) {
        message[32..40].copy_from_slice(&unix_ns().to_le_bytes());
    }
    message
}

/// An aggregator with its socket, in a process of its own.
pub struct Daemon {
    pub child: Child,
    pub path: PathBuf,
    output: Arc<Mutex<String>>,
}

pub fn path(ground: &Ground) -> PathBuf {
    std::env::temp_dir().join(format!("{}.sock", ground.prefix))
}

impl Daemon {
    pub fn start(ground: &Ground) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_aggregator")), ground)
    }

    pub fn start_by(mut command: Command, ground: &Ground) -> Self {
        let path = path(ground);
        let mut child = command
            .args(["--legacy-socket".as_ref(), path.as_os_str()])
            .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let (said, mut from) = (Arc::clone(&output), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(bytes @ 1..) = from.read(&mut piece) {
                said.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..bytes]));
            }
        });
        let mut daemon = Self { child, path, output };
        wait("the socket", || {
            assert_eq!(daemon.child.try_wait().unwrap(), None, "it ended");
            UnixStream::connect(&daemon.path).ok()
        })
        .unwrap();
        daemon
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub fn printed(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and a clean end.
    pub fn end(mut self) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid() as i32), nix::sys::signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert!(!self.path.exists(), "the socket is removed");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Runs as the client when this test binary was started for it. The first line of every test file's `client` test.
pub fn speak_if_asked() {
    let Some(path) = std::env::var_os("TEST_SOCKET_CLIENT") else { return };
    println!("\nready");
    let mut connections: HashMap<u64, UnixStream> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        let verb = words.next().unwrap();
        let words: Vec<&str> = words.collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let answer = match verb {
            "connect" => {
                for n in number(0)..number(1) {
                    connections.insert(n, UnixStream::connect(&path).unwrap());
                }
                String::new()
            }
            "send" => {
                let bytes = from_hex(words[1]);
                connections[&number(0)]
                    .try_clone()
                    .unwrap()
                    .write_all(&bytes)
                    .map_or_else(|e| e.to_string(), |()| String::new())
            }
            "recv" => {
                let mut bytes = vec![0; number(1) as usize];
                let mut from = &connections[&number(0)];
                from.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                from.read_exact(&mut bytes).map_or_else(|error| format!("{:?}", error.kind()), |()| to_hex(&bytes))
            }
            "drop" => {
                connections.remove(&number(0));
                String::new()
            }
            "storm" => {
                storm(&path, number(0), number(1), number(2));
                String::new()
            }
            "fork" => {
                // The child sends over its parent's connection, and lives on.
                let mut bytes = from_hex(words[1]);
                let child = forked(|| {
                    bytes[20..24].copy_from_slice(&std::process::id().to_le_bytes());
                    (&connections[&number(0)]).write_all(&bytes).unwrap();
                    std::thread::sleep(Duration::from_secs(60));
                });
                child.to_string()
            }
            "lend" => {
                // A child sends these bytes over its parent's connection, with a descriptor, and ends.
                let (bytes, to) = (from_hex(words[1]), connections[&number(0)].as_raw_fd());
                let lent = [ControlMessage::ScmRights(&[0])];
                let child = forked(|| {
                    assert!(sendmsg::<()>(to, &[IoSlice::new(&bytes)], &lent, MsgFlags::empty(), None).is_ok())
                });
                nix::sys::wait::waitpid(child, None).unwrap();
                String::new()
            }
            other => panic!("{other}"),
        };
        println!("ok {answer}");
        std::io::stdout().flush().unwrap();
    }
    std::process::exit(0)
}

/// A child that does this and ends.
fn forked(then: impl FnOnce()) -> nix::unistd::Pid {
    // SAFETY: this process has one thread.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Parent { child } => child,
        nix::unistd::ForkResult::Child => {
            then();
            std::process::exit(0)
        }
    }
}

pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A client.
pub struct Client {
    pub child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Bytes of its messages.
    pub bytes: usize,
}

impl Client {
    /// Connected as 0, with messages of this size.
    pub fn start(ground: &Ground, bytes: usize) -> Self {
        let mut client = Self::start_by(Command::new(std::env::current_exe().unwrap()), ground, bytes);
        client.tell("connect 0 1");
        client
    }

    pub fn start_by(mut command: Command, ground: &Ground, bytes: usize) -> Self {
        let mut child = command
            .args(["--exact", "client", "--nocapture", "--test-threads=1"])
            .env("TEST_SOCKET_CLIENT", path(ground))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line != "ready\n" {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the client ended");
        }
        Self { child, input, output, bytes }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn tell(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.strip_prefix("ok").unwrap_or_else(|| panic!("{line}: {answer:?}")).trim().to_owned()
    }

    /// Sends bytes over a connection.
    pub fn send(&mut self, connection: u64, bytes: &[u8]) {
        let answer = self.tell(&format!("send {connection} {}", to_hex(bytes)));
        assert_eq!(answer, "");
    }

    pub fn message(&self, kind: u8, device: i32, size: u64, what: u8, id: u64) -> Vec<u8> {
        message(self.bytes, kind, device, size, what, self.pid() as i32, id)
    }

    /// Sends one message over connection 0.
    pub fn say(&mut self, kind: u8, device: i32, size: u64, what: u8, id: u64) {
        let bytes = self.message(kind, device, size, what, id);
        self.send(0, &bytes);
    }

    pub fn alloc(&mut self, device: i32, memory: Memory, address: u64, size: u64) {
        self.say(ALLOC, device, size, memory as u8, address);
    }

    pub fn free(&mut self, device: i32, address: u64) {
        self.say(FREE, device, 0, 0, address);
    }

    /// Receives so many bytes; what went wrong instead.
    pub fn receive(&mut self, connection: u64, bytes: usize) -> Result<Vec<u8>, String> {
        let answer = self.tell(&format!("recv {connection} {bytes}"));
        if answer.len() == 2 * bytes { Ok(from_hex(&answer)) } else { Err(answer) }
    }

    /// Asks over connection 0, and what is answered.
    pub fn ask(&mut self, kind: u8, device: i32) -> Answer {
        let mut bytes = self.message(kind, device, 0, 0, 0);
        bytes[20..24].fill(0);
        self.send(0, &bytes);
        Answer(self.receive(0, self.bytes).unwrap())
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer, by the original's offsets.
#[derive(Debug)]
pub struct Answer(pub Vec<u8>);

impl Answer {
    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    pub fn kind(&self) -> u8 {
        self.0[0]
    }

    /// DRAM, L1, L1_SMALL, TRACE.
    pub fn buffers(&self) -> [u64; 4] {
        [40, 48, 56, 64].map(|at| self.u64(at))
    }

    /// CB, KERNEL; of 144 bytes.
    pub fn programs(&self) -> [u64; 2] {
        [72, 80].map(|at| self.u64(at))
    }
}

/// Footprint and blocks of a memory kind of a device of a process.
pub fn held(snapshot: &Snapshot, pid: u32, device: u32, memory: Memory) -> (u64, u64) {
    let figures = super::support::figures(snapshot, pid, device, memory);
    (figures.footprint_bytes, figures.blocks)
}

/// Waits until a process holds this.
pub fn see_held(ground: &Ground, pid: u32, device: u32, memory: Memory, expected: (u64, u64)) -> Snapshot {
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    loop {
        if let Some(snapshot) = ground.look() {
            if held(&snapshot, pid, device, memory) == expected {
                return snapshot;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{} of device {device}: {:?}, not {expected:?}; lines {:?}",
                memory.name(),
                held(&snapshot, pid, device, memory),
                super::support::lines(&snapshot)
            );
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
