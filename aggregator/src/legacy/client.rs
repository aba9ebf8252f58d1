//! A process that speaks to the socket: what it holds, the ring that is written for it, and what waits to be written.

use super::ledgers;
use super::message::Message;
use super::peer::{Living, Sender};
use super::proxy::{About, Proxy};
use super::table::{Context, Table, Taken};
use crate::host::Now;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

/// Records that wait for room in the ring; what comes beyond is counted, with its bytes.
const MOST_WAITING: usize = 1 << 17;
/// Messages that wait for a ring that is being taken over.
const MOST_UNREAD: usize = 1 << 14;
/// Messages that were not believed, counted until there is a ring.
const MOST_INVALID: u32 = 1024;
/// Blocks that one process may hold.
pub const MOST_BLOCKS: usize = 1 << 20;
/// When it is tried again to make a ring, ns.
const RETRY_NS: u64 = 1_000_000_000;
/// So long an earlier aggregator's ring and its ledger are waited for, ns.
const ADOPT_NS: u64 = 5_000_000_000;

#[derive(Debug)]
enum Ring {
    /// None yet, or it cannot be made now. When it is tried next, `CLOCK_MONOTONIC` ns.
    None { next_ns: u64 },
    /// An earlier aggregator's, whose last records are still to be read; and when it is not waited for any more.
    Adopted(Proxy, u64),
    /// Written.
    Written(Proxy),
}

/// What came of tending a process.
#[derive(Debug, Default)]
pub struct Tended {
    /// What is to be told of it.
    pub told: Option<String>,
    /// Messages that waited, and mean nothing.
    pub invalid: u64,
}

/// A process.
#[derive(Debug)]
pub struct Client {
    /// Who it is.
    pub about: About,
    living: Living,
    table: Table,
    ring: Ring,
    waiting: VecDeque<Event>,
    unread: VecDeque<(Message, Context)>,
    /// Events of which nothing could be kept.
    unkept: u64,
    /// Messages that were not believed before there was a ring to count them in.
    invalid: u32,
    /// Its open connections, and all that it ever had.
    pub connections: usize,
    pub ever_connected: u64,
}

impl Client {
    /// A process that is heard of for the first time.
    pub fn new(about: About, living: Living) -> Self {
        Self {
            about,
            living,
            table: Table::default(),
            ring: Ring::None { next_ns: 0 },
            waiting: VecDeque::new(),
            unread: VecDeque::new(),
            unkept: 0,
            invalid: 0,
            connections: 0,
            ever_connected: 0,
        }
    }

