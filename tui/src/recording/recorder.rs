//! Records beside the screen: a thread with a source of its own looks and writes, so that the screen waits for no disk, and goes on while the screen is
//! held.

use super::allocations;
use super::frame::kind;
use super::look::Look;
use super::session::Session;
use super::writer::{Begin, RecordingError, Writer, shown};
use crate::clock;
use crate::inventory::Inventory;
use crate::source::{Connection, Feed, News, Observation, Source, SourceError, trusted_owners};
use crate::users::Users;
use shm_layout::names::Prefix;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A whole look after this time, ns.
const KEY_EVERY_NS: u64 = 60_000_000_000;
/// Looks at which only the heart has beaten are written this often, ns.
const BEAT_EVERY_NS: u64 = 1_000_000_000;
/// Single allocations after this time, ns.
const INVENTORY_EVERY_NS: u64 = 30_000_000_000;
/// And all of them after so many changes.
const CHANGES: u64 = 20;
/// Where more than this is live, it is not read for the sake of the part that could be written.
const MOST_READ: u64 = 10 * allocations::MOST as u64;

/// How long a disk that does not answer keeps one who leaves.
pub const MOMENT: Duration = Duration::from_secs(2);

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Looks written.
    pub looks: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Why it ended by itself.
    pub failed: Option<String>,
}

/// A recording that is being made.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    since: Instant,
    progress: Arc<Mutex<Progress>>,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins one.
    ///
    /// # Errors
    /// When the file cannot be made, or is of something else.
    pub fn start(path: &Path, begin: Begin, prefix: &Prefix, session: &Session) -> Result<Self, RecordingError> {
        let mut writer = Writer::open(path, begin)?;
        let system = |error| RecordingError::system(path, error);
        writer.write(kind::SESSION, clock::monotonic_ns(), clock::unix_ns(), &session.content()).map_err(system)?;
        let progress = Arc::new(Mutex::new(Progress { bytes: writer.bytes(), ..Progress::default() }));
        let (stop, stopped) = channel();
        let every = Duration::from_millis(session.refresh_ms.max(1));
        let (prefix, shared) = (prefix.clone(), Arc::clone(&progress));
        let record = move || {
            let mut making = Making::new(writer, &prefix);
            let ended = making.run(&stopped, every, &shared);
            let ended = ended.and_then(|()| making.finish(&shared));
            if let Err(error) = ended {
                let path = shown(making.writer.path());
                locked(&shared).failed = Some(format!("the recording {path} has ended: {error}"));
            }
        };
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(record).map_err(system)?;
        Ok(Self { path: path.to_owned(), since: Instant::now(), progress, stop, thread: Some(thread) })
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        locked(&self.progress).clone()
    }

    /// Since it began.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks it to end, and does not wait.
    pub fn stop(&self) {
        let _asked = self.stop.send(());
    }

    /// Whether everything is written that will be.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it, and waits until it is written. What is to be said of it.
    ///
    /// # Errors
    /// Why it ended before.
    pub fn end(mut self) -> Result<String, String> {
        self.stop();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            return Err(format!("the recording {} may lack its end: what wrote it has broken off", shown(&self.path)));
        }
        let Progress { looks, bytes, failed } = self.progress();
        let age = crate::units::age(u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let bytes = crate::units::bytes(bytes).split_whitespace().collect::<Vec<_>>().join(" ");
        let looks = if looks == 1 { "1 look".to_owned() } else { format!("{looks} looks") };
        failed.map_or_else(|| Ok(format!("recorded {looks} in {age}, {bytes}, into {}", shown(&self.path))), Err)
    }

    /// The same, and waits at most so long: a disk that does not answer keeps nobody.
    ///
    /// # Errors
    /// Why it ended before, or that it has not ended.
    pub fn end_within(mut self, patience: Duration) -> Result<String, String> {
        if self.wait(patience) {
            return self.end();
        }
        // Nobody waits for this thread any more.
        self.thread = None;
        Err(format!("the recording {} may lack its end: its disk does not answer", shown(&self.path)))
    }

    /// Asks it to end, and waits at most so long. True: it has.
    fn wait(&self, patience: Duration) -> bool {
        self.stop();
        let until = Instant::now() + patience;
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.has_ended()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // One that began when its screen had been left already.
        let _ended = self.wait(MOMENT);
    }
}

