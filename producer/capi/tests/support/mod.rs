//! What the tests share: the library as it is installed, programs built against it by the system's compilers, and what they hold.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; a test may unwrap")]

#[path = "../../../../aggregator/tests/support/mod.rs"]
pub mod host;

use host::{Ground, PATIENCE};
use shm_layout::event::Memory;
use shm_layout::stats::Snapshot;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

/// How a program is linked with the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Shared,
    Static,
}

/// Where everything is installed, once per test binary.
pub struct Installed {
    directory: tempfile::TempDir,
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// The compiler of this name, or what the environment says instead; `None` if there is none, which is said loudly.
fn compiler(variable: &str, name: &str) -> Option<String> {
    let command = std::env::var(variable).unwrap_or_else(|_| name.to_owned());
    let there = Command::new(&command).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "no compiler {command}");
        let bar = "!".repeat(78);
        eprintln!("{bar}\n!! NOT TESTED: no compiler {command} (set {variable})\n{bar}");
    }
    there.then_some(command)
}

impl Installed {
    pub fn get() -> &'static Self {
        static INSTALLED: OnceLock<Installed> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            // <target>/<profile>/deps/<this test>
            let test = std::env::current_exe().unwrap();
            let profile = test.parent().and_then(Path::parent).unwrap();
            let target = profile.parent().unwrap();
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["build", "--quiet", "--locked", "-p", "capi", "--lib", "--target-dir"]).arg(target);
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            succeed(cargo.current_dir(here()));
            let directory = tempfile::tempdir().unwrap();
            succeed(Command::new(here().join("install")).arg(directory.path().join("usr")).arg(profile));
            Self { directory }
        })
    }

    pub fn prefix(&self) -> PathBuf {
        self.directory.path().join("usr")
    }

    /// What a program is to be compiled with; from pkg-config where that is there.
    fn flags(&self, link: Link) -> Vec<String> {
        let lib = self.prefix().join("lib");
        if link == Link::Static {
            let archive = lib.join("libtt_alloc.a").display().to_string();
            let include = format!("-I{}", self.prefix().join("include/tt_alloc").display());
            return [include.as_str(), &archive, "-pthread", "-ldl", "-lm", "-lgcc_s"].map(str::to_owned).into();
        }
        let mut command = Command::new("pkg-config");
        command.args(["--cflags", "--libs", "tt-alloc"]).env("PKG_CONFIG_PATH", lib.join("pkgconfig"));
        let told = match command.output() {
            Ok(_) => succeed(&mut command),
            Err(_) => format!("-I{0}/include/tt_alloc -L{0}/lib -ltt_alloc", self.prefix().display()),
        };
        told.split_whitespace().map(str::to_owned).chain(["-pthread".to_owned()]).collect()
    }

    /// The program of this source file, built; `None` without a compiler.
    pub fn build(&self, source: &str, link: Link) -> Option<PathBuf> {
        self.build_with(source, &[], self.flags(link))
    }

    /// A shared library of this source file.
    pub fn build_library(&self, source: &str) -> Option<PathBuf> {
        self.build_with(source, &["-shared", "-fPIC"], Vec::new())
    }

    fn build_with(&self, source: &str, before: &[&str], after: Vec<String>) -> Option<PathBuf> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let (compiler, standard) = if source.ends_with(".c") {
            (compiler("CC", "cc")?, "-std=c11")
        } else {
            (compiler("CXX", "c++")?, "-std=c++17")
        };
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let program = self.directory.path().join(format!("program{number}"));
        let mut command = Command::new(compiler);
        command
            .args([standard, "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .args(before)
            .arg(here().join(source));
        command.arg("-o").arg(&program).args(after);
        succeed(&mut command);
        Some(program)
    }
}

/// What a program says is live: device, memory kind, bytes, blocks.
pub type Live = Vec<(u32, Memory, u64, u64)>;

/// A program that runs.
pub struct Program {
    pub child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Program {
    pub fn start(program: &Path, arguments: &[&str], ground: &Ground, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .env("LD_LIBRARY_PATH", Installed::get().prefix().join("lib"))
            .env("TT_ALLOC_TRACKING_ENABLED", "1")
            .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, input, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line from the program")
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Says a line and waits for the answer.
    pub fn tell(&mut self, line: &str) -> String {
        self.say(line);
        let answer = self.line();
        answer.strip_prefix("ok").unwrap_or_else(|| panic!("{line}: {answer:?}")).trim().to_owned()
    }

    /// Reads on to the line with this word alone: the lines before it.
    pub fn until(&self, word: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line() {
                line if line == word => return lines,
                line => lines.push(line),
            }
        }
    }

    /// Waits for its next quiet point: what it says is live, and its other lines.
    pub fn quiet(&self) -> (Live, Vec<String>) {
        let (live, others): (Vec<_>, Vec<_>) =
            self.until("quiet").into_iter().partition(|line| line.starts_with("live "));
        let live = live.iter().map(|line| {
            let words: Vec<u64> = line.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
            let [device, memory, bytes, blocks] = words[..] else { panic!("{line}") };
            (device as u32, Memory::from_u8(memory as u8).unwrap(), bytes, blocks)
        });
        (live.collect(), others)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end in good order.
    pub fn end(mut self) {
        assert!(host::wait("the program's end", || self.child.try_wait().unwrap()).unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the snapshot shows of a process that is more than nothing.
fn shown(snapshot: &Snapshot, pid: u32) -> Live {
    let Some(at) = snapshot.processes.iter().position(|process| process.pid == pid) else { return Vec::new() };
    let rows = snapshot.rows_of(at).filter(|row| (row.figures.footprint_bytes, row.figures.blocks) != (0, 0));
    let mut live: Live = rows
        .map(|row| {
            let memory = Memory::from_u8(row.memory as u8).unwrap();
            (row.device, memory, row.figures.footprint_bytes, row.figures.blocks)
        })
        .collect();
    live.sort_unstable();
    live
}

/// The aggregator shows of this process what it holds, no more and no less, with every single allocation, and found nothing wrong.
pub fn exactly(ground: &Ground, pid: u32, live: &Live) {
    let snapshot = to_the_byte(ground, pid, live);
    if let Some(process) = snapshot.processes.iter().find(|process| process.pid == pid) {
        assert_eq!((process.dropped_events_total, process.incomplete), (0, 0));
    }
}

/// As [`exactly`], of a process that may have found its ring full: on a busy machine, one that reports without pause.
pub fn to_the_byte(ground: &Ground, pid: u32, live: &Live) -> Snapshot {
    let mut live = live.clone();
    live.retain(|(_, _, bytes, blocks)| (*bytes, *blocks) != (0, 0));
    live.sort_unstable();
    let seen = host::wait("these figures", || ground.look().filter(|snapshot| shown(snapshot, pid) == live));
    let snapshot = seen.unwrap_or_else(|why| {
        let last = ground.look();
        let process = last.as_ref().and_then(|last| last.processes.iter().find(|process| process.pid == pid));
        let shown = last.as_ref().map(|last| shown(last, pid));
        panic!("{why} of {pid}: {live:?}\nlast: {shown:?}\n{process:#?}")
    });
    if let Some(process) = snapshot.processes.iter().find(|process| process.pid == pid) {
        assert_eq!(process.anomalies, Default::default());
    }
    snapshot
}

/// Nothing of this process is shown any more.
pub fn gone(ground: &Ground, pid: u32) {
    ground.see(&format!("the end of {pid}"), |snapshot| snapshot.processes.iter().all(|process| process.pid != pid));
}
