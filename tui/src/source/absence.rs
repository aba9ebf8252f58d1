//! Why there are no figures, and what to do about it.

use super::TRIES;
use shm_layout::names::DIRECTORY;
use shm_layout::segment::SegmentError;
use shm_layout::stats::{DecodeError, IdentityError};

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No stats segment.
    #[error(
        "no aggregator runs on this host (no {DIRECTORY}/{name}); start one with `aggregator &` or look with `alloc-top --embedded`"
    )]
    NoAggregator {
        /// File name.
        name: String,
    },
    /// The segment is being made.
    #[error("{DIRECTORY}/{name} is not ready yet; the aggregator is starting, try again in a moment")]
    NotReady {
        /// File name.
        name: String,
    },
    /// In a recording: why there were none then.
    #[error("{why}")]
    Recorded {
        /// In words.
        why: String,
    },
    /// It was cut short under this viewer.
    #[error(
        "disconnected: {DIRECTORY}/{name} was cut short while it was read; a running aggregator makes it again within a second, otherwise start one with `aggregator &`"
    )]
    Lost {
        /// File name.
        name: String,
    },
    /// Not a segment that this build reads.
    #[error("{DIRECTORY}/{name}: {error}")]
    Foreign {
        /// File name.
        name: String,
        /// What is wrong.
        error: IdentityError,
    },
    /// Owned by a user who must not publish figures for others.
    #[error(
        "{DIRECTORY}/{name} belongs to user {found}, neither root nor you: refused, it may be forged; ask user {found} to stop it, or run the aggregator as root"
    )]
    Owner {
        /// File name.
        name: String,
        /// The owner.
        found: u32,
    },
    /// It may not be read.
    #[error(
        "{DIRECTORY}/{name} may not be read; ask its owner for an aggregator that publishes to everybody (mode 0644)"
    )]
    Permission {
        /// File name.
        name: String,
    },
    /// Anything else about the file.
    #[error("{DIRECTORY}/{0}; remove the file if no aggregator uses it, then start one with `aggregator &`")]
    Segment(#[source] SegmentError),
    /// The writer was quicker than every copy.
    #[error("{DIRECTORY}/{name} changed during every one of {TRIES} copies; try again")]
    Busy {
        /// File name.
        name: String,
    },
    /// Counts that contradict each other.
    #[error("{DIRECTORY}/{name}: {error}; restart the aggregator")]
    Damaged {
        /// File name.
        name: String,
        /// What is wrong.
        error: DecodeError,
    },
}

impl SourceError {
    pub(super) fn from_segment(error: SegmentError) -> Self {
        match error {
            SegmentError::NotFound { name } => Self::NoAggregator { name },
            SegmentError::Owner { name, found } => Self::Owner { name, found },
            SegmentError::Permission { name } => Self::Permission { name },
            // A file of no size yet was created a moment ago.
            SegmentError::Size { name, found: 0 } => Self::NotReady { name },
            other => Self::Segment(other),
        }
    }

    /// Whether there simply is nothing to show: no aggregator, or none that is ready.
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::NoAggregator { .. } | Self::NotReady { .. } | Self::Lost { .. } | Self::Recorded { .. })
    }
}
