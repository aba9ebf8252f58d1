#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::super::ledger_fixture::{
    BANKS, allocation, at_every_size, device, frame, holder, host, observation, picture, shown,
};
use super::cells::Cells;
use crate::inventory::Inventory;
use crate::ledger::Allocation;
use crate::screen::dashboard::Dashboard;
use crate::screen::keys::Action;
use crate::screen::theme::Theme;
use crate::screen::view::{Subject, View};
use crate::screen::views::ledger_fixture::pictures;
use crate::source::Observation;
use crate::space::Space;
use crate::space::banks::Banks;
use ratatui::style::Modifier;
use shm_layout::event::{Memory, flags};

fn theme() -> Theme {
    Theme::new(true, false)
}

fn map(theme: Theme, chips: usize) -> Dashboard {
    let seen = observation(chips);
    let inventory = host(&seen);
    shown(theme, seen, Some(inventory), View::Map)
}

/// The second device has one holder, and the cursor is on a block.
fn one_holder(theme: Theme) -> Dashboard {
    let mut dashboard = map(theme, 4);
    for action in [Action::Next, Action::Next, Action::PageDown, Action::PageDown, Action::Down] {
        dashboard.act(action);
    }
    dashboard
}

pictures! {
    map_160x45: 160 x 45, map(theme(), 4);
    map_80x24: 80 x 24, map(theme(), 4);
    map_60x20: 60 x 20, one_holder(theme());
    map_40x10: 40 x 10, one_holder(theme());
    map_80x24_ascii: 80 x 24, one_holder(Theme::new(false, true));
    map_of_circular_buffers_80x24: 80 x 24, {
        let mut dashboard = map(theme(), 1);
        dashboard.act(Action::NextBox);
        dashboard.act(Action::NextBox);
        dashboard
    };
    map_without_ledgers_80x24: 80 x 24, shown(theme(), observation(1), None, View::Map);
    map_of_unreadable_ledgers_80x24: 80 x 24, {
        let missing = vec!["/dev/shm/tt_alloc.ledger.0.7.000000000000beef: its owner is 0, not 1000; its process is left out".to_owned()];
        shown(theme(), observation(1), Some(Inventory { missing, ..Inventory::default() }), View::Map)
    };
}

/// One process on one chip that holds these.
fn space(allocations: Vec<Allocation>) -> Space {
    let seen = observation(1);
    let inventory = Inventory { holders: vec![of(&seen, 0, allocations)], ..Inventory::default() };
    made(&seen, &inventory)
}

fn of(seen: &Observation, process: usize, allocations: Vec<Allocation>) -> crate::inventory::Holder {
    holder(&seen.snapshot.processes[process], vec![device(seen, 0)], allocations)
}

fn made(seen: &Observation, inventory: &Inventory) -> Space {
    let chip = &seen.snapshot.chips[0];
    Space::of(inventory, (chip.chip_id, chip.id_is_logical), Memory::Dram)
}

/// So many bytes of each bank at an address.
fn dram(id: u64, address: u64, per_bank: u64) -> Allocation {
    allocation(id, 0, Memory::Dram, address, per_bank * 8, 1)
}

#[test]
fn what_is_free_is_what_no_block_has() {
    let (first, bytes) = (64, BANKS[0].bytes);
    let one = space(vec![dram(1, first, 1000), dram(2, first + 1000, 24), dram(3, first + 4000, 100)]);
    assert_eq!((one.taken, one.free), (1124, Some(bytes - 1124)));
    assert_eq!(one.largest, Some((first + 4100, first + bytes)));
    assert_eq!(one.fragmentation(), Some(0), "2976 bytes of 4 GiB");
    let nothing = space(Vec::new());
    assert_eq!((nothing.free, nothing.largest), (Some(bytes), Some((first, first + bytes))));
    let half = bytes / 2;
    let split = space(vec![dram(1, first + half - 8, 16)]);
    assert_eq!(split.fragmentation(), Some(50));
    let full = space(vec![dram(1, first, bytes)]);
    assert_eq!((full.free, full.largest, full.fragmentation()), (Some(0), None, None));
}

