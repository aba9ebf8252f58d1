//! What an aggregator has published, past itself: its segment, who writes it, the snapshot and the samples in it.

use super::Ground;
use shm_layout::segment::{self, Access, Expect, Opened};
use shm_layout::stats::{Snapshot, StatsHeader, StatsView, stats_bytes};
use std::sync::atomic::AtomicU64;

/// The stats segment that has its name now.
pub fn stats_segment(ground: &Ground, access: Access) -> Option<Opened> {
    let bytes = stats_bytes() as u64;
    segment::open(&ground.prefix.stats(), access, Expect { owners: &[], least: bytes, most: bytes }).ok()
}

/// None if it is being made.
pub fn view(opened: &Opened) -> Option<StatsView<'_, AtomicU64>> {
    let at = size_of::<StatsHeader<AtomicU64>>();
    StatsView::new(opened.mapping.one(0)?, opened.mapping.array(at, (stats_bytes() - at) / 8)?)
}

/// The snapshot of now.
pub fn snapshot(view: &StatsView<'_, AtomicU64>) -> Option<Snapshot> {
    view.identity().check().ok()?;
    let mut words = Vec::new();
    view.snapshots().read_within(&mut words, 1000).then(|| Snapshot::decode(&words).unwrap())
}

/// Whose snapshot is shown.
pub fn publisher(ground: &Ground) -> Option<u32> {
    let opened = stats_segment(ground, Access::Read)?;
    let view = view(&opened)?;
    (snapshot(&view)?.health.generation > 0).then(|| view.identity().pid)
}

/// The samples of the first chip's memory of this kind, the oldest first.
pub fn history(ground: &Ground, memory: usize) -> Vec<u64> {
    view(&stats_segment(ground, Access::Read).unwrap()).unwrap().history(0, memory)
}
