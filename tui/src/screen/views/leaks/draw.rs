//! What has grown, what was found, what is oldest: beside each other where it is wide, else one below the other.

use super::grown::{Grown, Mark};
use super::{Folded, State};
use crate::inventory::study::{Old, Study};
use crate::leaks::Class;
use crate::screen::canvas::{mark_more, put, side_by_side, span};
use crate::screen::dashboard::Dashboard;
use crate::screen::devices::short_name;
use crate::screen::notice::wrap;
use crate::screen::theme::Theme;
use crate::screen::views::columns::{Column, column, filling, line};
use crate::screen::views::{headed, ledgers};
use crate::source::Observation;
use crate::units;
use aggregator::bytes_text;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use shm_layout::event::Memory;

/// From this width on the findings stand beside the tables.
const BESIDE_FROM: u16 = 130;
/// Of what has grown so many lines are shown above the findings, where these stand below.
const GROWN_ABOVE: usize = 6;
/// Below this width what it has grown since is said in few words.
const NARROW: usize = 48;
/// Below this width it is left out.
const TINY: usize = 24;
/// Columns of verdict and kind before a finding.
const VERDICT: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Pid,
    Name,
    Device,
    Memory,
    Size,
    By,
    Since,
    Age,
    Tag,
    Verdict,
}

const GROWN: [Column<Of>; 8] = [
    column(Of::Pid, "PID", 7, true, 95),
    column(Of::Name, "NAME", 9, false, 60),
    column(Of::Device, "DEVICE", 6, false, 86),
    column(Of::Memory, "MEMORY", 8, false, 90),
    column(Of::Size, "NOW", 8, true, 50),
    column(Of::By, "GREW BY", 8, true, 99),
    column(Of::Since, "SINCE", 8, true, 70),
    column(Of::Verdict, "VERDICT", 13, false, 85),
];

const OLDEST: [Column<Of>; 7] = [
    column(Of::Pid, "PID", 7, true, 95),
    column(Of::Name, "NAME", 9, false, 60),
    column(Of::Device, "DEVICE", 6, false, 70),
    column(Of::Memory, "MEMORY", 8, false, 90),
    column(Of::Size, "TAKES", 8, true, 98),
    column(Of::Age, "AGE", 7, true, 99),
    column(Of::Tag, "TAG", 8, false, 40),
];

/// Draws it.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard, seen: &Observation) {
    let (theme, state) = (dashboard.theme, &dashboard.views.leaks);
    let findings: Vec<&Folded> =
        state.findings.iter().filter(|one| state.of.is_none() || one.finding.pid == state.pid()).collect();
    let count =
        |suspect: bool| findings.iter().filter(|one| one.finding.suspect == suspect).map(|one| one.count()).sum();
    let (suspects, notes): (usize, usize) = (count(true), count(false));
    let style = if suspects > 0 { theme.error() } else { theme.text() };
    let title = Line::from(vec![
        span(" Leaks ", theme.title()),
        span(format!("{} ", number(suspects, "suspect")), style),
        span(format!("{} {} ", theme.glyphs.dot, number(notes, "note")), theme.dim()),
    ]);
    let whose = match (state.of, state.pid()) {
        (None, _) => " all processes ".to_owned(),
        (Some(_), Some(pid)) => format!(" PID {pid} of {} ", state.processes.len()),
        (Some(_), None) => " a process that is gone ".to_owned(),
    };
    let whose = Line::from(span(whose, theme.dim()));
    let inside = headed(buffer, area, theme, title, whose, None);
    let beside = inside.width >= BESIDE_FROM;
    let places = if beside { side_by_side(inside, 2, 3) } else { vec![inside] };
    // The last column is for the marks.
    let width = |place: Rect| usize::from(place.width.saturating_sub(2));
    let sheets: Vec<Vec<Line<'static>>> = if let [left, right] = places[..] {
        let mut tables = grown(dashboard, seen, width(left), usize::MAX);
        tables.push(Line::default());
        tables.extend(oldest(dashboard, seen, width(left)));
        let mut told = found(dashboard, &findings, width(right));
        told.extend(caveats(dashboard, width(right)));
        vec![tables, told]
    } else {
        let width = width(inside);
        let mut sheet = grown(dashboard, seen, width, GROWN_ABOVE);
        sheet.push(Line::default());
        sheet.extend(found(dashboard, &findings, width));
        sheet.push(Line::default());
        sheet.extend(oldest(dashboard, seen, width));
        sheet.extend(caveats(dashboard, width));
        vec![sheet]
    };
    let longest = sheets.iter().map(Vec::len).max().unwrap_or(0);
    let first = state.view.fit(longest, usize::from(inside.height));
    for (place, sheet) in places.iter().zip(&sheets) {
        // The shorter one stays where its end is seen.
        let first = first.min(sheet.len().saturating_sub(usize::from(place.height)));
        for (at, line) in (0..place.height).zip(sheet.iter().skip(first)) {
            put(buffer, Rect { width: place.width.saturating_sub(2), ..*place }, at, line);
        }
        let below = first + usize::from(place.height) < sheet.len();
        mark_more(buffer, *place, theme, first > 0, below);
    }
}

