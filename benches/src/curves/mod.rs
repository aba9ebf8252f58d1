//! docs/performance.md: the figures between its markers, made of what the other programs measured and of nothing else.
//!
//! | module | what it is |
//! |---|---|
//! | [`kept`] | the JSON that is kept in the tree, and rows found in it |
//! | [`programs`] | the programs that measure, run one after the other |
//! | [`costs`] | what it costs a user, in a few rows |
//! | [`bars`] | what was to be reached, and whether it was |
//! | [`peers`] | ours beside its peers |
//! | [`full`] | a ring that is full |
//! | [`plots`] | which rows make which curve |
//! | [`plot`] | one picture |
//! | [`lengths`] | the picture of ours beside its peers |
//! | [`page`] | the page |
//! | [`units`] | units as the programs write them |

pub mod bars;
pub mod costs;
pub mod full;
pub mod kept;
pub mod lengths;
pub mod page;
pub mod peers;
pub mod plot;
pub mod plots;
pub mod programs;
pub mod units;
