//! Ledgers that go with the sample host, and frames of what is drawn of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::clock::Zone;
use crate::inventory::study::Watcher;
use crate::inventory::{Holder, Inventories, Inventory};
use crate::leaks::{Held, Look};
use crate::ledger::Allocation;
use crate::sample;
use crate::screen::dashboard::Dashboard;
use crate::screen::keys::Action;
use crate::screen::theme::Theme;
use crate::screen::view::View;
use crate::selection::Selection;
use crate::source::{Connection, Feed, Observation};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use shm_layout::event::{Event, Kind, Memory, flags};
use shm_layout::ledger::{Account, Banks, Device};
use shm_layout::stats::{BASELINE_AUTO, Process};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;

/// DRAM and L1 as a p150's allocator tells them; nothing is told of the other kinds.
pub const BANKS: [Banks; 4] = [
    Banks { count: 8, first: 64, bytes: 4_277_141_376 },
    Banks { count: 130, first: 111_744, bytes: 1_461_120 },
    Banks { count: 0, first: 0, bytes: 0 },
    Banks { count: 0, first: 0, bytes: 0 },
];

/// A device of a process, on the chip at this place of the sample host.
pub fn device(seen: &Observation, at: usize) -> Device {
    let zeroed: Device = bytemuck::Zeroable::zeroed();
    let chip = &seen.snapshot.chips[at];
    Device {
        device: at as u32,
        chip_id: chip.chip_id,
        id_is_logical: chip.id_is_logical,
        open: 1,
        resident_program: 3,
        dispatched_ns: 7,
        banks: BANKS,
        ..zeroed
    }
}

/// One allocation of so many seconds ago, that takes this of all banks together.
pub fn allocation(id: u64, device: u32, memory: Memory, address: u64, footprint: u64, seconds: u64) -> Allocation {
    let time = sample::NOW_NS - seconds * SECOND;
    let event =
        Event { id, address, size: footprint, footprint, time, context: 1, ..Event::new(Kind::Alloc, memory, device) };
    Allocation { event, memory, chip_id: None, tag: None }
}

/// A process of the sample host that holds these.
pub fn holder(process: &Process, devices: Vec<Device>, mut allocations: Vec<Allocation>) -> Holder {
    for one in &mut allocations {
        let device = devices.iter().find(|device| device.device == one.event.device);
        one.chip_id = device.filter(|device| device.id_is_logical == 0).map(|device| device.chip_id);
    }
    let mut holder = Holder {
        pid: process.pid,
        ring_pid: process.ring_pid,
        nonce: process.nonce,
        uid: 1000,
        name: shm_layout::text::load(&process.name),
        devices,
        allocations,
        ..Holder::default()
    };
    holder.sort();
    holder
}

/// Weights, activations, programs and kernels of the trainer; a smaller server beside it on the first two chips.
pub fn host(seen: &Observation) -> Inventory {
    let processes = &seen.snapshot.processes;
    let mut trainer = Vec::new();
    let mut server = Vec::new();
    for chip in 0..seen.snapshot.chips.len().min(4) as u32 {
        let (mut at, mut id) = (64, u64::from(chip) << 32);
        for layer in 0..96_u64 {
            let bytes = [28 * MIB, 7 * MIB, 14 * MIB][layer as usize % 3];
            // A hole where an activation was.
            let hole = if layer % 8 == 7 { 6 * MIB } else { 0 };
            id += 1;
            let mut one = allocation(id, chip, Memory::Dram, at, bytes * 8, 5400 - layer);
            one.tag = Some(if layer % 3 == 0 { "weights" } else { "optimizer" }.into());
            trainer.push(one);
            at += bytes + hole;
        }
        for n in 0..40_u64 {
            id += 1;
            let bytes = 8 * KIB + n % 5 * 2 * KIB;
            trainer.push(allocation(id, chip, Memory::L1, 1_572_864 - (n + 1) * 18 * KIB, bytes * 130, 90 - n));
        }
        for program in 1..=24_u64 {
            for n in 0..3 {
                id += 1;
                let mut one =
                    allocation(id, chip, Memory::Cb, 111_744 + n * 4096, (program + n) * 4096 * 64, 400 - program);
                one.event.footprint = 0;
                one.event.context = program as u32;
                one.event.flags = if n == 2 && program % 4 == 0 { flags::GLOBALLY_ALLOCATED } else { 0 };
                trainer.push(one);
            }
            id += 1;
            let mut kernel = allocation(id, chip, Memory::Kernel, 0, program * 3 * KIB * 64, 400 - program);
            kernel.event.context = program as u32;
            trainer.push(kernel);
        }
        id += 1;
        let mut dispatcher = allocation(id, chip, Memory::Kernel, 0, 600 * KIB, 5000);
        (dispatcher.event.context, dispatcher.event.flags) = (0, flags::DISPATCH);
        trainer.push(dispatcher);
        if chip < 2 {
            for n in 0..20 {
                id += 1;
                server.push(allocation(id, chip, Memory::Dram, 2_900 * MIB + n * 40 * MIB, 30 * MIB * 8, 1200 - n));
            }
        }
    }
    let all = |count: usize| (0..seen.snapshot.chips.len().min(count)).map(|at| device(seen, at)).collect::<Vec<_>>();
    let mut holders = Vec::new();
    if let [first, second, ..] = &processes[..] {
        holders.push(holder(first, all(4), trainer));
        holders.push(holder(second, all(2), server));
    }
    Inventory { holders, missing: Vec::new(), read_ns: sample::NOW_NS, study: None }
}

