//! What comes from a terminal and is no key that somebody has pressed: pasted text, sequences of which only the beginning comes, floods; and what
//! becomes of the screen when something beside it goes wrong.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "screen/shell.rs"]
mod shell;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shell::Shell;
use std::time::{Duration, Instant};

/// A shell with alloc-top on its screen, under a prefix under which nobody publishes; what its process id is.
fn top(test: &str, before: &str) -> (Shell, Pid) {
    let shell = Shell::start(&format!("typed_{}_{test}", std::process::id()), (100, 30));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    shell.types(&format!("{before} sh -c 'echo $$ > {}; exec alloc-top -r 50'\n", file.display()));
    shell.shows("No aggregator runs on this host.");
    let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    (shell, Pid::from_raw(pid))
}

#[test]
fn what_is_pasted_presses_no_key() {
    let (shell, _) = top("paste", "");
    // "q" would leave; "b" and "y" would set a baseline of everything.
    shell.types("\x1b[200~by\nq\x1b[201~");
    shell.shows("pasted text presses no keys");
    shell.types("/");
    shell.types("\x1b[200~mem>1G\nuser:ann\x1b[201~");
    shell.shows("filter mem>1G user:ann");
    shell.types("\x1b");
    shell.types("q");
    shell.shows_what("the shell", |screen| screen.trim_end().ends_with("ready>"));
}

#[test]
fn a_sequence_that_has_only_begun_holds_nothing_up() {
    let (shell, pid) = top("begun", "");
    // Alt-[ is no more than this; so is the beginning of a paste whose end is lost.
    for begun in ["\x1b[", "200~lost"] {
        shell.types(begun);
        std::thread::sleep(Duration::from_millis(300));
    }
    kill(pid, Signal::SIGTERM).unwrap();
    shell.shows_what("the shell", |screen| screen.trim_end().ends_with("ready>"));
}

#[test]
fn whoever_types_without_end_holds_nothing_up() {
    let (shell, pid) = top("flood", "");
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let until = Instant::now() + Duration::from_secs(40);
            while !ended.load(std::sync::atomic::Ordering::Relaxed) && Instant::now() < until {
                shell.types(&"\x1b[<35;10;10M".repeat(100));
            }
        });
        std::thread::sleep(Duration::from_secs(1));
        kill(pid, Signal::SIGTERM).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while kill(pid, None).is_ok() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(kill(pid, None).is_err(), "it is still there");
    });
}

#[test]
fn who_was_stopped_by_force_takes_the_terminal_again() {
    let (shell, pid) = top("stop", "");
    assert!(!shell.is_cooked());
    kill(pid, Signal::SIGSTOP).unwrap();
    shell.shows("Stopped");
    // Not every shell hands a terminal back as the stopped job had it.
    shell.types("stty sane; echo is$((40+2))here\n");
    shell.shows("is42here");
    shell.types("stty sane; (stty sane; sleep 0.2; stty sane) & fg %1\n");
    shell.shows("No aggregator runs on this host.");
    shell.shows_what("a raw terminal", |_| !shell.is_cooked());
    shell.types("q");
    shell.shows_what("the shell", |screen| screen.trim_end().ends_with("ready>"));
}

/// Has a screen, and a thread beside it that panics; not a test by itself.
#[test]
fn panics_beside_the_screen() {
    if std::env::var_os("TEST_TYPED_PANIC").is_none() {
        return;
    }
    let mut screen = tui::terminal::Screen::enter(false).unwrap();
    let beside = std::thread::spawn(|| panic!("beside\x1b[31m"));
    assert!(beside.join().is_err());
    let until = Instant::now() + Duration::from_secs(30);
    while screen.typed(Duration::from_millis(50)).unwrap().is_empty() && Instant::now() < until {
        screen.draw(|buffer, _| drop(buffer.set_string(0, 0, "it goes on", ratatui::style::Style::new()))).unwrap();
    }
    drop(screen);
    std::process::exit(0);
}

#[test]
fn a_panic_beside_the_screen_leaves_the_screen() {
    let shell = Shell::start("typed", (100, 30));
    let me = std::env::current_exe().unwrap();
    let arguments = "--exact panics_beside_the_screen --nocapture --test-threads=1";
    shell.types(&format!("TEST_TYPED_PANIC=1 {} {arguments} && echo is$((40+2))here\n", me.display()));
    shell.shows("it goes on");
    assert_eq!(shell.is_taken(), (true, true));
    assert!(!shell.is_cooked());
    shell.types("x");
    let told = shell.shows("is42here");
    assert!(told.contains("a thread beside the screen ended") && told.contains("beside?[31m"), "{told}");
}
