//! Exit codes: a contract with scripts.

use std::process::ExitCode;

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// Something failed; the message says what.
    Failure = 1,
    /// The command line is wrong (clap's own number).
    Usage = 2,
    /// There is nothing to show: no aggregator, no segment, no such device.
    Nothing = 3,
    /// Shown, but old or incomplete (with `--strict`).
    Degraded = 4,
    /// Ctrl-C while looks were printed one after another.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The end of a program: its exit code, or its error on standard error and [`Exit::Failure`].
pub fn finish(program: &str, result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        crate::output::complain(format_args!("{program}: {error:#}"));
        Exit::Failure.into()
    })
}