/// "1 suspect", "2 suspects".
fn number(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn heading(lines: &mut Vec<Line<'static>>, title: &str, note: &str, width: usize, theme: Theme) {
    let room = width.saturating_sub(title.len() + 2);
    let mut line = Line::from(span(title.to_owned(), theme.title()));
    if crate::table::width(note) <= room {
        line.spans.push(span(format!("  {note}"), theme.dim()));
        lines.push(line);
    } else {
        lines.push(line);
        lines.extend(wrap(note, width).into_iter().map(|text| Line::from(span(text, theme.dim()))));
    }
}

fn titles(columns: &[Column<Of>], theme: Theme) -> Line<'static> {
    line(columns, theme, |column| (column.title.to_owned(), theme.strong().patch(theme.dim())))
}

fn grown(dashboard: &Dashboard, seen: &Observation, width: usize, most: usize) -> Vec<Line<'static>> {
    let (theme, state) = (dashboard.theme, &dashboard.views.leaks);
    let mut lines = Vec::new();
    let baselines = seen.snapshot.rows.iter().any(|row| row.figures.baseline_bytes().is_some());
    let watched = match state.first.since_ns.map_or(0, |since| seen.now_ns.saturating_sub(since)) {
        0..1_000_000_000 => "just now".to_owned(),
        ns => format!("{} ago", units::age(ns)),
    };
    let note = if width < TINY {
        String::new()
    } else if width < NARROW {
        let from = if baselines { "since baseline, or" } else { "since" };
        format!("{from} {watched}")
    } else if baselines {
        format!("since the baseline; where there is none, since first seen ({watched})")
    } else {
        format!("since first seen ({watched}); b sets a baseline to count from")
    };
    heading(&mut lines, "Grown", &note, width, theme);
    let shown: Vec<&Grown> = state.grown.iter().filter(|one| state.of.is_none_or(|of| of == one.key)).collect();
    if shown.is_empty() {
        lines.push(Line::from(span("nothing takes more than then", theme.dim())));
        return lines;
    }
    let columns = filling(&GROWN, width);
    lines.push(titles(&columns, theme));
    for one in shown.iter().take(most) {
        lines.push(line(&columns, theme, |column| grown_cell(one, column.of, dashboard)));
    }
    if shown.len() > most {
        lines.push(Line::from(span(format!("and {} more", shown.len() - most), theme.dim())));
    }
    lines
}

fn grown_cell(one: &Grown, of: Of, dashboard: &Dashboard) -> (String, Style) {
    let theme = dashboard.theme;
    match of {
        Of::Pid => (one.pid.to_string(), theme.text()),
        Of::Name => (one.name.clone(), theme.strong()),
        Of::Device => (dashboard.labels.get(one.chip).cloned().unwrap_or_else(|| "?".to_owned()), theme.text()),
        Of::Memory => (short_name(one.memory).to_owned(), theme.text()),
        Of::Size => (units::bytes(one.now), theme.dim()),
        Of::By => (format!("+{}", units::short_bytes(one.by).trim_start()), theme.strong()),
        Of::Since => match one.mark {
            Mark::Baseline(true) => ("auto".to_owned(), theme.dim()),
            Mark::Baseline(false) => ("baseline".to_owned(), theme.dim()),
            Mark::Seen(ns) => (units::age(ns), theme.dim()),
        },
        Of::Verdict => verdict(one, &dashboard.views.leaks, theme),
        Of::Age | Of::Tag => (String::new(), theme.text()),
    }
}

