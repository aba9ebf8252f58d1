//! The file while it is read: what is whole in it, found by one pass over the frames' headers.
//!
//! The file may be damaged, cut short, still growing, or made by somebody who means harm: nothing of it is believed before its checksum and its bounds
//! are looked at, and no more is kept than the index below and one frame.

use super::frame::{self, FORMAT, HEAD_BYTES, HEADER_BYTES, Header, MARKER, kind};
use super::session::Session;
use super::writer::{RecordingError, shown};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Points of one kind that are kept in the index; at one a minute they are two years.
const MOST_MARKS: usize = 1 << 20;
/// Recorded time between the last look of a session and the first of the next, ns: so that both can be gone to.
const BETWEEN_NS: u64 = 1_000_000_000;
/// Sessions that are kept.
const MOST_SESSIONS: usize = 4096;
/// Read at once while the headers are looked for.
const WINDOW: usize = 1 << 16;

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
        };
        reader.index().map_err(system)?;
        if reader.looks.is_empty() { Err(RecordingError::Empty { path: shown(path) }) } else { Ok(reader) }
    }

    fn index(&mut self) -> io::Result<()> {
        let mut offset = HEAD_BYTES as u64;
        // The recorded time at which the session began, and its own clock then.
        let (mut session, mut base_ns, mut first_ns) = (0, 0, None);
        while let Some((found, header)) = self.next(offset)? {
            if found > offset {
                self.damage.places += 1;
                self.damage.bytes += found - offset;
            }
            let end = header.end(found);
            if end > self.length {
                self.damage.torn = self.length - found;
                return Ok(());
            }
            offset = end;
            if header.kind == kind::SESSION {
                session += 1;
                let between_ns = if self.looks.is_empty() { 0 } else { BETWEEN_NS };
                (base_ns, first_ns) = (self.length_ns.saturating_add(between_ns), None);
                if self.sessions.len() < MOST_SESSIONS {
                    let told = self.content(found, &header)?.and_then(|content| Session::of(&content).ok());
                    self.sessions.push(told.unwrap_or_default());
                }
                continue;
            }
            if !(kind::KEY..=kind::CHANGE).contains(&header.kind) {
                continue;
            }
            let first_ns = *first_ns.get_or_insert(header.monotonic_ns);
            let at_ns = base_ns.saturating_add(header.monotonic_ns.saturating_sub(first_ns)).max(self.length_ns);
            self.length_ns = at_ns;
            let marks = match header.kind {
                kind::KEY | kind::ABSENCE => &mut self.looks,
                kind::INVENTORY | kind::CHANGE => &mut self.inventories,
                _ => continue,
            };
            if marks.len() < MOST_MARKS {
                marks.push(Mark { offset: found, at_ns, header, session });
            }
        }
        // Less than a header is left, or nothing that is one.
        let left = self.length - offset.min(self.length);
        self.damage.torn = left;
        self.window = (0, Vec::new());
        Ok(())
    }

    /// The next frame from there on, and where it begins: there, if nothing is damaged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next(&mut self, from: u64) -> io::Result<Option<(u64, Header)>> {
        let mut offset = from;
        loop {
            let bytes = self.bytes(offset, HEADER_BYTES)?;
            let Some(found) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
            if let Some(header) = Header::of(found) {
                return Ok(Some((offset, header)));
            }
            // As far as the window goes; a marker may lie across its end.
            let rest = self.bytes(offset + 1, WINDOW)?;
            let marker = rest.windows(MARKER.len()).position(|bytes| bytes == MARKER);
            let step = marker.unwrap_or((rest.len() + 1).saturating_sub(MARKER.len()));
            if rest.len() < MARKER.len() {
                return Ok(None);
            }
            offset += 1 + step as u64;
        }
    }

    /// So many bytes from there on, or as many as there are.
    fn bytes(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = count.min(left).min(WINDOW);
        let (start, window) = (self.window.0, &self.window.1);
        let inside = offset >= start && offset + count as u64 <= start + window.len() as u64;
        if !inside {
            let mut fresh = std::mem::take(&mut self.window.1);
            fresh.resize(WINDOW.min(left), 0);
            let mut read = 0;
            while read < fresh.len() {
                match self.file.read_at(&mut fresh[read..], offset + read as u64) {
                    // Somebody cut it short meanwhile.
                    Ok(0) => break,
                    Ok(more) => read += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            fresh.truncate(read);
            self.window = (offset, fresh);
        }
        let window = &self.window.1;
        let from = usize::try_from(offset - self.window.0).unwrap_or(usize::MAX).min(window.len());
        Ok(&window[from..window.len().min(from + count)])
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
        match self.file.read_exact_at(&mut content, offset + HEADER_BYTES as u64) {
            Ok(()) => Ok(header.is_of(&content).then_some(content)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Bytes that are read.
    pub const fn bytes_in_all(&self) -> u64 {
        self.length
    }
}
