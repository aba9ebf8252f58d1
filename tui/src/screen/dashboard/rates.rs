//! Events a second, of each process.

use super::Dashboard;
use crate::roster::ProcessKey;
use shm_layout::stats::Process;
use std::collections::HashMap;

/// A rate is of at least this time, ns.
const SPAN_NS: u64 = 1_000_000_000;

/// What is kept of one process.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// The aggregator's round, `CLOCK_MONOTONIC` ns, and the events so far.
    at: (u64, u64),
    rate: Option<f64>,
}

/// Of every process.
#[derive(Debug, Default)]
pub struct Rates {
    of: HashMap<ProcessKey, Counted>,
    counted_ns: u64,
}

impl Rates {
    /// Takes in what the aggregator had counted at this round.
    pub fn count(&mut self, heartbeat_ns: u64, processes: &[Process]) {
        // Rounds of another aggregator, or of a recording that was wound back, are no time from one to the other.
        let again = heartbeat_ns < self.counted_ns;
        if !again && heartbeat_ns - self.counted_ns < SPAN_NS {
            return;
        }
        self.counted_ns = heartbeat_ns;
        let mut before = std::mem::take(&mut self.of);
        for process in processes {
            let (key, events) = (ProcessKey::from(process), process.events_total);
            let known = before.remove(&key).filter(|_| !again);
            let rate = known.and_then(|known| {
                let (ns, count) = (heartbeat_ns.checked_sub(known.at.0)?, events.checked_sub(known.at.1)?);
                (ns > 0).then(|| count as f64 * 1e9 / ns as f64)
            });
            self.of.insert(key, Counted { at: (heartbeat_ns, events), rate });
        }
    }
}

impl Dashboard {
    /// Events a second of this process, over the last second or more; `None` until two looks can tell.
    pub fn event_rate(&self, of: ProcessKey) -> Option<f64> {
        self.rates.of.get(&of)?.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn two_looks_tell() {
        let mut rates = Rates::default();
        let mut processes = sample::host(1).processes;
        let key = ProcessKey::from(&processes[0]);
        let rate = |rates: &Rates| rates.of.get(&key).and_then(|counted| counted.rate);
        let now = 50 * SPAN_NS;
        rates.count(now, &processes);
        assert_eq!(rate(&rates), None);
        processes[0].events_total += 500;
        rates.count(now + SPAN_NS / 2, &processes);
        assert_eq!(rate(&rates), None, "too soon");
        rates.count(now + 2 * SPAN_NS, &processes);
        assert_eq!(rate(&rates), Some(250.0));
        // Another aggregator has another clock, and counts anew.
        processes[0].events_total = 3;
        rates.count(SPAN_NS, &processes);
        assert_eq!(rate(&rates), None);
        processes.clear();
        rates.count(9 * SPAN_NS, &processes);
        assert!(rates.of.is_empty());
    }
}
