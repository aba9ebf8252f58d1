//! `aggregator`: the daemon, one per host.

use aggregator::daemon::Options;
use aggregator::legacy::DEFAULT_PATH;
use aggregator::{Daemon, Now};
use anyhow::Context;
use clap::Parser;
use shm_layout::names::Prefix;
use shm_layout::report::{Context as ReportContext, Report};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

/// Drains the rings of every tracked process of this host and publishes who holds what.
///
/// Runs in the foreground until SIGTERM or Ctrl-C. Log level: RUST_LOG (default info).
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Read what is there now, print it as JSON, and leave.
    #[arg(long)]
    once: bool,
    /// Listen for clients and viewers of the original allocation server as well.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = DEFAULT_PATH, conflicts_with = "once")]
    legacy_socket: Option<PathBuf>,
    /// Set a baseline for each process and device once the device has been opened, so that system memory is told apart from the
    /// application's. One that was set or cleared with `tt-alloc baseline` stays as it is
    #[arg(long)]
    auto_baseline: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever reads our output may be gone already.
            let _written = writeln!(std::io::stderr(), "aggregator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let prefix = Prefix::from_environment()?;
    let stop = stop_on_signals().context("signal handlers")?;
    let options = Options { auto_baseline: arguments.auto_baseline, ..Options::default() };
    let daemon = Daemon::start_with(&prefix, stop.as_fd(), options)?;
    if arguments.once {
        return print_once(daemon, &prefix);
    }
    let daemon = match &arguments.legacy_socket {
        Some(path) => daemon.listen(path)?,
        None => daemon,
    };
    tracing::info!(%prefix, pid = std::process::id(), "aggregator runs");
    daemon.run();
    Ok(())
}

/// Readable once SIGTERM, SIGINT or SIGHUP has come.
fn stop_on_signals() -> std::io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}

fn print_once(daemon: Daemon, prefix: &Prefix) -> anyhow::Result<()> {
    let now = Now::read();
    let snapshot = daemon.look();
    let context = ReportContext {
        prefix,
        live: true,
        now_unix_ns: now.unix_ns,
        pid: std::process::id(),
        started_monotonic_ns: now.monotonic_ns,
        now_monotonic_ns: Now::read().monotonic_ns,
        heartbeat_ns: snapshot.health.monotonic_ns,
    };
    let user = |uid: u32| nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    let report = Report::new(&snapshot, context, user);
    let text = serde_json::to_string_pretty(&report)?;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn start_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would panic when nobody reads the log any more.
        .log_internal_errors(false)
        .init();
}
