//! The listener's thread: accepts, reads, hands events to their processes, answers questions, notices deaths.

mod arrivals;
mod ending;
mod processes;
mod questions;

use super::client::{Client, MOST_BLOCKS};
use super::connection::{Connection, Heard};
use super::doorway::Doorway;
use super::dump::{self, Order};
use super::message::Message;
use super::peer::{self, Sender};
use super::proxy::Proxy;
use super::tally::{News, Tally};
use super::turns::{PIECE, Turns};
use super::waits::Waits;
use crate::descriptors::USER_SHARE;
use crate::host::Now;
use anyhow::Context as _;
use core::cell::OnceCell;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::resource::{Resource, getrlimit};
use processes::Held;
use shm_layout::names::Prefix;
use shm_layout::stats::{Severity, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Connections and processes at most; fewer where few files may be open.
const MOST_CONNECTIONS: usize = 4096;
const MOST_CLIENTS: usize = 1024;
/// Blocks of everybody.
const MOST_BLOCKS_OF_ALL: usize = 8 * MOST_BLOCKS;
/// So long a lone message of a connection is waited for more, ns.
const SILENCE_NS: u64 = 20_000_000;
/// Sleep while something waits, and while nothing does.
const SOON: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(500);
/// A ring whose process died, and which no aggregator has taken, goes after this, ns.
const UNTAKEN_NS: u64 = 30_000_000_000;

const STOP: u64 = 0;
const DOOR: u64 = 1;

/// Everything that the thread has.
#[derive(Debug)]
pub struct Server {
    prefix: Prefix,
    doorway: Doorway,
    /// Watched, so that it has to stay open.
    _stop: Arc<EventFd>,
    epoll: Epoll,
    connections: HashMap<u64, Connection>,
    last_connection: u64,
    most_connections: usize,
    /// Connections by the user who made them.
    connected: HashMap<u32, usize>,
    turns: Turns,
    clients: HashMap<u32, Client>,
    most_clients: usize,
    /// Rings of the dead.
    ended: Vec<Ended>,
    ended_looked_ns: u64,
    tally: Tally,
    printer: SyncSender<Order>,
    /// When was printed last: for whom we trust, and for others.
    dumped_ns: [u64; 2],
    snapshot: Option<Read>,
    waits: Waits,
    piece: Vec<u8>,
    messages: Vec<Message>,
    tended_ns: u64,
    door_told: bool,
}

/// A ring of a process that is dead: it has its place until it is taken out of the figures.
#[derive(Debug)]
struct Ended {
    ring: Proxy,
    /// Of its process.
    uid: u32,
    since_ns: u64,
}

/// What is published, and when it was read.
#[derive(Debug)]
struct Read {
    at_ns: u64,
    took_ns: u64,
    snapshot: Snapshot,
    /// Records in the figures, by the ring's number.
    records: HashMap<u64, u64>,
}

fn token_of_connection(number: u64) -> u64 {
    number << 1
}

fn token_of_client(pid: u32) -> u64 {
    u64::from(pid) << 1 | 1
}

impl Server {
    /// Nothing accepted yet.
    ///
    /// # Errors
    /// When the system gives no descriptor or thread.
    pub fn new(prefix: &Prefix, doorway: Doorway, stop: Arc<EventFd>, news: SyncSender<News>) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?;
        epoll.add(&*stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP)).context("epoll")?;
        epoll.add(&doorway.socket, EpollEvent::new(EpollFlags::EPOLLIN, DOOR)).context("epoll")?;
        let files =
            getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX));
        let tally = Tally::new(news);
        tracing::info!(path = %doorway.path().display(), "listens for clients of the original protocol");
        Ok(Self {
            prefix: prefix.clone(),
            doorway,
            _stop: stop,
            epoll,
            connections: HashMap::new(),
            last_connection: 0,
            most_connections: MOST_CONNECTIONS.min(files / 4),
            connected: HashMap::new(),
            turns: Turns::default(),
            clients: HashMap::new(),
            most_clients: MOST_CLIENTS.min(files / 16),
            ended: Vec::new(),
            ended_looked_ns: 0,
            tally,
            printer: dump::printer(prefix).context("the printing thread")?,
            dumped_ns: [0; 2],
            snapshot: None,
            waits: Waits::default(),
            piece: vec![0; PIECE],
            messages: Vec::new(),
            tended_ns: 0,
            door_told: false,
        })
    }

    /// Open files that it may need: one for each connection, two for each process, some to spare.
    pub fn open_files(&self) -> usize {
        self.most_connections + 2 * self.most_clients + 16
    }

    /// Until a stop is asked for. The rings that were written.
    pub fn run(mut self) -> Vec<Proxy> {
        // All that can be ready: which of them are heard is for us to say.
        let mut events = vec![EpollEvent::empty(); self.most_connections + self.most_clients + 2];
        let (mut ready, mut dead) = (Vec::new(), Vec::new());
        loop {
            let sleep = if self.is_busy() { SOON } else { IDLE };
            let timeout = EpollTimeout::try_from(sleep).unwrap_or(EpollTimeout::ZERO);
            let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
            let now = Now::read();
            for event in &events[..count] {
                match event.data() {
                    STOP => return self.end(now),
                    DOOR => {
                        self.welcome(now);
                    }
                    token if token & 1 == 1 => dead.push((token >> 1) as u32),
                    token => ready.push(token >> 1),
                }
            }
            self.take_turns(ready.drain(..), now);
            // What they said last comes before their end.
            dead.drain(..).for_each(|pid| self.died(pid, now));
            self.tend(now);
        }
    }

    /// Reads these connections, each user's in turns.
    fn take_turns(&mut self, numbers: impl Iterator<Item = u64>, now: Now) {
        let mut ready: Vec<(u32, u64)> =
            numbers.filter_map(|number| Some((self.connections.get(&number)?.peer.uid, number))).collect();
        let mut turns = core::mem::take(&mut self.turns);
        let begin = Instant::now();
        turns.take(&mut ready, || begin.elapsed(), |number, most| self.listen_to(number, most, now));
        self.turns = turns;
    }

    fn is_busy(&self) -> bool {
        self.clients.values().any(Client::is_busy)
            || self.connections.values().any(|one| one.is_waiting() || one.frames.waits_for_silence())
    }

    /// Reads one connection; its end is one. Bytes, no more than `most`.
    fn listen_to(&mut self, number: u64, most: usize, now: Now) -> usize {
        let (bytes, over) = self.hear(number, most, now);
        if over {
            self.hang_up(number, now);
        }
        bytes
    }

    /// Reads at most so many bytes of one connection. How many, and whether it is at its end.
    fn hear(&mut self, number: u64, most: usize, now: Now) -> (usize, bool) {
        let mut left = most.min(PIECE);
        let most = left;
        while left > 0 {
            let Some(connection) = self.connections.get_mut(&number) else { break };
            match connection.hear(&mut self.piece[..left], now.monotonic_ns) {
                Heard::Bytes(bytes) => {
                    left -= bytes;
                    self.understand(number, bytes, now);
                }
                Heard::OfNobody(bytes) => {
                    left -= bytes;
                    self.tally.counts.nobody += 1;
                }
                Heard::Nothing => break,
                Heard::End => return (most - left, true),
            }
        }
        (most - left, false)
    }

    /// Cuts what was read into messages, and takes them.
    fn understand(&mut self, number: u64, bytes: usize, now: Now) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let sender = connection.sender;
        let (clients, messages) = (&self.clients, &mut self.messages);
        // Asked for at every place where a message may begin: read once, and only if it is asked for.
        let pids = OnceCell::new();
        let is_sender = |pid: i32| match clients.get(&sender.pid) {
            Some(client) => client.is_called(pid),
            None => pids.get_or_init(|| peer::pids_of(sender.pid)).contains(&pid),
        };
        let before = connection.frames.skipped;
        connection.frames.take(&self.piece[..bytes], is_sender, |message| messages.push(message));
        let skipped = connection.frames.skipped - before;
        self.tally.counts.skipped_bytes += skipped;
        self.take_messages(number, sender, now);
        if skipped > 0 {
            self.count_invalid(sender, now);
        }
        self.look_whether_deaf(number, now);
    }

    fn look_whether_deaf(&mut self, number: u64, now: Now) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if !connection.frames.is_deaf() || core::mem::replace(&mut connection.told.1, true) {
            return;
        }
        connection.fall_silent();
        self.tally.counts.deaf += 1;
        let Sender { pid, uid } = connection.sender;
        let text =
            format!("what PID {pid} (user {uid}) sends is not the original's protocol: it is not listened to any more");
        self.tally.tell(now.monotonic_ns, Severity::Warning, pid, text);
    }

    fn count_invalid(&mut self, sender: Sender, now: Now) {
        // Not if another user's process had this pid when it was sent.
        if let Some(client) = self.clients.get_mut(&sender.pid).filter(|client| client.about.uid == sender.uid) {
            client.count_invalid(now.monotonic_ns);
        }
    }

    fn tend(&mut self, now: Now) {
        let often = now.monotonic_ns.saturating_sub(self.tended_ns) >= IDLE.as_nanos() as u64;
        self.hear_silence(SILENCE_NS, now);
        self.tend_clients(often, now);
        self.answer(now);
        if often {
            self.tended_ns = now.monotonic_ns;
            self.look_after_the_ended(now);
            self.tally.sum_up(now.monotonic_ns, false);
            self.look_after_the_door(now);
        }
    }

    fn tend_clients(&mut self, all: bool, now: Now) {
        // Counted where messages wait that may be allocations; the others were looked at when they came.
        let mut held = self.clients.values().any(Client::has_unread).then(|| Held::by(&self.clients));
        for (pid, client) in self.clients.iter_mut().filter(|(_, client)| all || client.is_busy()) {
            let (uid, before) = (client.about.uid, client.blocks());
            let most = held.as_ref().map_or(MOST_BLOCKS, |held| held.most_of(uid, before));
            let tended = client.tend(&self.prefix, most, now);
            if let Some(held) = &mut held {
                held.change(uid, before, client.blocks());
            }
            self.tally.counts.invalid += tended.invalid;
            if let Some(text) = tended.told {
                self.tally.tell(now.monotonic_ns, Severity::Warning, *pid, format_args!("PID {pid}: {text}"));
            }
        }
    }

    /// Lone messages whose size only silence tells.
    fn hear_silence(&mut self, since_ns: u64, now: Now) {
        let silent = |one: &Connection| {
            one.frames.waits_for_silence() && now.monotonic_ns.saturating_sub(one.heard_ns) >= since_ns
        };
        let numbers: Vec<u64> =
            self.connections.iter().filter(|(_, one)| silent(one)).map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(connection) = self.connections.get_mut(&number) else { continue };
            let (sender, messages) = (connection.sender, &mut self.messages);
            connection.heard_ns = now.monotonic_ns;
            connection.frames.quiet(|message| messages.push(message));
            self.take_messages(number, sender, now);
        }
    }

    /// Makes the socket's file again where it was taken away, unless something else is there now.
    fn look_after_the_door(&mut self, now: Now) {
        if self.doorway.is_there() {
            self.door_told = false;
            return;
        }
        let path = self.doorway.path().to_owned();
        let again = Doorway::open(&path).map_err(|error| error.to_string()).and_then(|doorway| {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, DOOR);
            self.epoll.add(&doorway.socket, event).map(|()| doorway).map_err(|errno| errno.to_string())
        });
        match again {
            Ok(doorway) => {
                self.doorway = doorway;
                let text = format!("{} was taken away: made again", path.display());
                self.tally.tell(now.monotonic_ns, Severity::Warning, 0, text);
            }
            Err(why) if !core::mem::replace(&mut self.door_told, true) => {
                let text = format!("{} was taken away, nobody can connect any more: {why}", path.display());
                self.tally.tell(now.monotonic_ns, Severity::Error, 0, text);
            }
            Err(_) => {}
        }
    }

    /// Rings whose file has no name any more are let go; those that no aggregator has taken are removed.
    fn look_after_the_ended(&mut self, now: Now) {
        self.ended_looked_ns = now.monotonic_ns;
        self.ended.retain(|Ended { ring, since_ns, .. }| {
            if now.monotonic_ns.saturating_sub(*since_ns) > UNTAKEN_NS {
                ring.remove();
            }
            !ring.is_over()
        });
    }
}

fn share(all: usize) -> usize {
    all * USER_SHARE.0 / USER_SHARE.1
}
