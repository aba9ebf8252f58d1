//! What `alloc-top` prints, to whoever reads it: every form, with filters and orders, one look or one after another; and what it begins with. The
//! figures are published by this test.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[allow(dead_code, unused_imports, reason = "shared with the unit tests")]
#[path = "../src/sample.rs"]
mod sample;

use nix::pty::Winsize;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use shm_layout::names::Prefix;
use shm_layout::segment::create;
use shm_layout::stats::{Identity, StatsHeader, StatsView, stats_bytes};
use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tui::clock::monotonic_ns;
// The sample is of the library.
use tui::source;

const PATIENCE: Duration = Duration::from_secs(30);
const TOP: &str = env!("CARGO_BIN_EXE_alloc-top");
const ALL: [u64; 3] = [41_207, 41_893, 52_011];

/// The sample's host with four devices, published under a prefix of its own, and a folder for a configuration.
struct Host {
    prefix: String,
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    publisher: Option<JoinHandle<()>>,
}

impl Host {
    fn new(test: &str) -> Self {
        let prefix = format!("printed_{test}_{}", std::process::id());
        let folder = std::env::temp_dir().join(&prefix);
        std::fs::create_dir_all(folder.join("tt-alloc")).unwrap();
        let (stop, published) = (Arc::<AtomicBool>::default(), mpsc::channel());
        let (name, until, tell) = (Prefix::new(&prefix).unwrap().stats(), Arc::clone(&stop), published.0);
        let publisher = std::thread::spawn(move || {
            let created = create(&name, stats_bytes()).unwrap();
            created.publish_to_all().unwrap();
            let behind = size_of::<StatsHeader<AtomicU64>>();
            let words = created.mapping.array(behind, (created.mapping.len() - behind) / 8).unwrap();
            let view = StatsView::new(created.mapping.one(0).unwrap(), words).unwrap();
            let start_ticks = shm_layout::procfs::stat("self").unwrap().start_ticks;
            let pid = std::process::id();
            view.announce(Identity { pid, start_ticks, started_monotonic_ns: monotonic_ns(), ..sample::identity() });
            let mut words = Vec::new();
            sample::host(4).encode(&mut words);
            view.snapshots().publish(&words);
            while !until.load(Relaxed) {
                view.header.heartbeat.store(monotonic_ns(), Relaxed);
                let _ = tell.send(());
                std::thread::sleep(Duration::from_millis(20));
            }
            created.remove();
        });
        published.1.recv_timeout(PATIENCE).unwrap();
        Self { prefix, folder, stop, publisher: Some(publisher) }
    }

    /// As if the aggregator had ended, and removed its segment.
    fn unpublish(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(publisher) = self.publisher.take() {
            publisher.join().unwrap();
        }
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("tt-alloc/alloc-top.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TOP);
        command.args(arguments).env("TT_ALLOC_PREFIX", &self.prefix).env("XDG_CONFIG_HOME", &self.folder);
        command.env_remove("TT_ALLOC_TRACKING_ENABLED").env("LANG", "C.UTF-8").env_remove("LC_ALL");
        command
    }

    fn print(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{arguments:?}: decoration");
        output
    }

    /// What is printed with success and without a complaint.
    fn text(&self, arguments: &[&str]) -> String {
        let output = self.print(arguments);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), wrong.as_ref()), (Some(0), ""), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.unpublish();
        std::fs::remove_dir_all(&self.folder).unwrap();
        if std::thread::panicking() {
            return;
        }
        let left = std::fs::read_dir(shm_layout::names::DIRECTORY).unwrap().flatten();
        assert!(!left.into_iter().any(|file| file.file_name().to_string_lossy().starts_with(&self.prefix)));
    }
}