fn locked(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread has at hand.
struct Making {
    writer: Writer,
    source: Source,
    prefix: Prefix,
    users: Users,
    before: Option<Look>,
    keyed_ns: u64,
    number: u64,
    absent: Option<(String, u64)>,
    full: Option<Inventory>,
    serial: u64,
    changes: u64,
    inventory_ns: Option<u64>,
}

impl Making {
    fn new(writer: Writer, prefix: &Prefix) -> Self {
        Self {
            writer,
            source: Source::new(prefix),
            prefix: prefix.clone(),
            users: Users::default(),
            before: None,
            keyed_ns: 0,
            number: 0,
            absent: None,
            full: None,
            serial: 0,
            changes: 0,
            inventory_ns: None,
        }
    }

    fn run(&mut self, stop: &Receiver<()>, every: Duration, shared: &Mutex<Progress>) -> io::Result<()> {
        loop {
            let looks = u64::from(self.look()?);
            {
                let mut progress = locked(shared);
                progress.looks += looks;
                progress.bytes = self.writer.bytes();
            }
            match stop.recv_timeout(every) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn finish(&mut self, shared: &Mutex<Progress>) -> io::Result<()> {
        self.writer.write(kind::END, clock::monotonic_ns(), clock::unix_ns(), &[])?;
        locked(shared).bytes = self.writer.bytes();
        self.writer.sync()
    }

    /// Looks, and writes what is new. Whether something was.
    fn look(&mut self) -> io::Result<bool> {
        let (connection, seen, same) = match self.source.poll_again() {
            News::Feed(feed) => match *feed {
                Feed { connection, seen: Some(seen) } => (connection, seen, false),
                // Too busy for a copy, for once.
                Feed { connection: Connection::Unavailable(SourceError::Busy { .. }), .. } => return Ok(false),
                Feed { connection, seen: None } => return self.absence(&connection),
            },
            News::Same { connection, pulse } => {
                let Some(before) = &self.before else { return Ok(false) };
                let seen = Observation {
                    history: pulse.history,
                    history_head: pulse.history_head,
                    heartbeat_ns: pulse.heartbeat_ns,
                    now_ns: pulse.now_ns,
                    unix_ns: pulse.unix_ns,
                    ..before.seen.clone()
                };
                (connection, seen, true)
            }
        };
        self.absent = None;
        let now_ns = seen.now_ns;
        if same && self.before.as_ref().is_some_and(|before| now_ns.saturating_sub(before.seen.now_ns) < BEAT_EVERY_NS)
        {
            return Ok(false);
        }
        let live = seen.snapshot.health.live_allocations;
        let uids: BTreeSet<u32> = seen.snapshot.processes.iter().map(|process| process.uid).collect();
        let names = uids.into_iter().filter_map(|uid| Some((uid, self.users.name(uid)?))).collect();
        let Some(look) = Look::new(&connection, seen, names) else { return Ok(false) };
        let (now_ns, unix_ns) = (look.seen.now_ns, look.seen.unix_ns);
        match &self.before {
            Some(before) if now_ns.saturating_sub(self.keyed_ns) < KEY_EVERY_NS => {
                self.number += 1;
                self.writer.write(kind::DELTA, now_ns, unix_ns, &look.since(before, self.number))?;
            }
            _ => {
                (self.number, self.keyed_ns) = (0, now_ns);
                self.writer.write(kind::KEY, now_ns, unix_ns, &look.whole())?;
            }
        }
        self.before = Some(look);
        if self.inventory_ns.is_none_or(|last| now_ns.saturating_sub(last) >= INVENTORY_EVERY_NS) {
            self.inventory_ns = Some(now_ns);
            self.inventory(live, now_ns, unix_ns)?;
        }
        Ok(true)
    }

    fn absence(&mut self, connection: &Connection) -> io::Result<bool> {
        let why = connection.to_string();
        let (now_ns, unix_ns) = (clock::monotonic_ns(), clock::unix_ns());
        let known = |(told, at): &(String, u64)| *told == why && now_ns.saturating_sub(*at) < KEY_EVERY_NS;
        if self.absent.as_ref().is_some_and(known) {
            return Ok(false);
        }
        self.before = None;
        self.writer.write(kind::ABSENCE, now_ns, unix_ns, why.as_bytes())?;
        self.absent = Some((why, now_ns));
        Ok(true)
    }

    /// At the moment of the look that it belongs to; when it was read is in it.
    fn inventory(&mut self, live: u64, now_ns: u64, unix_ns: u64) -> io::Result<()> {
        let inventory = if live > MOST_READ {
            let count = crate::units::count(live);
            let missing = vec![format!("{count} allocations are live: too many to record")];
            Inventory { missing, read_ns: clock::monotonic_ns(), ..Inventory::default() }
        } else {
            Inventory::read_most(&self.prefix, &trusted_owners(), allocations::MOST)
        };
        let inventory = allocations::in_order(inventory);
        if let Some(full) = self.full.as_ref().filter(|_| self.changes < CHANGES) {
            self.changes += 1;
            let content = allocations::content(self.serial, Some(full), &inventory);
            return self.writer.write(kind::CHANGE, now_ns, unix_ns, &content);
        }
        // A moment as its number: no other session in this file has it.
        (self.serial, self.changes) = (unix_ns, 0);
        self.writer.write(kind::INVENTORY, now_ns, unix_ns, &allocations::content(self.serial, None, &inventory))?;
        self.full = Some(inventory);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    /// One whose disk answers when what is beside it is dropped; then it does this.
    pub fn hung(then: impl FnOnce() + Send + 'static) -> (Recorder, Sender<()>) {
        let (stop, _stopped) = channel();
        let (go, gate) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let _let_go = gate.recv_timeout(Duration::from_secs(10));
            then();
        });
        let path = PathBuf::from("/hung/one.rec");
        (Recorder { path, since: Instant::now(), progress: Arc::default(), stop, thread: Some(thread) }, go)
    }

    #[test]
    fn a_disk_that_does_not_answer_keeps_nobody() {
        let (recorder, go) = hung(|| ());
        let said = recorder.end_within(Duration::from_millis(20));
        assert_eq!(said, Err("the recording /hung/one.rec may lack its end: its disk does not answer".to_owned()));
        drop(go);
        // Nor one that nobody ends.
        let (recorder, go) = hung(|| ());
        let (left, has_left) = channel();
        std::thread::spawn(move || {
            drop(recorder);
            let _told = left.send(());
        });
        has_left.recv_timeout(Duration::from_secs(8)).unwrap();
        drop(go);
    }

    #[test]
    fn what_breaks_while_it_records_is_told() {
        let (recorder, go) = hung(|| panic!("on purpose"));
        drop(go);
        let said = recorder.end_within(Duration::from_secs(20));
        assert_eq!(said, Err("the recording /hung/one.rec may lack its end: what wrote it has broken off".to_owned()));
    }
}
