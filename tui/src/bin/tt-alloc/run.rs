//! `tt-alloc run -- CMD…`: the command, tracked.

use anyhow::{Context, bail};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Name of the hook library.
pub const LIBRARY: &str = "libtt_alloc_preload.so";
/// Says where it is, when it is not beside this program.
pub const LIBRARY_VARIABLE: &str = "TT_ALLOC_PRELOAD";

/// Run a command with tracking on: sets TT_ALLOC_TRACKING_ENABLED=1 and preloads the hooks
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    /// Becomes the command. Only returns when that fails: 127 if there is no such command, 126 if it cannot be run.
    ///
    /// # Errors
    /// When the hook library is not found.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let library = find_library()?;
        let Some((program, rest)) = self.command.split_first() else { bail!("no command given") };
        let mut preload = library.into_os_string();
        if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
            preload.push(":");
            preload.push(others);
        }
        let error = Command::new(program)
            .args(rest)
            .env(producer::environment::ENABLED_VARIABLE, "1")
            .env("LD_PRELOAD", preload)
            .exec();
        let _told = writeln!(std::io::stderr(), "tt-alloc run: {}: {error}", program.to_string_lossy());
        Ok(ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }))
    }
}

/// The hook library: where the variable says, beside this program, or in `../lib` of it.
///
/// # Errors
/// When it is at none of these places, or its path cannot be preloaded.
pub fn find_library() -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe().context("find this program")?;
    let beside = me.parent().map(PathBuf::from).unwrap_or_default();
    let asked = std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let places = match asked {
        Some(path) => vec![path],
        None => vec![beside.join(LIBRARY), beside.join("../lib").join(LIBRARY), beside.join("deps").join(LIBRARY)],
    };
    let Some(found) = places.iter().find(|path| path.is_file()) else {
        let list = places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        bail!(
            "{LIBRARY} not found at {list}; build it with `cargo build --release`, or set {LIBRARY_VARIABLE} to its path"
        );
    };
    let found = found.canonicalize().with_context(|| found.display().to_string())?;
    let text = found.to_string_lossy();
    // The dynamic linker splits the variable at these and has no way to quote them.
    if text.contains([' ', ':']) {
        bail!("{text}: a path with blanks or colons cannot be preloaded; move it, or set {LIBRARY_VARIABLE} to a copy");
    }
    Ok(found)
}
