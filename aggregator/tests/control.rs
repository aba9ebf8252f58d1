//! What may be asked of the aggregator, by whom, and what it does.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::control::{Answer, answer_of, socket_name};
use shm_layout::event::{Kind, Memory};
use shm_layout::names::Prefix;
use shm_layout::stats::Snapshot;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use support::{Ground, Player, figures, lines, play_if_asked, wait};

const DRAM: usize = Memory::Dram as usize;

#[test]
fn player() {
    play_if_asked();
}

fn connect(prefix: &Prefix) -> std::io::Result<UnixStream> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(socket_name(prefix))?)
}

fn ask(prefix: &Prefix, line: &str) -> Answer {
    let mut stream = connect(prefix).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer_of(&answer).unwrap_or_else(|| panic!("{line}: {answer:?}"))
}

fn open(player: &mut Player, device: u32, chip: u64) {
    player.tell(&format!("event {} 0 {device} {chip} 0 140 0 3 0", Kind::DeviceInfo as u8));
}

fn alloc(player: &mut Player, device: u32, id: u64, size: u64) {
    player.tell(&format!("alloc {device} 0 {id} {size} 0"));
}

/// (baseline, since) of DRAM of a process's device.
fn compared(seen: &Snapshot, pid: u32, device: u32) -> (Option<u64>, Option<i64>) {
    let figures = figures(seen, pid, device, Memory::Dram);
    (figures.baseline_bytes(), figures.since_baseline_bytes())
}

#[test]
fn a_baseline_is_set_shown_survives_a_restart_and_is_cleared() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let (mut one, mut other) = (Player::start(&ground), Player::start(&ground));
    for (player, id) in [(&mut one, 1), (&mut other, 100)] {
        open(player, 0, 0x7000);
        open(player, 1, 0x7001);
        alloc(player, 0, id, 1000);
        alloc(player, 1, id, 10);
    }
    ground.see("all", |s| s.health.live_allocations == 4 && s.chips.len() == 2);
    assert_eq!(
        ask(&ground.prefix, "baseline-set chip=0x7000"),
        Ok("baseline on chip 0x7000 set: 1.95 KiB in 2 processes".to_owned())
    );
    alloc(&mut one, 0, 2, 500);
    other.tell("free 0 0 100 0 0");
    let check = |seen: &Snapshot| {
        assert_eq!(compared(seen, one.pid(), 0), (Some(1000), Some(500)));
        assert_eq!(compared(seen, other.pid(), 0), (Some(1000), Some(-1000)));
        assert_eq!(compared(seen, one.pid(), 1), (None, None));
        let chip = &seen.chips[0].memory[DRAM];
        assert_eq!((chip.baseline_bytes(), chip.since_baseline_bytes()), (Some(2000), Some(-500)));
        assert_eq!(seen.chips[1].memory[DRAM].baseline_bytes(), None);
    };
    let changed = |s: &Snapshot| {
        figures(s, one.pid(), 0, Memory::Dram).blocks == 2 && figures(s, other.pid(), 0, Memory::Dram).blocks == 0
    };
    let seen = ground.see("the changes", changed);
    check(&seen);
    let said =
        format!("baseline on chip 0x7000 set: 1.95 KiB in 2 processes, asked by PID {} (uid ", std::process::id());
    assert!(lines(&seen).iter().any(|line| line.contains(&said)), "{:?}", lines(&seen));
    drop(aggregator);
    let aggregator = ground.aggregator();
    check(&ground.see("all again", changed));
    // A process's own; the other's stays.
    assert!(ask(&ground.prefix, &format!("baseline-clear pid={}", one.pid())).unwrap().contains("1 process"));
    let seen = ground.see("it cleared", |s| compared(s, one.pid(), 0) == (None, None));
    assert_eq!(compared(&seen, other.pid(), 0), (Some(1000), Some(-1000)));
    assert_eq!(seen.chips[0].memory[DRAM].baseline_bytes(), Some(1000));
    // What it was compared with has ended.
    other.tell(&format!("event {} 0 0 0 0 0 0 0 0", Kind::DeviceClose as u8));
    ground.see("none", |s| s.chips[0].memory[DRAM].baseline_bytes().is_none());
    let refused = ask(&ground.prefix, "baseline-set pid=1").unwrap_err();
    assert!(refused.contains("nothing of PID 1 is tracked"), "{refused}");
    one.kill();
    other.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn a_reset_begins_peaks_anew_and_leaves_what_is_alive() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    open(&mut player, 0, 0x7000);
    alloc(&mut player, 0, 1, 5000);
    alloc(&mut player, 0, 2, 100);
    player.tell("free 0 0 1 0 0");
    let peak = |s: &Snapshot| {
        (s.chips[0].memory[DRAM].peak_footprint_bytes, figures(s, player.pid(), 0, Memory::Dram).peak_footprint_bytes)
    };
    let seen = ground.see("the free", |s| figures(s, player.pid(), 0, Memory::Dram).blocks == 1);
    assert_eq!(peak(&seen), (5100, 5100));
    let done = ask(&ground.prefix, "reset").unwrap();
    assert!(done.contains("1 process"), "{done}");
    let seen = ground.see("the peaks", |s| peak(s) == (100, 100));
    let now = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((now.footprint_bytes, now.blocks, now.detail_incomplete), (100, 1, 0));
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn who_says_nothing_or_nonsense_stops_nobody() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    alloc(&mut player, 0, 1, 64);
    ground.see("it", |s| s.health.live_allocations == 1);
    let refused = ask(&ground.prefix, "reset uid=0\u{7}").unwrap_err();
    assert!(refused.contains("not a request"), "{refused}");
    for hostile in [&b""[..], b"reset", &[b'x'; 512], b"\xff\xfe\n", &[0; 4000]] {
        let mut stream = connect(&ground.prefix).unwrap();
        let _written = stream.write_all(hostile);
        let _ended = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _read = stream.read_to_end(&mut answer);
        assert_eq!(String::from_utf8_lossy(&answer), "", "{hostile:?}");
    }
    // They are there and say nothing; whoever asks has an answer once they have been sent away.
    let silent: Vec<UnixStream> = (0..100).filter_map(|_| connect(&ground.prefix).ok()).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut stream = connect(&ground.prefix).unwrap();
        let _written = stream.write_all(format!("baseline-set pid={}\n", player.pid()).as_bytes());
        let mut answer = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        if stream.read_to_string(&mut answer).is_ok() && answer_of(&answer).is_some_and(|answer| answer.is_ok()) {
            break;
        }
        assert!(Instant::now() < deadline, "nobody was sent away");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(silent);
    alloc(&mut player, 0, 2, 64);
    ground.see("the next one", |s| s.health.live_allocations == 2);
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

