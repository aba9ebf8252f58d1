//! The original's socket: builds of tt-metal with its client, and its viewers, go on working (docs/legacy-socket.md).
//!
//! ```text
//!   client ──► doorway ──► frames ──► message ──► client: table ──► proxy: a ring in /dev/shm ──► as any other ring
//!                 │ peer: who the kernel says it is                                                      │
//!   viewer ◄── answers ◄───────────────────── the published snapshot ◄──────────────────────────────────┘
//! ```
//!
//! One thread, which waits for nobody: what comes is read as fast as it comes. A connection of a living process is not closed by us
//! (the original's client would die of SIGPIPE at its next event); one that is not understood is read and thrown away.

mod answers;
mod client;
mod connection;
mod doorway;
mod dump;
mod frames;
mod ledgers;
mod message;
mod peer;
mod proxy;
mod server;
mod table;
mod tally;
mod turns;
mod waits;

pub use doorway::DoorwayError;
#[cfg(test)]
pub use proxy::{About, Proxy};
pub use tally::News;

use anyhow::Context;
use nix::sys::eventfd::{EfdFlags, EventFd};
use shm_layout::names::Prefix;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Where the original's server listened.
pub const DEFAULT_PATH: &str = "/tmp/tt_allocation_server.sock";

/// Lines on their way to the aggregator.
const NEWS: usize = 256;

/// The listener; dropping it ends it.
#[derive(Debug)]
pub struct Listener {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<Vec<proxy::Proxy>>>,
    news: Receiver<News>,
    /// Open files that it may need.
    pub open_files: usize,
    /// Rings of the ended thread: their descriptors may only go after the aggregator's.
    rings: Vec<proxy::Proxy>,
}

impl Listener {
    /// Binds and begins to listen, for the aggregator of this prefix, which runs in this process.
    ///
    /// # Errors
    /// When the path cannot be had, or the system gives no thread or descriptor.
    pub fn start(prefix: &Prefix, path: &Path) -> anyhow::Result<Self> {
        let doorway = doorway::Doorway::open(path)?;
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).context("eventfd")?);
        let (sender, news) = sync_channel(NEWS);
        let server = server::Server::new(prefix, doorway, Arc::clone(&stop), sender)?;
        let open_files = server.open_files();
        let thread = std::thread::Builder::new().name("legacy-socket".into()).spawn(move || server.run());
        let thread = thread.context("the listener's thread")?;
        Ok(Self { stop, thread: Some(thread), news, open_files, rings: Vec::new() })
    }

    /// What is to be told, since the last call.
    pub fn news(&self) -> impl Iterator<Item = News> + '_ {
        self.news.try_iter()
    }

    /// Ends it: nothing is written any more. The rings stay as they are.
    pub fn stop(&mut self) {
        // A full counter would mean that it was told already.
        let _told = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            self.rings = thread.join().unwrap_or_default();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}
