//! The aggregator's side of an event: drain, ledger and totals, through the aggregator's own code.
//!
//! | module | what it is |
//! |---|---|
//! | [`ground`] | a ring of this process, and an aggregator's [`Host`](aggregator::host::Host) that drains it, in one thread |
//! | [`ids`] | where ids come from: counted, random, and such as an attacker would choose |
//! | [`load`] | who allocates and frees what: a steady state, programs with their circular buffers |
//! | [`limit`] | what the machine can do: a bare ring, a bare hash table |
//! | [`memory`] | bytes per live allocation |

pub mod ground;
pub mod ids;
pub mod limit;
pub mod load;
pub mod memory;
