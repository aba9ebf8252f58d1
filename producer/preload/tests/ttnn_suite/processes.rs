//! Processes that multiply, and the hooks loaded more often than once.

use crate::suite::{Session, provisioned};
use std::path::PathBuf;

/// Runs a workload that compares by itself; afterwards nothing of it is left.
fn compare(session: &mut Session, script_and_arguments: &[&str]) {
    session.start_aggregator();
    let ended = session.run(script_and_arguments);
    ended.must_succeed();
    assert!(!ended.err.contains("tt-alloc: "), "{}", ended.err);
    let samples: u32 = ended.line("SAMPLES").parse().unwrap();
    assert!(samples >= 10, "{samples} samples");
    session.wait_until_nothing_is_held();
}

/// A copy of the hooks under another name: another library to the loader, with statics of its own.
struct Copy(PathBuf);

impl Copy {
    fn of(session: &Session) -> Self {
        let original = PathBuf::from(session.hooks());
        let copy = original.with_file_name(format!("libcopy_of_hooks_{}.so", session.prefix()));
        std::fs::copy(&original, &copy).unwrap();
        Self(copy)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

with_ttnn! {
    /// Children of `fork` open devices after it, each for itself.
    fn multiprocessing_by_fork(session on "p150") {
        compare(session, &["multiprocess.py", "fork"]);
    }

    /// Children of `spawn` are programs of their own, with the hooks by the environment.
    fn multiprocessing_by_spawn(session on "4xp150") {
        compare(session, &["multiprocess.py", "spawn"]);
    }

    /// Children that never touch tt-metal, of a parent that has a device open: forks, execs, vforks and posix_spawns.
    fn children_that_touch_nothing_change_nothing(session on "p150") {
        compare(session, &["forks.py"]);
    }

    /// Named twice in LD_PRELOAD: the loader takes one file once.
    fn the_hooks_named_twice(session on "4xp150") {
        session.environment.push(("LD_PRELOAD".into(), session.hooks()));
        compare(session, &["acceptance.py"]);
    }

    /// A copy preloaded as well: the first of them tells, and nothing is counted twice.
    fn a_copy_of_the_hooks_preloaded_as_well(session on "4xp150") {
        let copy = Copy::of(session);
        session.environment.push(("LD_PRELOAD".into(), copy.path()));
        compare(session, &["acceptance.py"]);
    }

    /// A copy that the program loads itself, before ttnn and after a device was opened.
    fn a_copy_of_the_hooks_loaded_later(session on "p150") {
        let copy = Copy::of(session);
        compare(session, &["loaded_again.py", &copy.path()]);
    }

    /// Closed by the program, the hooks stay: what tt-metal calls is in them.
    fn the_hooks_closed_by_the_program(session on "p150") {
        let hooks = session.hooks();
        compare(session, &["closed_library.py", &hooks]);
        // Not preloaded: the program's own handle is the only one.
        let ended = session.run_untracked(&["closed_library.py", &hooks], &[("TT_ALLOC_TRACKING_ENABLED", "1")]);
        ended.must_succeed();
        session.wait_until_nothing_is_held();
    }
}