#[test]
fn an_address_counts_once() {
    // A view and its buffer, one inside the other, and one that begins where another ends.
    let one =
        space(vec![dram(1, 100, 1000), dram(2, 100, 1000), dram(3, 300, 50), dram(4, 900, 300), dram(5, 1200, 10)]);
    assert_eq!((one.taken, one.shared.len()), (1110, 0));
    let spans: Vec<_> = one.occupied.iter().map(|one| (one.begin, one.end, one.odd)).collect();
    assert_eq!(spans, [(100, 1100, false), (1100, 1200, true), (1200, 1210, false)]);
    // Of two processes: once as well, and told.
    let seen = observation(1);
    let holders = vec![
        of(&seen, 0, vec![dram(1, 100, 1000), dram(2, 5000, 10)]),
        of(&seen, 1, vec![dram(1, 600, 1000), dram(2, 700, 10)]),
    ];
    let two = made(&seen, &Inventory { holders, ..Inventory::default() });
    assert_eq!((two.taken, two.who.len()), (1510, 2));
    assert_eq!(two.shared, [(600, 1100)]);
    let spans: Vec<_> = two.occupied.iter().map(|one| (one.begin, one.end)).collect();
    assert!(spans.windows(2).all(|two| two[0].1 <= two[1].0), "{spans:?}");
}

#[test]
fn addresses_that_two_have_are_remembered_once_however_many_blocks_lie_there() {
    let seen = observation(1);
    // Each of a thousand blocks overlaps the ones beside it, of whichever process they are; then a gap, and one such pair more.
    let chain = |process: usize| {
        let mut all: Vec<_> = (0..500).map(|n| dram(n, 1000 + (2 * n + process as u64) * 10, 4000 + n % 7)).collect();
        all.push(dram(500, 1_000_000 + process as u64 * 8, 16));
        of(&seen, process, all)
    };
    let two = made(&seen, &Inventory { holders: vec![chain(0), chain(1)], ..Inventory::default() });
    assert_eq!(two.shared.len(), 2, "{:?} ..", &two.shared[..3.min(two.shared.len())]);
    assert_eq!((two.shared[0].0, two.shared[1]), (1010, (1_000_008, 1_000_016)));
    assert!((10_000..15_000).contains(&two.shared[0].1), "{:?}", two.shared[0]);
    // Of a part of it: only what lies there is marked.
    let marked = |range| Cells::of(&two, range, 10).cells.iter().filter(|cell| cell.shared).count();
    assert_eq!((marked((2000, 3000)), marked((100_000, 200_000)), marked((1_000_016, 1_000_026))), (10, 0, 0));
    assert_eq!(marked((1_000_006, 1_000_016)), 8);
}

#[test]
fn who_holds_nothing_there_has_no_say_about_the_banks() {
    let seen = observation(1);
    let real = of(&seen, 0, vec![dram(1, 100, 1000)]);
    let other = shm_layout::ledger::Banks { count: 3, first: 0, bytes: 77 };
    let mut idle = of(&seen, 1, Vec::new());
    idle.devices[0].banks[0] = other;
    let both = |second: &crate::inventory::Holder| {
        made(&seen, &Inventory { holders: vec![real.clone(), second.clone()], ..Inventory::default() })
    };
    let expected = Banks { count: 8, first: 64, bytes: BANKS[0].bytes };
    assert_eq!(both(&idle).banks, Some(expected), "it holds nothing");
    // A device that is closed: what is left there tells nothing about those that are in use.
    let mut closed = of(&seen, 1, vec![allocation(1, 0, Memory::Dram, 9000, 300, 1)]);
    closed.devices[0].banks[0] = other;
    closed.devices[0].open = 0;
    let with_closed = both(&closed);
    assert_eq!((with_closed.banks, with_closed.who.len(), with_closed.taken), (Some(expected), 2, 1100));
    // Open, with blocks, and it tells something else: each is drawn as its own process told, and that is said.
    closed.devices[0].open = 1;
    let differing = both(&closed);
    assert_eq!((differing.banks, differing.free, differing.taken), (None, None, 1100));
    let said = crate::space::caveats::caveats(&differing, Memory::Dram, None, &seen);
    assert!(said[0].contains("each block is as long as its own process told"), "{said:?}");
}

