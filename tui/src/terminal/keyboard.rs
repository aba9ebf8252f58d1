//! What is typed, read by a thread of its own: crossterm 0.29 waits inside one call for the rest of a sequence of which only the beginning came
//! (Alt-[ is one), and for ever where more comes than it can read. The screen waits for neither, and takes so much at a time.

use crossterm::event::{Event, poll, read};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll as wait_for};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Events that are read before somebody takes them; what else is typed meanwhile waits in the terminal.
const AHEAD: usize = 256;
/// How soon the thread notices that nobody listens any more.
const ATTENTION: Duration = Duration::from_millis(100);

/// The terminal on standard input, or the controlling one.
#[derive(Debug)]
pub struct Keyboard {
    terminal: OwnedFd,
    events: Receiver<io::Result<Event>>,
    // Dropped with it: then the thread ends.
    _listens: std::sync::Arc<()>,
}

impl Keyboard {
    /// Begins to listen.
    ///
    /// # Errors
    /// When there is no terminal, or no thread to be had.
    pub fn listen() -> io::Result<Self> {
        let terminal = open()?;
        let (tell, events) = sync_channel(AHEAD);
        let listens = std::sync::Arc::new(());
        let (of_thread, wanted) = (terminal.try_clone()?, std::sync::Arc::downgrade(&listens));
        std::thread::Builder::new()
            .name("keyboard".into())
            .spawn(move || while wanted.strong_count() > 0 && hear(&of_thread, &tell).is_some() {})?;
        Ok(Self { terminal, events, _listens: listens })
    }

    /// What was typed within this time, as far as it has been read; returns at the first of it.
    ///
    /// # Errors
    /// When the terminal has hung up, or cannot be read.
    pub fn typed(&self, within: Duration) -> io::Result<Vec<Event>> {
        // The thread may be inside a call that does not notice.
        if has_hung_up(&self.terminal, Duration::ZERO)? {
            return Err(hung_up());
        }
        let first = match self.events.recv_timeout(within) {
            Ok(event) => event?,
            Err(RecvTimeoutError::Timeout) => return Ok(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return Err(hung_up()),
        };
        let mut events = vec![first];
        for event in self.events.try_iter().take(AHEAD) {
            events.push(event?);
        }
        Ok(events)
    }
}

/// Waits a little, and tells what was typed. `None`: nothing will be any more, or nobody listens.
fn hear(terminal: &OwnedFd, tell: &SyncSender<io::Result<Event>>) -> Option<()> {
    let tell = |event| tell.send(event).ok();
    // crossterm 0.29 reads a terminal that has hung up for ever, inside one call: it is only asked while there is one.
    match has_hung_up(terminal, ATTENTION) {
        Ok(false) => {}
        Ok(true) => return tell(Err(hung_up())).and(None),
        Err(error) => return tell(Err(error)).and(None),
    }
    loop {
        match poll(Duration::ZERO) {
            Ok(false) => return Some(()),
            Ok(true) => tell(read())?,
            Err(error) => return tell(Err(error)).and(None),
        }
    }
}

/// Whether it has, after something was typed or this time has passed.
fn has_hung_up(terminal: &OwnedFd, within: Duration) -> io::Result<bool> {
    let mut asked = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
    match wait_for(&mut asked, whole_ms(within)) {
        // A resize comes as a signal.
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    Ok(asked[0].revents().is_some_and(|events| events.intersects(gone)))
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal has hung up")
}

/// poll counts in ms. Rounded up: rounded down, the rest of the wait would be spent asking again and again.
fn whole_ms(wait: Duration) -> PollTimeout {
    i32::try_from(wait.as_nanos().div_ceil(1_000_000))
        .ok()
        .and_then(|ms| PollTimeout::try_from(ms).ok())
        .unwrap_or(PollTimeout::MAX)
}

fn open() -> io::Result<OwnedFd> {
    if io::stdin().is_terminal() {
        io::stdin().as_fd().try_clone_to_owned()
    } else {
        Ok(File::open("/dev/tty")?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_shorter_than_asked_for() {
        for (ns, ms) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (99_400_000, 100)] {
            assert_eq!(whole_ms(Duration::from_nanos(ns)).as_millis(), Some(ms), "{ns}");
        }
        assert_eq!(whole_ms(Duration::MAX), PollTimeout::MAX);
    }
}
