//! Standard output: a closed pipe ends the program quietly, as `… | head` expects.

use std::io::{self, Write};

/// Writes all of it to standard output.
///
/// # Errors
/// The system's answer, unless the reader went away: that is no error.
pub fn print(text: &str) -> io::Result<()> {
    write(text).map(|_read| ())
}

/// Writes all of it to standard output. False: the reader went away.
///
/// # Errors
/// The system's answer.
pub fn write(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// One line on standard error; if nobody reads it, so be it (`eprintln!` would panic).
pub fn complain(what: impl std::fmt::Display) {
    let _written = writeln!(io::stderr(), "{what}");
}

/// Takes "the reader went away" for success.
///
/// # Errors
/// Every other error.
pub fn quiet_when_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Columns of the terminal on standard output; `None` when it is none. `COLUMNS` goes first.
pub fn columns() -> Option<usize> {
    use std::io::IsTerminal;
    if !io::stdout().is_terminal() {
        return None;
    }
    let asked = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|n| *n > 0);
    asked.or_else(|| crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)))
}
