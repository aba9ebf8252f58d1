//! Two hundred processes of three users on one host, one aggregator as root, and what the commands show a normal user of it.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use serde_json::Value;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
/// Root and two that no real user has.
const USERS: [u32; 3] = [0, 61001, 61002];
const VIEWER: u32 = USERS[1];
const PROCESSES: usize = 200;

/// A prefix of this test's own; what has it at the end is removed.
struct Ground(String);

impl Ground {
    fn new() -> Self {
        Self(format!("users_{}", std::process::id()))
    }

    fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.0);
        let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with(&dot)).collect()
    }

    /// A program, run by this user.
    fn run(&self, uid: u32, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).env("TT_ALLOC_PREFIX", &self.0).env_remove("TT_ALLOC_TRACKING_ENABLED");
        command.env("COLUMNS", "150").stdin(Stdio::null()).uid(uid).gid(uid).output().unwrap()
    }

    /// What `tt-alloc stats --json` shows this user, once this holds.
    fn see(&self, uid: u32, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.run(uid, env!("CARGO_BIN_EXE_tt-alloc"), &["stats", "--json"]);
            let seen = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            if output.status.success() && holds(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}: {output:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for name in self.files() {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
        }
    }
}

/// A process of this user that holds so many bytes of DRAM, and one of L1, until it is let go.
struct Player(Child);

impl Player {
    fn start(ground: &Ground, uid: u32, bytes: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "player", "--nocapture", "--test-threads=1"])
            .env("TEST_BYTES", bytes.to_string())
            .env("TT_ALLOC_TRACKING_ENABLED", "1")
            .env("TT_ALLOC_PREFIX", &ground.0)
            .env("TT_ALLOC_RING_BYTES", "65536")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .uid(uid)
            .gid(uid)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "holds"), "the player ended");
        Self(child)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn player() {
    let Ok(bytes) = std::env::var("TEST_BYTES") else { return };
    let tell = |kind, memory, id, size| producer::process::record(Event { id, size, ..Event::new(kind, memory, 0) });
    // The same ids for everybody: only their owners tell them apart.
    tell(Kind::Alloc, Memory::Dram, 1, bytes.parse().unwrap());
    tell(Kind::Alloc, Memory::Dram, 2, 5000);
    tell(Kind::Alloc, Memory::L1, 1, 1);
    tell(Kind::Free, Memory::Dram, 2, 0);
    println!("\nholds");
    let _released = std::io::stdin().read_line(&mut String::new());
    producer::process::close();
    std::process::exit(0);
}

/// Tries every file that it is told, as the user that runs it.
#[test]
fn intruder() {
    let Ok(files) = std::env::var("TEST_INTRUDE") else { return };
    println!();
    for name in files.split(' ') {
        let path = format!("/dev/shm/{name}");
        let opened = std::fs::OpenOptions::new().write(true).open(&path);
        let written = opened.map_or_else(|error| format!("{:?}", error.kind()), |_| "opened".to_owned());
        // One of its own it may, and does not: the figures are still needed.
        let removed = match written.as_str() {
            "opened" => "own".to_owned(),
            _ => std::fs::remove_file(&path).map_or_else(|error| format!("{:?}", error.kind()), |()| "removed".into()),
        };
        println!("try {name} {written} {removed}");
    }
}

fn footprint(process: &Value, memory: &str) -> u64 {
    let rows = process["devices"].as_array().unwrap();
    rows.iter().map(|row| row["memory"][memory]["footprint_bytes"].as_u64().unwrap()).sum()
}

