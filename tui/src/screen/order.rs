//! The order of the processes: by which column, and which way round it is natural.

use crate::totals::ProcessTotals;

/// What the processes are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortColumn {
    /// Device memory in use.
    Total,
    /// DRAM.
    Dram,
    /// L1.
    L1,
    /// Circular buffers.
    Cb,
    /// The other kinds.
    Other,
    /// Events so far.
    Events,
    /// Process id.
    Pid,
    /// User.
    User,
    /// Name.
    Name,
}

impl SortColumn {
    /// Every one, in the order in which the key goes through them.
    pub const ALL: [Self; 9] =
        [Self::Total, Self::Dram, Self::L1, Self::Cb, Self::Other, Self::Events, Self::Pid, Self::User, Self::Name];

    /// The one so many columns further on; after the last comes the first.
    pub fn step(self, columns: usize) -> Self {
        let at = Self::ALL.iter().position(|column| *column == self).unwrap_or(0);
        Self::ALL[(at + columns) % Self::ALL.len()]
    }

    /// As the column is headed.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Total => "TOTAL",
            Self::Dram => "DRAM",
            Self::L1 => "L1",
            Self::Cb => "CB",
            Self::Other => "OTHER",
            Self::Events => "EVENTS",
            Self::Pid => "PID",
            Self::User => "USER",
            Self::Name => "NAME",
        }
    }

    /// The number in the column; 0 where it is text. `peaks`: the largest that it was.
    pub(super) fn amount(self, p: &ProcessTotals, peaks: bool) -> u64 {
        match self {
            Self::Total if peaks => p.peak.total,
            Self::Dram if peaks => p.peak.dram,
            Self::L1 if peaks => p.peak.l1,
            Self::Cb if peaks => p.peak.cb,
            Self::Other if peaks => p.peak.other,
            Self::Total => p.total,
            Self::Dram => p.dram,
            Self::L1 => p.l1,
            Self::Cb => p.cb,
            Self::Other => p.other,
            Self::Events => p.events,
            Self::Pid => u64::from(p.pid),
            Self::User | Self::Name => 0,
        }
    }

    /// The text in the column; none where it is a number.
    pub(super) fn text(self, p: &ProcessTotals) -> Option<&str> {
        match self {
            Self::User => Some(&p.who.user),
            Self::Name => Some(&p.who.name),
            _ => None,
        }
    }

    /// Whether the natural order has the largest first.
    pub const fn downwards(self) -> bool {
        !matches!(self, Self::Pid | Self::User | Self::Name)
    }
}
