//! Views of so many allocations that what they show is made beside the screen.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::ledger_fixture::{allocation, device, holder, host, observation, picture, shown, studied};
use crate::beside::AT_ONCE;
use crate::clock::Zone;
use crate::holdings::Holdings;
use crate::inventory::study::Watcher;
use crate::inventory::{Inventories, Inventory};
use crate::ledger::fixture::{self, alloc};
use crate::screen::dashboard::{Dashboard, Request};
use crate::screen::keys::Action;
use crate::screen::theme::Theme;
use crate::screen::view::View;
use crate::source::Observation;
use crate::space::Space;
use shm_layout::event::{Event, Memory};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// One process that holds so many, half of them DRAM, half circular buffers of programs of twenty.
fn many(seen: &Observation, count: usize) -> Inventory {
    let of = |id: u64| match id % 2 {
        0 => allocation(id, 0, Memory::Dram, 64 + id * 4096, 2048 * 8, id % 5000),
        _ => {
            let mut one = allocation(id, 0, Memory::Cb, 110_000, 64 * 130, id % 5000);
            one.event.context = (id / 40) as u32 + 1;
            one
        }
    };
    let allocations = (0..count as u64).map(of).collect();
    let holders = vec![holder(&seen.snapshot.processes[0], vec![device(seen, 0)], allocations)];
    Inventory { holders, read_ns: crate::sample::NOW_NS, ..Inventory::default() }
}

fn dashboard(count: usize, view: View) -> Dashboard {
    let seen = observation(1);
    let inventory = many(&seen, count);
    shown(Theme::new(true, false), seen, Some(inventory), view)
}