#[test]
fn lengths_of_an_allocator_with_fewer_banks_are_not_derived() {
    let seen = observation(1);
    let l1 = |id, context, address| {
        let mut one = allocation(id, 0, Memory::L1, address, 130 * 64, 1);
        one.event.context = context;
        one
    };
    let unmeasured = |allocations| {
        let inventory = Inventory { holders: vec![of(&seen, 0, allocations)], ..Inventory::default() };
        let chip = &seen.snapshot.chips[0];
        let space = Space::of(&inventory, (chip.chip_id, chip.id_is_logical), Memory::L1);
        let said = crate::space::caveats::caveats(&space, Memory::L1, None, &seen);
        assert_eq!(said.iter().any(|text| text.contains("sub-device")), space.unmeasured > 0, "{said:?}");
        let without = space.blocks.iter().filter(|block| block.bytes.is_none());
        without.map(|block| block.allocation.event.context).collect::<Vec<u32>>()
    };
    let none: Vec<u32> = Vec::new();
    assert_eq!(unmeasured(vec![l1(1, 2, 200_000), l1(2, 2, 300_000)]), none, "one allocator");
    assert_eq!(unmeasured(vec![l1(1, 1, 200_000), l1(2, 2, 300_000)]), [2], "the device's is used first");
    // Who has DRAM is no sub-device.
    let mut dram = dram(3, 64, 8);
    dram.event.context = 5;
    assert_eq!(unmeasured(vec![l1(1, 4, 200_000), l1(2, 5, 300_000), dram.clone()]), [4]);
    assert_eq!(unmeasured(vec![l1(2, 5, 300_000), dram]), none);
}

#[test]
fn nothing_is_derived_from_banks_that_nobody_told() {
    let seen = observation(1);
    let mut silent = of(&seen, 0, vec![dram(1, 100, 1000)]);
    silent.devices[0].banks = Default::default();
    let one = made(&seen, &Inventory { holders: vec![silent.clone()], ..Inventory::default() });
    assert_eq!((one.banks, one.free, one.largest, one.fragmentation()), (None, None, None, None));
    assert_eq!((one.taken, one.unmeasured, one.blocks[0].bytes), (0, 1, None));
    // Bounds that were not told: lengths are known, what is free is not.
    silent.devices[0].banks[0] = shm_layout::ledger::Banks { count: 8, first: 0, bytes: 0 };
    let one = made(&seen, &Inventory { holders: vec![silent], ..Inventory::default() });
    assert_eq!((one.taken, one.free), (1000, None));
    // A footprint that was not told, one that is no multiple of the banks, a size that nobody knew.
    let mut odd = [dram(1, 100, 10), dram(2, 200, 10), dram(3, 300, 10)];
    odd[0].event.footprint = 0;
    odd[1].event.footprint = 81;
    odd[2].event.flags |= flags::SIZE_UNKNOWN;
    assert_eq!(space(odd.to_vec()).unmeasured, 3);
}

#[test]
fn addresses_that_cannot_be_do_no_harm() {
    let wild = [(0, u64::MAX / 8), (u64::MAX, u64::MAX / 8), (u64::MAX - 1, 1), (64, 0), (1 << 63, 1 << 60)];
    let blocks: Vec<Allocation> = (0..).zip(wild).map(|(id, (address, bytes))| dram(id, address, bytes)).collect();
    let one = space(blocks.clone());
    assert!(one.outside > 0 && one.free.unwrap() <= BANKS[0].bytes);
    for count in [1, 7, 4000] {
        Cells::of(&one, (0, u64::MAX), count);
        Cells::of(&one, one.used().unwrap(), count);
        Cells::of(&one, (u64::MAX - 1, u64::MAX), count);
    }
    let seen = observation(1);
    let inventory = Inventory { holders: vec![of(&seen, 0, blocks)], ..Inventory::default() };
    let mut dashboard = shown(theme(), seen, Some(inventory), View::Map);
    for _ in 0..6 {
        at_every_size(&dashboard);
        dashboard.act(Action::Window);
        dashboard.act(Action::Down);
    }
}

#[test]
fn cells_hold_every_byte_once() {
    let blocks = (0..50).map(|n| dram(n, 64 + n * 1000, 300 + n * 7)).collect();
    let one = space(blocks);
    for count in [1, 3, 64, 1000] {
        let cells = Cells::of(&one, (64, 64 + 50_000), count);
        assert_eq!(cells.cells.iter().map(|cell| cell.taken).sum::<u64>(), one.taken, "{count}");
        assert!(cells.cells.iter().all(|cell| cell.taken <= cells.each));
        for block in &one.blocks {
            let under = cells.range(block.begin, block.end());
            assert!(!under.is_empty() && cells.cells[under].iter().all(|cell| cell.taken > 0));
        }
    }
}

