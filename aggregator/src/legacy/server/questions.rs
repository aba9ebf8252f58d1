//! Questions: taken, kept until what was told before them is in the figures, answered; or printed.

use super::Server;
use crate::host::Now;
use crate::legacy::answers;
use crate::legacy::client::Client;
use crate::legacy::connection::{Connection, Question};
use crate::legacy::dump::Dump;
use crate::legacy::message::{Kind, Message};
use shm_layout::stats::Snapshot;
use std::sync::mpsc::TrySendError;

/// So long what was told before a question may take to be in the figures, ns.
const ANSWER_NS: u64 = 250_000_000;
/// A snapshot is as good as new for so long, ns.
const FRESH_NS: u64 = 1_000_000;
/// Printing is asked for no more often than this, ns.
const DUMP_NS: u64 = 500_000_000;

impl Server {
    pub(super) fn take_question(&mut self, number: u64, message: Message, now: Now) {
        let dump = match message.kind {
            Kind::DumpRemaining => Dump::Remaining,
            Kind::DumpKernels => Dump::Kernels,
            _ => {
                // What was told before it is on its way then.
                self.tend_clients(false, now);
                let after = self.clients.values().filter_map(Client::written).collect();
                let until_ns = now.monotonic_ns + ANSWER_NS;
                let Some(connection) = self.connections.get_mut(&number) else { return };
                if !connection.ask(Question { message, after, until_ns }) {
                    self.tally.counts.unanswered += 1;
                }
                return;
            }
        };
        let soon = now.monotonic_ns.saturating_sub(self.dumped_ns) < DUMP_NS;
        if soon || matches!(self.printer.try_send(dump), Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) {
            self.tally.counts.unanswered += 1;
        } else {
            self.dumped_ns = now.monotonic_ns;
        }
    }

    pub(super) fn answer(&mut self, now: Now) {
        if !self.connections.values().any(Connection::is_waiting) {
            return;
        }
        let fresh = self.snapshot.as_ref().is_some_and(|(at, _)| now.monotonic_ns.saturating_sub(*at) < FRESH_NS);
        if !fresh && self.connections.values().any(Connection::has_questions) {
            self.snapshot = answers::snapshot(&self.prefix).map(|snapshot| (now.monotonic_ns, snapshot));
        }
        let none = Snapshot::default();
        let snapshot = self.snapshot.as_ref().map_or(&none, |(_, snapshot)| snapshot);
        // What is dead meanwhile cannot be waited for.
        let alive: Vec<u64> = self.clients.values().filter_map(Client::written).map(|(nonce, _)| nonce).collect();
        let shown = |(nonce, records): &(u64, u64)| {
            let row = snapshot.processes.iter().find(|process| process.nonce == *nonce);
            row.is_some_and(|process| process.events_total >= *records) || !alive.contains(nonce)
        };
        for connection in self.connections.values_mut().filter(|one| one.is_waiting()) {
            connection.answer(|question| {
                if now.monotonic_ns < question.until_ns && !question.after.iter().all(shown) {
                    return None;
                }
                let device = question.message.device;
                Some(match question.message.kind {
                    Kind::Query => answers::totals(snapshot, device),
                    _ => answers::device_info(snapshot, device),
                })
            });
        }
    }
}
