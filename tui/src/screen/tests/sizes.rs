//! Every view in every state, at every size: nothing panics, and nothing that a terminal would obey reaches the screen, whoever named
//! processes, boards, phases and files.

use super::views::{full, of_process, shown};
use super::*;
use crate::filter::Filter;
use crate::holdings::Holdings;
use crate::inventory::study::Watcher;
use crate::inventory::{Holder, Inventories, Inventory};
use crate::leaks::{Held, Look};
use crate::recording::Player;
use crate::screen::palette::Level;
use crate::screen::prompt::Prompt;
use crate::screen::view::View;
use crate::screen::views::ledger_fixture::{allocation, device, holder};
use ratatui::layout::Rect;
use shm_layout::control::{Action as Asked, Request};
use shm_layout::event::Memory;
use shm_layout::stats::Telemetry;

const THEME: Theme = Theme::at(Level::True, false);
/// Escapes, a bell, C1 controls, lines, bidirectional overrides and isolates, what is invisible, and letters of every width: wide ones,
/// a flag, a family, one with many marks.
const NASTY: &str = "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{9b}31m\r\n\t\u{202e}live\u{2066}\u{200b}\u{feff}漢字ｐ\u{1f1f3}\u{1f1f1}\u{1f468}\u{200d}\u{1f469}e\u{301}\u{302}\u{303}\u{304}\u{7f}";

/// As another program might write it: not through `text::store`. Number `n` begins in another place, so that cuts fall everywhere.
fn raw<const N: usize>(n: usize) -> [u8; N] {
    let mut field = [0; N];
    let text = format!("{}{}", &"abcdefgh"[..n % 8], NASTY.repeat(N / NASTY.len() + 1));
    field.copy_from_slice(&text.as_bytes()[..N]);
    field
}

/// A host with so many processes, every text of which is hostile.
fn hostile(processes: u32) -> Observation {
    let mut seen = crowd(processes);
    let with = full(4);
    seen.snapshot.chips = with.snapshot.chips;
    let snapshot = &mut seen.snapshot;
    for (n, process) in snapshot.processes.iter_mut().enumerate() {
        (process.name, process.command_line) = (raw(n), raw(n + 3));
        process.incomplete = if n % 7 == 0 { incomplete::DROPPED } else { 0 };
    }
    for (n, chip) in snapshot.chips.iter_mut().enumerate() {
        chip.board = raw(n);
        chip.telemetry = Telemetry { card: raw(n), firmware: raw(n + 5), ..chip.telemetry };
    }
    for (n, line) in snapshot.lines.iter_mut().enumerate() {
        line.text = raw(n);
    }
    let refusal = |n| Refusal { pid: 777, text: raw(n), ..bytemuck::Zeroable::zeroed() };
    snapshot.refusals = (0..5).map(refusal).collect();
    snapshot.health.refused_rings = 5;
    seen
}

/// What those processes hold, with hostile names of phases; read twice, so that there are findings.
fn inventory(seen: &Observation) -> Inventory {
    let devices = || (0..seen.snapshot.chips.len()).map(|at| device(seen, at)).collect::<Vec<_>>();
    let holders: Vec<Holder> = seen
        .snapshot
        .processes
        .iter()
        .zip(0_u64..)
        .map(|(process, n)| {
            let kinds = [Memory::Dram, Memory::Dram, Memory::L1, Memory::Cb, Memory::Kernel];
            let allocations = kinds.into_iter().zip(0..).map(|(memory, at)| {
                let mut one =
                    allocation(n * 8 + at, (n % 4) as u32, memory, 64 + n * 4_194_304 % (3 << 30), 8 << 20, 9 * at);
                one.tag = Some(text::load(&raw::<40>(at as usize)).into());
                one.event.context = n as u32 % 9;
                one
            });
            holder(process, devices(), allocations.collect())
        })
        .collect();
    let mut watcher = Watcher::default();
    let mut study = None;
    for second in [60, 30, 0] {
        let at_ns = sample::NOW_NS - second * 1_000_000_000;
        let held = |holder: &Holder| Held {
            pid: holder.pid,
            uid: holder.uid,
            nonce: holder.nonce,
            name: holder.name.clone(),
            devices: holder.devices.clone(),
            allocations: holder.allocations.iter().filter(|one| one.event.time <= at_ns).cloned().collect(),
            began_unix_ns: 0,
            accounts: Vec::new(),
        };
        let look = Look { at_ns, processes: holders.iter().take(60).map(held).collect() };
        study = Some(watcher.see(&look, sample::UNIX_NS, &Zone::utc()));
    }
    let missing = vec![format!("{}: its owner is 0, not 1000; its process is left out", text::load(&raw::<120>(2)))];
    Inventory { holders, missing, read_ns: sample::NOW_NS, study }
}

