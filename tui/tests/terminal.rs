//! alloc-top on a terminal that is ended, resized and closed under it, and commands whose output nobody reads.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use shm_layout::names::{DIRECTORY, Prefix};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// alloc-top on a terminal of its own, and what it has written there.
struct Top {
    child: Child,
    master: OwnedFd,
    slave: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Top {
    fn start() -> Self {
        let pty = nix::pty::openpty(None, None).unwrap();
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_alloc-top"))
            .args(["--refresh", "50"])
            .env("TT_ALLOC_PREFIX", format!("terminal_{}", std::process::id()))
            .env("TERM", "xterm")
            .stdin(end(&pty.slave))
            .stdout(end(&pty.slave))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (mut output, into) = (std::fs::File::from(pty.master.try_clone().unwrap()), Arc::clone(&written));
        // Ends with the terminal.
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(bytes) = output.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..bytes]);
            }
        });
        let top = Self { child, master: pty.master, slave: pty.slave, written };
        wait_for("its first frame", || (!top.is_cooked() && top.last("\x1b[?1049h").is_some()).then_some(()));
        top
    }

    /// Whether the terminal works by lines and shows what is typed, as a shell expects.
    fn is_cooked(&self) -> bool {
        let flags = tcgetattr(&self.master).unwrap().local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Where it has last written this.
    fn last(&self, sequence: &str) -> Option<usize> {
        let written = self.written.lock().unwrap();
        written.windows(sequence.len()).rposition(|window| window == sequence.as_bytes())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    fn types(&self, text: &str) {
        std::fs::File::from(self.master.try_clone().unwrap()).write_all(text.as_bytes()).unwrap();
    }

    fn end(&mut self, by: &str) -> ExitStatus {
        wait_for(&format!("its end by {by}"), || self.child.try_wait().unwrap())
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn whatever_ends_it_gives_the_terminal_back() {
    type End = (&'static str, &'static dyn Fn(&Top));
    let ends: [End; 5] = [
        ("SIGTERM", &|top| top.signal(Signal::SIGTERM)),
        ("SIGHUP", &|top| top.signal(Signal::SIGHUP)),
        ("SIGINT", &|top| top.signal(Signal::SIGINT)),
        ("q", &|top| top.types("q")),
        ("Ctrl-C", &|top| top.types("\x03")),
    ];
    for (by, end) in ends {
        let mut top = Top::start();
        end(&top);
        top.end(by);
        assert!(top.is_cooked(), "{by}: the terminal stays raw");
        let (left, shown) = wait_for("the last sequences", || Some((top.last("\x1b[?1049l")?, top.last("\x1b[?25h")?)));
        assert!(Some(left) > top.last("\x1b[?1049h"), "{by}: the other screen stays");
        assert!(Some(shown) > top.last("\x1b[?25l"), "{by}: the cursor stays hidden");
    }
}

#[test]
fn a_storm_of_sizes_does_not_end_it() {
    let mut top = Top::start();
    let mut x = 88_172_645_463_325_252_u64;
    let resize = |top: &mut Top, rows: u64, columns: u64| {
        let size = ["rows", &rows.to_string(), "cols", &columns.to_string()].map(str::to_owned);
        let stty = Command::new("stty").args(size).stdin(Stdio::from(top.slave.try_clone().unwrap())).status();
        assert!(stty.unwrap().success());
        // It is not the terminal's session: the kernel tells it nothing.
        top.signal(Signal::SIGWINCH);
        assert_eq!(top.child.try_wait().unwrap(), None, "{rows} rows, {columns} columns");
    };
    for n in 0..150 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let (rows, columns) = if n % 10 == 0 { (1, 1) } else { (1 + x % 60, 1 + (x >> 8) % 200) };
        resize(&mut top, rows, columns);
    }
    // A size that it has not drawn before: otherwise nothing may have changed, and nothing would be written.
    let drawn = top.written.lock().unwrap().len();
    resize(&mut top, 24, 210);
    wait_for("another frame", || (top.written.lock().unwrap().len() > drawn).then_some(()));
    top.types("q");
    assert!(top.end("q").success());
    assert!(top.is_cooked());
}

/// Everything that a terminal was for goes with it: the demo has producers and an aggregator behind its screen.
#[test]
fn a_terminal_that_hangs_up_ends_everything_on_it() {
    let name = format!("hangup_{}", std::process::id());
    let tool = env!("CARGO_BIN_EXE_tt-alloc");
    for (command, arguments) in [(env!("CARGO_BIN_EXE_alloc-top"), &["--embedded"][..]), (tool, &["demo"][..])] {
        let pty = nix::pty::openpty(None, None).unwrap();
        // Otherwise it would have the other end itself.
        fcntl(&pty.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut child = Command::new(command)
            .args(arguments)
            .envs([("TT_ALLOC_PREFIX", name.as_str()), ("TT_ALLOC_HOST_ROOT", "/nonexistent"), ("TERM", "xterm")])
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        drop(pty.slave);
        let mut screen = std::fs::File::from(pty.master);
        let (mut drawn, mut buffer) = (Vec::new(), [0; 1 << 16]);
        // A second's frames: nothing of it may wait for what is never read.
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until || !drawn.windows(8).any(|bytes| bytes == b"\x1b[?1049h") {
            let bytes = screen.read(&mut buffer).unwrap();
            drawn.extend_from_slice(&buffer[..bytes]);
        }
        drop(screen);
        let status = wait_for(&format!("the end of {command}"), || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(1), "{command}: an error, and no panic");
        wait_for("nothing to be left", || {
            let files = std::fs::read_dir(DIRECTORY).unwrap().flatten();
            let mut files = files.map(|e| e.file_name().to_string_lossy().into_owned());
            (!files.any(|file| file.starts_with(&format!("{name}.")))).then_some(())
        });
    }
}

#[test]
fn commands_whose_output_nobody_reads_end_quietly() {
    let name = format!("closed_{}", std::process::id());
    let prefix = Prefix::new(&name).unwrap();
    // What else runs on this host is nothing to be complained of here.
    let nowhere = "/nonexistent";
    let aggregator = aggregator::embedded::start_in(&prefix, aggregator::telemetry::Root::at(nowhere)).unwrap();
    let (tool, top) = (env!("CARGO_BIN_EXE_tt-alloc"), env!("CARGO_BIN_EXE_alloc-top"));
    let commands: [(&str, &[&str]); 6] = [
        (tool, &["stats"]),
        (tool, &["stats", "--json"]),
        (tool, &["buffers"]),
        (tool, &["buffers", "--json"]),
        (top, &["--once"]),
        (top, &["--json"]),
    ];
    for (command, arguments) in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(command);
        command.args(arguments).env("TT_ALLOC_PREFIX", &name).env("TT_ALLOC_HOST_ROOT", nowhere);
        let output = command.stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{command:?}: {} {said}", output.status);
    }
    drop(aggregator);
    let left = std::fs::read_dir(DIRECTORY).unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    assert_eq!(left.filter(|file| file.starts_with(&format!("{name}."))).collect::<Vec<_>>(), Vec::<String>::new());
}
