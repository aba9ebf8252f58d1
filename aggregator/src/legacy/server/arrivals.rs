//! Connections: who is let in, who makes room for them, and their end.
//!
//! The original's client dies of SIGPIPE at its next event when its connection is closed. So where there is no room, the one that goes is the
//! oldest that has told nothing sound, which may be no job's at all; and only then the one that comes.

use super::{Server, share, token_of_connection};
use crate::host::Now;
use crate::legacy::connection::Connection;
use crate::legacy::peer::{self, Sender};
use crate::legacy::turns::PIECE;
use core::cmp::Reverse;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use shm_layout::stats::Severity;
use std::os::fd::OwnedFd;

/// Connections that are let in at once: who connects and hangs up in a loop keeps nobody from being read.
const AT_ONCE: usize = 16;
/// So many that have told nothing are asked once more before one of them goes.
const ASKED: usize = 4;

impl Server {
    /// Lets in who is at the door, so many at once. Whether nobody is left there.
    pub(super) fn welcome(&mut self, now: Now) -> bool {
        for _ in 0..AT_ONCE {
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
            self.listen_to(number, PIECE, now);
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
            self.count_invalid(connection.sender.pid, now);
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
    use crate::legacy::proxy::{About, Proxy};
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
        let come: Vec<_> = (0..3 * AT_ONCE).map(|_| UnixStream::connect(&path).expect("the door is open")).collect();
        for round in 1..=3 {
            assert!(!server.welcome(now));
            assert_eq!(server.connections.len(), round * AT_ONCE, "others are read in between");
        }
        assert!(server.welcome(now));
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