/// Every view of it, of a process as well.
fn every_view(theme: Theme, seen: &Observation, ledgers: bool) -> Vec<Dashboard> {
    let mut all: Vec<Dashboard> = View::ALL.map(|view| shown(theme, seen.clone(), view)).into();
    let mut process = of_process(theme, seen.clone());
    if ledgers {
        let inventory = inventory(seen);
        if let Some(first) = process.subject.and_then(|_| seen.snapshot.processes.first()) {
            process.holdings = Holdings::default();
            process.holdings.recall(first, Some(&inventory));
        }
        for dashboard in &mut all {
            dashboard.inventories = Inventories::fixed(inventory.clone());
            dashboard.look_at_inventory();
        }
    }
    all.push(process);
    all
}

/// Nobody sees anything, for this reason.
fn nothing(error: fn() -> SourceError) -> Vec<Dashboard> {
    let of = |view| {
        let mut dashboard = dashboard(THEME, Connection::Unavailable(error()), None);
        dashboard.act(Action::Show(view));
        dashboard
    };
    View::ALL.map(of).into()
}

fn all_with(mut all: Vec<Dashboard>, change: impl Fn(&mut Dashboard)) -> Vec<Dashboard> {
    all.iter_mut().for_each(change);
    all
}

/// Every small size, where it is tight; then some of each order up to 300x100.
fn sizes() -> impl Iterator<Item = (u16, u16)> {
    let small = (1..=45).flat_map(|width| (1..=12).map(move |height| (width, height)));
    let [wide, tall] = [[46, 61, 79, 100, 131, 160, 220, 300], [13, 16, 20, 24, 31, 45, 60, 100]];
    let diagonal = wide.into_iter().zip(tall);
    let flat = wide.into_iter().flat_map(|width| [1, 4, 5, 8, 10, 15, 24].map(|height| (width, height)));
    let narrow = tall.into_iter().flat_map(|height| [1, 7, 19, 20, 33, 45].map(|width| (width, height)));
    small.chain(diagonal).chain(flat).chain(narrow).chain([(80, 100), (300, 60)])
}