fn hears(dashboard: &mut Dashboard) {
    let until = Instant::now() + PATIENCE;
    while !dashboard.hear() {
        assert!(Instant::now() < until, "nothing was made");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_map_of_many_is_made_beside_the_screen() {
    let mut dashboard = dashboard(2 * AT_ONCE, View::Map);
    assert!(picture(100, 30, &dashboard).contains("the map is being made"));
    hears(&mut dashboard);
    let text = picture(100, 30, &dashboard);
    assert!(text.contains("10000 blocks") && !text.contains("being made"), "{text}");
    // What was there stays until the next of the same is made.
    let seen = dashboard.seen.clone().unwrap();
    dashboard.inventories = Inventories::fixed(many(&seen, 2 * AT_ONCE + 2000));
    dashboard.look_at_inventory();
    assert!(picture(100, 30, &dashboard).contains("10000 blocks"));
    hears(&mut dashboard);
    assert!(picture(100, 30, &dashboard).contains("11000 blocks"), "{}", picture(100, 30, &dashboard));
    // Of another kind nothing of this is shown, and what was asked first is not shown as what was asked last.
    dashboard.act(Action::NextBox);
    dashboard.act(Action::NextBox);
    let text = picture(100, 30, &dashboard);
    assert!(text.contains("the map is being made"), "{text}");
    hears(&mut dashboard);
    assert!(!picture(100, 30, &dashboard).contains("being made"));
    // Few are made at once, and what was asked before does not come back.
    dashboard.act(Action::NextBox);
    dashboard.inventories = Inventories::fixed(many(&seen, 10));
    dashboard.look_at_inventory();
    let few = picture(100, 30, &dashboard);
    assert!(dashboard.views.map.is_making(), "what was asked before is under way");
    let until = Instant::now() + PATIENCE;
    while dashboard.views.map.is_making() {
        assert!(!dashboard.hear());
        assert!(Instant::now() < until, "it is not made");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(picture(100, 30, &dashboard), few);
}

#[test]
fn a_table_is_named_by_what_it_is() {
    let mut dashboard = dashboard(10, View::Programs);
    let seen = dashboard.seen.clone().unwrap();
    dashboard.inventories = Inventories::fixed(many(&seen, 2 * AT_ONCE));
    dashboard.look_at_inventory();
    let before = picture(100, 30, &dashboard);
    assert!(before.contains("by registered"), "{before}");
    // Of one process and in another order it is not made yet: what is shown is still of all, in the order before.
    dashboard.act(Action::SortBack);
    dashboard.act(Action::Next);
    assert_eq!(picture(100, 30, &dashboard), before);
    hears(&mut dashboard);
    let after = picture(100, 30, &dashboard);
    assert!(after.contains("of PID 41207") && after.contains("by program"), "{after}");
}

#[test]
fn what_breaks_beside_the_screen_is_told() {
    let mut map = dashboard(2 * AT_ONCE, View::Map);
    hears(&mut map);
    map.views.map.breaks();
    hears(&mut map);
    let text = picture(100, 30, &map);
    assert!(text.contains("10000 blocks") && text.contains("what made it has broken off"), "{text}");
    // Of another kind there is nothing that could stay; a key tries again.
    map.act(Action::NextBox);
    assert!(picture(100, 30, &map).contains("being made"));
    map.views.map.breaks();
    hears(&mut map);
    let text = picture(100, 30, &map);
    assert!(text.contains("what made it has broken off") && !text.contains("being made"), "{text}");
    map.act(Action::NextBox);
    hears(&mut map);
    assert!(!picture(100, 30, &map).contains("broken off"));

    let mut programs = dashboard(2 * AT_ONCE, View::Programs);
    programs.views.programs.breaks();
    hears(&mut programs);
    let text = picture(100, 30, &programs);
    assert!(text.contains("what made it has broken off") && !text.contains("being made"), "{text}");
    programs.act(Action::SortBack);
    hears(&mut programs);
    let text = picture(100, 30, &programs);
    assert!(text.contains("by program") && !text.contains("broken off"), "{text}");
    programs.views.programs.breaks();
    hears(&mut programs);
    assert!(picture(100, 30, &programs).contains("what made it has broken off"));
}

/// What was read so many seconds before the figures, in each view that shows it.
fn read_before(seconds: u64) -> [Dashboard; 3] {
    [View::Map, View::Programs, View::Leaks].map(|view| {
        let seen = observation(4);
        let mut inventory = if view == View::Leaks { studied(&seen) } else { host(&seen) };
        inventory.read_ns = seen.now_ns - seconds * 1_000_000_000;
        shown(Theme::new(true, false), seen, Some(inventory), view)
    })
}

#[test]
fn what_is_older_than_the_figures_beside_it_says_so() {
    for dashboard in read_before(2) {
        assert!(!picture(100, 30, &dashboard).contains("read 2s ago"));
    }
    let sizes = [(200, 60), (100, 30), (80, 24), (60, 20), (60, 10), (40, 10), (40, 16), (30, 8)];
    for dashboard in read_before(18) {
        for (width, height) in sizes.into_iter().filter(|(_, height)| dashboard.view != View::Leaks || *height > 20) {
            let text = picture(width, height, &dashboard);
            assert!(text.contains("read 18s ago"), "{:?} {width}x{height}:\n{text}", dashboard.view);
        }
    }
}

#[test]
fn where_nothing_more_is_read_that_is_said() {
    for dashboard in read_before(0) {
        for read in [None, dashboard.inventories.newest().map(|newest| Inventory::clone(newest))] {
            let is_read = read.is_some();
            let mut ended = shown(Theme::new(true, false), dashboard.seen.clone().unwrap(), None, dashboard.view);
            ended.inventories = Inventories::broken_off(read);
            let prefix = shm_layout::names::Prefix::new("tt_test_nobody").unwrap();
            assert!(!ended.inventories.look(&prefix, crate::sample::NOW_NS));
            ended.look_at_inventory();
            let text = picture(200, 60, &ended);
            assert!(text.contains("nothing more is read: what reads the ledgers has broken off"), "{text}");
            assert!(!text.contains("reading the ledgers"), "{text}");
            assert_eq!(ended.inventories.newest().is_some(), is_read);
        }
    }
}

#[test]
fn a_table_of_many_is_made_beside_the_screen() {
    let mut dashboard = dashboard(2 * AT_ONCE, View::Programs);
    assert!(picture(100, 30, &dashboard).contains("the table is being made"));
    dashboard.act(Action::SortBack);
    hears(&mut dashboard);
    let text = picture(100, 30, &dashboard);
    assert!(text.contains("Programs 500 ") && text.contains("by program"), "{text}");
    let first = |dashboard: &Dashboard| {
        let text = picture(100, 30, dashboard);
        text.lines().nth(4).unwrap().split_whitespace().nth(4).unwrap().to_owned()
    };
    assert_eq!(first(&dashboard), "1", "in the order that was asked for last");
    // So few rows are sorted at once.
    dashboard.act(Action::Reverse);
    assert_eq!(first(&dashboard), "500");
}

#[test]
#[ignore = "prints what a million allocations cost: --release --ignored --nocapture"]
fn what_a_million_costs() {
    let told = |what: &str, since: Instant| println!("{what}: {:.1} ms", since.elapsed().as_secs_f64() * 1e3);
    let seen = observation(1);
    let chip = (seen.snapshot.chips[0].chip_id, seen.snapshot.chips[0].id_is_logical);
    let inventory = many(&seen, 1_000_000);
    let mut dram = inventory.clone();
    dram.holders[0].allocations =
        (0..1_000_000).map(|id| allocation(id, 0, Memory::Dram, 64 + id * 4096, 2048 * 8, id % 5000)).collect();
    dram.holders[0].sort();
    let mut cbs = inventory.clone();
    cbs.holders[0].allocations = (0..1_000_000)
        .map(|id| {
            let mut one = allocation(id, 0, Memory::Cb, 110_000, 64 * 130, id % 5000);
            one.event.context = (id / 20) as u32 + 1;
            one
        })
        .collect();
    cbs.holders[0].sort();
    for (name, inventory) in [("1M DRAM", dram), ("1M CBs of 50,000 programs", cbs)] {
        println!("-- {name}");
        for at in 0..3 {
            let since = Instant::now();
            let space = Space::of(&inventory, chip, Memory::Dram);
            told("Space::of", since);
            let since = Instant::now();
            let cells = super::map::cells::Cells::of(&space, space.bounds().unwrap_or((0, 1)), 6000);
            told("Cells::of", since);
            drop(cells);
            let since = Instant::now();
            drop(space);
            told("drop of it", since);
            if at == 2 {
                let since = Instant::now();
                drop(inventory.clone());
                told("clone and drop of the inventory", since);
            }
        }
        for view in [View::Map, View::Programs, View::Leaks] {
            let since = Instant::now();
            let copy = inventory.clone();
            let mut dashboard = shown(Theme::new(true, false), seen.clone(), None, view);
            told("(clone, dashboard)", since);
            dashboard.inventories = Inventories::fixed(copy);
            let since = Instant::now();
            dashboard.look_at_inventory();
            told(&format!("{view:?}: an inventory arrives, on the screen's thread"), since);
            let since = Instant::now();
            if view != View::Leaks {
                hears(&mut dashboard);
            }
            told(&format!("{view:?}: until it is there"), since);
            let since = Instant::now();
            picture(200, 50, &dashboard);
            told(&format!("{view:?}: first frame"), since);
            for key in [Action::Window, Action::Down, Action::Window, Action::Last, Action::Up, Action::Reverse] {
                let since = Instant::now();
                dashboard.act(key);
                told(&format!("{view:?}: {key:?}"), since);
                let since = Instant::now();
                picture(200, 50, &dashboard);
                told(&format!("{view:?}: its frame"), since);
            }
            if view == View::Programs && dashboard.act(Action::Sort) == Request::None {
                let since = Instant::now();
                while !dashboard.hear() && since.elapsed() < Duration::from_secs(2) {}
                told(&format!("{view:?}: until it is sorted (2 s: at once)"), since);
            }
            let since = Instant::now();
            dashboard.inventories = Inventories::fixed(many(&seen, 10));
            told(&format!("{view:?}: the inventory goes"), since);
            let since = Instant::now();
            dashboard.look_at_inventory();
            told(&format!("{view:?}: what was made of it goes"), since);
        }
    }
    println!("-- what stays on the screen's thread, at its bounds");
    let recorded = many(&seen, 100_000);
    let mut watcher = Watcher::default();
    for _ in 0..3 {
        let since = Instant::now();
        let studied = recorded.clone().studied(|look| watcher.see(look, crate::sample::UNIX_NS, &Zone::utc()));
        told("replay: an inventory of 100,000 is studied", since);
        drop(studied);
    }
    let events: Vec<Event> = (0..200_000).map(|id| alloc(id, 0, Memory::Dram, 4096, 10)).collect();
    let written = fixture::write("cost", &events);
    let mut process = seen.snapshot.processes[0];
    (process.ring_pid, process.nonce) = (written.file.pid, written.file.nonce);
    let since = Instant::now();
    let owners = [nix::unistd::geteuid().as_raw()];
    Holdings::default().look(&written.prefix, &owners, &process, 200_000, 5);
    told("detail: a ledger of 200,000 is read", since);
}
