//! A stretch of the address space as cells, each for as many addresses as any other.

use crate::space::Space;

/// Addresses in each of so many cells: a little more than needed where that makes a rounder number of it.
pub fn each((first, end): (u64, u64), count: usize) -> u64 {
    let each = end.saturating_sub(first).div_ceil(count.max(1) as u64).max(1);
    let round = (each / 64).checked_next_power_of_two().unwrap_or(1).max(1);
    each.checked_next_multiple_of(round).unwrap_or(each)
}

/// One cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Occupied bytes in it.
    pub taken: u64,
    /// Whose the largest part of it is, and how large that part is.
    pub most: Option<(usize, u64)>,
    /// That part is of every second block.
    pub odd: bool,
    /// Two processes have the same addresses here.
    pub shared: bool,
    /// Something begins here whose length is not known, and whose it is.
    pub begins: Option<usize>,
}

/// Cells, row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// The first address.
    pub first: u64,
    /// Addresses in each.
    pub each: u64,
    /// The cells.
    pub cells: Vec<Cell>,
}

impl Cells {
    /// So many cells from one address to another.
    pub fn of(space: &Space, (first, end): (u64, u64), count: usize) -> Self {
        let each = each((first, end), count);
        let mut all = Self { first, each, cells: vec![Cell::default(); count] };
        let from = space.occupied.partition_point(|stretch| stretch.end <= first);
        for stretch in space.occupied[from..].iter().take_while(|stretch| stretch.begin < end) {
            all.each_in(stretch.begin, stretch.end.min(end), |cell, bytes| {
                cell.taken += bytes;
                if cell.most.is_none_or(|(_, most)| most < bytes) {
                    (cell.most, cell.odd) = (Some((stretch.who, bytes)), stretch.odd);
                }
            });
        }
        let from = space.shared.partition_point(|(_, to)| *to <= first);
        for (begin, to) in space.shared[from..].iter().take_while(|(begin, _)| *begin < end) {
            all.each_in(*begin, (*to).min(end), |cell, _| cell.shared = true);
        }
        if space.unmeasured > 0 {
            let from = space.blocks.partition_point(|block| block.begin < first);
            for block in space.blocks[from..].iter().take_while(|block| block.begin < end) {
                if block.bytes.is_none() {
                    all.each_in(block.begin, block.begin.saturating_add(1), |cell, _| cell.begins = Some(block.who));
                }
            }
        }
        all
    }

    /// The cell that this address is in.
    pub fn at(&self, address: u64) -> Option<usize> {
        let at = usize::try_from(address.checked_sub(self.first)? / self.each).ok()?;
        (at < self.cells.len()).then_some(at)
    }

    /// The cells that a stretch touches, with how much of it is in each.
    fn each_in(&mut self, begin: u64, end: u64, mut mark: impl FnMut(&mut Cell, u64)) {
        let mut at = begin.max(self.first);
        while at < end {
            let Some(index) = self.at(at) else { return };
            let to = (self.first.saturating_add((index as u64 + 1).saturating_mul(self.each))).min(end);
            if to <= at {
                return;
            }
            mark(&mut self.cells[index], to - at);
            at = to;
        }
    }

    /// The cells between two addresses, both ends included where they touch.
    pub fn range(&self, begin: u64, end: u64) -> std::ops::Range<usize> {
        let reach = self.first.saturating_add(self.each.saturating_mul(self.cells.len() as u64));
        if end <= self.first || begin >= reach {
            return 0..0;
        }
        let from = self.at(begin.max(self.first)).unwrap_or(0);
        let to = self.at(end.min(reach).saturating_sub(1).max(self.first)).unwrap_or(from);
        from..to + 1
    }
}
