//! What comes from a terminal and is no key that somebody has pressed: pasted text, sequences of which only the beginning comes; and what
//! becomes of the screen when it is stopped, or something beside it goes wrong.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "screen/shell.rs"]
mod shell;

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use shell::Shell;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A shell with alloc-top on its screen, under a prefix under which nobody publishes; what its process id is.
fn top(test: &str) -> (Shell, Pid) {
    let shell = Shell::start(&format!("typed_{}_{test}", std::process::id()), (100, 30));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    shell.types(&format!("sh -c 'echo $$ > {}; exec alloc-top -r 50'\n", file.display()));
    shell.shows("No aggregator runs on this host.");
    let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    (shell, Pid::from_raw(pid))
}

#[test]
fn what_is_pasted_presses_no_key() {
    let (shell, _) = top("paste");
    // "q" would leave; "b" and "y" would set a baseline of everything.
    shell.types("\x1b[200~by\nq\x1b[201~");
    shell.shows("pasted text presses no keys");
    shell.types("/");
    shell.types("\x1b[200~mem>1G\nuser:ann\x1b[201~");
    shell.shows("filter mem>1G user:ann");
    shell.types("\x1b");
    shell.shows_what("no prompt", |screen| !screen.contains("mem>1G"));
    shell.types("q");
    shell.shows_what("the shell", |screen| screen.trim_end().ends_with("ready>"));
}

#[test]
fn a_sequence_that_has_only_begun_holds_nothing_up() {
    let (shell, pid) = top("begun");
    // Alt-[ is no more than this; so is the beginning of a paste whose end is lost.
    for begun in ["\x1b[", "A\x1b[200~lost"] {
        shell.types(begun);
        std::thread::sleep(Duration::from_millis(300));
    }
    kill(pid, Signal::SIGTERM).unwrap();
    shell.shows_what("the shell", |screen| screen.trim_end().ends_with("ready>"));
}

#[test]
fn who_was_stopped_by_force_takes_the_terminal_again() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_alloc-top"))
        .args(["-r", "50", "--no-config"])
        .env("TT_ALLOC_PREFIX", format!("typed_{}_stop", std::process::id()))
        .stdin(end())
        .stdout(end())
        .spawn()
        .unwrap();
    let mut output = std::fs::File::from(pty.master.try_clone().unwrap());
    std::thread::spawn(move || while output.read(&mut [0; 4096]).is_ok() {});
    let pid = Pid::from_raw(child.id().cast_signed());
    let wait_for = |what: &str, is: &mut dyn FnMut() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let before = tcgetattr(&pty.master).unwrap();
    let is_raw = || !tcgetattr(&pty.master).unwrap().local_flags.contains(LocalFlags::ICANON);
    wait_for("its screen", &mut || is_raw());
    kill(pid, Signal::SIGSTOP).unwrap();
    let state = || shm_layout::procfs::stat(&pid.to_string()).map(|stat| stat.state);
    wait_for("it to stop", &mut || state() == Some(b'T'));
    // As a shell wants it; not every one hands a terminal back as the stopped job had it.
    tcsetattr(&pty.master, SetArg::TCSANOW, &before).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    wait_for("a raw terminal", &mut || is_raw());
    kill(pid, Signal::SIGTERM).unwrap();
    wait_for("its end", &mut || child.try_wait().unwrap().is_some());
    assert!(!is_raw());
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
        let words = |buffer: &mut ratatui::buffer::Buffer, _| {
            buffer.set_string(0, 0, "it goes on", ratatui::style::Style::new());
        };
        screen.draw(words).unwrap();
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
