//! What the listener takes for a process: who it is, whether it may say that, and what becomes of its ring.

use super::{MOST_BLOCKS_OF_ALL, Server, share, token_of_client};
use crate::host::Now;
use crate::legacy::client::{Client, MOST_BLOCKS};
use crate::legacy::message::Message;
use crate::legacy::peer::{Living, Sender};
use crate::legacy::proxy::About;
use crate::legacy::table::Context;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use shm_layout::stats::Severity;
use std::collections::HashMap;

impl Server {
    pub(super) fn take_messages(&mut self, number: u64, sender: Sender, now: Now) {
        let mut messages = core::mem::take(&mut self.messages);
        for message in messages.drain(..) {
            if message.kind.asks() {
                self.take_question(number, message, now);
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
        let of_user = |clients: &HashMap<u32, Client>| -> usize {
            clients.values().filter(|client| client.about.uid == sender.uid).map(Client::blocks).sum()
        };
        let Some(client) = self.clients.get(&sender.pid) else { return };
        if !client.is_called(message.pid) {
            return self.lied(number, sender, message.pid, now);
        }
        // Summed up over everybody only where it may matter.
        let room = client.blocks() < MOST_BLOCKS
            && (client.blocks() % 1024 != 1023
                || of_user(&self.clients) < share(MOST_BLOCKS_OF_ALL)
                    && self.clients.values().map(Client::blocks).sum::<usize>() < MOST_BLOCKS_OF_ALL);
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
        }
    }

    /// Whether the sender is a process that is written for; meets it if it is new.
    fn know(&mut self, number: u64, sender: Sender, now: Now) -> bool {
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        if !self.clients.contains_key(&sender.pid) {
            let of_user = self.clients.values().filter(|client| client.about.uid == sender.uid).count();
            let full =
                self.clients.len() >= self.most_clients || sender.uid != 0 && of_user >= share(self.most_clients);
            if full {
                let text = format!("no room for a further process of user {}", sender.uid);
                self.tally.tell(now.monotonic_ns, Severity::Warning, sender.pid, text);
                return false;
            }
            // Pid 0 is a process that cannot be seen from here.
            let Some(living) = Living::find(sender.pid).filter(|_| sender.pid != 0) else { return false };
            // One that started after the connection was made has not made it.
            if sender.pid == connection.peer.pid && living.start_ticks > connection.since_ticks {
                return false;
            }
            let about = About { pid: sender.pid, uid: sender.uid, start_ticks: living.start_ticks };
            let client = Client::new(about, living);
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token_of_client(sender.pid));
            if self.epoll.add(client.pidfd(), event).is_err() {
                return false;
            }
            self.clients.insert(sender.pid, client);
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

    fn lied(&mut self, number: u64, sender: Sender, claimed: i32, now: Now) {
        self.tally.counts.lies += 1;
        self.count_invalid(sender.pid, now);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if !core::mem::replace(&mut connection.told.0, true) {
            let text = format!("PID {} (user {}) claims to be process {claimed}: refused", sender.pid, sender.uid);
            self.tally.tell(now.monotonic_ns, Severity::Warning, sender.pid, text);
        }
    }

    /// A process is dead: the aggregator takes it out of the figures by itself.
    pub(super) fn died(&mut self, pid: u32, now: Now) {
        let Some(client) = self.clients.remove(&pid) else { return };
        let _gone = self.epoll.delete(client.pidfd());
        if let Some(ring) = client.into_ring() {
            self.ended.push((ring, now.monotonic_ns));
        }
        self.connections.values_mut().filter(|one| one.client == Some(pid)).for_each(|one| one.client = None);
    }
}
