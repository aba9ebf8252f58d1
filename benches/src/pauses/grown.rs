//! A push in a further section beside one in the first, of equal size and with as much alive.

use super::work::Work;
use crate::host::Outcome;
use crate::host::ground::Ground;
use crate::report::Report;
use crate::sample::Sample;
use producer::Ring;
use producer::environment::{DEFAULT_SLOTS, Options};
use std::time::Instant;

/// Pushes that are timed together: some microseconds, so that what is not a push stays out of the median.
const BATCH: u64 = 256;
/// The measure of these rows.
pub const MEASURE: &str = "full ring: a push";
/// Allocated first and never freed: more than half of the default ring, less than half of one twice as large.
const KEPT: usize = 20_000;
/// Alive beside them, freed and allocated again.
const LIVE: usize = 5000;

/// In turn, with events of equal kind. The making of the events is in it, and the same for all.
///
/// # Errors
/// When a ring cannot be made, or did not grow as it should.
pub fn measure(repeats: usize, laps: u64, report: &mut Report) -> Outcome<()> {
    // Name, slots of the first section, by how much the ring is larger in the end, what is never freed.
    let ways = [
        ("first section, 2 MiB", DEFAULT_SLOTS, 1, 0),
        ("first section, 4 MiB", 2 * DEFAULT_SLOTS, 1, KEPT),
        ("second section, 4 MiB", DEFAULT_SLOTS, 3, KEPT),
    ];
    let mut samples = ways.map(|_| Sample::default());
    for repeat in 0..repeats {
        for turn in 0..ways.len() {
            let at = (turn + repeat) % ways.len();
            let (name, slots, times, kept) = ways[at];
            let ground = Ground::new()?;
            let ring = Ring::create(&Options { prefix: ground.prefix.clone(), slots, ..Options::default() })?;
            let mut pinned = Work::steady(usize::MAX, 1);
            (0..kept).for_each(|_| ring.record(pinned.event()));
            let mut work = Work::steady(LIVE, 0);
            // The first lap touches pages.
            (0..4 * DEFAULT_SLOTS).for_each(|_| ring.record(work.event()));
            for _ in 0..laps * 2 * DEFAULT_SLOTS / BATCH {
                let begin = Instant::now();
                (0..BATCH).for_each(|_| ring.record(work.event()));
                samples[at].push(begin.elapsed().as_nanos() as f64 / BATCH as f64);
            }
            let mib = ground.bytes_of(".ring.") >> 20;
            if mib != (times * slots * 64) >> 20 {
                return Err(format!("{name}: the ring has {mib} MiB").into());
            }
            ring.close();
        }
    }
    for ((name, ..), sample) in ways.iter().zip(&mut samples) {
        report.add(MEASURE, name, None, "ns/event", sample);
    }
    Ok(())
}
