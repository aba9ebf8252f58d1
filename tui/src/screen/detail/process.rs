//! The page of one process: who it is, how its records come, what it holds on each device, and its largest allocations.

use super::memory_facts;
use crate::holdings::List;
use crate::leaks::Sum;
use crate::screen::dashboard::Dashboard;
use crate::screen::devices::short_name;
use crate::screen::page::Page;
use crate::screen::view::Subject;
use crate::source::Observation;
use crate::table::chip_name;
use crate::units;
use shm_layout::event::Memory;
use shm_layout::stats::{Anomalies, Process, Row, Source, incomplete};

/// Writes it.
pub fn write(page: &mut Page, dashboard: &Dashboard, seen: &Observation, subject: Subject) {
    let snapshot = &seen.snapshot;
    let Some(at) = snapshot.processes.iter().position(|process| Subject::from(process) == subject) else { return };
    let process = &snapshot.processes[at];
    identity(page, dashboard, seen, process);
    let mut rows: Vec<&Row> = snapshot.rows_of(at).collect();
    rows.sort_by_key(|row| row.chip);
    for on_chip in rows.chunk_by(|one, next| one.chip == next.chip) {
        let chip = on_chip[0].chip as usize;
        let label = dashboard.labels.get(chip).map_or("?", String::as_str);
        let id = snapshot.chips.get(chip).map(chip_name).unwrap_or_default();
        page.heading(&format!("On device {label}, chip {id}"));
        for memory in Memory::ALL {
            // The whole is the device's; what there is of it is not this process's alone.
            for row in on_chip.iter().filter(|row| row.memory == memory as u32) {
                page.tell(short_name(memory), memory_facts(memory, &row.figures, None));
            }
        }
    }
    if rows.is_empty() {
        page.heading("Memory");
        page.say("", "nothing is known of what it holds");
    }
    if Source::is_tracked(process.source) {
        allocations(page, dashboard, seen);
    }
}

fn identity(page: &mut Page, dashboard: &Dashboard, seen: &Observation, process: &Process) {
    let row = dashboard.rows.iter().find(|row| row.totals.key() == process.into());
    page.heading("Identity");
    if let Some(who) = row.map(|row| &row.totals.who) {
        page.tell("user", vec![who.user.clone()]);
        page.say("command", &who.command_line);
    }
    let ago = |unix_ns: u64| format!("{} ago", units::age(seen.unix_ns.saturating_sub(unix_ns)));
    if process.start_unix_ns > 0 {
        page.tell("started", vec![ago(process.start_unix_ns)]);
    }
    let source = match process.source {
        source if source == Source::Ring as u32 => "its own ring",
        source if source == Source::Socket as u32 => "the original's socket",
        source if source == Source::TtMetal as u32 => "tt-metal's counters: it is not tracked",
        _ => "the driver: it is not tracked, and what it holds is not known",
    };
    page.say("told by", source);
    if let Some(since) = row.and_then(|row| row.totals.since) {
        page.tell("baseline", vec![format!("{} since, DRAM, TRACE, L1 and L1_SMALL", units::change(since))]);
    }
    if !Source::is_tracked(process.source) {
        return;
    }
    let mut events = vec![units::exact(process.events_total)];
    events.extend(dashboard.event_rate(process.into()).map(|rate| format!("{} a second", units::count(rate as u64))));
    events.extend((process.last_event_unix_ns > 0).then(|| format!("the last {}", ago(process.last_event_unix_ns))));
    let Anomalies { free_unknown, double_free, invalid_record, alloc_live, overflow, size_mismatch, .. } =
        process.anomalies;
    let counted = [
        (process.lag_events, "not yet read"),
        (process.dropped_events_total, "dropped"),
        (process.torn_events_total, "torn"),
        (free_unknown, "frees of what is unknown"),
        (double_free, "double frees"),
        (invalid_record, "invalid records"),
        (alloc_live, "allocations of what was live"),
        (overflow, "beyond what there is room for"),
        (size_mismatch, "frees of another size"),
    ];
    events.extend(counted.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{} {words}", units::count(*n))));
    page.tell("events", events);
    page.tell("incomplete", incomplete::names(process.incomplete).into_iter().map(str::to_owned).collect());
}

/// The largest ones, and how much each program has.
fn allocations(page: &mut Page, dashboard: &Dashboard, seen: &Observation) {
    page.heading("Largest allocations");
    let list = match &dashboard.holdings.list {
        Ok(list) => list,
        Err(why) => {
            page.say("", why);
            return;
        }
    };
    if list.largest.is_empty() {
        page.say("", "none is live");
    }
    for allocation in &list.largest {
        let event = &allocation.event;
        let age_ns = allocation.age_ns(seen.now_ns);
        let mut facts = vec![
            format!("{:<8}", allocation.memory.name()),
            format!("device {}", event.device),
            format!("at {:<#12x}", event.address),
            format!("{:>6} old", units::age(age_ns)),
            format!("since {}", since(dashboard, seen.unix_ns, age_ns)),
        ];
        // Of buffers it may be a mesh or a tag.
        let what = if matches!(allocation.memory, Memory::Cb | Memory::Kernel) { "program" } else { "context" };
        facts.extend((event.context != 0).then(|| format!("{what} {}", event.context)));
        page.tell(units::bytes(event.taken()).trim_start(), facts);
    }
    if list.more > 0 {
        page.say("", &format!("and {} more: tt-alloc buffers lists them", units::exact(list.more as u64)));
    }
    spreads(page, list);
    if !list.programs.is_empty() {
        page.heading("Largest programs");
    }
    for program in &list.programs {
        let facts = vec![
            format!("device {}", program.device),
            format!("CB {}", units::bytes(program.cb)),
            format!("KERNEL {}", units::bytes(program.kernel)),
        ];
        page.tell(&program.number.to_string(), facts);
    }
}

/// The moment so long ago: the time, and the day as well where it is another one.
fn since(dashboard: &Dashboard, now_unix_ns: u64, age_ns: u64) -> String {
    let (zone, then) = (&dashboard.zone, now_unix_ns.saturating_sub(age_ns));
    if zone.date(then) == zone.date(now_unix_ns) { zone.time_of_day(then) } else { zone.date_and_time(then) }
}

/// How they are spread: a bar each, of all bytes.
fn spreads(page: &mut Page, list: &List) {
    let spread = &list.spread;
    let whole = spread.sizes.iter().fold(0, |all: u64, (_, sum)| all.saturating_add(sum.bytes));
    let mut part = |heading: &str, parts: Vec<(String, Sum)>| {
        if parts.is_empty() {
            return;
        }
        page.heading(heading);
        for (name, Sum { count, bytes }) in parts {
            page.bar(&name, bytes, whole, format!("{}  {:>6}", units::bytes(bytes), units::count(count)));
        }
    };
    part("Sizes", spread.sizes.clone());
    part("Ages", spread.ages.iter().map(|(name, sum)| ((*name).to_owned(), *sum)).collect());
    part("Phases", spread.phases.clone());
}
