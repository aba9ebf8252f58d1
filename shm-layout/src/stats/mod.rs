//! The stats segment: the whole host's figures, published by the aggregator, read by anybody.
//!
//! ```text
//!      0 +---------------------------+
//!        | identity (written once)   |  magic, version, who, geometry
//!    256 +---------------------------+
//!        | active | heartbeat |      |  which buffer is shown; when the aggregator last ran
//!        | history head | sampled    |  samples taken so far; when the last one was
//!        | since                     |  when the first aggregator began whose figures these continue
//!    320 | gone, of buffer 0 and 1   |  sums over processes that are gone, for the next aggregator
//!   4096 +---------------------------+
//!        | history                   |  64 chips x 8 memory kinds x 300 samples x 8 bytes: a second each
//!        +---------------------------+
//!        | spans                     |  64 chips x 8 memory kinds x 720 spans x 8 bytes: of 20 samples each the largest
//!        +---------------------------+
//!        | buffer 0                  |  a Snapshot as words, behind its sequence word (crate::seqlock)
//!        +---------------------------+
//!        | buffer 1                  |
//!        +---------------------------+
//! ```

mod figures;
mod gone;
mod history;
pub mod incomplete;
mod refusal;
mod segment;
mod snapshot;
mod telemetry;

pub use figures::{
    Anomalies, BASELINE_AUTO, Chip, Figures, Health, Line, Process, Row, Severity, Source, State, UNKNOWN,
};
pub use gone::Gone;
pub use history::{HISTORY_SAMPLES, HISTORY_SAMPLES_PER_SPAN, HISTORY_SECONDS_PER_SAMPLE, HISTORY_SPANS};
pub use refusal::{Reason, Refusal};
pub use segment::{
    Identity, IdentityError, MAGIC, MAX_CHIPS, MAX_DIFFERENCES, MAX_LINES, MAX_PROCESSES, MAX_REFUSALS, MAX_ROWS,
    StatsHeader, StatsView, VERSION, stats_bytes, stats_histories,
};
pub use snapshot::{DecodeError, Parts, Snapshot};
pub use telemetry::{Difference, Presence, Telemetry};