#[test]
fn the_cursor_stays_where_it_is_while_blocks_come_and_go() {
    let mut dashboard = one_holder(theme());
    let under = |dashboard: &Dashboard| dashboard.views.map.block().map(|block| block.begin);
    let before = under(&dashboard);
    assert!(before.is_some_and(|begin| begin > 64));
    let seen = dashboard.seen.clone().unwrap();
    let mut fewer = host(&seen);
    // Everything below it is freed.
    fewer.holders[0].allocations.retain(|one| one.memory != Memory::Dram || Some(one.event.address) >= before);
    dashboard.inventories = crate::inventory::Inventories::fixed(fewer);
    dashboard.look_at_inventory();
    assert_eq!((under(&dashboard), dashboard.views.map.at), (before, 0));
    dashboard.act(Action::Last);
    dashboard.act(Action::Down);
    let map = &dashboard.views.map;
    assert_eq!(map.at + 1, map.blocks().len());
}

#[test]
fn keys_choose_device_and_memory_and_zoom() {
    let mut dashboard = map(theme(), 4);
    let title = |dashboard: &Dashboard| picture(100, 30, dashboard).lines().nth(2).unwrap().to_owned();
    assert!(title(&dashboard).contains("device 1 of 4"), "{}", title(&dashboard));
    dashboard.act(Action::Previous);
    assert!(title(&dashboard).contains("device 4 of 4"), "after the first comes the last");
    dashboard.act(Action::Next);
    assert_eq!(dashboard.views.map.shown_memory(), Memory::Dram);
    dashboard.act(Action::NextBox);
    assert_eq!(dashboard.views.map.shown_memory(), Memory::L1);
    let kinds = dashboard.views.map.kinds().len();
    (1..kinds).for_each(|_| _ = dashboard.act(Action::NextBox));
    assert_eq!(dashboard.views.map.shown_memory(), Memory::Dram, "after the last comes the first");
    let whole = dashboard.views.map.range().unwrap();
    dashboard.act(Action::Window);
    let used = dashboard.views.map.range().unwrap();
    assert!(used.1 - used.0 < whole.1 - whole.0);
    dashboard.act(Action::Window);
    let near = dashboard.views.map.range().unwrap();
    assert_eq!(near.1 - near.0, (used.1 - used.0) / 8);
    let cursor = dashboard.views.map.block().unwrap().begin;
    assert!((near.0..near.1).contains(&cursor));
    // And back; the charts, which are not to be seen here, stay as they are.
    let window = dashboard.window;
    dashboard.act(Action::WindowBack);
    assert_eq!((dashboard.views.map.range(), dashboard.window), (Some(used), window));
    dashboard.act(Action::WindowBack);
    assert_eq!(dashboard.views.map.range(), Some(whole));
    dashboard.act(Action::WindowBack);
    assert_eq!(
        (dashboard.views.map.zoom, dashboard.window),
        (super::ZOOMS - 1, window),
        "before the first comes the last"
    );
}

#[test]
fn enter_goes_to_whoever_holds_the_block() {
    let mut dashboard = map(theme(), 1);
    dashboard.act(Action::Last);
    dashboard.act(Action::Show(View::Detail));
    let server = &dashboard.seen.as_ref().unwrap().snapshot.processes[1];
    assert_eq!((dashboard.view, dashboard.subject), (View::Detail, Some(Subject::from(server))));
}

#[test]
fn the_block_under_the_cursor_is_reversed_and_described() {
    let dashboard = one_holder(theme());
    let drawn = frame(100, 30, &dashboard);
    let reversed = drawn.content.iter().skip(300).filter(|cell| cell.modifier.contains(Modifier::REVERSED)).count();
    assert!(reversed > 0);
    let text = picture(100, 30, &dashboard);
    assert!(text.contains("PID 41207 python3") && text.contains("× 8 =") && text.contains("tag "), "{text}");
    assert!(text.contains("per bank, × 8 banks"), "{text}");
}

#[test]
fn what_is_missing_on_it_is_said() {
    let mut seen = observation(1);
    seen.snapshot.chips[0].memory[0].detail_incomplete = 1;
    let inventory = host(&seen);
    let text = picture(100, 30, &shown(theme(), seen, Some(inventory), View::Map));
    assert!(text.contains("detail incomplete: blocks are missing here"), "{text}");
}

#[test]
fn no_size_panics_and_names_bring_no_escapes() {
    for chips in [0, 1, 4] {
        for ascii in [false, true] {
            let mut dashboard = map(Theme::new(!ascii, ascii), chips);
            at_every_size(&dashboard);
            dashboard.act(Action::NextBox);
            dashboard.act(Action::Window);
            dashboard.act(Action::Last);
            at_every_size(&dashboard);
            if ascii {
                assert!(picture(100, 30, &dashboard).is_ascii());
            }
        }
    }
    assert_eq!(Banks { count: 1, first: u64::MAX, bytes: 2 }.bounds(), None);
}
