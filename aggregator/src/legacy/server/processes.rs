//! What the listener takes for a process: who it is, whether it may say that, and what becomes of its ring.

use super::{Ended, MOST_BLOCKS_OF_ALL, Server, share, token_of_client};
use crate::host::Now;
use crate::legacy::client::{Client, MOST_BLOCKS};
use crate::legacy::message::Message;
use crate::legacy::peer::{Living, Sender};
use crate::legacy::proxy::About;
use crate::legacy::table::Context;
use crate::legacy::turns::PIECE;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use shm_layout::stats::Severity;
use std::collections::HashMap;

/// Rings of the dead are looked at no more often than this to find room, ns.
const ENDED_NS: u64 = 10_000_000;

/// Blocks that processes hold.
pub(super) struct Held {
    all: usize,
    by_user: HashMap<u32, usize>,
}

impl Held {
    pub(super) fn by(clients: &HashMap<u32, Client>) -> Self {
        let mut held = Self { all: 0, by_user: HashMap::new() };
        clients.values().for_each(|client| held.change(client.about.uid, 0, client.blocks()));
        held
    }

    pub(super) fn change(&mut self, uid: u32, before: usize, now: usize) {
        let of_user = self.by_user.entry(uid).or_default();
        for sum in [&mut self.all, of_user] {
            *sum = (*sum + now).saturating_sub(before);
        }
    }

    /// What a process of this user that holds so many may hold.
    pub(super) fn most_of(&self, uid: u32, own: usize) -> usize {
        let of_user = self.by_user.get(&uid).copied().unwrap_or(0);
        let more = share(MOST_BLOCKS_OF_ALL).saturating_sub(of_user).min(MOST_BLOCKS_OF_ALL.saturating_sub(self.all));
        MOST_BLOCKS.min(own + more)
    }
}

impl Server {
    pub(super) fn take_messages(&mut self, number: u64, sender: Sender, now: Now) {
        let mut messages = core::mem::take(&mut self.messages);
        for message in messages.drain(..) {
            if message.kind.asks() {
                self.take_question(number, sender, message, now);
            } else {
                self.take_event(number, sender, &message, now);
            }
        }
        self.messages = messages;
    }

    fn take_event(&mut self, number: u64, sender: Sender, message: &Message, now: Now) {
        if !self.know(number, sender, now) {
            self.tally.counts.nobody += 1;
            return;
        }
        let Some(client) = self.clients.get(&sender.pid) else { return };
        if !client.is_called(message.pid) {
            return self.lied(number, sender, message.pid, now);
        }
        // Summed up over everybody only where it may matter.
        let blocks = client.blocks();
        let room = blocks < MOST_BLOCKS
            && (blocks % 1024 != 1023 || blocks < Held::by(&self.clients).most_of(sender.uid, blocks));
        let Some(client) = self.clients.get_mut(&sender.pid) else { return };
        let context = Context {
            connection: number,
            several: client.ever_connected > 1,
            unix_ns: now.unix_ns,
            monotonic_ns: now.monotonic_ns,
        };
        if !client.take(message, room, context) {
            client.count_invalid(now.monotonic_ns);
            self.tally.counts.invalid += 1;
        } else if let Some(connection) = self.connections.get_mut(&number) {
            connection.sound = true;
        }
    }

    /// Whether the sender is a process that is written for; meets it if it is new.
    pub(super) fn know(&mut self, number: u64, sender: Sender, now: Now) -> bool {
        if !self.clients.contains_key(&sender.pid) && !self.meet(sender, now) {
            return false;
        }
        let Some(client) = self.clients.get(&sender.pid) else { return false };
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        // What somebody of another user sent who is dead is not of whoever has the pid now.
        if !client.is(sender) {
            return false;
        }
        // One that started after the connection was made has not made it: what it is told of was its predecessor's with this pid.
        if sender.pid == connection.peer.pid && client.about.start_ticks > connection.since_ticks {
            return false;
        }
        if connection.client != Some(sender.pid)
            && let Some(client) = self.clients.get_mut(&sender.pid)
        {
            client.connections += 1;
            client.ever_connected += 1;
            if let Some(before) = connection.client.replace(sender.pid).and_then(|pid| self.clients.get_mut(&pid)) {
                before.disconnected();
            }
        }
        true
    }

    /// A process that is heard of for the first time. Whether there is room for it.
    fn meet(&mut self, sender: Sender, now: Now) -> bool {
        if !self.has_room_for(sender.uid) && now.monotonic_ns.saturating_sub(self.ended_looked_ns) >= ENDED_NS {
            self.look_after_the_ended(now);
        }
        if !self.has_room_for(sender.uid) {
            let text = format_args!("no room for a further process of user {}", sender.uid);
            self.tally.tell(now.monotonic_ns, Severity::Warning, sender.pid, text);
            return false;
        }
        // Pid 0 is a process that cannot be seen from here.
        let Some(living) = Living::find(sender.pid).filter(|_| sender.pid != 0) else { return false };
        if !living.may_be(sender) {
            return false;
        }
        let about = About { pid: sender.pid, uid: sender.uid, start_ticks: living.start_ticks };
        let client = Client::new(about, living);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token_of_client(sender.pid));
        let watched = self.epoll.add(client.pidfd(), event).is_ok();
        if watched {
            self.clients.insert(sender.pid, client);
        }
        watched
    }

    /// The dead whose rings are still open have their places, too.
    pub(super) fn has_room_for(&self, uid: u32) -> bool {
        let uids = || self.clients.values().map(|client| client.about.uid).chain(self.ended.iter().map(|one| one.uid));
        self.clients.len() + self.ended.len() < self.most_clients
            && (uid == 0 || uids().filter(|of| *of == uid).count() < share(self.most_clients))
    }

    fn lied(&mut self, number: u64, sender: Sender, claimed: i32, now: Now) {
        self.tally.counts.lies += 1;
        self.count_invalid(sender, now);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if !core::mem::replace(&mut connection.told.0, true) {
            let text = format_args!("PID {} (user {}) claims to be process {claimed}: refused", sender.pid, sender.uid);
            self.tally.tell(now.monotonic_ns, Severity::Warning, sender.pid, text);
        }
    }

    /// A process is dead: the aggregator takes it out of the figures by itself. What it said last is heard first.
    pub(super) fn died(&mut self, pid: u32, now: Now) {
        let of_it = self.connections.iter().filter(|(_, one)| one.client == Some(pid)).map(|(number, _)| *number);
        let of_it: Vec<u64> = of_it.collect();
        let mut left = PIECE;
        for number in &of_it {
            left -= self.listen_to(*number, left, now);
        }
        let Some(client) = self.clients.remove(&pid) else { return };
        let _gone = self.epoll.delete(client.pidfd());
        let uid = client.about.uid;
        if let Some(ring) = client.into_ring() {
            self.ended.push(Ended { ring, uid, since_ns: now.monotonic_ns });
        }
        self.connections.values_mut().filter(|one| one.client == Some(pid)).for_each(|one| one.client = None);
    }
}
