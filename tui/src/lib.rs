//! The viewers of tt-alloc: `alloc-top`, the dashboard, and `tt-alloc`, the command line.
//!
//! Both only read. They map the stats segment and the ledgers read-only, so nothing here can slow, block or corrupt
//! what is watched.
//!
//! | module | what lies there |
//! |---|---|
//! | [`source`] | the stats segment: found, checked, read, found again when the aggregator is replaced |
//! | [`ledger`], [`holdings`] | the ledgers: every live allocation of every process; the largest ones of one process |
//! | [`inventory`] | every allocation of every process, read beside the screen |
//! | [`space`] | one address space: what lies where, what is free |
//! | [`configuration`] | what the dashboard begins with, kept in a file |
//! | [`filter`] | which processes and events are meant |
//! | [`baseline`] | what has come since a baseline, as text |
//! | [`totals`] | what the figures of a snapshot add up to, per process |
//! | [`roster`], [`container`], [`lineage`] | who the processes are, as text; what they run in; who started them |
//! | [`telemetry`] | what the driver tells of a device, in few words |
//! | [`selection`] | the chips that the user asked for |
//! | [`history`] | the past of the chips' memory, and windows on it |
//! | [`degraded`] | whether what is shown may be incomplete |
//! | [`diagnosis`] | what is wrong, what that means, what to do next: for `tt-alloc doctor` |
//! | [`beside`] | what takes longer than a frame, or waits for a disk |
//! | [`units`], [`clock`], [`users`] | bytes, ages, moments and user names as text |
//! | [`amounts`] | sizes and durations as a person writes them |
//! | [`once`], [`table`], [`json`], [`csv`], [`buffers`] | printed output |
//! | [`leaks`] | who leaks, with the evidence |
//! | [`unseen`] | what lists of single allocations do not show |
//! | [`stacks`] | call stacks of allocations, and their names |
//! | [`recording`] | what was seen, kept in a file, and seen again |
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
pub mod beside;
pub mod buffers;
pub mod clock;
pub mod configuration;
pub mod container;
pub mod control;
pub mod csv;
pub mod degraded;
pub mod demo;
pub mod diagnosis;
pub mod embedded;
pub mod exit;
pub mod filter;
pub mod history;
pub mod holdings;
pub mod inventory;
pub mod json;
pub mod keyboard;
pub mod leaks;
pub mod ledger;
pub mod lineage;
pub mod once;
pub mod output;
pub mod recording;
pub mod roster;
#[cfg(test)]
mod sample;
pub mod screen;
pub mod selection;
pub mod source;
pub mod space;
pub mod stacks;
pub mod table;
pub mod telemetry;
pub mod terminal;
pub mod top;
pub mod totals;
pub mod units;
pub mod unseen;
pub mod users;
