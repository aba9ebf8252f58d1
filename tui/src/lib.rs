//! The viewers of tt-alloc: `alloc-top`, the dashboard, and `tt-alloc`, the command line.
//!
//! Both only read. They map the stats segment and the ledgers read-only, so nothing here can slow, block or corrupt
//! what is watched.
//!
//! | module | what lies there |
//! |---|---|
//! | [`source`] | the stats segment: found, checked, read, found again when the aggregator is replaced |
//! | [`ledger`], [`holdings`] | the ledgers: every live allocation of every process; the largest ones of one process |
//! | [`baseline`] | what has come since a baseline, as text |
//! | [`totals`] | what the figures of a snapshot add up to, per process |
//! | [`roster`] | who the processes are, as text |
//! | [`telemetry`] | what the driver tells of a device, in few words |
//! | [`selection`] | the chips that the user asked for |
//! | [`degraded`] | whether what is shown may be incomplete |
//! | [`diagnosis`] | what is wrong, what that means, what to do next: for `tt-alloc doctor` |
//! | [`units`], [`clock`], [`users`] | bytes, ages, moments and user names as text |
//! | [`amounts`] | sizes and durations as a person writes them |
//! | [`once`], [`table`], [`json`], [`buffers`] | one-shot output |
//! | [`leaks`] | who leaks, with the evidence |
//! | [`unseen`] | what lists of single allocations do not show |
//! | [`stacks`] | call stacks of allocations, and their names |
//! | [`screen`] | the dashboard: its state, and how it is drawn |
//! | [`demo`] | a recorded workload, replayed by real producer processes |
//! | [`keyboard`] | what is typed |
//! | [`terminal`] | raw mode, and the way back from it |
//! | [`top`] | the dashboard's run loop |
//! | [`embedded`] | an aggregator in this process |
//! | [`exit`] | exit codes |
//! | [`output`] | standard output that a closed pipe ends quietly |

#![forbid(unsafe_code)]

pub mod amounts;
pub mod baseline;
pub mod buffers;
pub mod clock;
pub mod control;
pub mod degraded;
pub mod demo;
pub mod diagnosis;
pub mod embedded;
pub mod exit;
pub mod holdings;
pub mod json;
pub mod keyboard;
pub mod leaks;
pub mod ledger;
pub mod once;
pub mod output;
pub mod roster;
#[cfg(test)]
mod sample;
pub mod screen;
pub mod selection;
pub mod source;
pub mod stacks;
pub mod table;
pub mod telemetry;
pub mod terminal;
pub mod top;
pub mod totals;
pub mod units;
pub mod unseen;
pub mod users;