/// What a terminal obeys, or what turns or hides what stands beside it.
fn is_bad(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn drawn_at_every_size(all: &[Dashboard], words: &str) {
    let mut seen = false;
    for (width, height) in sizes() {
        for dashboard in all {
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
            let area = buffer.area;
            draw(&mut buffer, area, dashboard);
            assert_eq!(buffer.area, area);
            for (at, cell) in buffer.content.iter().enumerate() {
                let symbol = cell.symbol();
                assert!(
                    symbol.is_ascii() && symbol.as_bytes()[0] >= b' ' && symbol.as_bytes()[0] < 0x7f
                        || !symbol.contains(is_bad),
                    "{:?} at {at} of {width}x{height}: {symbol:?}",
                    dashboard.view
                );
            }
            seen = seen || (width == 300 && picture(&buffer).contains(words));
        }
    }
    assert!(seen, "this is not what it was to be: nowhere {words:?}");
}

macro_rules! states {
    ($($name:ident: $words:literal, $all:expr;)*) => {$(
        #[test]
        fn $name() {
            drawn_at_every_size(&$all, $words);
        }
    )*};
}

states! {
    a_thousand_hostile_processes: "Processes 1000", every_view(THEME, &hostile(1000), true);
    the_last_of_a_thousand_as_a_tree: "peaks, by", all_with(every_view(THEME, &hostile(1000), false), |dashboard| {
        for action in [Action::Tree, Action::Peaks, Action::Last, Action::PageDown] {
            dashboard.act(action);
        }
    });
    hostile_in_ascii_and_without_colour: "live", every_view(Theme::at(Level::None, true), &hostile(5), true);
    with_the_help_on_top: "quit (also Ctrl-C)", all_with(every_view(THEME, &hostile(5), true), |d| d.help = true);
    while_a_hostile_filter_is_typed: "filter ", all_with(every_view(THEME, &hostile(5), true), |dashboard| {
        dashboard.prompt = Some(Prompt::Filter(NASTY.repeat(3), Some(NASTY.to_owned())));
    });
    while_something_is_asked: "set a baseline of", all_with(every_view(THEME, &hostile(5), true), |dashboard| {
        let whom = format!("PID 1 ({})", text::load(&raw::<32>(0)));
        let request = Request { action: Asked::SetBaseline, pid: Some(1), chip: None };
        dashboard.prompt = Some(Prompt::Confirm(request, whom));
    });
    with_a_hostile_filter_and_a_message: "none is meant by the filter", all_with(every_view(THEME, &hostile(5), true), |dashboard| {
        dashboard.meant(Filter::parse(&format!("\"{NASTY}\"")).unwrap());
        dashboard.say(&NASTY.repeat(9), true);
    });
    paused: "paused", all_with(every_view(THEME, &hostile(5), false), |d| d.paused = true);
    without_an_aggregator: "aggregator &", nothing(|| SourceError::NoAggregator { name: "tt_alloc.stats".into() });
    with_a_newer_layout: "version 9", nothing(|| SourceError::Foreign {
        name: "tt_alloc.stats".into(),
        error: IdentityError::Version { found: 9 },
    });
    where_it_may_not_be_read: "may not be read", nothing(|| SourceError::Permission { name: "tt_alloc.stats".into() });
    where_it_is_somebody_elses: "belongs to user 1234", nothing(|| SourceError::Owner { name: "tt_alloc.stats".into(), found: 1234 });
    where_it_is_being_made: "is not ready yet", nothing(|| SourceError::NotReady { name: "tt_alloc.stats".into() });
    stale: "silent for 7s", all_with(every_view(THEME, &hostile(5), true), |dashboard| {
        dashboard.connection = Connection::Stale { age_ns: 7_000_000_000, gone: false };
    });
    died: "died 7s ago", all_with(every_view(THEME, &hostile(5), true), |dashboard| {
        dashboard.connection = Connection::Stale { age_ns: 7_000_000_000, gone: true };
    });
    ended: "aggregator stopped", all_with(every_view(THEME, &hostile(5), true), |d| d.connection = Connection::Ended);
    an_empty_host: "no tracked process yet", every_view(THEME, &nobody(), true);
    many_devices: "Devices 33", every_view(THEME, &sample::observation(33), false);
    a_replay: "replay", replayed();
}

fn nobody() -> Observation {
    let mut seen = sample::observation(0);
    (seen.snapshot.processes, seen.snapshot.rows, seen.snapshot.lines) = (Vec::new(), Vec::new(), Vec::new());
    seen
}

fn replayed() -> Vec<Dashboard> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/format-1.rec");
    let mut player = Player::open(std::path::Path::new(path)).unwrap();
    player.seek(64_500_000_000).unwrap();
    let of = |view| {
        let mut dashboard = Dashboard::new("here".into(), Zone::utc(), THEME, Selection::default(), 250);
        dashboard.play(&mut player, true).unwrap();
        dashboard.turn_to(view);
        dashboard
    };
    View::ALL.map(of).into()
}
