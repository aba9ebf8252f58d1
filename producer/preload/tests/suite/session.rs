//! A place for one test.

use super::bench::Bench;
use super::daemon::Aggregator;
use super::ended::{Ended, wait};
use super::seat::Seat;
use super::{HOST_ROOT, KINDS, PATIENCE, read};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A place for one test: its own prefix in /dev/shm, its own directory, at most one aggregator.
pub struct Session {
    pub(super) bench: &'static Bench,
    prefix: String,
    cluster: PathBuf,
    pub(super) directory: PathBuf,
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

    pub(super) fn command(&self, program: &Path) -> Command {
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

    pub(super) fn tracked(&self) -> Command {
        let mut command = self.command(&self.bench.tt_alloc);
        command.args(["run", "--"]).arg(&self.bench.python);
        command
    }

    pub(super) fn script(&self, name: &str) -> PathBuf {
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
