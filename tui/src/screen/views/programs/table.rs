//! The table as it is shown: which rows, in which order, what they add up to.

use super::rows::{self, Key, Row, Totals};
use crate::inventory::Inventory;
use std::sync::Arc;

/// What the keys chose of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Of this process only, by the pid and the nonce of its ring.
    pub of: Option<(u32, u64)>,
    /// What the rows are sorted by.
    pub key: Key,
    /// The other way round.
    pub reversed: bool,
}

/// The table.
#[derive(Debug, Default)]
pub struct Table {
    /// By this it was made.
    pub choice: Choice,
    /// When it was read, `CLOCK_MONOTONIC` ns; 0: nothing was.
    pub read_ns: u64,
    /// All rows, in no order.
    pub all: Arc<Vec<Row>>,
    /// Who has programs, by the pid and the nonce of its ring, in the order of these.
    pub owners: Vec<(u32, u64)>,
    /// Those that are shown.
    pub rows: Vec<Row>,
    /// What these add up to.
    pub totals: Totals,
}

impl Table {
    /// Of what was read.
    pub fn of(inventory: &Inventory, choice: Choice) -> Self {
        Self::chosen(Arc::new(rows::of(inventory)), inventory.read_ns, choice)
    }

    /// Of these rows, which were read then.
    pub fn chosen(all: Arc<Vec<Row>>, read_ns: u64, choice: Choice) -> Self {
        let mut owners: Vec<(u32, u64)> = all.iter().map(Row::owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let mut rows: Vec<Row> =
            all.iter().filter(|row| choice.of.is_none_or(|of| row.owner() == of)).cloned().collect();
        rows.sort_by(|a, b| {
            let order = choice.key.compare(a, b);
            let order = if choice.reversed { order.reverse() } else { order };
            order.then_with(|| a.place().cmp(&b.place()))
        });
        let totals = Totals::of(&rows);
        Self { choice, read_ns, all, owners, rows, totals }
    }
}
