//! The file while it is read: what is whole in it, found by one pass over the frames' headers.
//!
//! The file may be damaged, cut short, still growing, or made by somebody who means harm: nothing of it is believed before its checksum and its bounds
//! are looked at, and no more is kept than the index below and one frame.

use super::frame::{self, FORMAT, HEAD_BYTES, HEADER_BYTES, Header, MARKER, MOST_CONTENT, kind};
use super::recorded_time::{BETWEEN_NS, RecordedTime};
use super::session::Session;
use super::writer::{RecordingError, shown};
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Points of one kind that are kept in the index; at one a minute they are two years.
const MOST_MARKS: usize = 1 << 20;
/// Sessions that are kept.
const MOST_SESSIONS: usize = 4096;
/// Read at once while the headers are looked for.
const WINDOW: usize = 1 << 16;
/// Frames that nothing stands behind, of which is remembered whether they are whole.
const MOST_CHECKED: usize = 4096;

/// A frame from which on one can read without what is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where it begins.
    pub offset: u64,
    /// Of the recorded time, ns: times at which nobody recorded are left out.
    pub at_ns: u64,
    /// Its header.
    pub header: Header,
    /// The session that it is in, counted from 1; 0: before the first.
    pub session: usize,
}

/// What is wrong with the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Places between which and the next whole frame bytes were left out.
    pub places: u64,
    /// Bytes that were left out there.
    pub bytes: u64,
    /// Bytes of a last frame that was not written to its end.
    pub torn: u64,
}

/// A recording that is read.
#[derive(Debug)]
pub struct Reader {
    file: File,
    length: u64,
    /// Whole looks and absences, in the order of the file.
    pub looks: Vec<Mark>,
    /// Inventories, in the order of the file.
    pub inventories: Vec<Mark>,
    /// Who recorded.
    pub sessions: Vec<Session>,
    /// Recorded time in all, ns.
    pub length_ns: u64,
    /// What is wrong with it.
    pub damage: Damage,
    window: (u64, Vec<u8>),
    /// Frames that nothing stands behind, and whether they are whole.
    checked: BTreeMap<u64, bool>,
    /// Bytes of such frames that may still be read: a file may claim very many that lie across each other.
    to_check: u64,
    #[cfg(test)]
    pub(super) bytes_read: std::cell::Cell<u64>,
}

