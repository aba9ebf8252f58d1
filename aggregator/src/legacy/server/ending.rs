//! The listener's end in good order: what was told until then is heard, and what cannot be is counted, so that the figures that a successor
//! continues are right or say that they are not.

use super::{Ended, Server};
use crate::host::Now;
use crate::legacy::proxy::Proxy;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// So long it may take.
const LONGEST: Duration = Duration::from_millis(500);

impl Server {
    /// Hears what there is to hear. The rings that were written.
    pub(super) fn end(mut self, now: Now) -> Vec<Proxy> {
        let begin = Instant::now();
        self.doorway.close();
        while !self.welcome(now) && begin.elapsed() < LONGEST {}
        // From here on nothing is sent that nobody reads.
        self.connections.values().for_each(super::Connection::refuse);
        let mut speaking: Vec<u64> = self.connections.keys().copied().collect();
        while !speaking.is_empty() && begin.elapsed() < LONGEST {
            speaking.retain(|number| begin.elapsed() >= LONGEST || !self.hear(*number, super::PIECE, now).1);
            self.tend_clients(false, now);
        }
        self.hear_silence(0, now);
        self.tend_clients(true, now);
        self.answer(now);
        self.tally.sum_up(now.monotonic_ns, true);

        let speaking: HashSet<u64> = speaking.into_iter().collect();
        let cut = self.connections.iter().filter(|(number, one)| speaking.contains(number) || one.frames.rest() > 0);
        let mut cut_of: HashMap<u32, u64> = HashMap::new();
        cut.for_each(|(_, one)| *cut_of.entry(one.client.unwrap_or(one.peer.pid)).or_default() += 1);
        let Self { clients, ended, .. } = self;
        let alive = clients.into_iter().filter_map(|(pid, client)| client.leave(cut_of.remove(&pid).unwrap_or(0)));
        let rings: Vec<Proxy> = alive.collect();
        rings.into_iter().chain(ended.into_iter().map(|Ended { ring, .. }| ring)).collect()
    }
}
