//! Call stacks of allocations: read from the files of the processes, and given names.
//!
//! | module | what lies there |
//! |---|---|
//! | [`mod@file`] | the stacks of one process, as that process wrote them: another user's word |
//! | [`image`] | a program or library on disk: functions, files and lines of addresses |
//! | [`demangle`] | names of C++ and Rust as people wrote them |
//! | [`told`] | stacks and frames of a list of allocations; each distinct address is looked up once |
//! | [`by_stack`] | what is alive, by stack: as text, JSON, and for flame graphs |

pub mod by_stack;
pub mod demangle;
pub mod file;
pub mod image;
pub mod told;
