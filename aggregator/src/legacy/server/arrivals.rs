//! Connections: who is let in, who makes room for them, and their end.
//!
//! The original's client dies of SIGPIPE at its next event when its connection is closed. So where there is no room, the one that goes is the
//! oldest that has told nothing sound, which may be no job's at all; and only then the one that comes.

use super::{Server, share, token_of_connection};
use crate::host::Now;
use crate::legacy::connection::Connection;
use crate::legacy::peer::{self, Sender};
use crate::legacy::turns::LEAST;
use core::cmp::Reverse;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use shm_layout::stats::Severity;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Connections that are let in at once, and the time that it may take: who connects and hangs up in a loop keeps nobody from being read, and
/// whoever stands behind thousands at the door waits less.
const AT_ONCE: usize = 256;
const AT_ONCE_TIME: Duration = Duration::from_millis(5);
/// So many that have told nothing are asked once more before one of them goes.
const ASKED: usize = 4;

impl Server {
    /// Lets in who is at the door, so many at once. Whether nobody is left there.
    pub(super) fn welcome(&mut self, now: Now) -> bool {
        let begin = Instant::now();
        self.welcome_by(now, || begin.elapsed())
    }

    fn welcome_by(&mut self, now: Now, clock: impl Fn() -> Duration) -> bool {
        for _ in 0..AT_ONCE {
            if clock() >= AT_ONCE_TIME {
                break;
            }
            match self.doorway.accept() {
                Ok(socket) => {
                    if let Ok(peer) = peer::peer(&socket) {
                        self.let_in(socket, peer, now);
                    }
                }
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(Errno::EAGAIN) => return true,
                Err(errno) => {
                    let text = format_args!("cannot accept: {errno}");
                    self.tally.tell(now.monotonic_ns, Severity::Error, 0, text);
                    // Not at once again: the cause stays for a while.
                    std::thread::sleep(super::SOON);
                    return true;
                }
            }
        }
        false
    }