/// Growth alone proves nothing: what is found speaks for it, what the memory is for against it.
fn verdict(one: &Grown, state: &State, theme: Theme) -> (String, Style) {
    let here = |folded: &&Folded| {
        let of = &folded.finding;
        (of.pid, of.memory) == (Some(one.pid), Some(one.memory.name())) && folded.devices.contains(&one.device)
    };
    let mut here = state.findings.iter().filter(here);
    match one.memory {
        Memory::Cb | Memory::Kernel => ("program cache".to_owned(), theme.dim()),
        Memory::Trace => ("trace".to_owned(), theme.dim()),
        Memory::SystemMemory => ("system".to_owned(), theme.dim()),
        _ if here.any(|folded| folded.finding.suspect) => ("SUSPECT".to_owned(), theme.error()),
        _ => ("open".to_owned(), theme.text()),
    }
}

fn found(dashboard: &Dashboard, findings: &[&Folded], width: usize) -> Vec<Line<'static>> {
    let (theme, state) = (dashboard.theme, &dashboard.views.leaks);
    let mut lines = Vec::new();
    let inventory = state.inventory.upgrade();
    let study = inventory.as_ref().and_then(|inventory| inventory.study.as_ref());
    heading(&mut lines, "Findings", &looked(dashboard, study), width, theme);
    for one in findings {
        finding(&mut lines, one, width, theme);
    }
    if findings.is_empty() && study.is_some() {
        // What grows may become one.
        let (text, style) = if state.grown.is_empty() {
            ("no leak found in what could be looked at so far", theme.good())
        } else {
            ("no suspect so far; what grows is looked at for as long as this view is open", theme.text())
        };
        lines.extend(wrap(text, width).into_iter().map(|line| Line::from(span(line, style))));
    }
    lines
}

/// What the findings rest on.
fn looked(dashboard: &Dashboard, study: Option<&Study>) -> String {
    let Some(study) = study else {
        return match dashboard.inventories.newest() {
            Some(_) => "the ledgers are not watched here: only what the figures and the event lines tell".to_owned(),
            None if dashboard.inventories.ended().is_some() => "no ledger was read".to_owned(),
            None => "reading the ledgers".to_owned(),
        };
    };
    let newest = dashboard.inventories.newest().map_or(study.since_ns, |newest| newest.read_ns);
    let watched = units::age(newest.saturating_sub(study.since_ns));
    let baseline = if study.baselines == 0 { "; no baseline is set" } else { "" };
    let now_ns = dashboard.seen.as_ref().map_or(newest, |seen| seen.now_ns);
    let age = ledgers::age(newest, now_ns).map_or_else(String::new, |age| format!(", last {age}"));
    format!("looked {} in {watched}{age}{baseline}", number(study.looks as usize, "time"))
}

fn finding(lines: &mut Vec<Line<'static>>, folded: &Folded, width: usize, theme: Theme) {
    let one = &folded.finding;
    let (word, style) = if one.suspect { ("SUSPECT", theme.error()) } else { ("note", theme.text()) };
    let design = match one.class {
        Some(Class::ProgramCache) => "by design: program cache",
        Some(Class::Trace) => "by design: trace",
        Some(Class::System) => "by design: system",
        Some(Class::Application) | None => "",
    };
    let mut first = vec![span(format!("{word:<VERDICT$}"), style), span(one.kind.word(), theme.strong())];
    if !design.is_empty() {
        first.push(span(format!("  {design}"), theme.dim()));
    }
    lines.push(Line::from(first));
    let indent = if width >= 60 { VERDICT } else { 2 };
    let others = others(folded);
    let next = if design.is_empty() { one.next.as_str() } else { "" };
    let texts = [(one.text.as_str(), theme.text()), (others.as_str(), theme.strong()), (next, theme.dim())];
    for (text, style) in texts.into_iter().filter(|(text, _)| !text.is_empty()) {
        for part in wrap(text, width.saturating_sub(indent).max(1)) {
            lines.push(Line::from(span(format!("{:indent$}{part}", ""), style)));
        }
    }
}

