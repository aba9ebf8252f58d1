//! The fuzz targets: what each does with its bytes, and how its seeds are made.
//!
//! | module | what it attacks |
//! |---|---|
//! | [`attach`] | a file that calls itself a ring: opening and checking it |
//! | [`drain`] | a ring whose owner writes what it likes while it is read, by a whole host beside an honest process |
//! | [`ledger_open`] | a ledger that somebody has changed: continuing it, and showing it |
//! | [`stats_read`] | a stats segment that somebody has changed: reading it, and rendering it |
//!
//! Inputs are small scripts ([`script`]) against files that the project's own code has made ([`ring`], [`ground`]), so that a
//! layout can change without the corpora dying of it.

pub mod attach;
pub mod drain;
pub mod ground;
pub mod honest;
pub mod ledger_open;
pub mod ring;
pub mod script;
pub mod stats_read;