impl Reader {
    /// Opens one and looks through it.
    ///
    /// # Errors
    /// When it cannot be read, or is no recording.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let system = |error| RecordingError::system(path, error);
        // O_NONBLOCK: a FIFO of this name must not hold us up.
        let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags.bits()).open(path).map_err(system)?;
        let data = file.metadata().map_err(system)?;
        if !data.is_file() {
            return Err(RecordingError::NotRegular { path: shown(path) });
        }
        let mut head = [0; HEAD_BYTES];
        let read = file.read_exact_at(&mut head, 0);
        match frame::format(&head).filter(|_| read.is_ok()) {
            Some(FORMAT) => {}
            Some(found) => return Err(RecordingError::Format { path: shown(path), found }),
            None => return Err(RecordingError::NotARecording { path: shown(path) }),
        }
        let mut reader = Self {
            file,
            length: data.len(),
            looks: Vec::new(),
            inventories: Vec::new(),
            sessions: Vec::new(),
            length_ns: 0,
            damage: Damage::default(),
            window: (0, Vec::new()),
            checked: BTreeMap::new(),
            // Those that are whole do not lie across each other; and some that are not.
            to_check: data.len().saturating_add(2 * u64::from(MOST_CONTENT)),
            #[cfg(test)]
            bytes_read: std::cell::Cell::default(),
        };
        reader.index().map_err(system)?;
        if reader.looks.is_empty() { Err(RecordingError::Empty { path: shown(path) }) } else { Ok(reader) }
    }

    fn index(&mut self) -> io::Result<()> {
        let mut offset = HEAD_BYTES as u64;
        let (mut session, mut time) = (0, RecordedTime::default());
        while let Some((found, header)) = self.next(offset)? {
            if found > offset {
                self.damage.places += 1;
                self.damage.bytes += found - offset;
            }
            offset = header.end(found);
            if header.kind == kind::SESSION {
                session += 1;
                if self.sessions.len() < MOST_SESSIONS {
                    let told = self.content(found, &header)?.and_then(|content| Session::of(&content).ok());
                    self.sessions.push(told.unwrap_or_default());
                }
                let between_ns = if self.looks.is_empty() { 0 } else { BETWEEN_NS };
                time = RecordedTime::new(self.length_ns.saturating_add(between_ns), None, self.refresh_ms(session));
                continue;
            }
            let marks = match header.kind {
                kind::KEY | kind::DELTA | kind::ABSENCE => {
                    time.pass(header.monotonic_ns);
                    self.length_ns = time.now_ns();
                    &mut self.looks
                }
                kind::INVENTORY | kind::CHANGE => &mut self.inventories,
                _ => continue,
            };
            if header.kind != kind::DELTA && marks.len() < MOST_MARKS {
                let before_ns = marks.last().map_or(0, |mark| mark.at_ns);
                let at_ns = time.at_ns(header.monotonic_ns).max(before_ns);
                marks.push(Mark { offset: found, at_ns, header, session });
            }
        }
        // Less than a header is left, or nothing that is a whole frame.
        self.damage.torn = self.length - offset.min(self.length);
        self.window = (0, Vec::new());
        Ok(())
    }

    fn refresh_ms(&self, session: usize) -> u64 {
        session.checked_sub(1).and_then(|at| self.sessions.get(at)).map_or(0, |session| session.refresh_ms)
    }

    /// The recorded time at a look.
    pub fn time_at(&self, mark: &Mark) -> RecordedTime {
        RecordedTime::new(mark.at_ns, Some(mark.header.monotonic_ns), self.refresh_ms(mark.session))
    }

    /// The next frame from there on that was written to its end, and where it begins: there, if nothing is damaged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next(&mut self, from: u64) -> io::Result<Option<(u64, Header)>> {
        let mut from = from;
        while let Some((offset, header)) = self.next_header(from)? {
            if self.is_whole(offset, &header)? {
                return Ok(Some((offset, header)));
            }
            // What was written behind it lies where its content should be.
            from = offset + HEADER_BYTES as u64;
        }
        Ok(None)
    }

    /// Whether a frame was written to its end. Where the next one stands behind it, its content is not looked at.
    fn is_whole(&mut self, offset: u64, header: &Header) -> io::Result<bool> {
        let end = header.end(offset);
        if end >= self.length {
            return Ok(end == self.length);
        }
        if self.header_at(end)?.is_some() {
            return Ok(true);
        }
        if let Some(known) = self.checked.get(&offset) {
            return Ok(*known);
        }
        let bytes = u64::from(header.length);
        if self.checked.len() == MOST_CHECKED || self.to_check < bytes {
            return Ok(false);
        }
        self.to_check -= bytes;
        let whole = self.content(offset, header)?.is_some();
        self.checked.insert(offset, whole);
        Ok(whole)
    }

    fn header_at(&self, offset: u64) -> io::Result<Option<Header>> {
        if let Some(header) = self.in_window(offset).first_chunk() {
            return Ok(Header::of(header));
        }
        let mut header = [0; HEADER_BYTES];
        let read = self.read(&mut header, offset)?;
        Ok(Header::of(&header).filter(|_| read == HEADER_BYTES))
    }

    fn next_header(&mut self, from: u64) -> io::Result<Option<(u64, Header)>> {
        let mut offset = from;
        loop {
            let bytes = self.bytes(offset)?;
            let Some(found) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
            if let Some(header) = Header::of(found) {
                return Ok(Some((offset, header)));
            }
            // As far as the window goes; a marker may lie across its end.
            let rest = &bytes[1..];
            let marker = rest.windows(MARKER.len()).position(|bytes| bytes == MARKER);
            offset += 1 + marker.unwrap_or(rest.len() + 1 - MARKER.len()) as u64;
        }
    }

    /// What the window has from there on: a header at least, if the file has as much.
    fn bytes(&mut self, offset: u64) -> io::Result<&[u8]> {
        if self.in_window(offset).len() < HEADER_BYTES {
            let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
            let mut fresh = std::mem::take(&mut self.window.1);
            fresh.resize(WINDOW.min(left), 0);
            let read = self.read(&mut fresh, offset)?;
            fresh.truncate(read);
            self.window = (offset, fresh);
        }
        Ok(self.in_window(offset))
    }

    fn in_window(&self, offset: u64) -> &[u8] {
        let (start, window) = &self.window;
        let from = offset.checked_sub(*start).and_then(|from| usize::try_from(from).ok());
        from.and_then(|from| window.get(from..)).unwrap_or_default()
    }

    /// Fills it from there on, as far as the file goes: somebody may cut it short meanwhile. Bytes that were read.
    fn read(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < to.len() {
            match self.file.read_at(&mut to[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        #[cfg(test)]
        self.bytes_read.set(self.bytes_read.get() + read as u64);
        Ok(read)
    }

    /// The content of the frame there; `None`: it is not what was written.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn content(&self, offset: u64, header: &Header) -> io::Result<Option<Vec<u8>>> {
        if header.end(offset) > self.length {
            return Ok(None);
        }
        let mut content = vec![0; header.length as usize];
        let read = self.read(&mut content, offset + HEADER_BYTES as u64)?;
        Ok((read == content.len() && header.is_of(&content)).then_some(content))
    }
}
