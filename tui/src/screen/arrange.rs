//! Where everything stands: what a size of terminal has room for.
//!
//! What gives way first: sparklines, the rarer memory kinds, event lines, frames, the footer.

use ratatui::layout::Rect;

/// Smallest size with anything but one line.
pub const LEAST: (u16, u16) = (20, 5);
/// A panel narrower than this has no room for its figures.
const PANEL_LEAST: u16 = 36;
/// From this width on a panel shows all its figures.
const PANEL_GOOD: u16 = 60;
/// Above this width two panels stand side by side.
const PANEL_WIDE: u16 = 110;
/// Below this height boxes have no frames.
pub const FRAMED_FROM: u16 = 16;
/// Tallest graph, lines.
const GRAPH_MOST: u16 = 5;

/// How the devices are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// A framed panel for each.
    Panels {
        /// Panels side by side.
        columns: u16,
        /// Memory kinds in each.
        kinds: u16,
        /// Lines of its graphs.
        graph: u16,
    },
    /// One line for each, scrolled when they are too many.
    Lines,
}

/// The areas; an empty one is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrangement {
    /// The first line.
    pub header: Rect,
    /// What is wrong.
    pub health: Rect,
    /// The devices.
    pub devices: Rect,
    /// How they are shown.
    pub style: Devices,
    /// The process table.
    pub processes: Rect,
    /// Recent event lines.
    pub events: Rect,
    /// The last line.
    pub footer: Rect,
    /// Boxes have frames.
    pub framed: bool,
}

/// What wants to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Wants {
    /// Devices.
    pub devices: usize,
    /// Memory kinds that any device has.
    pub kinds: usize,
    /// Processes.
    pub processes: usize,
    /// Event lines.
    pub events: usize,
    /// Something is wrong, and a line is to say so.
    pub health: bool,
}

fn clamped(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// Panels of the richest detail that fit into this many lines.
fn panels(width: u16, budget: u16, wants: Wants) -> Option<Devices> {
    let devices = clamped(wants.devices);
    let all = clamped(wants.kinds);
    let mut details: Vec<(u16, u16)> = (1..=GRAPH_MOST).rev().map(|graph| (all, graph)).collect();
    details.extend([(all.min(4), 1), (all.min(3), 1), (all, 0), (all.min(4), 0), (all.min(3), 0), (all.min(2), 0)]);
    let first = width.div_ceil(PANEL_WIDE).min(devices).max(1);
    // Every kind and a graph in a wide panel; then what a narrow one has room for; then a wide one with less.
    // (least width, every kind, a graph)
    let passes =
        [(PANEL_GOOD, true, true), (PANEL_LEAST, false, true), (PANEL_GOOD, false, false), (PANEL_LEAST, false, false)];
    for (least, every_kind, with_graph) in passes {
        let wanted = |kinds: u16, graph: u16| (kinds == all || !every_kind) && (graph > 0 || !with_graph);
        for &(kinds, graph) in details.iter().filter(|(kinds, graph)| wanted(*kinds, *graph)) {
            for columns in (first..=devices).take_while(|columns| width / columns >= least) {
                let lines = u32::from(devices.div_ceil(columns)) * u32::from(2 + kinds + graph);
                if lines <= u32::from(budget) {
                    return Some(Devices::Panels { columns, kinds, graph });
                }
            }
        }
    }
    None
}

/// Arranges a terminal of this size.
pub fn arrange(area: Rect, wants: Wants) -> Arrangement {
    let framed = area.height >= FRAMED_FROM;
    let footer = u16::from(area.height >= 8);
    let health = u16::from(wants.health && area.height > LEAST.1);
    let body = area.height.saturating_sub(1 + health + footer);
    let frame = if framed { 2 } else { 0 };
    let devices = clamped(wants.devices);
    let processes_least = (frame + 1 + clamped(wants.processes).clamp(2, 4 + body / 10)).min(body - body / 2);
    let mut events = if framed && body >= 16 { frame + clamped(wants.events).clamp(1, 2) } else { 0 };

    let budget = body.saturating_sub(processes_least + events);
    let style = if framed { panels(area.width, budget, wants) } else { None };
    let device_lines = match style {
        _ if devices == 0 => 0,
        Some(Devices::Panels { columns, kinds, graph }) => devices.div_ceil(columns) * (2 + kinds + graph),
        // No more than half, so that the processes are seen as well.
        _ => (frame + devices).min(budget).min((body / 2).max(frame + 1)),
    };
    let rest = body.saturating_sub(device_lines + processes_least);
    if events > 0 {
        // What the table does not need; up to a fifth of the screen.
        events = (frame + clamped(wants.events)).clamp(events, (area.height / 5).max(events)).min(rest.max(events));
    }
    let mut below = area;
    let mut next = |height: u16| {
        let (part, rest) = (Rect { height: height.min(below.height), ..below }, below);
        below = Rect { y: rest.y + part.height, height: rest.height - part.height, ..rest };
        part
    };
    let header = next(1);
    let health = next(health);
    let devices = next(device_lines);
    let processes = next(body.saturating_sub(device_lines + events));
    Arrangement {
        header,
        health,
        devices,
        style: style.unwrap_or(Devices::Lines),
        processes,
        events: next(events),
        footer: next(footer),
        framed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: Wants = Wants { devices: 4, kinds: 7, processes: 3, events: 6, health: false };

    fn at(width: u16, height: u16, wants: Wants) -> Arrangement {
        arrange(Rect::new(0, 0, width, height), wants)
    }

    #[test]
    fn panels_become_poorer_and_then_lines() {
        assert!(matches!(at(160, 45, FOUR).style, Devices::Panels { columns: 2, kinds: 7, graph: 3.. }));
        assert!(matches!(at(80, 24, FOUR).style, Devices::Panels { columns: 2, kinds: 3, graph: 1 }));
        assert_eq!(at(60, 20, FOUR).style, Devices::Lines);
        assert_eq!(at(40, 10, FOUR).style, Devices::Lines);
        assert!(matches!(at(200, 60, Wants { devices: 32, ..FOUR }).style, Devices::Panels { .. }));
        assert_eq!(at(80, 24, Wants { devices: 32, ..FOUR }).style, Devices::Lines);
    }

    #[test]
    fn nothing_overlaps_and_processes_are_always_seen() {
        for width in LEAST.0..200 {
            for height in LEAST.1..60 {
                for (devices, health) in [0, 1, 4, 8, 32, 64].into_iter().flat_map(|n| [(n, false), (n, true)]) {
                    let found = at(width, height, Wants { devices, health, ..FOUR });
                    let all = [found.header, found.health, found.devices, found.processes, found.events, found.footer];
                    assert_eq!(all.iter().map(|a| a.height).sum::<u16>(), height, "{width}x{height} {devices}");
                    assert_eq!(found.health.height, u16::from(health && height > LEAST.1));
                    assert!(found.processes.height > 1, "{width}x{height} {devices}: {found:?}");
                    assert!(devices == 0 || found.devices.height > 0, "{width}x{height} {devices}");
                }
            }
        }
    }
}
