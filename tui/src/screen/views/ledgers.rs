//! What the views of single allocations say where the ledgers tell nothing, or not all.

use crate::screen::canvas::{put, span};
use crate::screen::dashboard::Dashboard;
use crate::screen::notice::wrap;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Of what could not be read, so much is told.
const TOLD: usize = 3;

/// What was read up to this long before the figures beside it is as good as these, ns.
const FRESH_NS: u64 = 2_000_000_000;

/// How old something is that was read then, where that has to be said.
pub fn age(read_ns: u64, now_ns: u64) -> Option<String> {
    let age = now_ns.saturating_sub(read_ns);
    (read_ns > 0 && age > FRESH_NS).then(|| format!("read {} ago", crate::units::age(age)))
}

/// Says why there is no list of allocations, and what to do.
pub fn draw_absence(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    let mut lines = Vec::new();
    if dashboard.inventories.newest().is_none() && dashboard.inventories.ended().is_none() {
        let word = if dashboard.paused {
            "the ledgers are not read while the figures are held: space goes on"
        } else {
            "reading the ledgers"
        };
        lines.push((word.to_owned(), theme.dim()));
    }
    lines.extend(missing(dashboard).into_iter().map(|text| (text, theme.warning())));
    let mut at = 0;
    for (text, style) in lines {
        for line in wrap(&text, usize::from(area.width)) {
            put(buffer, area, at, &Line::from(span(line, style)));
            at += 1;
        }
    }
}

/// What the newest inventory lacks, in words, and what to do about it.
pub fn missing(dashboard: &Dashboard) -> Vec<String> {
    let mut told: Vec<String> = dashboard.inventories.ended().into_iter().map(str::to_owned).collect();
    let Some(newest) = dashboard.inventories.newest() else { return told };
    let all = &newest.missing;
    if newest.holders.is_empty() && !all.is_empty() {
        told.push(
            "no ledger can be read: they are believed from root and from the user that looks only, as the aggregator is one of them; \
             run alloc-top as the aggregator's user or as root"
                .to_owned(),
        );
    }
    told.extend(all.iter().take(TOLD).cloned());
    if all.len() > TOLD {
        told.push(format!("and {} more processes are left out", all.len() - TOLD));
    }
    told
}

/// Whether there is nothing to show since nothing could be read.
pub fn are_unreadable(dashboard: &Dashboard) -> bool {
    dashboard.inventories.newest().is_none_or(|newest| newest.holders.is_empty() && !newest.missing.is_empty())
}
