//! A tt-metal that is built with this library and runs under the hooks as well: one of the two tells.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory::Dram;
use std::io::Write;
use std::process::{Command, Stdio};
use support::host::Ground;
use support::{Installed, Link, Program, exactly};

#[test]
fn the_hooks_tell_where_they_are_used() {
    let installed = Installed::get();
    let Some(path) = installed.build("tests/programs/replay.cpp", Link::Shared) else { return };
    let Some(hooks) = installed.build_library("tests/programs/hooks.c") else { return };
    let preload = ("LD_PRELOAD", hooks.to_str().unwrap());
    let ground = Ground::new();
    let mut program = Program::start(&path, &[], &ground, &[preload, ("HOOKS_ARE_USED", "1")]);
    program.tell("alloc 0 32 10 0");
    program.tell("load 0 32 10 0");
    program.tell("free 0 32");
    assert_eq!(ground.files(), [""; 0], "no ring of this library's own");
    program.say("exit");
    program.end();
    // There, but no tt-metal has called them: a program with an allocator of its own.
    let aggregator = ground.aggregator();
    let mut program = Program::start(&path, &[], &ground, &[preload]);
    program.tell("alloc 0 32 10 0");
    exactly(&ground, program.pid(), &vec![(0, Dram, 10, 1)]);
    program.kill();
    drop(aggregator);
}

/// The hooks and this library have a copy of the same code each.
#[test]
fn a_process_says_one_line_whichever_of_the_two_speaks() {
    let installed = Installed::get();
    let Some(path) = installed.build("tests/programs/replay.cpp", Link::Shared) else { return };
    let Some(hooks) = installed.build_library("tests/programs/hooks.c") else { return };
    let lines = |variables: &[(&str, &str)]| {
        let mut command = Command::new(&path);
        command.env("LD_LIBRARY_PATH", installed.prefix().join("lib")).env("TT_ALLOC_TRACKING_ENABLED", "perhaps");
        command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut program = command.spawn().unwrap();
        program.stdin.take().unwrap().write_all(b"enabled\n").unwrap();
        let output = program.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().lines().count()
    };
    let preload = ("LD_PRELOAD", hooks.to_str().unwrap());
    assert_eq!(lines(&[]), 1);
    assert_eq!(lines(&[preload]), 1, "the hooks have said nothing");
    assert_eq!(lines(&[preload, ("HOOKS_HAVE_SAID", "1")]), 0);
}

/// The names by which the hooks are asked are those that they have.
#[test]
fn the_hooks_can_be_asked() {
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/../preload/src/next.rs");
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/src/guard.rs");
    let copies = concat!(env!("CARGO_MANIFEST_DIR"), "/../preload/src/copies.rs");
    let warning = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/warning.rs");
    for (file, text) in [
        (hooks, "export_name = \"tt_alloc_preload_used\""),
        (here, "c\"tt_alloc_preload_used\""),
        (copies, "export_name = \"tt_alloc_preload_said\""),
        (warning, "c\"tt_alloc_preload_said\""),
    ] {
        assert!(std::fs::read_to_string(file).unwrap().contains(text), "{file}");
    }
}