/// A process of another user that asks this, by this test's own program.
fn ask_as(uid: u32, prefix: &Prefix, line: &str) -> Option<String> {
    let me = std::env::current_exe().unwrap();
    // Everybody may run it, wherever the build lies.
    let copy = std::env::temp_dir().join(format!("tt_alloc_asker_{}_{uid}", std::process::id()));
    std::fs::copy(me, &copy).unwrap();
    let mut child: Child = Command::new(&copy)
        .args(["asker", "--exact", "--nocapture"])
        .env("TEST_ASK", line)
        .env("TEST_ASK_PREFIX", prefix.to_string())
        .current_dir("/")
        .uid(uid)
        .gid(uid)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .ok()?;
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    wait("the asker's end", || child.try_wait().unwrap()).unwrap();
    std::fs::remove_file(copy).unwrap();
    said.lines().find_map(|line| line.strip_prefix("answer: ").map(str::to_owned))
}

#[test]
fn asker() {
    let Ok(line) = std::env::var("TEST_ASK") else { return };
    let prefix = Prefix::new(&std::env::var("TEST_ASK_PREFIX").unwrap()).unwrap();
    println!("\nanswer: {:?}", ask(&prefix, &line));
}

#[test]
fn others_are_refused() {
    if !nix::unistd::geteuid().is_root() {
        let _said =
            writeln!(std::io::stderr(), "\n!!! SKIPPED: others_are_refused: only root can be several users !!!\n");
        return;
    }
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    alloc(&mut player, 0, 1, 64);
    ground.see("it", |s| s.health.live_allocations == 1);
    for action in ["baseline-set", "baseline-clear", "reset"] {
        for of in [String::new(), format!(" pid={}", player.pid())] {
            let answer = ask_as(65_533, &ground.prefix, &format!("{action}{of}")).unwrap();
            assert!(answer.contains(&format!("Err(\"PID {} belongs to uid 0", player.pid())), "{action}{of}: {answer}");
        }
    }
    let seen = ground.look().unwrap();
    assert_eq!(compared(&seen, player.pid(), 0), (None, None));
    assert!(ask_as(0, &ground.prefix, "baseline-set").unwrap().starts_with("Ok("));
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}
