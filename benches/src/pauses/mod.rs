//! What a thread waits for when the ring is full: every event is timed, in a process whose ring nobody reads.
//!
//! | module | what it is |
//! |---|---|
//! | [`watch`] | times events, keeps those that took long, and says why as far as can be told |
//! | [`work`] | allocations and frees to write, by how much is alive |
//! | [`cases`] | one ring, filled one way or another |
//! | [`runs`] | the cases in turn, and what came of them |
//! | [`grown`] | a push in a further section beside one in the first |

pub mod cases;
pub mod grown;
pub mod runs;
pub mod watch;
pub mod work;
