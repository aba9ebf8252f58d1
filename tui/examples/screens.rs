//! Pictures of every view of the real alloc-top, for docs/alloc-top.md: runs it on a terminal of its own in front of `tt-alloc demo`, presses
//! keys, and writes what the screen shows as SVG.
//!
//!   cargo build --release && cargo run --release -p tui --example screens -- docs/screens
#![forbid(unsafe_code)]

use anyhow::Context;
use nix::pty::{Winsize, openpty};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Columns and lines, in cells and in pixels.
const SIZE: (u16, u16) = (120, 36);
/// Eight pixels are 0.602 of the size of the letters: as wide as those of the fonts named below are.
const CELL: (u16, u16) = (8, 17);
/// Before the first picture: so that there is something to see.
const WARM_UP: Duration = Duration::from_secs(75);
/// For a view to be drawn, and its ledgers to be read.
const SETTLE: Duration = Duration::from_secs(3);

/// What is typed before a picture, piece by piece, and its name.
const PICTURES: [(&[&str], &str); 12] = [
    // The last minute: there is not more to see yet.
    (&["Z", "Z"], "overview"),
    (&["2"], "charts"),
    (&["1", "g", "j", "3"], "process"),
    (&["4"], "processes"),
    // A device of one process.
    (&["5", "\x1b[C", "\x1b[C", "\x1b[C", "z", "\x1b[6~", "\x1b[6~"], "map"),
    (&["6"], "programs"),
    (&["7"], "leaks"),
    (&["8"], "events"),
    (&["9"], "health"),
    (&["1", "?"], "help"),
    (&["?", "/", "cmd:train"], "filter"),
    (&["\x1b", "4", "t"], "tree"),
];

fn main() -> anyhow::Result<()> {
    let into = PathBuf::from(std::env::args().nth(1).context("say into which folder: screens FOLDER")?);
    std::fs::create_dir_all(&into)?;
    let here = std::env::current_exe()?;
    // target/release/examples/screens: the programs lie one folder above.
    let programs = here.parent().and_then(Path::parent).context("no folder above")?;
    let pty = openpty(Some(&Winsize { ws_row: SIZE.1, ws_col: SIZE.0, ws_xpixel: 0, ws_ypixel: 0 }), None)?;
    let end = || anyhow::Ok(Stdio::from(pty.slave.try_clone()?));
    let mut demo: Child = Command::new(programs.join("tt-alloc"))
        .arg("demo")
        .envs([("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LANG", "C.UTF-8")])
        .env("TT_ALLOC_PREFIX", format!("screens_{}", std::process::id()))
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env_remove("NO_COLOR")
        .stdin(end()?)
        .stdout(end()?)
        .stderr(end()?)
        .spawn()
        .context("tt-alloc demo: build the programs first")?;
    let (rows, columns) = (SIZE.1.try_into()?, SIZE.0.try_into()?);
    let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
    let (mut output, parser) = (std::fs::File::from(pty.master.try_clone()?), Arc::clone(&screen));
    std::thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(bytes) = output.read(&mut buffer) {
            parser.lock().unwrap_or_else(PoisonError::into_inner).process(&buffer[..bytes]);
        }
    });
    let mut keyboard = std::fs::File::from(pty.master.try_clone()?);
    std::thread::sleep(WARM_UP);
    for (keys, name) in PICTURES {
        for piece in keys {
            keyboard.write_all(piece.as_bytes())?;
            // What follows an ESC at once would belong to it.
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(SETTLE);
        let svg = picture(screen.lock().unwrap_or_else(PoisonError::into_inner).screen());
        std::fs::write(into.join(format!("{name}.svg")), svg)?;
    }
    keyboard.write_all(b"q")?;
    anyhow::ensure!(demo.wait()?.success(), "the demo did not end well");
    Ok(())
}

/// The terminal's sixteen colours: as most have them on a dark ground.
const PALETTE: [&str; 16] = [
    "#1d1f21", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d0d0d0", "#5c6370", "#ff7b86",
    "#b5e890", "#ffd68a", "#82c6ff", "#e39bf7", "#7fe0ec", "#ffffff",
];
const GROUND: &str = "#1d1f21";
const TEXT: &str = "#d0d0d0";

fn colour(colour: vt100::Color, otherwise: &str) -> String {
    match colour {
        vt100::Color::Default => otherwise.to_owned(),
        vt100::Color::Idx(n) => PALETTE.get(usize::from(n)).map_or_else(|| otherwise.to_owned(), |c| (*c).to_owned()),
        vt100::Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

/// How a cell looks; neighbours that look the same are one text.
#[derive(PartialEq, Eq)]
struct Look {
    text: String,
    ground: Option<String>,
    bold: bool,
    dim: bool,
}

fn look(cell: &vt100::Cell) -> Look {
    let (mut text, mut ground) = (colour(cell.fgcolor(), TEXT), colour(cell.bgcolor(), GROUND));
    if cell.inverse() {
        std::mem::swap(&mut text, &mut ground);
    }
    let ground = Some(ground).filter(|ground| ground != GROUND);
    Look { text, ground, bold: cell.bold(), dim: cell.dim() }
}

fn picture(screen: &vt100::Screen) -> String {
    let (rows, columns) = {
        let (rows, columns) = screen.size();
        (rows.get(), columns.get())
    };
    let (width, height) = (columns * CELL.0 + 16, rows * CELL.1 + 16);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{GROUND}\"/>\n\
         <g font-family=\"DejaVu Sans Mono,Menlo,Consolas,monospace\" font-size=\"13.29\" xml:space=\"preserve\">\n"
    );
    for row in 0..rows {
        let cells: Vec<(u16, &vt100::Cell)> =
            (0..columns).filter_map(|column| Some((column, screen.cell(row, column)?))).collect();
        for same in cells.chunk_by(|(_, one), (_, next)| look(one) == look(next)) {
            let (first, cell) = same[0];
            let text: String =
                same.iter().map(|(_, cell)| if cell.has_contents() { cell.contents() } else { " " }).collect();
            let look = look(cell);
            let (x, y) = (8 + first * CELL.0, 8 + row * CELL.1);
            let wide = same.len() as u16 * CELL.0;
            if let Some(ground) = &look.ground {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{}\" fill=\"{ground}\"/>",
                    CELL.1
                );
            }
            if text.trim().is_empty() {
                continue;
            }
            let weight = if look.bold { " font-weight=\"bold\"" } else { "" };
            let faint = if look.dim { " fill-opacity=\"0.55\"" } else { "" };
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{}\" textLength=\"{wide}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{weight}{faint}>{text}</text>",
                y + 13,
                look.text
            );
        }
    }
    svg + "</g>\n</svg>\n"
}
