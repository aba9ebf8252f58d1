//! Aggregators and tracked processes of a test's own, and what the tools say of them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::Value;
use shm_layout::names::Prefix;
use shm_layout::segment::{self, Access, Expect, Opened};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tui::clock::Zone;
use tui::screen::dashboard::Dashboard;
use tui::screen::theme::Theme;
use tui::selection::Selection;
use tui::source::Source;

/// For what has to happen.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A process of this test binary's own, told line by line what to do.
pub struct Role {
    pub child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Role {
    pub fn start(ground: &Ground, role: &str, ring_bytes: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "role", "--nocapture", "--test-threads=1"]);
        command.env("SHOWN_ROLE", role).env("TT_ALLOC_PREFIX", ground.0.to_string());
        // What else runs on this host is no finding of these tests.
        command.env("TT_ALLOC_HOST_ROOT", "/nonexistent");
        if role == "producer" {
            command.env("TT_ALLOC_TRACKING_ENABLED", "1");
            for variable in ["TT_ALLOC_RING_BYTES", "TT_ALLOC_RING_MAX_BYTES"] {
                command.env(variable, ring_bytes.to_string());
            }
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut role = Self { child, input, output };
        role.until("ready");
        role
    }

    fn until(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some(rest) = line.trim_end().strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
        }
    }

    pub fn tell(&mut self, line: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.until("=")
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    pub fn stop(&self) {
        self.signal(nix::sys::signal::Signal::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(nix::sys::signal::Signal::SIGCONT);
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its input ends, and so does it.
    pub fn close(mut self) {
        self.input = None;
        self.child.wait().unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A prefix of this test's own; what has it at the end is removed.
pub struct Ground(pub Prefix);

pub struct Doctor {
    pub said: String,
    pub code: Option<i32>,
}

impl Doctor {
    /// The finding with these words, and its next step.
    pub fn finding(&self, verdict: &str, words: &str) -> &str {
        let mut lines = self.said.lines();
        let found = lines.find(|line| line.starts_with(verdict) && line.contains(words));
        assert!(found.is_some(), "no {verdict} {words:?} in\n{}", self.said);
        lines.next().and_then(|line| line.trim_start().strip_prefix("-> ")).unwrap_or_default()
    }
}

impl Ground {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Relaxed);
        Self(Prefix::new(&format!("shown_{}_{n}", std::process::id())).unwrap())
    }

    fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.0);
        let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with(&dot)).collect()
    }

    pub fn aggregator(&self) -> Role {
        Role::start(self, "aggregator", 0)
    }

    pub fn producer(&self) -> Role {
        Role::start(self, "producer", 1 << 20)
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> Output {
        let path = if name == "tt-alloc" { env!("CARGO_BIN_EXE_tt-alloc") } else { env!("CARGO_BIN_EXE_alloc-top") };
        let mut command = Command::new(path);
        command.args(arguments).env("TT_ALLOC_PREFIX", self.0.to_string()).env_remove("TT_ALLOC_TRACKING_ENABLED");
        command.env("TT_ALLOC_HOST_ROOT", "/nonexistent");
        let output = command.output().unwrap();
        for said in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(said);
            let harmful = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!said.contains(harmful) && !said.contains("\\u001b"), "{name} {arguments:?}: {said:?}");
        }
        output
    }

    /// The object, and whether `--strict` says 0 or 4.
    fn json(&self) -> (Value, Option<i32>) {
        let output = self.tool("tt-alloc", &["stats", "--json", "--strict"]);
        (serde_json::from_slice(&output.stdout).unwrap_or_default(), output.status.code())
    }

    /// The first object of which this holds, and its exit code.
    pub fn see(&self, what: &str, holds: impl Fn(&Value, Option<i32>) -> bool) -> (Value, Option<i32>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (json, code) = self.json();
            if holds(&json, code) {
                return (json, code);
            }
            assert!(Instant::now() < deadline, "never {what}: {code:?} {json:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn doctor(&self) -> Doctor {
        let output = self.tool("tt-alloc", &["doctor"]);
        Doctor { said: String::from_utf8_lossy(&output.stdout).into_owned(), code: output.status.code() }
    }

    /// What `alloc-top --once` says besides its table.
    pub fn once(&self) -> String {
        String::from_utf8_lossy(&self.tool("alloc-top", &["--once"]).stderr).into_owned()
    }

    /// The dashboard's lines above the boxes.
    pub fn screen(&self, width: u16) -> String {
        let theme = Theme::new(false, true);
        let mut dashboard = Dashboard::new("host".into(), Zone::utc(), theme, Selection::default(), 250);
        dashboard.update(Source::new(&self.0).poll());
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 24));
        let area = buffer.area;
        tui::screen::draw(&mut buffer, area, &dashboard);
        buffer.content[..3 * usize::from(width)].iter().map(|cell| cell.symbol()).collect()
    }

    pub fn ends_clean(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.files().is_empty() {
            assert!(Instant::now() < deadline, "left: {:?}", self.files());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for name in self.files() {
            let path = format!("/dev/shm/{name}");
            let _removed = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
    }
}

/// A ring, to be written at will.
pub fn scribble(name: &str) -> Opened {
    segment::open(name, Access::ReadWrite, Expect { owners: &[], least: 4096, most: u64::MAX }).unwrap()
}
