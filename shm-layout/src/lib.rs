//! Shared-memory layouts and lock-free algorithms of tt-alloc.
//!
//! | module | what lies there |
//! |---|---|
//! | [`event`] | the 64-byte record of one allocation event |
//! | [`ring`] | one file per tracked process: header, drop table, records; push and drain |
//! | [`ledger`] | one file per tracked process, written by the aggregator: what is live |
//! | [`stacks`] | one file per tracked process that asked for it: the call stacks of its allocations |
//! | [`stats`] | one file per host, written by the aggregator: totals, processes, history, event lines |
//! | [`seqlock`] | the double buffer of the stats segment |
//! | [`segment`] | creating, opening and mapping these files safely |
//! | [`names`] | what they are called |
//! | [`control`] | what may be asked of the aggregator |
//! | [`tag`] | names of phases, and the number by which an allocation carries one |
//! | [`locks`], [`procfs`], [`leftover`] | who owns and who reads a ring; which process is which; what the dead left |
//! | [`ticks`] | the processor's counter, for exact times |
//! | `report` | the JSON made of a snapshot (feature `report`) |
//!
//! The algorithms are generic over [`atomics::Word64`]: loom checks the code that runs.

pub mod atomics;
pub mod control;
pub mod event;
pub mod ledger;
pub mod leftover;
pub mod locks;
pub mod names;
mod processor;
pub mod procfs;
#[cfg(feature = "report")]
pub mod report;
pub mod ring;
pub mod segment;
pub mod seqlock;
pub mod stacks;
pub mod stats;
pub mod tag;
pub mod text;
pub mod ticks;
