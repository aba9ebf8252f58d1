//! An aggregator in a thread of another program (`alloc-top --embedded`, `tt-alloc demo`).

use crate::daemon::{Daemon, Options};
use crate::telemetry::Root;
use anyhow::Context;
use nix::sys::eventfd::{EfdFlags, EventFd};
use shm_layout::names::Prefix;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A running aggregator; dropping it ends it in good order.
#[derive(Debug)]
pub struct Embedded {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

/// Starts an aggregator in a thread. It is ready when this returns.
///
/// # Errors
/// When another aggregator runs already, or the stats segment cannot be made.
pub fn start(prefix: &Prefix) -> anyhow::Result<Embedded> {
    start_with(prefix, Options::default())
}

/// As [`start`], with the host's own files in this folder.
///
/// # Errors
/// As there.
pub fn start_in(prefix: &Prefix, root: Root) -> anyhow::Result<Embedded> {
    start_with(prefix, Options { root, ..Options::default() })
}

/// As [`start`], with options.
///
/// # Errors
/// As there.
pub fn start_with(prefix: &Prefix, options: Options) -> anyhow::Result<Embedded> {
    let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).context("eventfd")?);
    let daemon = Daemon::start_with(prefix, stop.as_fd(), options)?;
    let keep = Arc::clone(&stop);
    let thread = std::thread::Builder::new()
        .name("aggregator".into())
        .spawn(move || {
            daemon.run();
            drop(keep);
        })
        .context("start the aggregator's thread")?;
    Ok(Embedded { stop, thread: Some(thread) })
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // A full counter would mean that it was told already.
        let _told = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}
