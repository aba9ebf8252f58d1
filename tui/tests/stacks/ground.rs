//! The processes that the tests start, and the names that they leave behind.

use super::PART;
use serde_json::Value;
use shm_layout::names::Prefix;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A process of this test binary's own, told line by line what to do.
pub struct Part {
    pub child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Part {
    pub fn start(ground: &Ground, part: &str, stacks: &str, uid: Option<u32>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "part", "--nocapture", "--test-threads=1"]);
        command.envs([(PART, part), ("TT_ALLOC_STACKS", stacks), ("TT_ALLOC_TRACKING_ENABLED", "1")]);
        command.env("TT_ALLOC_PREFIX", ground.0.to_string()).env("TT_ALLOC_RING_BYTES", "65536");
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line != "ready\n" {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "{part} ended");
        }
        Self { input: child.stdin.take().unwrap(), child, output }
    }

    pub fn tell(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A prefix of this test's own; what has it at the end is removed.
pub struct Ground(pub Prefix);

impl Ground {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Relaxed);
        Self(Prefix::new(&format!("stacks_{}_{n}", std::process::id())).unwrap())
    }

    pub fn producer(&self) -> Part {
        Part::start(self, "producer", "6", None)
    }

    pub fn aggregator(&self) -> Part {
        Part::start(self, "aggregator", "0", None)
    }

    pub fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.0);
        let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with(&dot)).collect()
    }

    pub fn of_role(&self, role: &str) -> Vec<String> {
        let role = format!(".{role}.");
        self.files().into_iter().filter(|name| name.contains(&role)).collect()
    }

    pub fn path(&self, role: &str) -> PathBuf {
        let [name] = &self.of_role(role)[..] else { panic!("one {role}: {:?}", self.files()) };
        PathBuf::from("/dev/shm").join(name)
    }

    pub fn tool_as(&self, uid: u32, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tt-alloc"));
        command.args(arguments).env("TT_ALLOC_PREFIX", self.0.to_string()).env_remove("TT_ALLOC_TRACKING_ENABLED");
        let output = command.uid(uid).output().unwrap();
        for said in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(said);
            let harmful = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!said.contains(harmful) && !said.contains("\\u001b"), "{arguments:?}: {said:?}");
        }
        output
    }

    pub fn tool(&self, arguments: &[&str]) -> Output {
        self.tool_as(nix::unistd::geteuid().as_raw(), arguments)
    }

    pub fn text(&self, arguments: &[&str]) -> String {
        let output = self.tool(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The rows of `tt-alloc buffers --stacks --json`, once there are so many.
    pub fn rows(&self, uid: u32, count: usize) -> Vec<Value> {
        let mut rows = Vec::new();
        self.wait("the allocations", || {
            let said = self.tool_as(uid, &["buffers", "--stacks", "--json", "--sort", "age"]).stdout;
            let json: Value = serde_json::from_slice(&said).unwrap_or_default();
            rows = json["buffers"].as_array().cloned().unwrap_or_default();
            rows.len() == count
        });
        rows.sort_by_key(|row| row["id"].as_u64());
        rows
    }

    pub fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain for {what}: {:?}", self.files());
            std::thread::sleep(Duration::from_millis(20));
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
