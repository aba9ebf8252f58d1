//! Everything that is known of one device or of one process.

mod device;
mod process;

use super::canvas::{fitted, frame, mark_more, put, put_right, span};
use super::dashboard::Dashboard;
use super::page::Page;
use super::view::Subject;
use crate::baseline;
use crate::source::Observation;
use crate::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use shm_layout::event::Memory;
use shm_layout::stats::{Figures, UNKNOWN};

/// From this height on the page has a frame.
const FRAMED_FROM: u16 = 14;

/// Draws the page of whoever is shown.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    let theme = dashboard.theme;
    let shown = dashboard.shown_subject();
    let all = dashboard.subjects().len();
    let place = shown.map_or_else(|| format!("one of {all} gone"), |(at, _)| format!("{} of {all}", at + 1));
    let title = shown.and_then(|(_, subject)| title(dashboard, seen, subject)).unwrap_or_else(|| "gone".to_owned());
    let inside = if area.height >= FRAMED_FROM {
        let left = Line::from(span(format!(" {title} "), theme.title()));
        let inside = frame(buffer, area, theme, true, left, Line::from(span(format!(" {place} "), theme.dim())));
        Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside }
    } else {
        let room = usize::from(area.width).saturating_sub(place.len() + 3);
        put(buffer, area, 0, &Line::from(span(format!(" {}", fitted(&title, room, false, theme)), theme.title())));
        put_right(buffer, area, 0, &Line::from(span(format!(" {place} "), theme.dim())));
        Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
    };
    // The last column is for the marks.
    let mut page = Page::new(usize::from(inside.width.saturating_sub(2)), theme);
    match shown {
        Some((_, subject @ Subject::Device(..))) => device::write(&mut page, dashboard, seen, subject),
        Some((_, subject @ Subject::Process(_))) => process::write(&mut page, dashboard, seen, subject),
        None => page.say("", "It is not there any more. Left and right show the others, Esc the table."),
    }
    let first = dashboard.sheet.fit(page.lines.len(), usize::from(inside.height));
    for (at, line) in (0..inside.height).zip(page.lines.iter().skip(first)) {
        put(buffer, inside, at, line);
    }
    let below = first + usize::from(inside.height) < page.lines.len();
    mark_more(buffer, inside, theme, first > 0, below);
}

fn title(dashboard: &Dashboard, seen: &Observation, subject: Subject) -> Option<String> {
    match subject {
        Subject::Device(..) => {
            let at = seen.snapshot.chips.iter().position(|chip| Subject::from(chip) == subject)?;
            Some(format!("Device {}", dashboard.labels.get(at)?))
        }
        Subject::Process(_) => {
            let process = seen.snapshot.processes.iter().find(|process| Subject::from(*process) == subject)?;
            Some(format!("PID {} {}", process.pid, shm_layout::text::load(&process.name)))
        }
    }
}

/// The facts of one memory kind. `whole`: what the device has of it.
fn memory_facts(memory: Memory, figures: &Figures, whole: Option<u64>) -> Vec<String> {
    if figures.blocks == UNKNOWN {
        // Of a process that is not tracked.
        return vec![
            figures.held_bytes().map_or_else(|| "not known".to_owned(), |held| units::bytes(held) + " asked for"),
        ];
    }
    let used = crate::table::used(memory, figures);
    let mut facts = vec![units::bytes(used)];
    if whole.is_some() {
        facts =
            vec![format!("{} of {} {}", units::bytes(used), units::maybe_bytes(whole), units::percent(used, whole))];
    }
    match memory {
        Memory::Cb => facts.push(format!("resident; registered {}", units::bytes(figures.footprint_bytes))),
        Memory::Kernel => {
            let application =
                figures.footprint_bytes.saturating_sub(figures.fabric_bytes).saturating_sub(figures.dispatch_bytes);
            for (bytes, whose) in
                [(application, "application"), (figures.fabric_bytes, "fabric"), (figures.dispatch_bytes, "dispatch")]
            {
                facts.push(format!("{whose} {}", units::bytes(bytes)));
            }
        }
        Memory::SystemMemory => facts.push("host memory".to_owned()),
        _ => {}
    }
    facts.push(format!("peak {}", units::bytes(figures.peak_footprint_bytes)));
    facts.push(format!("{:>6} blocks", units::count(figures.blocks)));
    facts.extend(baseline::words(figures));
    if figures.detail_incomplete != 0 {
        facts.push("detail incomplete".to_owned());
    }
    facts
}
