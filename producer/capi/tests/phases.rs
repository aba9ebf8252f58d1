//! Phases told in C and in Python, as the ledger has them.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Event, flags};
use std::path::Path;
use support::host::tags::phases;
use support::host::{Ground, wait};
use support::{Installed, Link, Program};

type Listed = Vec<(Event, Option<String>)>;

/// Runs it up to where it says how many blocks it has, then to its end; what is listed of it at that point.
fn listed(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Listed {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut program = Program::start(program, arguments, &ground, environment);
    let line = program.line();
    let blocks: usize = line.strip_prefix("blocks ").unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    let ring = || ground.files().into_iter().find(|name| name.contains(".ring."));
    let live = wait("its blocks", || phases(&ground, &ring()?).filter(|live| live.len() == blocks)).unwrap();
    program.say("");
    program.end();
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
    live
}

fn phase(listed: &Listed, size: u64) -> Option<&str> {
    listed.iter().find(|(event, _)| event.size == size).unwrap().1.as_deref()
}

fn phases_in_c(link: Link) {
    let Some(program) = Installed::get().build("examples/phases.c", link) else { return };
    let listed = listed(&program, &[], &[]);
    let of = |size| phase(&listed, size);
    assert_eq!(
        [1, 2, 3, 4, 5, 6].map(of),
        [Some("model load"), Some("decode"), None, Some("decode"), Some("model load"), None]
    );
    assert!(listed.iter().any(|(event, _)| event.size == 4 && event.flags & !flags::TAG == flags::SYSTEM));
    let mut told = std::collections::BTreeMap::new();
    for (event, phase) in listed.iter().filter(|(event, _)| event.size >= 1000) {
        // Whoever wrote it down, it is of the thread that reported it.
        assert_eq!(phase.as_deref(), Some(format!("thread {}", event.size - 1000).as_str()), "{event:?}");
        assert_eq!(*told.entry(event.size).or_insert(event.thread), event.thread);
    }
    assert_eq!(told.len(), 8);
}

#[test]
fn in_c_shared() {
    phases_in_c(Link::Shared);
}

#[test]
fn in_c_static() {
    phases_in_c(Link::Static);
}

fn python(variant: &str) -> Option<Listed> {
    if !std::process::Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no python3");
        let bar = "!".repeat(78);
        eprintln!("{bar}\n!! NOT TESTED: no python3\n{bar}");
        return None;
    }
    Installed::get();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (script, module) = (here.join("tests/programs/phases.py"), here.join("python"));
    let environment = [("PYTHONPATH", module.to_str().unwrap()), ("PYTHONDONTWRITEBYTECODE", "1")];
    Some(listed(Path::new("python3"), &[script.to_str().unwrap(), variant], &environment))
}

#[test]
fn in_python() {
    for variant in ["early", "late"] {
        let Some(listed) = python(variant) else { return };
        let cut = "é".repeat(16);
        let weights = Some("weights");
        let expected = [weights, Some(cut.as_str()), Some("fails"), weights, None, Some("other thread"), None, None];
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8].map(|size| phase(&listed, size)), expected, "{variant}");
    }
}

/// Without a library, or with tracking off, the module does nothing and says nothing.
#[test]
fn in_python_without_anything() {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let code =
        "import tt_alloc\nwith tt_alloc.tag('x'): tt_alloc.tag_push('y'); tt_alloc.tag_pop()\ntt_alloc.tag_pop()";
    for tracking in ["0", "1", "nonsense"] {
        let mut command = std::process::Command::new("python3");
        command.args(["-W", "error", "-c", code]).env("PYTHONPATH", &module).env("PYTHONDONTWRITEBYTECODE", "1");
        let Ok(output) = command.env("TT_ALLOC_TRACKING_ENABLED", tracking).output() else { return };
        assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    }
}