fn ends(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() >= deadline {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn json_pids(object: &str) -> Vec<u64> {
    let value: Value = serde_json::from_str(object).unwrap();
    assert_eq!(value["schema_version"], 1);
    value["processes"].as_array().unwrap().iter().map(|process| process["pid"].as_u64().unwrap()).collect()
}

/// PIDs of the process records.
fn csv_pids(text: &str) -> Vec<u64> {
    let pid = text.lines().next().unwrap().split(',').position(|column| column == "pid").unwrap();
    // No field before the pid is quoted.
    let rows = text.lines().filter(|line| line.starts_with("process,"));
    rows.map(|line| line.split(',').nth(pid).unwrap().parse().unwrap()).collect()
}

/// PIDs of the process table.
fn table_pids(text: &str) -> Vec<u64> {
    let rows = text.lines().skip_while(|line| !line.trim_start().starts_with("PID")).skip(1);
    rows.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

#[test]
fn every_form_honours_filter_order_and_devices() {
    let host = Host::new("forms");
    for (arguments, expected) in [
        (&["--filter", "dram<20G", "--sort", "dram:asc"][..], &[52_011, 41_893][..]),
        (&["--filter", "vllm"], &[41_893]),
        (&["--sort", "name:desc"], &[41_893, 52_011, 41_207]),
        (&["--sort", "pid", "-d", "3"], &[41_207, 52_011]),
        (&["--filter", "dev:1", "--sort", "events"], &[41_207, 41_893]),
        (&["--filter", "dev:1", "-d", "3"], &[]),
        (&[], &ALL),
    ] {
        let with = |form: &[&'static str]| host.text(&[form, arguments].concat());
        let tables = with(&["--once"]);
        if expected.is_empty() {
            assert!(tables.ends_with("\n\nno process is meant by dev:1\n"), "{tables}");
        } else {
            assert_eq!(table_pids(&tables), expected, "{arguments:?}");
        }
        assert_eq!(with(&[]), tables, "no terminal: tables without being asked");
        assert_eq!(json_pids(&with(&["--json"])), expected, "{arguments:?}");
        assert_eq!(json_pids(&with(&["--jsonl", "-n", "1"])), expected, "{arguments:?}");
        assert_eq!(csv_pids(&with(&["--csv"])), expected, "{arguments:?}");
    }
    let devices = host.text(&["--csv", "-d", "2"]);
    assert_eq!(devices.lines().filter(|line| line.starts_with("device,")).count(), 1);
    let bytes = host.text(&["--once", "--units", "bytes"]);
    assert!(bytes.contains("34359738368") && !bytes.contains("iB"), "{bytes}");
    assert!(host.text(&["--once", "--units", "si"]).contains("34.4  GB"));
    // tt-alloc stats is the same.
    let stats = Command::new(env!("CARGO_BIN_EXE_tt-alloc"))
        .args(["stats", "--csv", "--filter", "dram<20G", "--sort", "dram:asc"])
        .env("TT_ALLOC_PREFIX", &host.prefix)
        .output()
        .unwrap();
    assert_eq!(csv_pids(&String::from_utf8(stats.stdout).unwrap()), [52_011, 41_893]);
}

#[test]
fn looks_follow_one_another() {
    let host = Host::new("looks");
    let objects = host.text(&["--jsonl", "-n", "3", "-r", "50"]);
    assert_eq!(objects.lines().count(), 3);
    for object in objects.lines() {
        assert_eq!(json_pids(object), ALL);
        let value: Value = serde_json::from_str(object).unwrap();
        assert_eq!(value["devices"][0]["memory"]["DRAM"]["capacity_bytes"], 32u64 << 30);
    }
    assert_eq!(host.text(&["--json", "-n", "2", "-r", "50"]).lines().count(), 2);
    let rows = host.text(&["--csv", "-n", "2", "-r", "50"]);
    assert_eq!(rows.matches("record,unix_seconds").count(), 1, "one header");
    assert_eq!(csv_pids(&rows), [ALL, ALL].concat());
    assert!(rows.ends_with("\r\n") && rows.lines().count() == 1 + 2 * 7);
    let tables = host.text(&["-n", "2", "-r", "50"]);
    assert_eq!(tables.matches("DEVICE").count(), 2);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let host = Host::new("reader");
    // One that has gone before anything was written.
    for form in ["--once", "--json", "--csv", "--jsonl"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = host.command(&[form]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), wrong.as_str()), (Some(0), ""), "{form}");
    }
    // It is noticed while it waits, too.
    for refresh in ["50", "3600000"] {
        for form in ["--jsonl", "--csv", "--once"] {
            let arguments = [form, "-n", "1000000", "-r", refresh];
            let mut child = host.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut first = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
            assert!(!first.is_empty());
            assert_eq!(ends(&mut child), Some(0), "{arguments:?}");
            let mut wrong = String::new();
            child.stderr.unwrap().read_to_string(&mut wrong).unwrap();
            assert_eq!(wrong, "", "{arguments:?}");
        }
    }
}

#[test]
fn an_aggregator_that_goes_away_is_said_once_and_waited_for() {
    let mut host = Host::new("away");
    let arguments = ["--jsonl", "-n", "40", "-r", "50"];
    let mut child = host.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(json_pids(&lines.next().unwrap().unwrap()), ALL);
    host.unpublish();
    let more = lines.map(|line| json_pids(&line.unwrap())).inspect(|pids| assert_eq!(pids[..], ALL)).count();
    assert!(more < 39, "{more}: the figures of nobody");
    assert_eq!(ends(&mut child), Some(3), "nothing was there at the last of them");
    let mut wrong = String::new();
    child.stderr.unwrap().read_to_string(&mut wrong).unwrap();
    assert_eq!(wrong.matches("no aggregator runs").count(), 1, "{wrong}");
}

#[test]
fn signals_end_it_with_their_codes() {
    let host = Host::new("signals");
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 0)] {
        let mut child = host.command(&["--jsonl", "-r", "3600000"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        assert_eq!(ends(&mut child), Some(code), "{signal}");
    }
}

#[test]
fn wrong_usage_and_nothing_to_show() {
    let host = Host::new("usage");
    for (arguments, words) in [
        (&["--filter", "mom>1G"][..], "mom>1G: use mem dram"),
        (&["--filter", "\u{1b}[2J:x"], "?[2J"),
        (&["--sort", "size"], "use total dram"),
        (&["--sort", "pid:up"], "pid:asc"),
        (&["--json", "--csv"], "cannot be used with"),
        (&["-n", "0"], "0 is not in"),
        (&["--units", "miles"], "iec, si, bytes"),
    ] {
        let output = host.command(arguments).output().unwrap();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{arguments:?}");
        assert!(wrong.contains(words), "{arguments:?}: {wrong}");
    }
    for arguments in [&["--once"][..], &["--json"], &["--csv"], &["--jsonl"], &["--csv", "-n", "5"]] {
        let nobody = host.command(arguments).env("TT_ALLOC_PREFIX", format!("{}_none", host.prefix)).output().unwrap();
        assert_eq!((nobody.status.code(), nobody.stdout.as_slice()), (Some(3), &b""[..]), "{arguments:?}");
    }
    assert_eq!(host.print(&["--csv", "-d", "77"]).status.code(), Some(3));
}

/// A dashboard on a terminal of its own.
struct Shown {
    child: Child,
    keyboard: std::fs::File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Shown {
    fn new(host: &Host, arguments: &[&str]) -> Self {
        let size = Winsize { ws_row: 40, ws_col: 140, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = host.command(arguments);
        command.env("TERM", "xterm").stdin(side()).stdout(side()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let [rows, columns] = [size.ws_row, size.ws_col].map(|count| NonZero::new(count).unwrap());
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let (mut output, into) = (std::fs::File::from(pty.master.try_clone().unwrap()), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(bytes) = output.read(&mut buffer) {
                into.lock().unwrap().process(&buffer[..bytes]);
            }
        });
        Self { child, keyboard: pty.master.into(), screen }
    }

    /// Waits until this stands on its screen.
    fn says(&mut self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen.lock().unwrap().screen().contents();
            if screen.contains(words) {
                return;
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "{words}");
            assert!(Instant::now() < deadline, "{words}:\n{screen}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Leaves; what stood on standard error.
    fn leave(mut self) -> String {
        self.press("q");
        assert_eq!(ends(&mut self.child), Some(0));
        let mut wrong = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut wrong).unwrap();
        wrong
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // A test that has failed leaves nobody behind.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn the_dashboard_begins_as_it_was_left() {
    let host = Host::new("begins");
    let path = host.configuration();
    let ours = "# ours\nfilter = \"vllm\" # the server\nmiles = 3\n";
    std::fs::write(&path, ours).unwrap();
    let mut shown = Shown::new(&host, &[]);
    shown.says("1 of 3");
    shown.press("u");
    shown.says("powers of 1000");
    shown.press("W");
    shown.says("kept in");
    let wrong = shown.leave();
    assert!(wrong.contains("alloc-top.toml:3: miles: not a key"), "{wrong}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# ours\nfilter = \"vllm\" # the server\nmiles = 3\n"), "{text}");
    assert!(text.contains("units = \"si\"\n") && !text.contains("ascii"), "{text}");
    // The command line goes first; the rest is as it was left.
    let mut shown = Shown::new(&host, &["--filter", "!vllm"]);
    shown.says("2 of 3");
    shown.press("uu");
    shown.says("powers of 1000");
    shown.leave();
    // Printed output takes nothing from it, and neither does whoever does not want it.
    assert_eq!(json_pids(&host.text(&["--json"])), ALL);
    assert!(host.text(&["--once"]).contains("32.0 GiB"));
    let before = std::fs::read_to_string(&path).unwrap();
    let mut shown = Shown::new(&host, &["--no-config"]);
    shown.says("32.0 GiB");
    shown.press("W");
    shown.says("nothing is kept");
    assert_eq!(shown.leave(), "");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
}