    /// Becomes readable at its death.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.living.pidfd.as_fd()
    }

    /// Whether this pid is its own, here or in its own namespace.
    pub fn is_called(&self, pid: i32) -> bool {
        self.living.pids.contains(&pid)
    }

    /// Whether this sender, who has its pid, is it: another user's process that had the pid before is not.
    pub fn is(&self, sender: Sender) -> bool {
        sender.uid == self.about.uid || self.living.may_be(sender)
    }

    /// Blocks that it holds.
    pub const fn blocks(&self) -> usize {
        self.table.len()
    }

    /// Takes an event of it. False if it means nothing. What there is no room for makes its figures incomplete.
    pub fn take(&mut self, message: &Message, room: bool, context: Context) -> bool {
        let Self { table, waiting, ring, .. } = self;
        match ring {
            Ring::Written(proxy) => {
                if proxy.is_closed() {
                    proxy.set_closed(false);
                }
                match table.take(message, room, context, |event| write(proxy, waiting, &event)) {
                    Taken::In => true,
                    Taken::Meaningless => false,
                    Taken::NoRoom => {
                        proxy.count_unknown(1);
                        true
                    }
                }
            }
            Ring::None { .. } | Ring::Adopted(..) if self.unread.len() < MOST_UNREAD => {
                self.unread.push_back((*message, context));
                true
            }
            _ => {
                self.unkept += 1;
                true
            }
        }
    }

    /// A message of it was not understood or not believed: counted among its anomalies.
    pub fn count_invalid(&mut self, monotonic_ns: u64) {
        let Self { waiting, ring: Ring::Written(proxy), .. } = self else {
            // Told once there is a ring.
            self.invalid = self.invalid.saturating_add(1).min(MOST_INVALID);
            return;
        };
        write(proxy, waiting, &Event { kind: 0, time: monotonic_ns, ..Event::new(Kind::Tag, Memory::Dram, 0) });
    }

    /// Does what has to be done now and then, or at once where something waits. It may hold `most_blocks`.
    pub fn tend(&mut self, prefix: &Prefix, most_blocks: usize, now: Now) -> Tended {
        let Now { monotonic_ns, unix_ns } = now;
        let mut tended = Tended { told: self.find_ring(prefix, monotonic_ns, unix_ns), invalid: 0 };
        if matches!(self.ring, Ring::Written(_)) {
            (0..core::mem::take(&mut self.invalid)).for_each(|_| self.count_invalid(monotonic_ns));
            for _ in 0..self.unread.len() {
                let Some((message, context)) = self.unread.pop_front() else { break };
                let room = self.blocks() < most_blocks;
                if !self.take(&message, room, context) {
                    self.count_invalid(monotonic_ns);
                    tended.invalid += 1;
                }
            }
        }
        if let Self { waiting, ring: Ring::Written(proxy), table, unkept, .. } = self {
            table.forget_debts(unix_ns, |event| write(proxy, waiting, &event));
            while let Some(event) = waiting.front()
                && proxy.push(event)
            {
                waiting.pop_front();
            }
            proxy.count_unknown(core::mem::take(unkept));
            if waiting.is_empty() {
                // Not kept for whoever had one burst.
                waiting.shrink_to(64);
            }
        }
        tended
    }

    /// Whether messages of it wait for a ring.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Whether it is to be tended soon.
    pub fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || !self.unread.is_empty()
    }

    fn find_ring(&mut self, prefix: &Prefix, monotonic_ns: u64, unix_ns: u64) -> Option<String> {
        match &self.ring {
            Ring::Written(proxy) if proxy.is_lost() => {
                // The aggregator has detached it, with all that it held: told again in another one.
                let lost = core::mem::replace(&mut self.ring, Ring::None { next_ns: 0 });
                // Not closed here: see `Proxy`.
                core::mem::forget(lost);
                self.waiting = self.table.again(monotonic_ns).take(MOST_WAITING).collect();
                self.unkept += 1;
                Some("its ring was cut short: a new one tells what it holds".to_owned())
            }
            Ring::None { next_ns } if *next_ns <= monotonic_ns && self.is_busy() => {
                if self.table.is_empty()
                    && let Some(proxy) = Proxy::adopt(prefix, self.about)
                {
                    proxy.mend();
                    // What was under way when the last aggregator ended, and what came while there was none, is lost; how
                    // much, nobody knows.
                    proxy.count_unknown(1);
                    self.ring = Ring::Adopted(proxy, monotonic_ns + ADOPT_NS);
                    return self.go_on(prefix, monotonic_ns, unix_ns);
                }
                match Proxy::create(prefix, self.about, monotonic_ns, unix_ns) {
                    Ok(proxy) => {
                        self.ring = Ring::Written(proxy);
                        None
                    }
                    Err(error) => {
                        self.ring = Ring::None { next_ns: monotonic_ns + RETRY_NS };
                        Some(format!("its ring cannot be made, it is tried again: {error}"))
                    }
                }
            }
            Ring::Adopted(..) => self.go_on(prefix, monotonic_ns, unix_ns),
            _ => None,
        }
    }

    /// Takes an earlier aggregator's ring over once its last record is in the ledger; after a while without that.
    fn go_on(&mut self, prefix: &Prefix, monotonic_ns: u64, unix_ns: u64) -> Option<String> {
        let Ring::Adopted(proxy, until_ns) = &self.ring else { return None };
        let (is_read, live) = (proxy.is_read(), ledgers::live(prefix, &proxy.file));
        let known = is_read && live.is_some();
        if !known && monotonic_ns < *until_ns {
            return None;
        }
        self.table = Table::continued(live.as_deref().unwrap_or_default());
        if !known {
            // Above every number that was given: no process allocates once a nanosecond.
            self.table.count_from(unix_ns);
            proxy.count_unknown(1);
        }
        self.ring = match core::mem::replace(&mut self.ring, Ring::None { next_ns: 0 }) {
            Ring::Adopted(proxy, _) => Ring::Written(proxy),
            other => other,
        };
        let what = if known { "what it told while no aggregator ran" } else { "it has no ledger: what it holds" };
        Some(format!("is connected again: {what} is not known"))
    }

    /// One of its connections has ended.
    pub fn disconnected(&mut self) {
        self.connections = self.connections.saturating_sub(1);
        if let Ring::Written(proxy) = &self.ring
            && self.connections == 0
        {
            proxy.set_closed(self.table.is_empty() && self.waiting.is_empty());
        }
    }

    /// The ring's number, and how many records will have been written to it when everything that waits is.
    pub fn written(&self) -> Option<(u64, u64)> {
        match &self.ring {
            Ring::Written(proxy) | Ring::Adopted(proxy, _) => {
                Some((proxy.file.nonce, proxy.next() + self.waiting.len() as u64))
            }
            Ring::None { .. } => None,
        }
    }

    /// It is dead: its ring, to be kept until the aggregator is done with it.
    pub fn into_ring(self) -> Option<Proxy> {
        match self.ring {
            Ring::Written(proxy) | Ring::Adopted(proxy, _) => Some(proxy),
            Ring::None { .. } => None,
        }
    }

    /// Nothing is written any more, while it lives on: what waits is counted as lost, and so are connections with something that was not
    /// understood to its end. Its ring.
    pub fn leave(self, connections: u64) -> Option<Proxy> {
        if let Ring::Written(proxy) | Ring::Adopted(proxy, _) = &self.ring {
            self.waiting.iter().for_each(|event| proxy.count_lost(event));
            proxy.count_unknown(self.unread.len() as u64 + self.unkept + connections);
        }
        self.into_ring()
    }
}

