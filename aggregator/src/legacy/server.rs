//! The listener's thread: accepts, reads, hands events to their processes, answers questions, notices deaths.

mod processes;
mod questions;

use super::client::{Client, MOST_BLOCKS};
use super::connection::{Connection, Heard};
use super::doorway::Doorway;
use super::dump::{self, Dump};
use super::message::Message;
use super::peer::{self, Sender};
use super::proxy::Proxy;
use super::tally::{News, Tally};
use crate::descriptors::USER_SHARE;
use crate::host::Now;
use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::resource::{Resource, getrlimit};
use shm_layout::names::Prefix;
use shm_layout::stats::{Severity, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Connections and processes at most; fewer where few files may be open.
const MOST_CONNECTIONS: usize = 4096;
const MOST_CLIENTS: usize = 1024;
/// Blocks of everybody.
const MOST_BLOCKS_OF_ALL: usize = 8 * MOST_BLOCKS;
/// Bytes read of one connection before the next one's turn.
const PIECE: usize = 64 << 10;
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
    clients: HashMap<u32, Client>,
    most_clients: usize,
    /// Rings of the dead, and since when.
    ended: Vec<(Proxy, u64)>,
    tally: Tally,
    printer: SyncSender<Dump>,
    dumped_ns: u64,
    snapshot: Option<(u64, Snapshot)>,
    piece: Vec<u8>,
    messages: Vec<Message>,
    tended_ns: u64,
    door_told: bool,
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
            clients: HashMap::new(),
            most_clients: MOST_CLIENTS.min(files / 16),
            ended: Vec::new(),
            tally,
            printer: dump::printer(prefix).context("the printing thread")?,
            dumped_ns: 0,
            snapshot: None,
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
        let mut events = vec![EpollEvent::empty(); 256];
        loop {
            let sleep = if self.is_busy() { SOON } else { IDLE };
            let timeout = EpollTimeout::try_from(sleep).unwrap_or(EpollTimeout::ZERO);
            let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
            let now = Now::read();
            for event in &events[..count] {
                match event.data() {
                    STOP => return self.end(now),
                    DOOR => self.welcome(now),
                    token if token & 1 == 1 => self.died((token >> 1) as u32, now),
                    token => self.listen_to(token >> 1, now),
                }
            }
            self.tend(now);
        }
    }

    fn end(mut self, now: Now) -> Vec<Proxy> {
        self.tend(now);
        self.tally.sum_up(now.monotonic_ns, true);
        let Self { clients, ended, .. } = self;
        clients.into_values().filter_map(Client::into_ring).chain(ended.into_iter().map(|(ring, _)| ring)).collect()
    }

    fn is_busy(&self) -> bool {
        self.clients.values().any(Client::is_busy)
            || self.connections.values().any(|one| one.is_waiting() || one.frames.waits_for_silence())
    }

    fn welcome(&mut self, now: Now) {
        loop {
            let socket = match self.doorway.accept() {
                Ok(socket) => socket,
                Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
                Err(Errno::EAGAIN) => return,
                Err(errno) => {
                    self.tally.tell(now.monotonic_ns, Severity::Error, 0, format!("cannot accept: {errno}"));
                    // Not at once again: the cause stays for a while.
                    std::thread::sleep(SOON);
                    return;
                }
            };
            let Ok(peer) = peer::peer(&socket) else { continue };
            let of_user = || self.connections.values().filter(|one| one.peer.uid == peer.uid).count();
            let full = self.connections.len() >= self.most_connections
                || peer.uid != 0 && of_user() >= share(self.most_connections);
            self.last_connection += 1;
            let number = self.last_connection;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token_of_connection(number));
            if full || self.epoll.add(&socket, event).is_err() {
                self.tally.counts.turned_away += 1;
                let text = format!("no room for a further connection of user {}", peer.uid);
                self.tally.tell(now.monotonic_ns, Severity::Warning, peer.pid, text);
                continue;
            }
            self.connections.insert(number, Connection::new(socket, peer, now.monotonic_ns));
        }
    }

    fn listen_to(&mut self, number: u64, now: Now) {
        let mut budget = PIECE;
        while budget > 0 {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            match connection.hear(&mut self.piece[..budget], now.monotonic_ns) {
                Heard::Bytes(bytes) => {
                    budget -= bytes;
                    self.understand(number, bytes, now);
                }
                Heard::Nothing => return,
                Heard::End => return self.hang_up(number, now),
            }
        }
    }

    /// Cuts what was read into messages, and takes them.
    fn understand(&mut self, number: u64, bytes: usize, now: Now) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let sender = connection.sender;
        let (clients, messages) = (&self.clients, &mut self.messages);
        let is_sender = |pid: i32| match clients.get(&sender.pid) {
            Some(client) => client.is_called(pid),
            None => peer::pids_of(sender.pid).contains(&pid),
        };
        let before = connection.frames.skipped;
        connection.frames.take(&self.piece[..bytes], is_sender, |message| messages.push(message));
        let skipped = connection.frames.skipped - before;
        self.tally.counts.skipped_bytes += skipped;
        self.take_messages(number, sender, now);
        if skipped > 0 {
            self.count_invalid(sender.pid, now);
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

    fn count_invalid(&mut self, pid: u32, now: Now) {
        if let Some(client) = self.clients.get_mut(&pid) {
            client.count_invalid(now.monotonic_ns);
        }
    }

    fn hang_up(&mut self, number: u64, now: Now) {
        let Some(connection) = self.connections.remove(&number) else { return };
        let rest = connection.frames.rest();
        if rest > 0 {
            self.tally.counts.skipped_bytes += rest as u64;
            self.count_invalid(connection.sender.pid, now);
        }
        if let Some(client) = connection.client.and_then(|pid| self.clients.get_mut(&pid)) {
            client.disconnected();
        }
    }

    fn tend(&mut self, now: Now) {
        let often = now.monotonic_ns.saturating_sub(self.tended_ns) >= IDLE.as_nanos() as u64;
        self.tend_clients(often, now);
        self.hear_silence(now);
        self.answer(now);
        if often {
            self.tended_ns = now.monotonic_ns;
            self.look_after_the_ended(now);
            self.tally.sum_up(now.monotonic_ns, false);
            self.look_after_the_door(now);
        }
    }

    fn tend_clients(&mut self, all: bool, now: Now) {
        for (pid, client) in self.clients.iter_mut().filter(|(_, client)| all || client.is_busy()) {
            let room = client.blocks() < MOST_BLOCKS;
            if let Some(text) = client.tend(&self.prefix, room, now.monotonic_ns, now.unix_ns) {
                self.tally.tell(now.monotonic_ns, Severity::Warning, *pid, format!("PID {pid}: {text}"));
            }
        }
    }

    /// Lone messages whose size only silence tells.
    fn hear_silence(&mut self, now: Now) {
        let silent = |one: &Connection| {
            one.frames.waits_for_silence() && now.monotonic_ns.saturating_sub(one.heard_ns) >= SILENCE_NS
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
        self.ended.retain(|(ring, since)| {
            if now.monotonic_ns.saturating_sub(*since) > UNTAKEN_NS {
                ring.remove();
            }
            !ring.is_over()
        });
    }
}

fn share(all: usize) -> usize {
    all * USER_SHARE.0 / USER_SHARE.1
}
