//! What the ttnn suite stands on: a provisioned Python with ttnn, our binaries, and a session per test.
#![allow(dead_code, reason = "each test target uses a part")]

use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The kinds that tt-metal's allocator can be asked about.
pub const KINDS: [&str; 4] = ["DRAM", "L1", "L1_SMALL", "TRACE"];

/// How long our side may take to show what has happened.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a workload may run: the first operation of each kind compiles kernels.
const WATCHDOG: Duration = Duration::from_secs(300);

/// Names the folder in which an aggregator looks for the host's devices and for tt-metal's counters.
pub const HOST_ROOT: &str = "TT_ALLOC_HOST_ROOT";

/// Everything that tests share.
pub struct Bench {
    python: PathBuf,
    aggregator: PathBuf,
    tt_alloc: PathBuf,
    hooks: PathBuf,
    testbed: PathBuf,
    /// Kernel cache and directories to run in.
    scratch: PathBuf,
}

/// The bench, made by the first test that asks; `None` where ttnn cannot be had, and a failure of that in CI.
pub fn provisioned(test: &str) -> Option<&'static Bench> {
    static BENCH: OnceLock<Result<Bench, String>> = OnceLock::new();
    let bench = BENCH.get_or_init(|| {
        let made = Bench::make(None);
        if let Err(why) = &made {
            let bar = "!".repeat(78);
            // Not eprintln!: the test harness would swallow it.
            let _ = writeln!(
                std::io::stderr(),
                "\n{bar}\n!! THE TTNN SUITE IS SKIPPED: nothing that follows was compared with tt-metal.\n\
                 !!\n{}\n!!\n!! Wanted: Python 3.12 or 3.10, gcc-riscv64-unknown-elf, PyPI. See docs/testing.md.\n{bar}\n",
                why.trim_end().lines().map(|line| format!("!! {line}")).collect::<Vec<_>>().join("\n"),
            );
        }
        made
    });
    match bench {
        Ok(bench) => Some(bench),
        Err(why) if std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false") => {
            panic!("{test} needs ttnn, and CI is set: {why}")
        }
        Err(_) => None,
    }
}

/// A ttnn wheel and the Python that it is for.
#[derive(Clone, Copy, Debug)]
pub struct Wheel<'a> {
    pub version: &'a str,
    pub python: &'a str,
}

impl Bench {
    /// One with this wheel in a directory of its own, or the usual one.
    pub fn make(wheel: Option<Wheel<'_>>) -> Result<Self, String> {
        let mut setup = Command::new(Path::new(TESTBED).join("setup.sh"));
        let scratch = target().join(match wheel {
            None => "ttnn".to_owned(),
            Some(Wheel { version, python }) => {
                setup.env("TTNN_VERSION", version).env("TTNN_PYTHON", python).env_remove("PYTHON");
                format!("ttnn-{version}-python{python}")
            }
        });
        let setup = setup.arg(&scratch).stdin(Stdio::null()).output();
        let setup = setup.map_err(|error| format!("setup.sh: {error}"))?;
        if !setup.status.success() {
            return Err(format!("setup.sh: {}\n{}", setup.status, String::from_utf8_lossy(&setup.stderr)));
        }
        Ok(Self::with(PathBuf::from(String::from_utf8_lossy(&setup.stdout).trim()), scratch))
    }

    /// One without ttnn: this program is run in the place of Python.
    pub fn of_program(program: PathBuf) -> Self {
        let scratch = program.with_file_name("runs");
        Self::with(program, scratch)
    }

    fn with(python: PathBuf, scratch: PathBuf) -> Self {
        let profile = profile();
        build(&target(), &profile);
        let built = |name: &str| {
            let path = profile.join(name);
            assert!(path.is_file(), "{} was not built", path.display());
            path
        };
        Self {
            python,
            aggregator: built("aggregator"),
            tt_alloc: built("tt-alloc"),
            hooks: built("libtt_alloc_preload.so"),
            testbed: PathBuf::from(TESTBED),
            scratch,
        }
    }
}

const TESTBED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ttnn");

