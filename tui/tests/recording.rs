//! `alloc-top --record` and `--replay` from the outside: what is recorded of an aggregator is what it published, and however a recording ends, what was
//! written can be seen again.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const TOP: &str = env!("CARGO_BIN_EXE_alloc-top");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/format-1.rec");

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// alloc-top, where nobody publishes.
fn top(arguments: &[&str]) -> Command {
    let mut command = Command::new(TOP);
    let prefix = format!("recording_{}", std::process::id());
    command.args(arguments).env("TT_ALLOC_PREFIX", prefix).env("TZ", "UTC").stdin(Stdio::null());
    command.env("TT_ALLOC_HOST_ROOT", "/nonexistent");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn recording(path: &Path) -> Child {
    let looks = || tui::recording::reader::Reader::open(path).map_or(0, |reader| reader.looks.len());
    let before = looks();
    let name = path.to_str().unwrap();
    let piped = || Stdio::piped();
    let child = top(&["--record", name, "--refresh", "50"]).stdout(piped()).stderr(piped()).spawn().unwrap();
    wait_for("the first look", || (looks() > before).then_some(()));
    child
}

#[test]
fn without_a_terminal_it_records_until_a_signal_and_says_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rec");
    for (signal, sessions) in [(Signal::SIGINT, 1), (Signal::SIGTERM, 2)] {
        let child = recording(&path);
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b""[..]));
        let said = text(&output.stderr);
        assert!(said.starts_with("alloc-top: recorded 1 look in ") && said.lines().count() == 1, "{said}");
        let reader = tui::recording::reader::Reader::open(&path).unwrap();
        assert_eq!((reader.sessions.len(), reader.looks.len()), (sessions, sessions));
    }
    let output = top(&["--replay", path.to_str().unwrap(), "--once"]).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b""[..]), "nobody published");
    assert!(text(&output.stderr).starts_with("alloc-top: when this was recorded: no aggregator runs"));
}

#[test]
fn whoever_is_killed_leaves_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rec");
    let mut child = recording(&path);
    child.kill().unwrap();
    child.wait().unwrap();
    let reader = tui::recording::reader::Reader::open(&path).unwrap();
    assert_eq!((reader.looks.len(), reader.damage.torn), (1, 0));
    // And somebody else may go on at once: no lock is left.
    let mut child = recording(&path);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_full_disk_ends_it_with_a_message_and_a_whole_last_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rec");
    // A limit on the file's size stands for the disk: 0 blocks are enough for nothing.
    let script = format!("ulimit -f 0; trap '' XFSZ; exec {TOP} --record {}", path.display());
    let output = Command::new("sh").args(["-c", &script]).env("TT_ALLOC_PREFIX", "recording_none").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("File too large"), "{}", text(&output.stderr));
    let _gone = std::fs::remove_file(&path);
    // Room for the session, then not for the second whole look of a host that is gone again and again.
    let filler = vec![b'x'; 780];
    let mut writer = tui::recording::writer::Writer::open(&path, tui::recording::Begin::New).unwrap();
    writer.write(77, 1, 1, &filler).unwrap();
    drop(writer);
    let before = std::fs::metadata(&path).unwrap().len();
    let script = format!("ulimit -f 2; trap '' XFSZ; exec {TOP} --record {}", path.display());
    let output = Command::new("sh").args(["-c", &script]).env("TT_ALLOC_PREFIX", "recording_none").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("has ended: File too large"), "{}", text(&output.stderr));
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() as u64 > before && bytes.len() <= 1024);
    let error = tui::recording::reader::Reader::open(&path).unwrap_err();
    assert!(matches!(error, tui::recording::RecordingError::Empty { .. }), "{error}");
    // Nothing torn is left behind the session.
    let session = tui::recording::frame::Header::of(bytes[before as usize..].first_chunk().unwrap()).unwrap();
    assert_eq!(session.end(before), bytes.len() as u64);
}

