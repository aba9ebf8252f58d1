//! What the benchmark programs share: where they run, what a measurement is, how it is told.
//!
//! | module | what it is |
//! |---|---|
//! | [`curves`] | docs/performance.md, made of what the other programs measured |
//! | [`machine`] | this machine: its name, pinning, how far its cores are from each other |
//! | [`sample`] | many measurements of one thing, and their quantiles |
//! | [`report`] | rows of a report, as a table and as JSON |
//! | [`scale`] | a host with many processes, devices and live allocations |

pub mod curves;
pub mod machine;
pub mod report;
pub mod sample;
pub mod scale;