#[test]
fn a_normal_user_sees_the_figures_of_everybody_and_can_write_nothing_but_its_own_rings() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED, NOT TESTED: two hundred processes of three users need root to become them");
        return;
    }
    let ground = Ground::new();
    // Not this host's devices: others may be using them.
    let nowhere = aggregator::telemetry::Root::at("/nonexistent");
    let aggregator = aggregator::embedded::start_in(&Prefix::new(&ground.0).unwrap(), nowhere).unwrap();
    let mut players: Vec<(u32, u64, Player)> = (0..PROCESSES)
        .map(|n| {
            let (uid, bytes) = (USERS[n % USERS.len()], n as u64 + 1);
            (uid, bytes, Player::start(&ground, uid, bytes))
        })
        .collect();
    for uid in [VIEWER, 0] {
        let seen = ground.see(uid, "everybody", |seen| seen["aggregator"]["events_total"] == 4 * PROCESSES);
        let processes = seen["processes"].as_array().unwrap();
        assert_eq!(processes.len(), PROCESSES);
        for (uid, bytes, player) in &players {
            let process = processes.iter().find(|process| process["pid"] == player.0.id()).unwrap();
            assert_eq!(process["uid"], *uid);
            assert_eq!((footprint(process, "DRAM"), footprint(process, "L1")), (*bytes, 1), "{process}");
        }
        let total = (PROCESSES * (PROCESSES + 1) / 2) as u64;
        assert_eq!(seen["devices"].as_array().unwrap().len(), 1);
        assert_eq!(seen["devices"][0]["memory"]["DRAM"]["footprint_bytes"], total);
        assert_eq!(seen["devices"][0]["memory"]["L1"]["blocks"], PROCESSES);
    }
    let once = ground.run(VIEWER, env!("CARGO_BIN_EXE_alloc-top"), &["--once"]);
    let table = String::from_utf8(once.stdout).unwrap();
    assert!(once.status.success() && once.stderr.is_empty(), "{}", String::from_utf8_lossy(&once.stderr));
    // Its figures are those of the others as well.
    let words: Vec<&str> = table.split_whitespace().collect();
    for (_, _, player) in &players {
        assert!(words.contains(&player.0.id().to_string().as_str()), "{} is missing in:\n{table}", player.0.id());
    }

    let own = format!(".ring.{VIEWER}.");
    let files = ground.files();
    let mut intruder = Command::new(std::env::current_exe().unwrap());
    intruder.args(["--exact", "intruder", "--nocapture", "--test-threads=1"]).env("TEST_INTRUDE", files.join(" "));
    let tried = String::from_utf8(intruder.uid(VIEWER).gid(VIEWER).output().unwrap().stdout).unwrap();
    let tries: Vec<Vec<&str>> =
        tried.lines().filter(|l| l.starts_with("try ")).map(|l| l.split(' ').collect()).collect();
    assert_eq!(tries.len(), files.len(), "rings, ledgers, stats, lock: {tried}");
    assert!(files.len() > 2 * PROCESSES, "{}", files.len());
    for told in &tries {
        let [_, name, written, removed] = told[..] else { panic!("{told:?}") };
        if name.contains(&own) {
            assert_eq!((written, removed), ("opened", "own"), "{name}");
        } else {
            assert_eq!(written, "PermissionDenied", "{name}");
            // Of a sticky directory: not its owner.
            assert_eq!(removed, "PermissionDenied", "{name}");
        }
    }
    // Nothing of this was noticed.
    let seen = ground.see(VIEWER, "everybody still", |seen| seen["processes"].as_array().unwrap().len() == PROCESSES);
    assert_eq!(seen["aggregator"]["rejected_rings_total"], 0);

    for (_, _, player) in &mut players {
        drop(player.0.stdin.take());
    }
    for (_, _, player) in &mut players {
        assert!(player.0.wait().unwrap().success());
    }
    ground.see(VIEWER, "nobody", |seen| seen["processes"].as_array().unwrap().is_empty());
    drop(aggregator);
    let deadline = Instant::now() + PATIENCE;
    while !ground.files().is_empty() {
        assert!(Instant::now() < deadline, "left: {:?}", ground.files());
        std::thread::sleep(Duration::from_millis(10));
    }
}
