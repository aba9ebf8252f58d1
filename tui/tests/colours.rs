//! The colours that alloc-top writes to a terminal, by what the terminal says of itself and what its user asks for.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use nix::pty::{Winsize, openpty};
use std::io::Read;
use std::num::NonZero;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use vt100::Color;

const PATIENCE: Duration = Duration::from_secs(30);
/// In the middle of what is drawn last: the screen that says that there is no aggregator.
const LAST: &str = "q quit";

/// The colour of its name, and all that it has written, when it has drawn its first frame with these arguments and variables.
fn first_frame(arguments: &[&str], variables: &[(&str, &str)]) -> (Color, String) {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_alloc-top"));
    command.args(["--no-config"]).args(arguments).stdin(end()).stdout(end()).stderr(Stdio::null());
    for variable in ["NO_COLOR", "COLORTERM", "STY", "TMUX", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command.env("TT_ALLOC_PREFIX", format!("colours_{}", std::process::id()));
    command.envs([("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8")]).envs(variables.iter().copied());
    let mut child = command.spawn().unwrap();
    let (sender, receiver) = mpsc::channel();
    let mut master = std::fs::File::from(pty.master.try_clone().unwrap());
    // Ends with the terminal.
    std::thread::spawn(move || {
        let mut bytes = [0; 1 << 14];
        while let Ok(count) = master.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    let [lines, columns] = [24, 80].map(|count| NonZero::new(count).unwrap());
    let (deadline, mut written) = (Instant::now() + PATIENCE, Vec::new());
    let shown = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(more) = receiver.recv_timeout(left) else { break None };
        written.extend(more);
        let mut terminal = vt100::Parser::new(lines, columns, 0);
        terminal.process(&written);
        if terminal.screen().contents().contains(LAST) {
            let name = terminal.screen().cell(0, 1).unwrap();
            assert_eq!(name.contents(), "a");
            break Some((name.fgcolor(), String::from_utf8_lossy(&written).into_owned()));
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    shown.unwrap_or_else(|| panic!("no first frame: {}", String::from_utf8_lossy(&written)))
}

/// The accent of the palette.
const TRUE: Color = Color::Rgb(30, 136, 211);
/// Cyan of the sixteen.
const SIXTEEN: Color = Color::Idx(6);

#[test]
fn truecolour_where_the_terminal_says_so_and_none_where_it_is_not_wanted() {
    let many = ("COLORTERM", "truecolor");
    for (arguments, variables, wanted) in [
        (&[][..], &[many][..], TRUE),
        (&[], &[], SIXTEEN),
        (&["--color", "16"], &[many], SIXTEEN),
        (&["--color", "truecolor"], &[], TRUE),
        (&["--color", "truecolor"], &[("NO_COLOR", "1")], TRUE),
        (&["--color", "always"], &[("NO_COLOR", "1")], SIXTEEN),
        (&[], &[many, ("NO_COLOR", "1")], Color::Default),
        (&[], &[many, ("TERM", "dumb")], Color::Default),
        (&["--color", "never"], &[many], Color::Default),
    ] {
        let (name, written) = first_frame(arguments, variables);
        assert_eq!(name, wanted, "{arguments:?} {variables:?}");
        // Foregrounds as crossterm writes them; 39 is none.
        assert_eq!(written.contains("\x1b[38;"), wanted != Color::Default, "{arguments:?} {variables:?}: {written:?}");
    }
}
