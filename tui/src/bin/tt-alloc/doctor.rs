//! `tt-alloc doctor`: what works here, and what to do about what does not.

#[path = "../../../../producer/preload/src/symbols.rs"]
mod symbols;

use crate::run::find_library;
use anyhow::Context;
use producer::environment::{Decision, ENABLED_VARIABLE, decide_here};
use shm_layout::event::EVENT_BYTES;
use shm_layout::leftover::{self, Fate};
use shm_layout::names::{DIRECTORY, Prefix, Role};
use shm_layout::procfs;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use symbols::Gives;
use tui::diagnosis::{self, Finding, Verdict};
use tui::exit::Exit;
use tui::source::Source;
use tui::users::Users;

/// Tell what works here: /dev/shm, the aggregator, the hooks, your tt-metal, leftovers
///
/// Exit code 0 if all is well, 1 if something would keep figures from being right or complete.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// The Python whose ttnn is looked at
    #[arg(long, value_name = "PYTHON", default_value = "python3")]
    python: PathBuf,
    /// The libtt_metal.so that is looked at, instead of one of a Python
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

fn finding(what: &'static str, verdict: Verdict, text: impl Into<String>) -> Finding {
    Finding::new(what, verdict, text)
}

impl Doctor {
    /// Looks at everything, and says it.
    ///
    /// # Errors
    /// When the prefix is no prefix, or standard output cannot be written.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let prefix = Prefix::from_environment()?;
        let mut findings = vec![shared_memory(&prefix)];
        findings.extend(aggregator(&prefix));
        findings.extend([variable(), hooks()]);
        findings.push(self.tt_metal());
        findings.push(leftovers(&prefix));
        let mut text = String::new();
        for Finding { what, verdict, text: found, next } in &findings {
            let mark = match verdict {
                Verdict::Good => "ok  ",
                Verdict::Note => "note",
                Verdict::Bad => "BAD ",
            };
            text += &format!("{mark}  {what:<13} {found}\n");
            if !next.is_empty() {
                text += &format!("      {:<13} -> {next}\n", "");
            }
        }
        tui::output::print(&text)?;
        let bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
        Ok(if bad { Exit::Failure } else { Exit::Ok }.into())
    }

    fn tt_metal(&self) -> Finding {
        let what = "tt-metal";
        let (version, library) = match &self.library {
            Some(library) => (String::new(), library.clone()),
            None => match find_tt_metal(&self.python) {
                Ok(found) => found,
                Err(error) => {
                    let python = self.python.display();
                    let text =
                        format!("{python} has no ttnn ({error:#}); name another with --python, or --library FILE");
                    return finding(what, Verdict::Note, text);
                }
            },
        };
        let ttnn = if version.is_empty() { String::new() } else { format!("ttnn {version}: ") };
        match capabilities(&library) {
            Ok((verdict, text)) if version.is_empty() || is_tried(&version) => {
                finding(what, verdict, format!("{ttnn}{text} ({})", library.display()))
            }
            Ok((verdict, text)) => {
                let tried = symbols::TRIED.map(|(major, minor)| format!("{major}.{minor}")).join(", ");
                let verdict = if verdict == Verdict::Good { Verdict::Note } else { verdict };
                let text = format!("{ttnn}not one that was tried ({tried}); {text} ({})", library.display());
                finding(what, verdict, text).next(
                    "compare once: `tt-alloc stats` beside ttnn.get_memory_view of your program; where they differ, use a version \
                     that was tried",
                )
            }
            Err(error) => finding(what, Verdict::Bad, format!("{}: {error:#}", library.display())),
        }
    }
}

/// Room for rings in /dev/shm.
fn shared_memory(prefix: &Prefix) -> Finding {
    let what = "/dev/shm";
    let ring = producer::environment::DEFAULT_SLOTS * EVENT_BYTES as u64;
    match nix::sys::statvfs::statvfs(DIRECTORY) {
        Err(errno) => finding(what, Verdict::Bad, format!("cannot be used: {errno}"))
            .next("mount a tmpfs there, readable and writable for every user (mode 1777)"),
        Ok(stat) => {
            #[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
            let (free, size) = (
                stat.blocks_available() as u64 * stat.fragment_size() as u64,
                stat.blocks() as u64 * stat.fragment_size() as u64,
            );
            let ours = bytes_of_files(prefix);
            let text = format!(
                "{} of {} free, files of tt-alloc take {}, a ring takes {}",
                tui_bytes(free),
                tui_bytes(size),
                tui_bytes(ours),
                tui_bytes(ring)
            );
            let help = if ours > size / 2 {
                "`tt-alloc gc` removes what dead processes left; else make rings smaller (TT_ALLOC_RING_MAX_BYTES)"
            } else {
                "remove other programs' files from it; in a container use a larger --shm-size"
            };
            if free < 2 * ring {
                finding(what, Verdict::Bad, format!("{text}: no room for another process")).next(help)
            } else if free < size / 10 {
                finding(
                    what,
                    Verdict::Note,
                    format!("{text}: nearly full; rings and ledgers that cannot grow lose details"),
                )
                .next(help)
            } else {
                finding(what, Verdict::Good, text)
            }
        }
    }
}

/// Bytes of every file of this prefix in /dev/shm, as far as they take room.
fn bytes_of_files(prefix: &Prefix) -> u64 {
    let dot = format!("{prefix}.");
    let entries = std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(dot.as_bytes()));
    let blocks = ours.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.blocks());
    blocks.fold(0, u64::saturating_add).saturating_mul(512)
}

