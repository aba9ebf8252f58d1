//! Questions: taken, kept until what was told before them is in the figures, answered; or printed.

use super::{Read, Server};
use crate::host::Now;
use crate::legacy::answers;
use crate::legacy::client::Client;
use crate::legacy::connection::{Connection, Question};
use crate::legacy::dump::{Dump, Order};
use crate::legacy::message::{Kind, Message};
use crate::legacy::peer::Sender;
use crate::legacy::waits::ANSWER_NS;
use shm_layout::stats::Snapshot;
use std::collections::HashSet;
use std::sync::mpsc::TrySendError;

/// A snapshot is as good as new for so long, ns, and for so many times as reading it took.
const FRESH_NS: u64 = 1_000_000;
const FRESH_TIMES: u64 = 4;
/// What root or our own user asks for is printed no more often than this, ns, and what all others do.
const DUMP_NS: [u64; 2] = [500_000_000, 10_000_000_000];

impl Server {
    pub(super) fn take_question(&mut self, number: u64, sender: Sender, message: Message, now: Now) {
        let dump = match message.kind {
            Kind::DumpRemaining => Dump::Remaining,
            Kind::DumpKernels => Dump::Kernels,
            _ => {
                let Some(connection) = self.connections.get_mut(&number) else { return };
                match connection.has_room().then(|| self.waits.ask(connection.peer.uid)).flatten() {
                    Some(moment) => connection.ask(Question { message, moment }),
                    None => self.tally.counts.unanswered += 1,
                }
                return;
            }
        };
        // Whoever fills our output and our log fills our disk.
        let logged = sender.uid == 0 || sender.uid == nix::unistd::geteuid().as_raw();
        let rank = usize::from(!logged);
        let soon = now.monotonic_ns.saturating_sub(self.dumped_ns[rank]) < DUMP_NS[rank];
        let order = Order { dump, logged };
        if soon || matches!(self.printer.try_send(order), Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) {
            self.tally.counts.unanswered += 1;
        } else {
            self.dumped_ns[rank] = now.monotonic_ns;
        }
    }

    pub(super) fn answer(&mut self, now: Now) {
        if !self.connections.values().any(Connection::is_waiting) {
            return self.waits.count(core::iter::empty());
        }
        let fresh = self.snapshot.as_ref().is_some_and(|read| {
            now.monotonic_ns.saturating_sub(read.at_ns) < (FRESH_TIMES * read.took_ns).clamp(FRESH_NS, ANSWER_NS / 8)
        });
        if !fresh && self.connections.values().any(|one| one.questions() > 0) {
            let begin_ns = Now::read().monotonic_ns;
            self.snapshot = answers::snapshot(&self.prefix).map(|snapshot| Read {
                at_ns: now.monotonic_ns,
                records: snapshot.processes.iter().map(|process| (process.nonce, process.events_total)).collect(),
                took_ns: Now::read().monotonic_ns.saturating_sub(begin_ns),
                snapshot,
            });
        }
        let read = self.snapshot.as_ref();
        // What is dead meanwhile cannot be waited for.
        let written = || self.clients.values().filter_map(Client::written);
        let alive: HashSet<u64> = written().map(|(nonce, _)| nonce).collect();
        let shown = |(nonce, records): &(u64, u64)| {
            let of = read.and_then(|read| read.records.get(nonce));
            of.is_some_and(|shown| shown >= records) || !alive.contains(nonce)
        };
        let over = self.waits.over(now.monotonic_ns, || written().collect(), shown);
        let none = Snapshot::default();
        let snapshot = read.map_or(&none, |read| &read.snapshot);
        for connection in self.connections.values_mut().filter(|one| one.is_waiting()) {
            connection.answer(|question| {
                let device = question.message.device;
                (question.moment < over).then(|| match question.message.kind {
                    Kind::Query => answers::totals(snapshot, device),
                    _ => answers::device_info(snapshot, device),
                })
            });
        }
        self.waits.count(self.connections.values().map(|one| (one.peer.uid, one.questions())));
    }
}