#[test]
fn one_look_of_a_recording_is_printed_for_any_moment_of_it() {
    let one = |at: &str| json(&top(&["--replay", GOLDEN, "--json", "--at", at]).output().unwrap());
    for (at, generation) in
        [("0s", 0), ("1m", 60), ("1m29s", 89), ("2d", 89), ("22:14:30", 70), ("2023-11-14 22:13:30", 10)]
    {
        let look = one(at);
        assert_eq!(look["aggregator"]["events_total"], 8_845_356 + 1000 * generation, "{at}");
        assert_eq!(look["aggregator"]["stale"], false);
    }
    let table = top(&["--replay", GOLDEN, "--at", "30s"]).output().unwrap();
    assert!(table.status.success() && text(&table.stdout).contains("24.7 GiB"), "{}", text(&table.stdout));
    let early = top(&["--replay", GOLDEN, "--json", "--at", "2023-11-14 20:00"]).output().unwrap();
    assert!(text(&early.stderr).contains("begins later"));
    let selected = json(&top(&["--replay", GOLDEN, "--json", "-d", "1"]).output().unwrap());
    assert_eq!(selected["devices"].as_array().unwrap().len(), 1);
    for (arguments, code) in [
        (&["--record", "x", "--jsonl"][..], 2),
        (&["--record", "x", "-n", "3"], 2),
        (&["--replay", GOLDEN, "--at", "noon"], 2),
        (&["--at", "10m"], 2),
        (&["--replay", GOLDEN, "--record", "x"], 2),
        (&["--record", "x", "--once"], 2),
        (&["--replay", "/nonexistent/file"], 1),
        (&["--replay", "/dev/zero"], 1),
        (&["--replay", TOP], 1),
        (&["--record", "/nonexistent/file"], 1),
    ] {
        let output = top(arguments).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(code), true), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn looks_of_a_recording_are_printed_one_after_another_and_nobody_waits() {
    let print = |arguments: &[&str]| {
        let output = top(&["--replay", GOLDEN]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    // To its end, ten recorded seconds apart; in real time that would be a minute and a half.
    let lines = print(&["--jsonl", "-r", "10000"]);
    let looks: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<u64> =
        looks.iter().map(|look| look["aggregator"]["events_total"].as_u64().unwrap() - 8_845_356).collect();
    assert_eq!(events, [0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 80_000, 89_000]);
    assert!(looks.iter().all(|look| look["aggregator"]["stale"] == false));
    assert_eq!(print(&["--jsonl", "-r", "1000", "-n", "3", "--at", "1m"]).lines().count(), 3);
    let csv = print(&["--csv", "-n", "2", "-r", "1000", "--filter", "pid:41893"]);
    assert_eq!((csv.matches("record,").count(), csv.matches("\nprocess,").count()), (1, 2), "{csv}");
    assert!(csv.contains(",false,") && !csv.contains(",true,\""), "{csv}");
    let table = print(&["--once", "--sort", "pid:desc", "--units", "bytes", "-d", "0"]);
    let pids: Vec<_> = ["41893", "41207"].iter().map(|pid| table.find(pid)).collect();
    assert!(pids.iter().all(Option::is_some) && pids.is_sorted(), "{table}");
    assert!(!table.contains("52011") && table.contains("24654118912"), "{table}");
    let nobody = print(&["--once", "--filter", "nobody-at-all"]);
    assert!(nobody.contains("no process is meant by"), "{nobody}");
}

#[test]
fn whether_the_aggregator_ran_is_told_as_it_was_then() {
    use tui::recording::{frame::kind, look::Look, writer::Writer};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rec");
    // Its figures are fresh, and it was seen to have ended: nobody may find out anew.
    let seen = tui::recording::Player::open(Path::new(GOLDEN)).unwrap().feed().seen.unwrap();
    let (now_ns, unix_ns) = (seen.now_ns, seen.unix_ns);
    let look = Look::new(&tui::source::Connection::Ended, seen, Vec::new()).unwrap();
    let mut writer = Writer::open(&path, tui::recording::Begin::New).unwrap();
    writer.write(kind::KEY, now_ns, unix_ns, &look.whole()).unwrap();
    drop(writer);
    let print = |form: &str| top(&["--replay", path.to_str().unwrap(), form]).output().unwrap();
    let report = print("--json");
    assert!(text(&report.stderr).contains("the aggregator was stopped"));
    assert_eq!(json(&report)["aggregator"]["stale"], true);
    let csv = text(&print("--csv").stdout);
    assert!(csv.contains(",true,") && !csv.contains("device,1700000000.000,false"), "{csv}");
}

/// Runs the test in a process of its own, which is tracked under a prefix of its own. True: this is it.
fn tracked(test: &str) -> bool {
    if std::env::var_os("RECORDING_TEST").is_some() {
        return true;
    }
    let name = format!("recording_{test}_{}", std::process::id());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .envs([("RECORDING_TEST", "1"), ("TT_ALLOC_TRACKING_ENABLED", "1"), ("TT_ALLOC_PREFIX", &name)])
        .env("TT_ALLOC_HOST_ROOT", "/nonexistent")
        .output()
        .unwrap();
    let gc = Command::new(env!("CARGO_BIN_EXE_tt-alloc")).arg("gc").env("TT_ALLOC_PREFIX", &name).output().unwrap();
    assert!(gc.status.success() && output.status.success(), "{}", text(&output.stderr));
    let left = std::fs::read_dir(shm_layout::names::DIRECTORY).unwrap().flatten();
    let left: Vec<_> =
        left.map(|entry| entry.file_name()).filter(|file| file.to_string_lossy().starts_with(&name)).collect();
    assert!(left.is_empty(), "{left:?}");
    false
}

/// What a report tells of memory; not its ages.
fn told(report: &Value) -> Value {
    let of = |list: &str, fields: &[&str]| -> Vec<Value> {
        let one = |one: &Value| fields.iter().map(|field| one[*field].clone()).collect();
        report[list].as_array().unwrap().iter().map(one).collect()
    };
    let devices = of("devices", &["chip_id", "arch", "board", "memory"]);
    let processes = of("processes", &["pid", "uid", "user", "name", "command_line", "devices"]);
    serde_json::json!([devices, processes, report["aggregator"]["pid"], report["aggregator"]["events_total"]])
}

#[test]
fn what_was_published_is_what_is_seen_again() {
    if !tracked("what_was_published_is_what_is_seen_again") {
        return;
    }
    let prefix = Prefix::from_environment().unwrap();
    let aggregator = aggregator::embedded::start(&prefix).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rec");
    let chip = 0x7000;
    producer::process::record(Event { id: chip, context: 3, ..Event::new(Kind::DeviceInfo, Memory::Dram, 0) });
    let live = || Command::new(TOP).arg("--json").stdin(Stdio::null()).output().unwrap();
    let shown = |bytes: u64| {
        let footprint = |report: &Value| report["devices"][0]["memory"]["DRAM"]["footprint_bytes"].as_u64();
        wait_for("the figures", || {
            Some(live()).filter(|o| o.status.success()).map(|o| json(&o)).filter(|r| footprint(r) == Some(bytes))
        })
    };
    let alloc = |id: u64, size: u64| {
        producer::process::record(Event { id, address: id << 20, size, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
    };
    alloc(1, 1 << 20);
    shown(1 << 20);
    let mut recorder = Command::new(TOP)
        .args(["--record", path.to_str().unwrap(), "--refresh", "50"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let replayed =
        |at: &str| Command::new(TOP).args(["--replay", path.to_str().unwrap(), "--json", "--at", at]).output().unwrap();
    // As soon as there is a look with these figures in the recording.
    let recorded = |expected: &Value| {
        wait_for("the look in the recording", || {
            Some(replayed("1d")).filter(|o| o.status.success()).map(|o| told(&json(&o))).filter(|now| now == expected)
        })
    };
    let first = told(&shown(1 << 20));
    recorded(&first);
    alloc(2, 5 << 20);
    let second = told(&shown(6 << 20));
    recorded(&second);
    assert_ne!(first, second);
    let first_again = replayed("0s");
    assert_eq!(told(&json(&first_again)), first, "the beginning stays what it was");
    kill(Pid::from_raw(recorder.id() as i32), Signal::SIGTERM).unwrap();
    assert!(recorder.wait().unwrap().success());
    let mut player = tui::recording::Player::open(&path).unwrap();
    let inventory = player.inventory().unwrap().unwrap();
    assert_eq!(inventory.holders.len(), 1);
    assert_eq!(inventory.holders[0].pid, std::process::id());
    let sizes: Vec<u64> = inventory.holders[0].allocations.iter().map(|one| one.event.size).collect();
    assert_eq!(sizes, [1 << 20], "as they were at the first look");
    assert_eq!(player.damage(), None);
    drop(aggregator);
    for left in [prefix.stats(), prefix.lock()] {
        let _gone = std::fs::remove_file(format!("/dev/shm/{left}"));
    }
    assert_eq!(told(&json(&replayed("1d"))), second, "also when the aggregator is gone");
}