/// Writes a record, or lets it wait its turn.
fn write(proxy: &Proxy, waiting: &mut VecDeque<Event>, event: &Event) {
    if waiting.is_empty() && proxy.push(event) {
        return;
    }
    if waiting.len() < MOST_WAITING {
        waiting.push_back(*event);
    } else {
        proxy.count_lost(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy::message::Kind as Said;

    #[test]
    fn what_waited_for_a_ring_finds_no_more_room_than_there_is_and_no_belief_either() {
        let prefix = Prefix::new(&format!("test_client_{}", std::process::id())).expect("a prefix");
        let pid = std::process::id();
        let living = Living::find(pid).expect("this process");
        let about = About { pid, uid: 0, start_ticks: living.start_ticks };
        let mut client = Client::new(about, living);
        let now = Now::read();
        let context = Context { connection: 1, several: false, unix_ns: now.unix_ns, monotonic_ns: now.monotonic_ns };
        for id in 0..10 {
            // Every second one is of a memory kind that there is not.
            let what = if id % 2 == 0 { 0 } else { 99 };
            let message = Message { kind: Said::Alloc, device: 0, size: 1, what, pid: pid.cast_signed(), id, time: 1 };
            assert!(client.take(&message, true, context), "it waits");
        }
        let tended = client.tend(&prefix, 3, now);
        // One of no kind is not looked at where there is no room.
        assert_eq!((client.blocks(), tended.invalid, tended.told), (3, 2, None));
        let ring = client.into_ring().expect("a ring");
        ring.remove();
        assert!(ring.is_over());
    }

    #[test]
    fn what_waits_when_the_listener_ends_is_counted_and_a_free_of_nothing_frees_nothing() {
        use core::sync::atomic::AtomicU64;
        use shm_layout::ring::{DropTable, HEADER_BYTES, RingHeader};
        use shm_layout::segment::{self, Access, Expect};
        let prefix = Prefix::new(&format!("test_leaving_{}", std::process::id())).expect("a prefix");
        let pid = std::process::id();
        let living = Living::find(pid).expect("this process");
        let mut client = Client::new(About { pid, uid: 0, start_ticks: living.start_ticks }, living);
        let now = Now::read();
        let context = Context { connection: 1, several: false, unix_ns: now.unix_ns, monotonic_ns: now.monotonic_ns };
        let message = |kind, id| Message { kind, device: 0, size: 8, what: 0, pid: pid.cast_signed(), id, time: 1 };
        client.take(&message(Said::Alloc, 0), true, context);
        assert!(client.tend(&prefix, MOST_BLOCKS, now).told.is_none());
        // The ring has 2,048 slots, and nobody reads.
        assert!((1..3000).all(|id| client.take(&message(Said::Alloc, id), true, context)));
        assert!((0..1000).all(|_| client.take(&message(Said::Free, 1 << 40), true, context)));
        client.unkept = 5;
        let ring = client.leave(2).expect("a ring");
        let expect = Expect { owners: &[], least: 1, most: u64::MAX };
        let seen = segment::open(&ring.file.name(&prefix), Access::Read, expect).expect("it is there");
        let header: &RingHeader<AtomicU64> = seen.mapping.one(0).expect("a header");
        let drops: &DropTable<AtomicU64> = seen.mapping.one(HEADER_BYTES).expect("its drops");
        // Relaxed: one thread.
        let counted = |of: &AtomicU64| of.load(core::sync::atomic::Ordering::Relaxed);
        let cell = &drops.cells[0][0];
        assert_eq!((counted(&cell.allocated_blocks), counted(&cell.freed_blocks)), (3000 - 2048, 0));
        assert_eq!((counted(&header.dropped), counted(&header.lost_controls)), (952 + 1000 + 7, 1000 + 7));
        ring.remove();
    }
}
