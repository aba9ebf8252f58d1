//! The order of the processes: by which column, and which way round it is natural.

use crate::totals::ProcessTotals;
use std::str::FromStr;

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

    /// As it is written on the command line and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Dram => "dram",
            Self::L1 => "l1",
            Self::Cb => "cb",
            Self::Other => "other",
            Self::Events => "events",
            Self::Pid => "pid",
            Self::User => "user",
            Self::Name => "name",
        }
    }

    const fn is_text(self) -> bool {
        matches!(self, Self::User | Self::Name)
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

/// By which column, and which way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The column.
    pub column: SortColumn,
    /// Not its natural way.
    pub reversed: bool,
}

impl Order {
    /// A column's natural order.
    pub const fn natural(column: SortColumn) -> Self {
        Self { column, reversed: false }
    }

    /// As it is written after `--sort`.
    pub fn text(self) -> String {
        let way = if self.column.downwards() == self.reversed { "asc" } else { "desc" };
        format!("{}:{way}", self.column.name())
    }

    /// Brings these into order, by what they hold or by their peaks. The pid makes the order of equals the same at every look.
    pub fn sort<T>(self, rows: &mut [T], peaks: bool, of: impl Fn(&T) -> &ProcessTotals) {
        let Self { column, reversed } = self;
        if column.is_text() {
            rows.sort_by(|a, b| {
                let (a, b) = (of(a), of(b));
                let order = column.text(a).cmp(&column.text(b));
                let order = if reversed { order.reverse() } else { order };
                order.then(a.pid.cmp(&b.pid))
            });
        } else {
            // Small keys are sorted, and each row moves once.
            rows.sort_by_cached_key(|row| {
                let amount = column.amount(of(row), peaks);
                (if column.downwards() == reversed { amount } else { !amount }, of(row).pid)
            });
        }
    }
}

/// `dram`, `pid:desc`; `mem` is TOTAL.
impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, way) = text.split_once(':').map_or((text, None), |(name, way)| (name, Some(way)));
        let name = name.trim().to_lowercase();
        let known = || SortColumn::ALL.map(SortColumn::name).join(" ");
        let column = SortColumn::ALL
            .into_iter()
            .find(|column| column.name() == name || (name == "mem" && *column == SortColumn::Total))
            .ok_or_else(|| format!("{:?} is no column: use {}", shm_layout::text::clean(name.as_bytes()), known()))?;
        let reversed = match way.map(|way| way.trim().to_lowercase()).as_deref() {
            None => false,
            Some("asc") => column.downwards(),
            Some("desc") => !column.downwards(),
            Some(_) => return Err(format!("{name}: use {name}:asc or {name}:desc")),
        };
        Ok(Self { column, reversed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_they_are_written() {
        let order = |column, reversed| Ok(Order { column, reversed });
        assert_eq!("dram".parse(), order(SortColumn::Dram, false));
        assert_eq!("MEM:desc".parse(), order(SortColumn::Total, false));
        assert_eq!("total:asc".parse(), order(SortColumn::Total, true));
        assert_eq!("pid".parse(), order(SortColumn::Pid, false));
        assert_eq!("name:desc".parse(), order(SortColumn::Name, true));
        for column in SortColumn::ALL {
            for reversed in [false, true] {
                let written = Order { column, reversed };
                assert_eq!(written.text().parse(), Ok(written));
            }
        }
        for (bad, help) in [("", "total"), ("size", "dram"), ("pid:up", "pid:asc"), ("\u{1b}[2J", "events")] {
            let why = bad.parse::<Order>();
            assert!(why.as_ref().is_err_and(|why| why.contains(help) && !why.contains('\u{1b}')), "{bad:?}: {why:?}");
        }
    }
}