/// <target>/<profile>, of <target>/<profile>/deps/<this test>.
fn profile() -> PathBuf {
    let me = std::env::current_exe().expect("this test has a path");
    me.ancestors().nth(2).expect("in a profile's directory").to_owned()
}

fn target() -> PathBuf {
    profile().parent().expect("in a target directory").to_owned()
}

/// The binaries of the other packages, which cargo does not build for the tests of this one.
fn build(target: &Path, profile: &Path) {
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "aggregator", "--package", "tui", "--package", "preload", "--profile"])
        .arg(name)
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "cargo build: {}", String::from_utf8_lossy(&built.stderr));
}

/// A place for one test: its own prefix in /dev/shm, its own directory, at most one aggregator.
pub struct Session {
    bench: &'static Bench,
    prefix: String,
    cluster: PathBuf,
    directory: PathBuf,
    aggregator: Option<Aggregator>,
    /// Time after which the aggregator is killed and another one started, again and again; `None`: it is left alone.
    pub restless: Option<Duration>,
    /// Added to the environment of all that is started.
    pub environment: Vec<(String, String)>,
    _seat: Seat,
}

impl Session {
    pub fn new(bench: &'static Bench, test: &str, cluster: &str) -> Self {
        let seat = Seat::take();
        let directory = bench.scratch.join("runs").join(test);
        fs::create_dir_all(&directory).unwrap();
        let session = Self {
            bench,
            prefix: format!("ttnn_{}_{test}", std::process::id()),
            cluster: bench.testbed.join(format!("clusters/{cluster}.yaml")),
            directory,
            aggregator: None,
            restless: restless_from_environment(),
            environment: Vec::new(),
            _seat: seat,
        };
        assert_eq!(session.files(), [""; 0]);
        session
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for inherited in ["LD_PRELOAD", "TT_ALLOC_TRACKING_ENABLED", "TT_ALLOC_PRELOAD", "PYTHONPATH", "RUST_LOG"] {
            command.env_remove(inherited);
        }
        command
            .current_dir(&self.directory)
            .env("TT_ALLOC_PREFIX", &self.prefix)
            .env("TT_ALLOC", &self.bench.tt_alloc)
            .env("TT_METAL_MOCK_CLUSTER_DESC_PATH", &self.cluster)
            .env("TT_METAL_CACHE", self.bench.scratch.join("kernels"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    fn tracked(&self) -> Command {
        let mut command = self.command(&self.bench.tt_alloc);
        command.args(["run", "--"]).arg(&self.bench.python);
        command
    }

    fn script(&self, name: &str) -> PathBuf {
        self.bench.testbed.join("workloads").join(name)
    }

    pub fn hooks(&self) -> String {
        self.bench.hooks.display().to_string()
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Runs a workload through `tt-alloc run`.
    pub fn run(&self, script_and_arguments: &[&str]) -> Ended {
        self.complete(self.tracked(), script_and_arguments)
    }

    /// Runs it with Python alone.
    pub fn run_untracked(&self, script_and_arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut command = self.command(&self.bench.python);
        command.envs(environment.iter().copied());
        self.complete(command, script_and_arguments)
    }

    fn complete(&self, mut command: Command, script_and_arguments: &[&str]) -> Ended {
        let (script, arguments) = script_and_arguments.split_first().unwrap();
        let (out, err) = (self.directory.join("stdout"), self.directory.join("stderr"));
        command.arg(self.script(script)).args(arguments);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let status = wait(&mut command.spawn().unwrap(), script);
        Ended { status, out: read(&out), err: read(&err) }
    }

    // The aggregator

    /// Starts one and waits until it publishes.
    pub fn start_aggregator(&mut self) {
        self.start_aggregator_with(&[]);
    }

    /// The same, with these arguments; successors have none.
    pub fn start_aggregator_with(&mut self, arguments: &[&str]) {
        assert!(self.aggregator.is_none());
        let mut command = self.aggregator_command();
        command.args(arguments);
        let mut aggregator = Aggregator::start(command);
        let pid = aggregator.child.lock().unwrap().id();
        self.see("the aggregator", |stats| stats["aggregator"]["pid"] == pid);
        if let Some(every) = self.restless {
            aggregator.keep_killing(every, self.aggregator_command());
        }
        self.aggregator = Some(aggregator);
    }

    fn aggregator_command(&self) -> Command {
        let log = File::options().create(true).append(true).open(self.directory.join("aggregator.log")).unwrap();
        let mut command = self.command(&self.bench.aggregator);
        command.stderr(log).stdout(Stdio::null());
        // What other tests' processes leave in tt-metal's counters is not this one's.
        if !self.environment.iter().any(|(name, _)| name == HOST_ROOT) {
            command.env(HOST_ROOT, self.directory.join("no-host"));
        }
        command
    }

    /// How often it was killed and started again.
    pub fn restarts(&self) -> u32 {
        self.aggregator.as_ref().map_or(0, |aggregator| aggregator.restarts.load(Relaxed))
    }

    /// Ends it with SIGTERM; it must leave cleanly.
    pub fn stop_aggregator(&mut self) {
        let mut child = self.aggregator.take().unwrap().settle();
        // SAFETY: a signal to a child that was not waited for yet, so the pid is its.
        assert_eq!(unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) }, 0);
        let status = wait(&mut child, "aggregator after SIGTERM");
        assert!(status.success(), "{status}");
    }

    pub fn kill_aggregator(&mut self) {
        let mut child = self.aggregator.take().unwrap().settle();
        child.kill().unwrap();
        assert_eq!(wait(&mut child, "killed aggregator").signal(), Some(9));
    }

    // What it shows

    pub fn stats(&self) -> Option<Value> {
        let shown = self.command(&self.bench.tt_alloc).args(["stats", "--json"]).output().unwrap();
        shown.status.success().then(|| serde_json::from_slice(&shown.stdout).expect("JSON"))
    }

    /// What `tt-alloc` says on standard output.
    pub fn tool(&self, arguments: &[&str]) -> String {
        let shown = self.command(&self.bench.tt_alloc).args(arguments).output().unwrap();
        assert!(shown.status.success(), "{arguments:?}: {shown:?}");
        String::from_utf8(shown.stdout).unwrap()
    }

    /// Waits for figures of which this holds.
    pub fn see(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats();
            if let Some(stats) = stats.as_ref().filter(|stats| holds(stats)) {
                return stats.clone();
            }
            if Instant::now() > deadline {
                let stats = stats.map(|stats| serde_json::to_string_pretty(&stats).unwrap());
                panic!("waited in vain for {what}; last: {}", stats.as_deref().unwrap_or("nothing"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// No bytes of any kind on any chip, and no file of a process in /dev/shm.
    pub fn wait_until_nothing_is_held(&self) {
        self.see("nothing held", |stats| {
            let roles = [".ring.", ".ledger.", ".stacks."];
            let of_processes = |name: &String| roles.iter().any(|role| name.contains(role));
            stats["devices"].as_array().unwrap().iter().all(|device| {
                let figures = device["memory"].as_object().unwrap().values();
                figures.clone().count() >= KINDS.len()
                    && figures.clone().all(|figures| figures["footprint_bytes"] == 0 && figures["blocks"] == 0)
            }) && !self.files().iter().any(of_processes)
        });
    }

    /// The event line about the death of this process, and when it was written (Unix seconds).
    pub fn death_of(&self, pid: u32) -> (String, f64) {
        let about = |line: &&Value| line["pid"] == pid && line["text"].as_str().unwrap().contains(" died");
        let find = |stats: &Value| stats["events"].as_array().unwrap().iter().find(about).cloned();
        let line = find(&self.see("a line about the death", |stats| find(stats).is_some())).unwrap();
        (line["text"].as_str().unwrap().to_owned(), line["time_unix_seconds"].as_f64().unwrap())
    }

    /// What `tt-alloc doctor` says of the tt-metal of the Python of this session.
    pub fn doctor(&self) -> String {
        self.doctor_of(&self.bench.python)
    }

    /// The same of a Python that says of itself that it has this version of ttnn, with this package.
    pub fn doctor_of_version(&self, version: &str, package: &Path) -> String {
        let python = self.directory.join("python");
        fs::write(&python, format!("#!/bin/sh\necho '{}'\necho '{version}'\n", package.display())).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        self.doctor_of(&python)
    }

    fn doctor_of(&self, python: &Path) -> String {
        let ran = self.command(&self.bench.tt_alloc).arg("doctor").arg("--python").arg(python).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        said.lines().find(|line| line.contains("  tt-metal ")).unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// The ttnn package of this session's Python.
    pub fn package(&self) -> PathBuf {
        let site = self.bench.python.ancestors().nth(2).unwrap().join("lib");
        let packages = fs::read_dir(site).unwrap().flatten().map(|entry| entry.path().join("site-packages/ttnn"));
        packages.into_iter().find(|package| package.is_dir()).unwrap()
    }

    /// What `tt-alloc buffers` lists of a process.
    pub fn buffers(&self, pid: u32) -> Vec<Value> {
        let mut command = self.command(&self.bench.tt_alloc);
        let shown = command.args(["buffers", "--json", "--pid", &pid.to_string()]).output().unwrap();
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        shown["buffers"].as_array().unwrap().clone()
    }

    /// `tt-alloc gc`.
    pub fn gc(&self) {
        let ran = self.command(&self.bench.tt_alloc).arg("gc").output().unwrap();
        assert!(ran.status.success(), "gc: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Our files in /dev/shm.
    pub fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.prefix);
        let names = fs::read_dir("/dev/shm").unwrap().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(&dot)).collect()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(aggregator) = self.aggregator.take() {
            let mut child = aggregator.settle();
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("what the aggregator said:\n{}", read(&self.directory.join("aggregator.log")));
        }
        for name in self.files() {
            let _ = fs::remove_file(Path::new("/dev/shm").join(name));
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// `TT_ALLOC_RESTLESS=200`: every aggregator is killed and replaced every 200 ms.
fn restless_from_environment() -> Option<Duration> {
    let value = std::env::var("TT_ALLOC_RESTLESS").ok().filter(|value| !value.is_empty() && value != "0")?;
    Some(Duration::from_millis(value.parse().expect("TT_ALLOC_RESTLESS is a number of milliseconds")))
}

/// An aggregator; a restless one is another process every now and then.
struct Aggregator {
    child: Arc<Mutex<Child>>,
    restarts: Arc<AtomicU32>,
    /// Kept while it is to be killed again.
    killer: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Aggregator {
    fn start(mut command: Command) -> Self {
        let child = Arc::new(Mutex::new(command.spawn().unwrap()));
        Self { child, restarts: Arc::default(), killer: None }
    }

    fn keep_killing(&mut self, every: Duration, mut command: Command) {
        let (child, restarts) = (Arc::clone(&self.child), Arc::clone(&self.restarts));
        let (keep, kept) = channel::<()>();
        let thread = std::thread::spawn(move || {
            while kept.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let mut child = child.lock().unwrap();
                assert!(child.try_wait().unwrap().is_none(), "the aggregator ended by itself");
                child.kill().unwrap();
                child.wait().unwrap();
                *child = command.spawn().unwrap();
                restarts.fetch_add(1, Relaxed);
            }
        });
        self.killer = Some((keep, thread));
    }

    /// The one that runs now, and will run on.
    fn settle(mut self) -> Child {
        if let Some((keep, thread)) = self.killer.take() {
            drop(keep);
            let ended = thread.join();
            // While a test fails, that is what is to be told.
            assert!(ended.is_ok() || std::thread::panicking(), "an aggregator ended by itself");
        }
        let child = Arc::try_unwrap(self.child).unwrap_or_else(|_| unreachable!("its thread has ended"));
        child.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A program that has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn must_succeed(&self) {
        assert!(self.status.success(), "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.out, self.err);
    }

    /// What follows this word on the line that it begins.
    pub fn line(&self, word: &str) -> &str {
        let mut rest = self.out.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        rest.next().unwrap_or_else(|| panic!("no {word}\n{}\n{}", self.out, self.err))
    }

    /// Exit code, standard output and standard error, without the times in tt-metal's log lines.
    pub fn comparable(&self) -> (Option<i32>, String, String) {
        (self.status.code(), without_times(&self.out), without_times(&self.err))
    }
}

/// `2026-11-21 05:14:19.462 | info | …` without its first 23 characters. Some environments (CI=true) make tt-metal's logger
/// colour its lines, also in a file: without that, too.
fn without_times(text: &str) -> String {
    let plain = without_colours(text);
    let lines = plain.lines().map(|line| match line.split_at_checked(23) {
        Some((time, rest)) if rest.starts_with(" | ") && time.starts_with("20") => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Without `ESC [ … m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// `obeys.py`, tracked: does what it is told, one command at a time.
pub struct Worker {
    child: Child,
    pub pid: u32,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    errors: PathBuf,
}

impl Worker {
    pub fn start(session: &Session) -> Self {
        Self::start_by(session, session.tracked())
    }

    /// With Python alone.
    pub fn start_untracked(session: &Session) -> Self {
        Self::start_by(session, session.command(&session.bench.python))
    }

    fn start_by(session: &Session, mut command: Command) -> Self {
        let errors = session.directory.join(format!("worker-{}", NEXT.fetch_add(1, Relaxed)));
        command.arg(session.script("obeys.py"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&errors).unwrap());
        let mut child = command.spawn().unwrap();
        let (sender, answers) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            for answer in lines.filter_map(|line| line.strip_prefix("ANSWER ").map(str::to_owned)) {
                if sender.send(answer).is_err() {
                    break;
                }
            }
        });
        let mut worker = Self { pid: child.id(), commands: child.stdin.take(), child, answers, errors };
        assert_eq!(worker.answer("start"), worker.pid, "`tt-alloc run` becomes the command");
        worker
    }

    fn answer(&mut self, command: &str) -> Value {
        match self.answers.recv_timeout(WATCHDOG) {
            Ok(answer) => serde_json::from_str(&answer).unwrap(),
            Err(RecvTimeoutError::Timeout) => panic!("no answer to {command:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("{command:?} ended it:\n{}", read(&self.errors)),
        }
    }

    fn say(&mut self, command: &str) {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap_or_else(|error| {
            panic!("{command:?}: {error}\n{}", read(&self.errors));
        });
    }

    /// Has it do this, and waits until it is done.
    pub fn tell(&mut self, command: &str) -> Value {
        self.say(command);
        self.answer(command)
    }

    /// What the allocators say.
    pub fn truth(&mut self) -> Value {
        self.tell("truth")
    }

    /// Kills it with -9, and says when (Unix seconds).
    pub fn kill(&mut self) -> f64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        self.child.kill().unwrap();
        assert_eq!(wait(&mut self.child, "a killed worker").signal(), Some(9));
        now
    }

    /// Has it do something that ends it.
    pub fn abandon(&mut self, command: &str) -> ExitStatus {
        self.say(command);
        wait(&mut self.child, command)
    }

    /// Lets it end in an orderly way.
    pub fn finish(mut self) {
        let status = self.abandon("finish");
        assert!(status.success(), "{status}\n{}", read(&self.errors));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Waits for a child; one that outlives the watchdog is killed, and the test with it.
fn wait(child: &mut Child, what: &str) -> ExitStatus {
    let deadline = Instant::now() + WATCHDOG;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{what} did not end within {WATCHDOG:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// A ttnn process takes some hundred megabytes: no more tests at a time than there are cores.
struct Seat;

static SEATS: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

impl Seat {
    fn take() -> Self {
        let most = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        let mut taken = SEATS.lock().unwrap();
        while *taken >= most {
            taken = LEFT.wait(taken).unwrap();
        }
        *taken += 1;
        Self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *SEATS.lock().unwrap_or_else(std::sync::PoisonError::into_inner) -= 1;
        LEFT.notify_one();
    }
}
