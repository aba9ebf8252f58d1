//! The dashboard: [`dashboard`] is its state, everything else draws it.
//!
//! | module | what lies there |
//! |---|---|
//! | [`dashboard`] | what was seen, what the keys changed |
//! | [`viewport`] | what of a list is visible |
//! | [`keys`] | the table of keys |
//! | [`view`], [`tabs`] | which of the views is shown, and whom details are of; the line that names them |
//! | [`mouse`] | what was drawn where, and what a click there does |
//! | [`prompt`], [`request`] | what is typed in the last line; what is asked of the aggregator |
//! | [`settings`] | what it begins with, what of it is kept, and what is said in the last line |
//! | [`recording`], [`writing`] | what is told of recordings; what is written, and not waited for |
//! | [`charts`]; [`detail`], [`page`]; [`views`] | the other views: the recent past; one device or process; and those on further keys |
//! | [`mod@arrange`] | where everything stands, by the terminal's size |
//! | [`order`] | what the processes are sorted by |
//! | [`theme`], [`palette`] | glyphs and styles; colours |
//! | [`canvas`] | lines written inside an area, boxes |
//! | [`meter`], [`graph`] | bars; graphs of the recent past |
//! | [`header`], [`health`], [`devices`], [`processes`], [`events`], [`footer`] | the parts, from above |
//! | [`help`], [`notice`] | what lies on top; what is said when there is nothing to show |

pub mod arrange;
pub mod canvas;
pub mod charts;
pub mod dashboard;
pub mod detail;
pub mod devices;
pub mod events;
pub mod footer;
pub mod graph;
pub mod header;
pub mod health;
pub mod help;
pub mod keys;
pub mod meter;
pub mod mouse;
pub mod notice;
pub mod order;
pub mod page;
pub mod palette;
pub mod processes;
pub mod prompt;
pub mod recording;
pub mod request;
pub mod settings;
pub mod tabs;
pub mod theme;
pub mod view;
pub mod viewport;
pub mod views;
pub mod writing;

use crate::units;
use arrange::{LEAST, Wants, arrange};
use dashboard::{Dashboard, Focus};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use view::View;

/// Draws the dashboard. Any size will do.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    dashboard.drawn.clear();
    units::count_in(dashboard.units.on_screen());
    let last = Rect { y: area.bottom().saturating_sub(1).max(area.y), height: area.height.min(1), ..area };
    if area.width < LEAST.0 || area.height < LEAST.1 {
        // What is typed or answered is seen, and what is said of it, however little room there is.
        if dashboard.prompt.is_some() {
            prompt::draw(buffer, last, dashboard);
        } else if dashboard.message.is_some() {
            footer::draw(buffer, last, dashboard);
        } else {
            notice::draw_tiny(buffer, area, dashboard);
        }
        return;
    }
    // The line of views is the second one: everything else stands below it.
    let tabs = area.height >= tabs::FROM_HEIGHT;
    let first = Rect { height: 1, ..area };
    let rest = if tabs { Rect { y: area.y + 1, height: area.height - 1, ..area } } else { area };
    let seen = dashboard.seen.as_ref();
    let chips = seen.map_or(&[][..], |seen| &seen.snapshot.chips);
    let kinds = crate::table::shown_memories(chips);
    let wants = Wants {
        devices: chips.len(),
        kinds: kinds.len(),
        processes: dashboard.rows.len(),
        events: seen.map_or(0, |seen| seen.snapshot.lines.len()),
        health: seen.is_some_and(health::is_needed),
    };
    let places = arrange(rest, wants);
    let top = places.health.bottom().max(places.header.bottom());
    let body = Rect { y: top, height: area.bottom().saturating_sub(top + places.footer.height), ..area };
    match seen {
        None => notice::draw(buffer, body, dashboard),
        Some(seen) => {
            match dashboard.view {
                View::Overview => {
                    let boxes = [
                        (places.devices, Focus::Devices),
                        (places.processes, Focus::Processes),
                        (places.events, Focus::Events),
                    ];
                    dashboard.drawn.boxes.replace(boxes.to_vec());
                    devices::draw(buffer, &places, dashboard, seen, &kinds);
                    processes::draw(buffer, &places, dashboard);
                    events::draw(buffer, &places, dashboard, seen);
                }
                View::Charts => charts::draw(buffer, body, dashboard, seen),
                View::Detail => detail::draw(buffer, body, dashboard, seen),
                _ => views::draw(buffer, body, dashboard, seen),
            }
            if dashboard.is_old() {
                buffer.set_style(body, Style::new().add_modifier(Modifier::DIM));
            }
        }
    }
    header::draw(buffer, first, dashboard);
    if tabs {
        tabs::draw(buffer, places.header, dashboard);
    }
    health::draw(buffer, places.health, dashboard);
    if dashboard.prompt.is_some() {
        prompt::draw(buffer, last, dashboard);
    } else {
        footer::draw(buffer, places.footer, dashboard);
    }
    if dashboard.help {
        help::draw(buffer, area, dashboard);
    }
}

#[cfg(test)]
mod tests;
