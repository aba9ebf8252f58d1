//! A tt-metal that is built with this library and runs under the hooks as well: one of the two tells.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory::Dram;
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

/// The name by which the hooks are asked is the one that they have.
#[test]
fn the_hooks_can_be_asked() {
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/../preload/src/next.rs");
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/src/guard.rs");
    for (file, text) in [(hooks, "export_name = \"tt_alloc_preload_used\""), (here, "c\"tt_alloc_preload_used\"")] {
        assert!(std::fs::read_to_string(file).unwrap().contains(text), "{file}");
    }
}
