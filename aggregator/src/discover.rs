//! Finding rings: inotify for the instant, a scan now and then for the truth.

use inotify::{EventMask, Inotify, WatchMask};
use shm_layout::names::{DIRECTORY, Prefix, ProcessFile, Role};
use shm_layout::procfs;
use std::os::fd::{AsFd, BorrowedFd};

/// Watches /dev/shm for new rings of one prefix.
#[derive(Debug)]
pub struct Discovery {
    prefix: Prefix,
    inotify: Option<Inotify>,
    buffer: Vec<u8>,
}

impl Discovery {
    /// Starts watching. Without inotify (its limits are per user) scans alone find everything, a little later.
    pub fn new(prefix: Prefix) -> Self {
        let inotify = Inotify::init().and_then(|inotify| {
            inotify.watches().add(DIRECTORY, WatchMask::CREATE | WatchMask::MOVED_TO).map(|_| inotify)
        });
        if let Err(error) = &inotify {
            tracing::warn!(%error, "no inotify on {DIRECTORY}: new processes are found by scanning only, once a second");
        }
        Self { prefix, inotify: inotify.ok(), buffer: vec![0; 16 << 10] }
    }

    /// Becomes readable when something new may be there.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Rings announced since the last call, and whether there were too many for the kernel to tell of each: then
    /// [`scan`](Self::scan).
    pub fn announced(&mut self) -> (Vec<ProcessFile>, bool) {
        let Some(inotify) = &mut self.inotify else { return (Vec::new(), false) };
        let Ok(events) = inotify.read_events(&mut self.buffer) else { return (Vec::new(), false) };
        let mut lost = false;
        let rings = events
            .inspect(|event| lost |= event.mask.contains(EventMask::Q_OVERFLOW))
            .filter_map(|event| ProcessFile::parse(event.name?.to_str()?, &self.prefix))
            .filter(|file| file.role == Role::Ring)
            .collect();
        (rings, lost)
    }

    /// Every ring that is there now.
    pub fn scan(&self) -> Vec<ProcessFile> {
        procfs::process_files(&self.prefix).into_iter().filter(|file| file.role == Role::Ring).collect()
    }

    /// Every ring that lives on without a name.
    pub fn scan_unlinked(&self) -> Vec<ProcessFile> {
        crate::unlinked::scan(&self.prefix)
    }
}
