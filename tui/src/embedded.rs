//! The aggregator inside this process, for hosts where none runs.

use anyhow::Context;
use shm_layout::names::Prefix;

/// Runs an aggregator until it is dropped.
///
/// # Errors
/// When it cannot be started; the message says why.
pub fn start(prefix: &Prefix) -> anyhow::Result<aggregator::embedded::Embedded> {
    aggregator::embedded::start(prefix).context("the embedded aggregator does not start")
}