fn tui_bytes(bytes: u64) -> String {
    aggregator::bytes_text(bytes)
}

/// Who aggregates, and what that one knows of processes and rings.
fn aggregator(prefix: &Prefix) -> Vec<Finding> {
    let feed = Source::new(prefix).poll();
    match &feed.seen {
        Some(seen) => diagnosis::findings(&feed.connection, seen, &Users::default()),
        None => vec![finding("aggregator", Verdict::Note, feed.connection.to_string())],
    }
}

/// What the environment says.
fn variable() -> Finding {
    match decide_here() {
        Decision::On => finding("tracking", Verdict::Good, format!("{ENABLED_VARIABLE} turns it on here")),
        Decision::Off => {
            let text = format!("{ENABLED_VARIABLE} is not set here; `tt-alloc run` sets it for its command");
            finding("tracking", Verdict::Note, text)
        }
        Decision::Unclear(value) => {
            finding("tracking", Verdict::Bad, format!("{ENABLED_VARIABLE}={value:?} means nothing; set it to 1"))
        }
    }
}

/// The hook library.
fn hooks() -> Finding {
    match find_library() {
        Ok(library) => finding("hooks", Verdict::Good, library.display().to_string()),
        Err(error) => finding("hooks", Verdict::Bad, format!("{error:#}")),
    }
}

/// Whether the hooks were tried with this version of ttnn.
fn is_tried(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => symbols::TRIED.contains(&(major, minor)),
        _ => false,
    }
}

/// The version of a Python's ttnn (empty where it does not say) and its libtt_metal.so, without importing it.
fn find_tt_metal(python: &Path) -> anyhow::Result<(String, PathBuf)> {
    const ASK: &str = "import importlib.util as u, importlib.metadata as m; print(u.find_spec('ttnn').submodule_search_locations[0]); \
                       print(m.version('ttnn'))";
    let output = Command::new(python).args(["-c", ASK]).stderr(Stdio::null()).output().context("it does not run")?;
    // The first line comes also where there is no metadata of the package.
    let said = String::from_utf8_lossy(&output.stdout);
    let mut lines = said.lines();
    let package = PathBuf::from(lines.next().context("no such package")?.trim());
    let version = lines.next().unwrap_or_default().trim().to_owned();
    let library = package.join("build/lib/libtt_metal.so");
    anyhow::ensure!(library.is_file(), "{} is not there", library.display());
    Ok((version, library))
}

/// What the hooks can see of this tt-metal.
fn capabilities(library: &Path) -> anyhow::Result<(Verdict, String)> {
    let mut defined = defined_symbols(library)?;
    // Some of what the hooks ask lies in libraries beside it (UMD).
    let beside = library.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in beside.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("libtt") && name.ends_with(".so") && entry.path() != library {
            defined.extend(defined_symbols(&entry.path()).unwrap_or_default());
        }
    }
    let (mut needed, mut lacking, mut wanted) = (Vec::new(), Vec::new(), 0);
    for symbol in symbols::HOOKED.iter().chain(symbols::ASKED) {
        wanted += 1;
        if !defined.contains(symbol.mangled) {
            let list = if symbol.needed { &mut needed } else { &mut lacking };
            let gives = words(symbol.gives);
            if !list.contains(&gives) {
                list.push(gives);
            }
        }
    }
    Ok(if !needed.is_empty() {
        (Verdict::Bad, format!("cannot be tracked, it lacks what tells {}", needed.join(", ")))
    } else if !lacking.is_empty() {
        (Verdict::Note, format!("tracked; some functions differ in this version for {}", lacking.join(", ")))
    } else {
        (Verdict::Good, format!("tracked; all {wanted} functions that the hooks know are there"))
    })
}

fn defined_symbols(library: &Path) -> anyhow::Result<HashSet<String>> {
    use object::{Object, ObjectSymbol};
    let bytes = std::fs::read(library).context("read")?;
    let file = object::File::parse(&*bytes).context("not a shared library")?;
    let defined = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
    Ok(defined.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect())
}

fn words(gives: Gives) -> &'static str {
    match gives {
        Gives::Buffers => "buffers",
        Gives::BufferGetters => "sizes and types by getter (read from members instead)",
        Gives::Footprints => "footprints",
        Gives::Devices => "device opens and closes",
        Gives::Meshes => "the chips of a mesh",
        Gives::ChipIds => "chip ids",
        Gives::Capacities => "capacities",
        Gives::CircularBuffers => "circular buffers",
        Gives::DataflowBuffers => "dataflow buffers",
        Gives::Scratchpads => "scratchpads",
        Gives::Residency => "resident programs",
        Gives::Kernels => "kernels",
        Gives::System => "system or application",
    }
}

/// Rings of dead processes that nobody drains.
fn leftovers(prefix: &Prefix) -> Finding {
    let files = procfs::process_files(prefix);
    let dead =
        |file: &&shm_layout::names::ProcessFile| matches!(leftover::fate(prefix, file), Ok(Fate::Leftover { .. }));
    let rings = files.iter().filter(|file| file.role == Role::Ring);
    match rings.filter(dead).count() {
        0 => finding("leftovers", Verdict::Good, "none"),
        n => finding("leftovers", Verdict::Note, format!("{n} rings of dead processes; `tt-alloc gc` removes them")),
    }
}
