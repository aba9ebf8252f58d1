//! The published figures, as any viewer reads them.

use shm_layout::names::Prefix;
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::{Identity, Snapshot, StatsHeader, StatsView, stats_bytes};
use std::sync::atomic::AtomicU64;

/// One look.
#[derive(Debug)]
pub struct Seen {
    /// The figures.
    pub snapshot: Snapshot,
    /// Who publishes them.
    pub identity: Identity,
}

/// The figures of now; `None` if there is no segment, or none that is whole.
pub fn look(prefix: &Prefix) -> Option<Seen> {
    let expect = Expect { owners: &[], least: stats_bytes() as u64, most: stats_bytes() as u64 };
    let opened = segment::open(&prefix.stats(), Access::Read, expect).ok()?;
    let header = opened.mapping.one::<StatsHeader<AtomicU64>>(0)?;
    let at = size_of::<StatsHeader<AtomicU64>>();
    let view = StatsView::new(header, opened.mapping.array(at, (stats_bytes() - at) / 8)?)?;
    let identity = view.identity();
    identity.check().ok()?;
    let mut words = Vec::new();
    let whole = view.snapshots().read_within(&mut words, 1000);
    let snapshot = whole.then(|| Snapshot::decode(&words).ok()).flatten()?;
    Some(Seen { snapshot, identity })
}
