//! What is typed.
//!
//! Read with our own hands. crossterm 0.29 waits for edges: a key that arrives together with a change of size is not read until the
//! next one comes; it reads a terminal that has hung up for ever; and half of an escape sequence holds it, and the screen, until the
//! rest comes. Here the terminal is asked whether there is something, and only that is read.

use crossterm::event::Event;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;
use signal_hook::consts::SIGWINCH;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What follows an ESC comes within this time; without it, ESC was the key.
const ESCAPE: Duration = Duration::from_millis(25);
/// The rest of any other sequence, also over slow lines.
const SEQUENCE: Duration = Duration::from_secs(1);
/// Bytes that are read at one time: what is pasted beyond them is for the next one.
const MOST: usize = 4096;
/// No sequence is longer.
const LONGEST: usize = 256;
/// Bytes that are kept of what is pasted at one time.
const LONGEST_PASTE: usize = 4096;
/// What is pasted goes on within this time, or its end is lost.
const PASTE: Duration = Duration::from_secs(3);
const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";
const ESC: u8 = 0x1b;

/// The keyboard and the mouse of a terminal.
#[derive(Debug)]
pub struct Keyboard {
    /// The terminal on standard input, or the controlling one.
    terminal: OwnedFd,
    /// The beginning of a sequence; what is being pasted; when the last of it came.
    begun: Vec<u8>,
    pasted: Option<Vec<u8>>,
    /// In a sequence that nobody knows: its last byte is still to come.
    unknown: bool,
    begun_at: Instant,
    resized: Arc<AtomicBool>,
    registered: signal_hook::SigId,
}

impl Keyboard {
    /// Of the terminal on standard input; where that is none, of the controlling one.
    ///
    /// # Errors
    /// When there is neither, or no signal can be watched.
    pub fn open() -> io::Result<Self> {
        let terminal = if io::stdin().is_terminal() {
            io::stdin().as_fd().try_clone_to_owned()?
        } else {
            File::open("/dev/tty")?.into()
        };
        Self::of(terminal)
    }

    fn of(terminal: OwnedFd) -> io::Result<Self> {
        let resized = Arc::<AtomicBool>::default();
        let registered = signal_hook::flag::register(SIGWINCH, Arc::clone(&resized))?;
        Ok(Self {
            terminal,
            begun: Vec::new(),
            pasted: None,
            unknown: false,
            begun_at: Instant::now(),
            resized,
            registered,
        })
    }

    /// Everything that was typed within this time; returns at the first of it. A change of size is among it.
    ///
    /// # Errors
    /// When the terminal cannot be read, or has hung up.
    pub fn typed(&mut self, within: Duration) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        let patience = self.patience();
        let wait = patience.map_or(within, |patience| within.min(patience));
        if self.has_something(wait)? {
            let mut bytes = [0; MOST];
            match read(&self.terminal, &mut bytes) {
                Ok(0) => return Err(hung_up()),
                Ok(count) => self.take(&bytes[..count], &mut events),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        } else if patience.is_some_and(|patience| self.begun_at.elapsed() >= patience) {
            self.give_up(&mut events);
        }
        // Relaxed: the size is asked for afterwards, and a signal that comes later is found the next time.
        if self.resized.swap(false, Ordering::Relaxed) {
            let (columns, rows) = crossterm::terminal::size()?;
            events.push(Event::Resize(columns, rows));
        }
        Ok(events)
    }

    /// How long the rest of what has begun may take; none: nothing has.
    fn patience(&self) -> Option<Duration> {
        match &self.begun[..] {
            _ if self.pasted.is_some() => Some(PASTE),
            [] if !self.unknown => None,
            [ESC] => Some(ESCAPE),
            _ => Some(SEQUENCE),
        }
    }

    fn has_something(&self, within: Duration) -> io::Result<bool> {
        let mut terminal = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
        match poll(&mut terminal, whole_ms(within)) {
            // A change of size comes as a signal.
            Ok(0) | Err(Errno::EINTR) => return Ok(false),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let events = terminal[0].revents().unwrap_or(PollFlags::empty());
        if events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
            return Err(hung_up());
        }
        Ok(events.contains(PollFlags::POLLIN))
    }

    /// The events in these bytes; the beginning of another one is kept.
    fn take(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        for byte in bytes {
            if self.pasted.is_some() {
                self.paste(*byte, events);
                continue;
            }
            if self.unknown {
                self.unknown = !is_last(*byte);
                continue;
            }
            self.begun.push(*byte);
            match &self.begun[..] {
                // A key of its own, or the beginning of others: what follows decides.
                [ESC] => continue,
                // Which the first one was not.
                [ESC, ESC] => {
                    self.begun.pop();
                    events.extend(escape());
                    continue;
                }
                PASTE_BEGINS => {
                    self.begun.clear();
                    self.pasted = Some(Vec::new());
                    continue;
                }
                _ => {}
            }
            match terminput::Event::parse_from(&self.begun) {
                Ok(Some(event)) => events.extend(known(event)),
                Ok(None) if self.begun.len() < LONGEST => continue,
                // Nothing that anybody knows: the rest of it is no key either.
                Ok(None) | Err(_) => self.unknown = self.begun.starts_with(b"\x1b[") && !is_last(*byte),
            }
            self.begun.clear();
        }
        self.begun_at = Instant::now();
    }

    fn paste(&mut self, byte: u8, events: &mut Vec<Event>) {
        let Some(pasted) = &mut self.pasted else { return };
        pasted.push(byte);
        if pasted.ends_with(PASTE_ENDS) {
            pasted.truncate((pasted.len() - PASTE_ENDS.len()).min(LONGEST_PASTE));
            events.push(Event::Paste(String::from_utf8_lossy(pasted).into_owned()));
            self.pasted = None;
        } else if pasted.len() > LONGEST_PASTE + PASTE_ENDS.len() {
            // Too much of it: but its end is to be seen.
            pasted.remove(LONGEST_PASTE);
        }
    }

    /// No more of it comes: an ESC alone was that key, what was pasted is all there is, anything else is nothing.
    fn give_up(&mut self, events: &mut Vec<Event>) {
        if let Some(pasted) = self.pasted.take() {
            events.push(Event::Paste(String::from_utf8_lossy(&pasted).into_owned()));
        }
        if self.begun == [ESC] {
            events.extend(escape());
        }
        self.unknown = false;
        self.begun.clear();
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.registered);
    }
}

/// Whether a sequence that begins with ESC [ ends with this.
const fn is_last(byte: u8) -> bool {
    matches!(byte, 0x40..=0x7e)
}

fn escape() -> Option<Event> {
    terminput::Event::parse_from(&[ESC]).ok().flatten().and_then(known)
}

fn known(event: terminput::Event) -> Option<Event> {
    terminput_crossterm::to_crossterm(event).ok()
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

#[cfg(test)]
mod tests;
