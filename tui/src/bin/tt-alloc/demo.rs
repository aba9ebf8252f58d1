//! `tt-alloc demo`: a realistic workload without hardware or ttnn, in front of you.

use anyhow::Context;
use shm_layout::names::{PREFIX_VARIABLE, Prefix};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tui::demo::cast::Cast;
use tui::demo::replay::{self, Pace};
use tui::demo::trace::Trace;

/// How fast the trace goes by when nobody watches.
const UNWATCHED_SPEED: f64 = 12.0;
/// At which part of the trace the one table is taken: everything runs by then, and something has been killed.
const UNWATCHED_MOMENT: f64 = 0.8;

/// How often processes that have ended are started again.
const REVIVAL: Duration = Duration::from_secs(4);

/// Replay a recorded workload (three ttnn jobs on four chips, one of them killed) with real producer processes
///
/// Runs an aggregator and alloc-top in front of it. Without a terminal it prints one table and leaves. It uses names of its
/// own in /dev/shm, so it never mixes with real jobs, and leaves nothing behind.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Times the recorded speed; 0 = as fast as it goes (a load generator)
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Play so often; 0 = until you quit
    #[arg(long, default_value_t = 0)]
    rounds: u64,
    /// Copies of each recorded process
    #[arg(long, default_value_t = 1)]
    copies: usize,
    /// Only produce, for this many seconds, into TT_ALLOC_PREFIX or the default prefix: for an aggregator of yours
    #[arg(long, value_name = "SECONDS")]
    load: Option<f64>,
}

impl Demo {
    /// Plays.
    ///
    /// # Errors
    /// When an aggregator or a producer cannot be started.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let trace = Trace::bundled()?;
        let pace = Pace { speed: self.speed, rounds: self.rounds };
        if let Some(seconds) = self.load {
            let prefix = Prefix::from_environment()?;
            let end = Instant::now() + Duration::try_from_secs_f64(seconds).context("--load SECONDS")?;
            let mut cast = Cast::start(&trace, &prefix, pace, self.copies)?;
            while Instant::now() < end {
                std::thread::sleep(REVIVAL.min(end.saturating_duration_since(Instant::now())));
                cast.revive()?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let prefix = match std::env::var_os(PREFIX_VARIABLE) {
            Some(_) => Prefix::from_environment()?,
            None => Prefix::new(&format!("tt_alloc_demo_{}", std::process::id()))?,
        };
        let aggregator = aggregator::embedded::start(&prefix)?;
        let code = if std::io::stdout().is_terminal() {
            watch(&prefix, Cast::start(&trace, &prefix, pace, self.copies)?)?
        } else {
            print_once(&trace, &prefix, self.copies)?
        };
        // The producers have ended by now; the aggregator sees that and removes their files before it ends.
        wait_until_quiet(&prefix);
        drop(aggregator);
        Ok(code)
    }
}

fn watch(prefix: &Prefix, mut cast: Cast) -> anyhow::Result<ExitCode> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut revived = Instant::now();
            // Relaxed: nothing but the flag itself is passed on.
            while !over.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                if revived.elapsed() >= REVIVAL {
                    revived = Instant::now();
                    // The screen belongs to alloc-top; the table shows who is missing.
                    let _revived = cast.revive();
                }
            }
            cast.end();
        });
        // However the screen ends: the scope waits for the producers.
        let _over = Over(&over);
        tui::top::run(tui::top::TopOptions { prefix: prefix.clone(), ..tui::top::TopOptions::default() })
    })
}

/// Ends the producers when it goes, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        // Relaxed: as above.
        self.0.store(true, Relaxed);
    }
}

fn print_once(trace: &Trace, prefix: &Prefix, copies: usize) -> anyhow::Result<ExitCode> {
    let pace = Pace { speed: UNWATCHED_SPEED, rounds: 1 };
    let _cast = Cast::start(trace, prefix, pace, copies)?;
    let moment = trace.length_us() as f64 * UNWATCHED_MOMENT / UNWATCHED_SPEED;
    std::thread::sleep(Duration::from_micros(moment as u64));
    Ok(tui::once::Once::default().show("tt-alloc", &mut tui::source::Source::new(prefix))?.into())
}

/// Waits until the aggregator has removed the last ring, or a second has passed.
fn wait_until_quiet(prefix: &Prefix) {
    for _ in 0..100 {
        if shm_layout::procfs::process_files(prefix).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One producer of the demo (started by the demo itself)
#[derive(Debug, clap::Args)]
pub struct DemoProducer {
    process: usize,
    #[arg(long)]
    speed: f64,
    #[arg(long)]
    rounds: u64,
}

impl DemoProducer {
    /// Plays one process of the trace.
    ///
    /// # Errors
    /// When signals cannot be handled.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        // When the demo itself is killed, its producers end with it.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM).context("set_pdeathsig")?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).context("signal handlers")?;
        }
        let pace = Pace { speed: self.speed, rounds: self.rounds };
        replay::play(&Trace::bundled()?, self.process, pace, &stop);
        Ok(ExitCode::SUCCESS)
    }
}