/// The same, looked at again and again while the server's allocations grow, and with baselines of the trainer.
pub fn studied(seen: &Observation) -> Inventory {
    let mut inventory = host(seen);
    let mut watcher = Watcher::default();
    for second in 0..=12_u64 {
        let now = sample::NOW_NS - (12 - second) * SECOND;
        let held = |holder: &Holder| {
            let mut allocations = holder.allocations.clone();
            allocations.retain(|one| one.event.time <= now);
            Held {
                began_unix_ns: 0,
                pid: holder.pid,
                uid: holder.uid,
                nonce: holder.nonce,
                name: holder.name.clone(),
                devices: holder.devices.clone(),
                accounts: if holder.pid == 41_207 {
                    let baseline_unix_ns = sample::UNIX_NS - 500 * SECOND;
                    vec![Account { memory: Memory::Cb as u32, baseline: 1, baseline_unix_ns, ..Account::default() }]
                } else {
                    Vec::new()
                },
                allocations,
            }
        };
        if second == 0 {
            let leaking = &mut inventory.holders[1];
            for n in 0..12 {
                leaking.allocations.push(allocation(
                    900_000 + n,
                    0,
                    Memory::Dram,
                    3_900 * MIB + n * MIB,
                    MIB * 8,
                    12 - n,
                ));
            }
            leaking
                .allocations
                .iter_mut()
                .for_each(|one| one.chip_id = Some(seen.snapshot.chips[one.event.device as usize].chip_id));
            leaking.sort();
        }
        let look = Look { at_ns: now, processes: inventory.holders.iter().map(held).collect() };
        inventory.study = Some(watcher.see(&look, sample::UNIX_NS, &Zone::utc()));
    }
    inventory
}

/// The sample host, its users without names on any machine.
pub fn observation(devices: usize) -> Observation {
    let mut seen = sample::observation(devices);
    seen.snapshot.processes.iter_mut().for_each(|process| process.uid = 4_123_456);
    seen
}

/// A dashboard that shows this view of these; without an inventory nothing was read yet.
pub fn shown(theme: Theme, seen: Observation, inventory: Option<Inventory>, view: View) -> Dashboard {
    let mut dashboard = Dashboard::new("quietbox".into(), Zone::utc(), theme, Selection::default(), 250);
    dashboard.update(Feed { connection: Connection::Live, seen: Some(seen) });
    if let Some(inventory) = inventory {
        dashboard.inventories = Inventories::fixed(inventory);
    }
    dashboard.act(Action::Show(view));
    dashboard
}

/// The trainer's DRAM on the second device has a baseline, the server's on the first has grown since it was first seen.
pub fn grown(theme: Theme) -> Dashboard {
    let mut seen = observation(4);
    let mut line = seen.snapshot.lines[3];
    line.text = shm_layout::text::store(
        b"PID 50877 (python3) exited: removed 5 buffers (15.2 MiB), 8 CBs (2.40 MiB); command: python3 eval.py",
    );
    seen.snapshot.lines.push(line);
    let inventory = studied(&seen);
    let mut earlier = seen.clone();
    earlier.now_ns -= 190_000_000_000;
    earlier.snapshot.health.generation -= 1;
    for row in &mut earlier.snapshot.rows {
        if row.memory == Memory::Trace as u32 || (row.process, row.chip, row.memory) == (1, 0, Memory::Dram as u32) {
            row.figures.footprint_bytes /= 2;
        }
    }
    for row in &mut seen.snapshot.rows {
        if (row.process, row.chip, row.memory) == (0, 1, Memory::Dram as u32) {
            row.figures.baseline = (row.figures.footprint_bytes - (300 << 20) + 1) | BASELINE_AUTO;
        }
    }
    let mut dashboard = shown(theme, earlier, None, View::Leaks);
    dashboard.inventories = Inventories::fixed(inventory);
    dashboard.update(Feed { connection: Connection::Live, seen: Some(seen) });
    dashboard.look_at_inventory();
    dashboard
}

/// What is drawn.
pub fn frame(width: u16, height: u16, dashboard: &Dashboard) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    let area = buffer.area;
    crate::screen::draw(&mut buffer, area, dashboard);
    buffer
}

/// The same as text.
pub fn picture(width: u16, height: u16, dashboard: &Dashboard) -> String {
    let buffer = frame(width, height, dashboard);
    let lines = buffer.content.chunks(usize::from(width)).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Draws it at many sizes: none may panic.
pub fn at_every_size(dashboard: &Dashboard) {
    let sizes = (1..=300).flat_map(|width| (1..=100).map(move |height| (width, height)));
    for (width, height) in
        sizes.filter(|(w, h)| (*w <= 45 && *h <= 14) || (w % 37 == 2 && h % 17 == 4) || (*w == 300 && *h == 100))
    {
        frame(width, height, dashboard);
    }
}

/// Tests that draw: a name, a size, what is drawn.
macro_rules! pictures {
    ($($name:ident: $width:literal x $height:literal, $dashboard:expr;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!($crate::screen::views::ledger_fixture::picture($width, $height, &$dashboard));
        }
    )*};
}
pub(crate) use pictures;
