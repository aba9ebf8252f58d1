//! The aggregator of a session.

use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// An aggregator; a restless one is another process every now and then.
pub struct Aggregator {
    pub(super) child: Arc<Mutex<Child>>,
    pub(super) restarts: Arc<AtomicU32>,
    /// Kept while it is to be killed again.
    pub(super) killer: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Aggregator {
    pub fn start(mut command: Command) -> Self {
        let child = Arc::new(Mutex::new(command.spawn().unwrap()));
        Self { child, restarts: Arc::default(), killer: None }
    }

    pub fn keep_killing(&mut self, every: Duration, mut command: Command) {
        let (child, restarts) = (Arc::clone(&self.child), Arc::clone(&self.restarts));
        let (keep, kept) = channel::<()>();
        let thread = std::thread::spawn(move || {
            while kept.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let mut child = child.lock().unwrap();
                assert!(child.try_wait().unwrap().is_none(), "the aggregator ended by itself");
                child.kill().unwrap();
                child.wait().unwrap();
                *child = command.spawn().unwrap();
                restarts.fetch_add(1, Relaxed);
            }
        });
        self.killer = Some((keep, thread));
    }

    /// The one that runs now, and will run on.
    pub fn settle(mut self) -> Child {
        if let Some((keep, thread)) = self.killer.take() {
            drop(keep);
            let ended = thread.join();
            // While a test fails, that is what is to be told.
            assert!(ended.is_ok() || std::thread::panicking(), "an aggregator ended by itself");
        }
        let child = Arc::try_unwrap(self.child).unwrap_or_else(|_| unreachable!("its thread has ended"));
        child.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
