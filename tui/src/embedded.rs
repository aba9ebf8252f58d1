//! The aggregator inside this process, for hosts where none runs.

use aggregator::daemon::Options;
use anyhow::Context;
use shm_layout::names::Prefix;

/// Runs an aggregator until it is dropped; with `auto_baseline` baselines set themselves when a device has been opened.
///
/// # Errors
/// When it cannot be started; the message says why.
pub fn start(prefix: &Prefix, auto_baseline: bool) -> anyhow::Result<aggregator::embedded::Embedded> {
    aggregator::embedded::start_with(prefix, Options { auto_baseline, ..Options::default() })
        .context("the embedded aggregator does not start")
}
