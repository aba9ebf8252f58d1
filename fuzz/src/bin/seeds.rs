//! Writes the seed corpora, each named by its scenario: `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`.
//!
//! With `check` as the argument nothing is written: every seed of this program and every file in `corpus-seeds` is run once
//! through its target, on a stable toolchain, without a fuzzer.

use shm_layout::event::{Event, Kind, Memory, flags};
use shm_layout::{ledger, ring, stats};
use std::path::Path;
use tt_alloc_fuzz::drain::Op::{Cell, Die, Drain, Flood, Header, Push, PushRaw, Record, Restart, Shrink};
use tt_alloc_fuzz::script::{alloc, free};
use tt_alloc_fuzz::{attach, drain, ledger_open, stats_read};

type Seed = (&'static str, Vec<u8>);

const CLAIM: u8 = 0;
const CURSOR: u8 = 1;
const CLOSED: u8 = 3;
const DROPPED: u8 = 4;
const LOST_CONTROLS: u8 = 5;

fn event(kind: Kind, memory: Memory, device: u32) -> Event {
    Event::new(kind, memory, device)
}

fn attach_seeds() -> Vec<Seed> {
    vec![
        ("fresh-ring", attach::changed(0, 6, &[])),
        ("full-ring", attach::changed(0, 3, &[(32, 8)])),
        ("one-slot", attach::changed(0, 0, &[(32, 1), (48, 1)])),
        ("empty-file", attach::raw(&[])),
        ("not-a-ring", attach::raw(b"GIF89a and more of it")),
        ("not-ready", attach::changed(0, 4, &[(0, 0)])),
        ("newer-version", attach::changed(0, 4, &[(1, 0x7f)])),
        ("slots-no-power", attach::changed(0, 4, &[(3, 12)])),
        ("slots-2-32", attach::changed(0, 4, &[(3, 1 << 32)])),
        ("slots-0", attach::changed(0, 4, &[(3, 0)])),
        ("cut-in-the-header", attach::changed(2, 4, &[])),
        ("with-holes", attach::changed(4, 4, &[])),
        ("claim-2-61", attach::changed(0, 4, &[(32, 1 << 61)])),
        ("cursor-ahead-of-claim", attach::changed(0, 4, &[(32, 3), (48, 9)])),
        ("cursor-max", attach::changed(0, 4, &[(32, u64::MAX), (48, u64::MAX)])),
        ("closed", attach::changed(0, 4, &[(64, ring::CLOSED_CLEAN)])),
    ]
}

fn drain_seeds() -> Vec<Seed> {
    let dram = |id, size| Push(alloc(Memory::Dram, 0, id, size));
    let info = Push(Event { id: 0x20, context: 3, size: 140, ..event(Kind::DeviceInfo, Memory::Dram, 0) });
    let close = Push(event(Kind::DeviceClose, Memory::Dram, 0));
    let global = Event { flags: flags::GLOBALLY_ALLOCATED, context: 3, ..alloc(Memory::Cb, 0, 8, 64) };
    let cb = |id| Push(Event { context: 2, ..alloc(Memory::Cb, 0, id, 640) });
    let release =
        |context, blocks, size| Push(Event { id: blocks, context, size, ..event(Kind::FreeAll, Memory::Cb, 0) });
    let unknown = bytemuck::cast(Event { kind: 200, memory: 99, flags: 0xFFFF, ..Event::default() });
    let far = bytemuck::cast(Event { device: u32::MAX, size: u64::MAX, ..alloc(Memory::Dram, 0, u64::MAX, 0) });
    let of = drain::input;
    vec![
        ("fresh-ring", of(6, &[Drain])),
        ("honest-life", of(4, &[info, dram(1, 4096), Drain, Push(free(Memory::Dram, 0, 1, 4096)), close, Drain])),
        ("full-ring", of(3, &[Flood(20, alloc(Memory::L1, 0, 1, 64)), Drain, Die])),
        ("drops-and-back", {
            let flood = Flood(20, alloc(Memory::L1, 0, 1, 64));
            let back = Flood(20, free(Memory::L1, 0, 1, 64));
            of(3, &[flood, Drain, back, Drain, Restart, back, Drain])
        }),
        ("torn-slot", of(3, &[dram(1, 64), Header(CLAIM, 3), Drain, Die])),
        ("torn-then-more", of(3, &[Header(CLAIM, 1), dram(1, 64), dram(2, 64), Drain, Die])),
        (
            "freeall-storm",
            of(5, &[cb(1), cb(2), release(2, 2, 1280), Drain, Flood(30, event(Kind::FreeAll, Memory::Cb, 0)), Drain]),
        ),
        (
            "freeall-lies",
            of(5, &[cb(1), Header(DROPPED, 1), Cell(0, 5, 1, 1), Drain, release(2, u64::MAX, u64::MAX), Drain]),
        ),
        (
            "free-of-the-dropped-lies",
            of(3, &[Cell(0, 0, 1, 9), Header(DROPPED, 9), Drain, Push(free(Memory::Dram, 0, 5, u64::MAX)), Drain]),
        ),
        ("dropped-u64-max", of(3, &[Header(DROPPED, u64::MAX), Drain, Die])),
        ("dropped-runs-back", of(3, &[Header(DROPPED, 9), Drain, Header(DROPPED, 3), Drain, Restart])),
        ("lost-controls-max", of(3, &[dram(1, 64), Header(LOST_CONTROLS, u64::MAX), Header(DROPPED, 1), Drain])),
        ("cells-max", {
            let cell = |which| Cell(0, 0, which, u64::MAX);
            of(3, &[cell(0), cell(1), cell(2), cell(3), Header(DROPPED, 1), Drain, Die])
        }),
        ("cells-grow-past-all", {
            let ops = [1_u64 << 61, 1 << 62, 3 << 61, 1 << 63];
            let step = |(n, bytes): (usize, &u64)| [Cell(0, 0, 0, *bytes), Header(DROPPED, n as u64 + 1), Drain];
            of(3, &ops.iter().enumerate().flat_map(step).collect::<Vec<_>>())
        }),
        (
            "cells-freed-only",
            of(3, &[dram(1, 64), Cell(0, 0, 2, 1 << 62), Cell(0, 0, 3, 1 << 62), Header(DROPPED, 1), Drain, Die]),
        ),
        ("cells-of-a-spare-kind", of(3, &[Cell(63, 7, 0, 64), Header(DROPPED, 1), Drain])),
        ("claim-2-61", of(3, &[dram(1, 64), Header(CLAIM, 1 << 61), Drain, Drain, Die])),
        ("claim-runs-back", of(3, &[dram(1, 64), dram(2, 64), Drain, Header(CLAIM, 0), Drain, dram(3, 64), Drain])),
        ("cursor-lies", of(3, &[dram(1, 64), Drain, Header(CURSOR, u64::MAX), Restart, dram(2, 64), Drain])),
        ("stamps-of-the-future", of(2, &[Record(0, 0, 5), Record(1, 0, u64::MAX), Record(2, 0, 3), Drain, Die])),
        ("stamp-over-garbage", of(2, &[Record(0, 7, u64::MAX), Record(0, 4, u64::MAX), Record(0, 0, 1), Drain])),
        ("unknown-kind", of(3, &[PushRaw(unknown), PushRaw(far), PushRaw([0xFF; 64]), Drain])),
        ("sizes-past-2-62", of(3, &[dram(1, 1 << 61), dram(2, 1 << 61), dram(3, 1 << 61), Drain, Die])),
        ("globally-allocated", of(3, &[Push(global), dram(2, 1 << 62), Push(global), Drain])),
        ("sixty-four-chips", {
            let open = |n: u32| {
                Push(Event { id: 0x100 + u64::from(n), context: 3, ..event(Kind::DeviceInfo, Memory::Dram, n) })
            };
            let ops = (0..70).flat_map(|n| [open(n), Push(alloc(Memory::Dram, n, 1, 64))]).collect::<Vec<_>>();
            of(8, &[&ops[..], &[Drain, Die]].concat())
        }),
        ("restart-in-the-middle", of(4, &[info, dram(1, 64), cb(3), Drain, dram(2, 64), Restart, Drain, Restart, Die])),
        ("shrunk-under-the-reader", of(4, &[dram(1, 64), Drain, Shrink(4096), dram(2, 64), Drain])),
        ("closed-and-dead", of(3, &[dram(1, 64), Header(CLOSED, ring::CLOSED_CLEAN), Die])),
    ]
}

fn ledger_seeds() -> Vec<Seed> {
    use ledger_open::Op::{Apply, Cut, Word};
    let of = ledger_open::input;
    // Offsets by the tables in shm_layout::ledger, in words.
    let (commit, settled, capacity) = (32, 33, 34);
    let counters = 2;
    let devices = counters + (size_of::<ledger::Counters>() / 8) as u16;
    let accounts = devices + 2 * (size_of::<ledger::Device>() / 8) as u16;
    let account = |at| Word(2, accounts + at, u64::MAX);
    vec![
        ("sound", of(&[])),
        ("sound-goes-on", of(&[Apply(alloc(Memory::Dram, 0, 50, 64)), Apply(free(Memory::L1, 1, 3, 0))])),
        ("grows", of(&(0..40).map(|n| Apply(alloc(Memory::Dram, 0, 60 + n, 64))).collect::<Vec<_>>())),
        ("empty-file", ledger_open::raw(&[])),
        ("not-a-ledger", ledger_open::raw(&[0x55; 70])),
        ("not-announced", of(&[Word(0, 0, 0)])),
        ("newer-version", of(&[Word(0, 1, 0x7f)])),
        ("capacity-lies", of(&[Word(0, capacity, 1 << 24)])),
        ("capacity-zero", of(&[Word(0, capacity, 0)])),
        ("cut-short", of(&[Cut(40)])),
        ("commit-max", of(&[Word(0, commit, u64::MAX)])),
        ("commit-max-goes-on", of(&[Word(0, commit, u64::MAX), Apply(alloc(Memory::Dram, 0, 1, 1))])),
        ("unsettled", of(&[Word(0, settled, 3), Word(3, 7, 0xFF << 32)])),
        ("counts-lie", of(&[Word(2, 0, 65), Word(1, 0, 65)])),
        ("accounts-lie", of(&[Word(2, 1, 257), Word(1, 1, 257)])),
        (
            "counters-max",
            of(&[Word(2, counters, u64::MAX), Word(2, counters + 1, u64::MAX), Apply(alloc(Memory::Dram, 0, 1, 1))]),
        ),
        ("account-of-no-device", of(&[account(0)])),
        ("account-peak-max", of(&[account(1)])),
        ("account-allocated-max", of(&[account(2), Apply(alloc(Memory::Dram, 0, 51, 64))])),
        ("account-unlisted-max", of(&[Word(2, accounts + 4, i64::MAX as u64), Apply(alloc(Memory::Dram, 0, 51, 64))])),
        ("account-unlisted-min", of(&[Word(2, accounts + 4, 1 << 63), Apply(alloc(Memory::Dram, 0, 51, 64))])),
        ("account-twice", of(&[Word(2, accounts + 12, 0)])),
        ("entry-size-max", of(&[Word(3, 4, u64::MAX), Word(3, 12, u64::MAX), Word(3, 20, u64::MAX)])),
        ("entry-of-no-kind", of(&[Word(3, 7, u64::MAX), Word(3, 15, 0)])),
        ("entry-of-no-device", of(&[Word(3, 6, u64::MAX)])),
        (
            "two-accounts-near-2-62",
            of(&[
                Apply(alloc(Memory::Dram, 0, 50, 1 << 61)),
                Apply(alloc(Memory::L1, 0, 51, 3 << 60)),
                Apply(alloc(Memory::L1, 1, 52, 3 << 60)),
            ]),
        ),
        ("entries-of-one-key", of(&[Word(3, 10, 9), Word(3, 18, 9), Word(3, 26, 9)])),
    ]
}

fn stats_seeds() -> Vec<Seed> {
    use stats_read::Op::{Header, Identity, Look, LookAgain, Payload, Sample, Text};
    let of = stats_read::input;
    let escapes = b"\x1b[2J\x1b]0;x\x07\xe2\x80\xae\xc2\x9b31m\xff\r\n\t";
    let text = |place| Text(place, 0, escapes.to_vec());
    let many = 0xFF;
    // Words before the chips.
    const COUNTS: u16 = 5;
    const HEALTH: u16 = (size_of::<stats::Health>() / 8) as u16;
    vec![
        ("nobody", of(0, &[Look])),
        ("three-of-each", of(many, &[Look, LookAgain, Look])),
        ("escapes", of(many, &[text(0), text(1), text(2), text(3), text(4), Look])),
        ("text-without-end", of(many, &(0..5).map(|n| Text(n, 0, vec![b'x'; 240])).collect::<Vec<_>>())),
        ("wide-text", of(many, &(0..5).map(|n| Text(n, 0, "メモリ".repeat(20).into_bytes())).collect::<Vec<_>>())),
        ("counts-max", of(many, &[Payload(0, u64::MAX)])),
        ("counts-within-limits", of(many, &[Payload(2, stats::MAX_ROWS as u64)])),
        ("row-points-outside", of(many, &[Payload(COUNTS + HEALTH + 3 * 104 + 3 * 48, u64::MAX)])),
        ("figures-max", of(many, &(0..20).map(|n| Payload(COUNTS + HEALTH + 8 + n, u64::MAX)).collect::<Vec<_>>())),
        ("health-max", of(many, &(0..HEALTH).map(|n| Payload(COUNTS + n, u64::MAX)).collect::<Vec<_>>())),
        ("chip-numbers-max", of(many, &(0..8).map(|n| Payload(COUNTS + HEALTH + n, u64::MAX)).collect::<Vec<_>>())),
        ("writer-died-in-the-middle", of(many, &[Look, Header(3, 3), Header(5, 3), LookAgain])),
        ("length-lies", of(many, &[Look, Header(4, u64::MAX), Header(6, 3), LookAgain])),
        ("other-buffer", of(many, &[Look, Look, Header(0, 7), LookAgain])),
        ("ended", of(many, &[Look, Header(1, 0), LookAgain])),
        ("stale", of(many, &[Look, Header(1, 1), LookAgain])),
        ("heartbeat-of-the-future", of(many, &[Look, Header(1, u64::MAX), LookAgain])),
        ("history", of(many, &[Sample(0, 0, 1 << 40), Sample(0, 299, u64::MAX), Header(2, 300), Look])),
        ("history-head-max", of(many, &[Sample(0, 5, 9), Header(2, u64::MAX), Look])),
        ("newer-version", of(many, &[Identity(1, 0x7f), Look])),
        ("sizes-lie", of(many, &[Identity(2, u64::MAX), Look, Identity(5, u64::MAX), Look])),
        ("buffers-elsewhere", of(many, &[Identity(3, u64::MAX), Identity(4, u64::MAX), Look])),
    ]
}

fn main() {
    let targets: [(&str, fn(&[u8]), Vec<Seed>); 4] = [
        ("attach", attach::run, attach_seeds()),
        ("drain", drain::run, drain_seeds()),
        ("ledger_open", ledger_open::run, ledger_seeds()),
        ("stats_read", stats_read::run, stats_seeds()),
    ];
    let check = std::env::args().nth(1).is_some_and(|argument| argument == "check");
    for (target, run, seeds) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus-seeds").join(target);
        std::fs::create_dir_all(&folder).expect("the folder of the seeds");
        for (name, bytes) in &seeds {
            if check {
                println!("{target}/{name}");
                run(bytes);
            } else {
                std::fs::write(folder.join(name), bytes).expect("a seed written");
            }
        }
        println!("{target}: {} seeds", seeds.len());
    }
}
