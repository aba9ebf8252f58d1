//! Every process with every column that fits, and below them what the selected one holds on each device.

use crate::screen::canvas::{fitted, frame, mark_more, put, span};
use crate::screen::dashboard::Dashboard;
use crate::screen::devices::short_name;
use crate::screen::processes::{Wanted, boxed, table};
use crate::source::Observation;
use crate::table::{shown_memories, used};
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use shm_layout::event::Memory;
use shm_layout::stats::{Row, UNKNOWN};

/// From this height on the table has a frame, and what the selected process holds is shown below it.
const FRAMED_FROM: u16 = 12;
const SPLIT_FROM: u16 = 17;
/// Columns of a device's label, and of one figure.
const LABEL: usize = 8;
const FIGURE: usize = 10;

/// Draws both.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    let selected = dashboard.selected_at().unwrap_or(0);
    let at = dashboard.rows.get(selected).filter(|row| row.gone_since_ns.is_none()).and_then(|row| {
        let key = row.totals.key();
        seen.snapshot.processes.iter().position(|process| key == process.into())
    });
    let mut rows: Vec<&Row> = at.map_or_else(Vec::new, |at| seen.snapshot.rows_of(at).collect());
    rows.sort_by_key(|row| (row.chip, row.device));
    let devices = rows.chunk_by(|one, next| one.chip == next.chip).count();
    let wanted = u16::try_from(devices + 3).unwrap_or(u16::MAX).min(area.height / 3);
    let below = if area.height >= SPLIT_FROM && devices > 0 { wanted } else { 0 };
    let above = Rect { height: area.height - below, ..area };
    let inside = boxed(buffer, above, dashboard, above.height >= FRAMED_FROM, true);
    table(buffer, inside, dashboard, Wanted::of(&dashboard.rows, true));
    if below > 0 {
        let place = Rect { y: above.bottom(), height: below, ..area };
        split(buffer, place, dashboard, seen, &rows, selected);
    }
}

/// What one process holds of each memory kind on each device; its peaks where these are asked for.
fn split(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation, rows: &[&Row], selected: usize) {
    let theme = dashboard.theme;
    let who =
        dashboard.rows.get(selected).map(|row| format!(" PID {} {} by device ", row.totals.pid, row.totals.who.name));
    let title = Line::from(span(who.unwrap_or_default(), theme.title()));
    let words = if dashboard.peaks { " peaks " } else { " now " };
    let inside = frame(buffer, area, theme, false, title, Line::from(span(words, theme.dim())));
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    let room = usize::from(inside.width).saturating_sub(LABEL);
    let kinds: Vec<Memory> = shown_memories(&seen.snapshot.chips).into_iter().take(room / FIGURE).collect();
    let mut head = vec![span(fitted("DEVICE", LABEL, false, theme), theme.strong())];
    head.extend(kinds.iter().map(|kind| span(fitted(short_name(*kind), FIGURE, true, theme), theme.strong())));
    put(buffer, inside, 0, &Line::from(head));
    let devices: Vec<&[&Row]> = rows.chunk_by(|one, next| one.chip == next.chip).collect();
    for (line, of_chip) in (1..inside.height).zip(&devices) {
        let label = dashboard.labels.get(of_chip[0].chip as usize).map_or("?", String::as_str);
        let mut spans = vec![span(fitted(label, LABEL, false, theme), theme.text())];
        for kind in &kinds {
            let bytes = of_chip.iter().filter(|row| row.memory == *kind as u32).fold(None, |sum: Option<u64>, row| {
                let figures = &row.figures;
                let now = if figures.blocks == UNKNOWN { figures.held_bytes() } else { Some(used(*kind, figures)) };
                let peak = Some(figures.peak_footprint_bytes).filter(|peak| *peak != UNKNOWN);
                let bytes = if dashboard.peaks { peak.max(now) } else { now };
                bytes.map(|bytes| sum.unwrap_or(0).saturating_add(bytes)).or(sum)
            });
            let (text, style) = match bytes {
                None => ("-".to_owned(), theme.dim()),
                Some(0) => (units::bytes(0), theme.dim()),
                Some(bytes) => (units::bytes(bytes), theme.text()),
            };
            spans.push(span(fitted(&text, FIGURE, true, theme), style));
        }
        put(buffer, inside, line, &Line::from(spans));
    }
    mark_more(buffer, inside, theme, false, devices.len() + 1 > usize::from(inside.height));
}
