//! Recorded time: what passed from look to look while somebody recorded.

/// Recorded time between two looks where nobody recorded between them, ns: so that both can be gone to.
pub const BETWEEN_NS: u64 = 1_000_000_000;
/// Something is written at least this often, ns, or at every look where somebody looks less often.
const EVERY_NS: u64 = 60_000_000_000;
/// Nobody looks less often, ms.
const MOST_REFRESH_MS: u64 = crate::top::MOST_REFRESH_MS;

/// How far it is at one frame, and what may come next.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordedTime {
    at_ns: u64,
    /// The clock of the frame; none before the first of a session.
    monotonic_ns: Option<u64>,
    refresh_ms: u64,
}

impl RecordedTime {
    /// At a frame of a session that looked this often (ms).
    pub const fn new(at_ns: u64, monotonic_ns: Option<u64>, refresh_ms: u64) -> Self {
        Self { at_ns, monotonic_ns, refresh_ms }
    }

    /// Where it is, ns.
    pub const fn now_ns(&self) -> u64 {
        self.at_ns
    }

    /// Where it is at a frame that follows, with this clock, ns. What is further away than anything that is recorded was not recorded.
    pub fn at_ns(&self, monotonic_ns: u64) -> u64 {
        let passed_ns = self.monotonic_ns.map_or(0, |before| monotonic_ns.saturating_sub(before));
        let most_ns = 2 * (EVERY_NS + self.refresh_ms.min(MOST_REFRESH_MS) * 1_000_000);
        self.at_ns.saturating_add(if passed_ns > most_ns { BETWEEN_NS } else { passed_ns })
    }

    /// Goes on to that frame.
    pub fn pass(&mut self, monotonic_ns: u64) {
        (self.at_ns, self.monotonic_ns) = (self.at_ns(monotonic_ns), Some(monotonic_ns));
    }
}
