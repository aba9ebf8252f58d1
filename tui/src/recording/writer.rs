//! The file while it is written: frames behind each other, never changed afterwards.

use super::frame::{self, HEAD_BYTES};
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a recording cannot be made, or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The system's answer.
    #[error("{path}: {error}")]
    System {
        /// The file.
        path: String,
        /// The answer.
        error: io::Error,
    },
    /// Neither a file nor anything else that frames could be in.
    #[error("{path} is not a regular file")]
    NotRegular {
        /// The file.
        path: String,
    },
    /// A file of something else.
    #[error("{path} is there already and is no recording: choose another name")]
    Occupied {
        /// The file.
        path: String,
    },
    /// A file of something else, to be read.
    #[error("{path} is no recording of alloc-top")]
    NotARecording {
        /// The file.
        path: String,
    },
    /// Of a later version.
    #[error(
        "{path} is a recording of format {found}, and this alloc-top knows format {}: use the one of its release",
        frame::FORMAT
    )]
    Format {
        /// The file.
        path: String,
        /// Its format.
        found: u32,
    },
    /// Two at a time would write through each other.
    #[error("somebody records into {path} already")]
    Busy {
        /// The file.
        path: String,
    },
    /// Nothing in it.
    #[error("{path} holds no look: the recording ended before its first one, or nothing of it is whole")]
    Empty {
        /// The file.
        path: String,
    },
}

/// A path as it may be shown.
pub fn shown(path: &Path) -> String {
    shm_layout::text::clean(path.as_os_str().as_encoded_bytes())
}

impl RecordingError {
    pub(super) fn system(path: &Path, error: io::Error) -> Self {
        Self::System { path: shown(path), error }
    }
}

/// Whether a file that is there may be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A recording gets a further session.
    Append,
    /// Only where nothing is.
    New,
}

/// A recording that is being written.
#[derive(Debug)]
pub struct Writer {
    file: Flock<File>,
    path: PathBuf,
    bytes: u64,
}

impl Writer {
    /// Opens or makes the file, for its owner alone: command lines are in it.
    ///
    /// # Errors
    /// When that is not possible, or the file is of something else.
    pub fn open(path: &Path, begin: Begin) -> Result<Self, RecordingError> {
        let system = |error| RecordingError::system(path, error);
        // O_NONBLOCK: a FIFO of this name must not hold us up.
        let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let mut options = File::options();
        options.read(true).append(true).mode(0o600).custom_flags(flags.bits());
        options.create(begin == Begin::Append).create_new(begin == Begin::New);
        let file = options.open(path).map_err(system)?;
        if !file.metadata().map_err(system)?.is_file() {
            return Err(RecordingError::NotRegular { path: shown(path) });
        }
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| RecordingError::Busy { path: shown(path) })?;
        let mut writer = Self { file, path: path.to_owned(), bytes: 0 };
        let data = writer.file.metadata().map_err(system)?;
        if data.len() == 0 {
            writer.close_to_others(&data).map_err(system)?;
            writer.append(&frame::head()).map_err(system)?;
            return Ok(writer);
        }
        let mut head = [0; HEAD_BYTES];
        let read = (&*writer.file).read_exact(&mut head);
        match frame::format(&head).filter(|_| read.is_ok()) {
            Some(frame::FORMAT) => {
                writer.close_to_others(&data).map_err(system)?;
                Ok(writer)
            }
            Some(found) => Err(RecordingError::Format { path: shown(path), found }),
            None => Err(RecordingError::Occupied { path: shown(path) }),
        }
    }

    /// A file that was there may be open to others: of what is recorded from now on they read nothing anew. Who may not close it does not record into it.
    fn close_to_others(&self, data: &Metadata) -> io::Result<()> {
        let mode = data.permissions().mode();
        if mode & 0o077 == 0 { Ok(()) } else { self.file.set_permissions(Permissions::from_mode(mode & 0o700)) }
    }

    /// Bytes written by this one.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one frame at the end. Where only a part of it can be written, nothing of it stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, kind: u16, monotonic_ns: u64, unix_ns: u64, content: &[u8]) -> io::Result<()> {
        self.append(&frame::frame(kind, monotonic_ns, unix_ns, content)?)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        if let Err(error) = (&*self.file).write_all(bytes) {
            // If that does not work either, the reader cuts it off.
            let _cut = self.file.set_len(end);
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Waits until it is on the disk.
    ///
    /// # Errors
    /// When it is not.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
