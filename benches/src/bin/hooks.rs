//! What tracking costs a job on stock ttnn: one tensor allocated and freed, with and without the hooks.
//!
//!     cargo build --release && cargo run --release -p benches --bin hooks -- [--quick] [--json FILE]
//!
//! The published wheel on a mock device: real Python, real tt-metal, real hooks. Four ways in turn, in another order at each
//! repetition: without the hook library, with it but not tracked, tracked with nobody attached, tracked with an aggregator on
//! the other core. `TTNN_PYTHON` names the interpreter; without it the one of the project's ttnn suite is taken.

use anyhow::{Context, bail, ensure};
use benches::machine::{pin, processors};
use benches::report::Report;
use benches::sample::Sample;
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[derive(Parser)]
#[command(about = "What tracking costs a job on stock ttnn")]
struct Args {
    /// Fewer rounds
    #[arg(long)]
    quick: bool,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How the job runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    NotTracked,
    Alone,
    Watched,
}

impl Way {
    const ALL: [Self; 4] = [Self::Plain, Self::NotTracked, Self::Alone, Self::Watched];

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "without the hook library",
            Self::NotTracked => "hooks, not tracked",
            Self::Alone => "tracked, nobody attached",
            Self::Watched => "tracked, with an aggregator",
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report::new("hooks");
    match Job::find() {
        Ok(job) => job.measure(&mut report, args.quick)?,
        Err(error) => report.missing.push(format!("the hooks on stock ttnn: {error:#}")),
    }
    print!("{report}");
    args.json.map_or(Ok(()), |path| report.write(&path)).context("write the JSON")
}

/// The job and what it needs.
struct Job {
    python: PathBuf,
    root: PathBuf,
    built: PathBuf,
    prefix: String,
    /// The processors of this program before it was pinned to one.
    processors: Vec<usize>,
}

impl Job {
    fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?.to_owned();
        let own = root.join("target/ttnn/venv/bin/python");
        let python = std::env::var_os("TTNN_PYTHON").map_or(own, PathBuf::from);
        ensure!(python.exists(), "no Python with ttnn; `just ttnn-setup` makes one");
        let me = std::env::current_exe().context("where this program lies")?;
        let built = me.parent().context("where this program lies")?.to_owned();
        for file in ["libtt_alloc_preload.so", "aggregator"] {
            ensure!(built.join(file).exists(), "{file} is not built; `cargo build --release` makes it");
        }
        let prefix = format!("tt_bench_hooks_{}", std::process::id());
        Ok(Self { python, root, built, prefix, processors: processors() })
    }

    fn measure(&self, report: &mut Report, quick: bool) -> anyhow::Result<()> {
        let (repeats, rounds, pairs) = if quick { (2, 3, 1000) } else { (8, 5, 4000) };
        let mut samples = Way::ALL.map(|_| Sample::default());
        for repeat in 0..repeats {
            for turn in 0..Way::ALL.len() {
                let at = (turn * 3 + repeat) % Way::ALL.len();
                samples[at].extend(self.run(Way::ALL[at], rounds, pairs)?);
            }
        }
        for (way, sample) in Way::ALL.iter().zip(&mut samples) {
            report.add("ttnn: a tensor allocated and freed", way.name(), None, "ns/pair", sample);
        }
        Ok(())
    }

    /// One process, one way: ns a pair, of each round.
    fn run(&self, way: Way, rounds: usize, pairs: usize) -> anyhow::Result<Vec<f64>> {
        let aggregator = if way == Way::Watched { Some(self.aggregator()?) } else { None };
        let mut job = Command::new(&self.python);
        job.arg(self.root.join("benches/src/hooks/pairs.py")).args([rounds.to_string(), pairs.to_string()]);
        job.env("TT_METAL_MOCK_CLUSTER_DESC_PATH", self.root.join("producer/preload/tests/ttnn/clusters/p150.yaml"));
        job.env("TT_METAL_LOGGER_LEVEL", "ERROR").env("TT_ALLOC_PREFIX", &self.prefix);
        job.env_remove("TT_ALLOC_TRACKING_ENABLED").env_remove("LD_PRELOAD").stdin(Stdio::null());
        if way != Way::Plain {
            job.env("LD_PRELOAD", self.built.join("libtt_alloc_preload.so"));
        }
        if matches!(way, Way::Alone | Way::Watched) {
            job.env("TT_ALLOC_TRACKING_ENABLED", "1");
        }
        // The child inherits where this thread is pinned: away from the aggregator.
        pin(self.processors.first().copied().unwrap_or(0));
        let output = job.output().context("run the job")?;
        drop(aggregator);
        if !output.status.success() {
            bail!("the job failed: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no message"));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let round = |line: &str| line.strip_prefix("pair_ns ").and_then(|ns| ns.parse().ok());
        let found: Vec<f64> = text.lines().filter_map(round).collect();
        ensure!(found.len() == rounds, "the job told {} rounds of {rounds}", found.len());
        Ok(found)
    }

    fn aggregator(&self) -> anyhow::Result<Aggregator> {
        let mut command = Command::new(self.built.join("aggregator"));
        command.env("TT_ALLOC_PREFIX", &self.prefix).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        pin(self.processors.last().copied().unwrap_or(0));
        let child = command.spawn().context("start the aggregator")?;
        let aggregator = Aggregator(child);
        let stats = format!("/dev/shm/{}.stats", self.prefix);
        for _ in 0..200 {
            if Path::new(&stats).exists() {
                return Ok(aggregator);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        bail!("the aggregator did not start");
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        for name in ["lock", "stats"] {
            let _gone = std::fs::remove_file(format!("/dev/shm/{}.{name}", self.prefix));
        }
    }
}

struct Aggregator(Child);

impl Drop for Aggregator {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ended = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _reaped = self.0.wait();
    }
}