    fn let_in(&mut self, socket: OwnedFd, peer: Sender, now: Now) {
        let room = self.has_room(peer.uid) || self.make_room(peer.uid, now);
        self.last_connection += 1;
        let number = self.last_connection;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token_of_connection(number));
        if !room || self.epoll.add(&socket, event).is_err() {
            self.tally.counts.turned_away += 1;
            let text = format_args!("no room for a further connection of user {}", peer.uid);
            self.tally.tell(now.monotonic_ns, Severity::Warning, peer.pid, text);
            return;
        }
        *self.connected.entry(peer.uid).or_default() += 1;
        self.connections.insert(number, Connection::new(socket, peer, now.monotonic_ns));
    }

    fn of_user(&self, uid: u32) -> usize {
        self.connected.get(&uid).copied().unwrap_or(0)
    }

    fn has_room(&self, uid: u32) -> bool {
        self.connections.len() < self.most_connections && !self.is_at_the_share(uid)
    }

    fn is_at_the_share(&self, uid: u32) -> bool {
        uid != 0 && self.of_user(uid) >= share(self.most_connections)
    }

    /// Hangs up on the oldest connection that has told nothing sound: this user's own if that is at its share, else one of whoever has the
    /// most connections.
    fn make_room(&mut self, uid: u32, now: Now) -> bool {
        let own = self.is_at_the_share(uid);
        for _ in 0..ASKED {
            let of = self.connections.iter().filter(|(_, one)| !one.sound && (!own || one.peer.uid == uid));
            let first = of.min_by_key(|(number, one)| (Reverse(self.of_user(one.peer.uid)), **number));
            let Some((number, peer)) = first.map(|(number, one)| (*number, one.peer)) else { return false };
            // It may have spoken just now.
            self.listen_to(number, LEAST, now);
            if self.connections.get(&number).is_some_and(|one| !one.sound) {
                self.hang_up(number, now);
                self.tally.counts.turned_away += 1;
                let text = format_args!("no room: a connection of user {} that has told nothing is closed", peer.uid);
                self.tally.tell(now.monotonic_ns, Severity::Warning, peer.pid, text);
            }
            if self.has_room(uid) {
                return true;
            }
        }
        false
    }

    pub(super) fn hang_up(&mut self, number: u64, now: Now) {
        let Some(connection) = self.connections.remove(&number) else { return };
        if let Some(of_user) = self.connected.get_mut(&connection.peer.uid) {
            *of_user -= 1;
            if *of_user == 0 {
                self.connected.remove(&connection.peer.uid);
            }
        }
        let rest = connection.frames.rest();
        if rest > 0 {
            self.tally.counts.skipped_bytes += rest as u64;
            self.count_invalid(connection.sender, now);
        }
        if let Some(client) = connection.client.and_then(|pid| self.clients.get_mut(&pid)) {
            client.disconnected();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ended;
    use super::*;
    use crate::legacy::doorway::Doorway;
    use crate::legacy::dump::{Dump, Order};
    use crate::legacy::message::Message;
    use crate::legacy::proxy::{About, Proxy};
    use crate::legacy::turns::PIECE;
    use nix::sys::eventfd::EventFd;
    use shm_layout::names::Prefix;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;

    /// A server that nobody runs, at a path of its own.
    fn server(name: &str) -> (Server, std::path::PathBuf) {
        let prefix = Prefix::new(&format!("test_{name}_{}", std::process::id())).expect("a prefix");
        let path = std::env::temp_dir().join(format!("{prefix}.sock"));
        let doorway = Doorway::open(&path).expect("a door");
        let stop = Arc::new(EventFd::new().expect("an eventfd"));
        (Server::new(&prefix, doorway, stop, sync_channel(1).0).expect("a server"), path)
    }

    #[test]
    fn so_many_are_let_in_at_once_and_nobody_is_counted_for_ever() {
        let (mut server, path) = server("welcome");
        let now = Now::read();
        let come: Vec<_> = (0..2 * AT_ONCE).map(|_| UnixStream::connect(&path).expect("the door is open")).collect();
        assert!(!server.welcome_by(now, || Duration::ZERO));
        assert_eq!(server.connections.len(), AT_ONCE, "others are read in between");
        // Where each takes a millisecond, fewer.
        let time = core::cell::Cell::new(0);
        let slow = || Duration::from_millis(time.replace(time.get() + 1));
        assert!(!server.welcome_by(now, slow));
        assert_eq!(server.connections.len(), AT_ONCE + 5);
        while !server.welcome(now) {}
        let uid = nix::unistd::geteuid().as_raw();
        assert_eq!(server.of_user(uid), come.len());
        drop(come);
        let numbers: Vec<u64> = server.connections.keys().copied().collect();
        assert!(numbers.into_iter().all(|number| server.listen_to(number, PIECE, now) == 0));
        assert!(server.connections.is_empty() && server.connected.is_empty());
    }

    #[test]
    fn what_a_connection_told_before_a_process_began_is_not_its_own() {
        use std::io::Write;
        let (mut server, path) = server("since");
        let now = Now::read();
        let mut stream = UnixStream::connect(&path).expect("the door is open");
        assert!(server.welcome(now));
        let number = server.last_connection;
        let mut bytes = [0; 144];
        bytes[0] = 1;
        bytes[8] = 1;
        bytes[20..24].copy_from_slice(&std::process::id().to_le_bytes());
        let mut told = |server: &mut Server| {
            stream.write_all(&bytes).expect("room");
            server.listen_to(number, PIECE, now);
            (server.clients.len(), server.tally.counts.nobody)
        };
        assert_eq!(told(&mut server), (1, 0));
        // As if another process with this pid, which is dead, had made it.
        server.connections.values_mut().for_each(|one| one.since_ticks = 0);
        assert_eq!(told(&mut server), (1, 1), "also of a process that is known");
    }

    #[test]
    fn what_another_users_process_sent_that_had_the_pid_before_is_not_its_successors() {
        use std::os::unix::process::CommandExt;
        let (mut server, path) = server("uids");
        let now = Now::read();
        let _stream = UnixStream::connect(&path).expect("the door is open");
        assert!(server.welcome(now));
        let number = server.last_connection;
        let uid = nix::unistd::geteuid().as_raw();
        let (own, foreign) =
            (Sender { pid: std::process::id(), uid }, Sender { pid: std::process::id(), uid: uid + 1 });
        assert!(!server.know(number, foreign, now) && server.clients.is_empty(), "of a process that is not known yet");
        assert!(server.know(number, own, now));
        assert!(!server.know(number, foreign, now) && server.know(number, own, now), "of one that is");
        if uid != 0 {
            return;
        }
        // One that was root at first, and is another now, is itself.
        let mut child = std::process::Command::new("sleep").arg("1000").uid(4321).spawn().expect("a child");
        let known = [0, 4321, 4322].map(|uid| server.know(number, Sender { pid: child.id(), uid }, now));
        child.kill().and_then(|()| child.wait()).expect("its end");
        assert_eq!(known, [true, true, false]);
        assert!(!server.know(number, Sender { pid: child.id(), uid: 4321 }, now), "dead, it is nobody but whom it was");
    }

    #[test]
    fn who_is_not_known_is_looked_up_once_a_piece_however_many_places_may_be_a_message() {
        use crate::legacy::peer::READ;
        use std::io::Write;
        let (mut server, path) = server("places_of_messages");
        let now = Now::read();
        let mut stream = UnixStream::connect(&path).expect("the door is open");
        assert!(server.welcome(now));
        let mut garbage = vec![0xFF; 72];
        for _ in 0..500 {
            let mut bytes = [0; 72];
            (bytes[0], bytes[8], bytes[20]) = (1, 1, 1);
            garbage.extend(bytes);
        }
        stream.write_all(&garbage).expect("room");
        READ.set(0);
        assert_eq!(server.listen_to(server.last_connection, PIECE, now), garbage.len());
        assert!(server.tally.counts.skipped_bytes > 30_000, "{:?}", server.tally.counts);
        assert_eq!(READ.get(), 1);
    }

    #[test]
    fn others_have_less_printed_than_root_and_ourselves_and_nothing_of_it_in_the_log() {
        let (mut server, _path) = server("prints");
        let (sender, orders) = sync_channel(1000);
        server.printer = sender;
        let mut bytes = [0; 144];
        bytes[0] = 5;
        bytes[4..8].fill(0xFF);
        let dump = Message::read(&bytes).expect("a question");
        let own = nix::unistd::geteuid().as_raw();
        let begin = Now::read();
        for tenth in 0..=200 {
            let now = Now { monotonic_ns: begin.monotonic_ns + tenth * 100_000_000, ..begin };
            for uid in [own + 1, own + 2, own] {
                server.take_question(1, Sender { pid: 1, uid }, dump, now);
            }
        }
        let orders: Vec<Order> = orders.try_iter().collect();
        let ours = orders.iter().filter(|order| order.logged).count();
        assert_eq!((orders.len() - ours, ours), (3, 41));
        assert!(orders.iter().all(|order| order.dump == Dump::Remaining));
    }

    #[test]
    fn the_dead_have_their_places_until_their_rings_are_gone() {
        let (mut server, _path) = server("places");
        (server.most_clients, server.ended_looked_ns) = (4, 0);
        let now = Now::read();
        for pid in 1..=3 {
            let about = About { pid, uid: 7, start_ticks: 1 };
            let ring = Proxy::create(&server.prefix, about, now.monotonic_ns, now.unix_ns).expect("a ring");
            server.ended.push(Ended { ring, uid: 7, since_ns: now.monotonic_ns });
        }
        assert!(!server.has_room_for(7), "three quarters are taken");
        assert!(server.has_room_for(8) && server.has_room_for(0));
        server.most_clients = 3;
        assert!(!server.has_room_for(0));
        // The aggregator has taken one out.
        server.ended[0].ring.remove();
        server.look_after_the_ended(now);
        assert!(server.has_room_for(0));
        server.most_clients = 4;
        assert!(server.has_room_for(7));
        server.ended.iter().for_each(|one| one.ring.remove());
    }
}
