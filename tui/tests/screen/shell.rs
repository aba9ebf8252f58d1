//! A shell on a terminal of its own, and what its screen shows.

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// How much of this a terminal with synchronized updates shows: a frame that has begun is not seen before it has ended. Who looks at
/// half a frame sees what was above and what was before below, and types too early.
fn whole(written: &[u8]) -> usize {
    let (begin, end) = (b"\x1b[?2026h", b"\x1b[?2026l");
    let last = |mark: &[u8]| written.windows(mark.len()).rposition(|window| window == mark);
    match (last(begin), last(end)) {
        (Some(begun), ended) if ended.is_none_or(|ended| ended < begun) => begun,
        // A mark may have come in part.
        _ => written.len() - (0..begin.len()).rev().find(|part| written.ends_with(&begin[..*part])).unwrap_or(0),
    }
}

/// The shell; its terminal's size is fixed.
pub struct Shell {
    shell: Child,
    master: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Shell {
    /// An interactive one with this prefix in its environment, at its prompt.
    pub fn start(prefix: &str, (columns, rows): (u16, u16)) -> Self {
        let pty = openpty(Some(&Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let folder = std::path::Path::new(env!("CARGO_BIN_EXE_alloc-top")).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        let shell = Command::new("setsid")
            .args(["--ctty", "bash", "--norc", "--noprofile", "-i"])
            .env("PATH", path)
            .env("TT_ALLOC_PREFIX", prefix)
            .env("PS1", "ready> ")
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .env("HISTFILE", "/dev/null")
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .env("TT_ALLOC_HOST_ROOT", "/nonexistent")
            .env("TZ", "UTC")
            .env_remove("NO_COLOR")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0)));
        let (mut output, into) = (std::fs::File::from(pty.master.try_clone().unwrap()), Arc::clone(&screen));
        // Ends with the terminal.
        std::thread::spawn(move || {
            let (mut buffer, mut held) = ([0; 1 << 16], Vec::new());
            while let Ok(bytes) = output.read(&mut buffer) {
                held.extend_from_slice(&buffer[..bytes]);
                let whole = held.drain(..whole(&held)).collect::<Vec<_>>();
                into.lock().unwrap().process(&whole);
            }
        });
        let shell = Self { shell, master: pty.master, screen };
        shell.shows("ready>");
        shell
    }

    /// What stands on the screen.
    pub fn screen(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Whether a program has the alternate screen, and whether the cursor is hidden.
    pub fn is_taken(&self) -> (bool, bool) {
        let parser = self.screen.lock().unwrap();
        (parser.screen().alternate_screen(), parser.screen().hide_cursor())
    }

    /// Whether the terminal works by lines and shows what is typed, as a shell's program expects.
    pub fn is_cooked(&self) -> bool {
        let flags = tcgetattr(&self.master).unwrap().local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Types this.
    pub fn types(&self, text: &str) {
        std::fs::File::from(self.master.try_clone().unwrap()).write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the screen is like this; the screen.
    pub fn shows_what(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until this stands on the screen; the screen.
    pub fn shows(&self, words: &str) -> String {
        self.shows_what(&format!("{words:?}"), |screen| screen.contains(words))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ended = self.shell.kill();
        let _reaped = self.shell.wait();
    }
}