/// What is to be said of the other devices; nothing where there are none.
fn others(folded: &Folded) -> String {
    let one = &folded.finding;
    let others: Vec<String> = folded.devices.iter().filter(|at| Some(**at) != one.device).map(u32::to_string).collect();
    let (Some(counts), Some(bytes)) = (folded.counts, folded.bytes) else { return String::new() };
    let devices = format!("device{} {}", if others.len() == 1 { "" } else { "s" }, others.join(", "));
    if (counts, bytes) == ((one.count, one.count), (one.footprint_bytes, one.footprint_bytes)) {
        return format!("the same on {devices}");
    }
    let range = |(least, most): (u64, u64), text: fn(u64) -> String| {
        if least == most { text(least) } else { format!("{} to {}", text(least), text(most)) }
    };
    let each = if others.len() == 1 { "" } else { " each" };
    format!("also on {devices}: {} allocations, {}{each}", range(counts, |n| n.to_string()), range(bytes, bytes_text))
}

fn oldest(dashboard: &Dashboard, seen: &Observation, width: usize) -> Vec<Line<'static>> {
    let (theme, state) = (dashboard.theme, &dashboard.views.leaks);
    let mut lines = Vec::new();
    heading(&mut lines, "Oldest", "of the application's buffers: age alone is no leak", width, theme);
    let inventory = state.inventory.upgrade();
    let study = inventory.as_ref().and_then(|inventory| inventory.study.as_ref());
    let all = study.map_or(&[][..], |study| &study.oldest);
    let shown: Vec<&Old> = all.iter().filter(|old| state.of.is_none() || Some(old.pid) == state.pid()).collect();
    if shown.is_empty() {
        let text = if all.is_empty() { "none is known" } else { "none of this process is among the oldest of all" };
        lines.push(Line::from(span(text, theme.dim())));
        return lines;
    }
    let columns = filling(&OLDEST, width);
    lines.push(titles(&columns, theme));
    for old in shown {
        lines.push(line(&columns, theme, |column| old_cell(old, column.of, dashboard, seen)));
    }
    lines
}

fn old_cell(old: &Old, of: Of, dashboard: &Dashboard, seen: &Observation) -> (String, Style) {
    let (theme, allocation) = (dashboard.theme, &old.allocation);
    match of {
        Of::Pid => (old.pid.to_string(), theme.text()),
        Of::Name => (if old.name.is_empty() { "?".to_owned() } else { old.name.clone() }, theme.strong()),
        Of::Device => {
            let chips = &seen.snapshot.chips;
            let at = chips.iter().position(|chip| Some(chip.chip_id) == allocation.chip_id && chip.id_is_logical == 0);
            let label = at.and_then(|at| dashboard.labels.get(at)).cloned();
            (label.unwrap_or_else(|| format!("{} ?", allocation.event.device)), theme.text())
        }
        Of::Memory => (short_name(allocation.memory).to_owned(), theme.text()),
        Of::Size => (units::bytes(allocation.event.taken()), theme.text()),
        Of::Age => (units::age(allocation.age_ns(seen.now_ns)), theme.strong()),
        Of::Tag => (allocation.tag().unwrap_or("-").to_owned(), theme.dim()),
        Of::By | Of::Since | Of::Verdict => (String::new(), theme.text()),
    }
}

fn caveats(dashboard: &Dashboard, width: usize) -> Vec<Line<'static>> {
    let theme = dashboard.theme;
    let mut lines = Vec::new();
    for text in ledgers::missing(dashboard) {
        for (at, part) in wrap(&text, width.saturating_sub(2).max(1)).into_iter().enumerate() {
            let mark = if at == 0 { format!("{} ", theme.glyphs.trouble) } else { "  ".to_owned() };
            lines.push(Line::from(vec![span(mark, theme.warning()), span(part, theme.dim())]));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, Line::default());
    }
    lines
}
