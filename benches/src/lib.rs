//! What the benchmark programs share: where they run, what a measurement is, how it is told.
//!
//! | module | what it is |
//! |---|---|
//! | [`machine`] | this machine: its name, pinning, how far its cores are from each other |
//! | [`sample`] | many measurements of one thing, and their quantiles |
//! | [`report`] | rows of a report, as a table and as JSON |
//! | [`peers`] | ours and its peers behind one face |
//! | [`drain`] | the aggregator's side: a ring that is filled here, drained by the aggregator's own code |
//! | [`host`] | real processes and a real aggregator |
//! | [`pauses`] | what a thread waits for when its ring is full |
//! | [`scale`] | a host with many processes, devices and live allocations |
//! | [`curves`] | docs/performance.md, made of what the other programs measured |

pub mod curves;
pub mod drain;
pub mod host;
pub mod machine;
pub mod pauses;
pub mod peers;
pub mod report;
pub mod sample;
pub mod scale;
