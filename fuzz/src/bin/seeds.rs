//! Writes the seed corpora, each named by its scenario: `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`.
//!
//! With `check` as the argument nothing is written: every seed of this program and every file in `corpus-seeds` is run once
//! through its target, on a stable toolchain, without a fuzzer.

use shm_layout::event::{Event, Kind, Memory, flags};
use shm_layout::{ledger, ring, stats};
use std::path::Path;
use tt_alloc_fuzz::drain::Op::{
    Away, Cell, Compact, Die, Drain, Flood, Grow, Header, Honest, Push, PushRaw, Record, Restart, Section, Shrink,
    Vanished,
};
use tt_alloc_fuzz::ring::header::{CLAIM, CLOSED, CURSOR, DROPPED, LOST_CONTROLS, SECTION_COUNT};
use tt_alloc_fuzz::ring::section;
use tt_alloc_fuzz::script::{alloc, free};
use tt_alloc_fuzz::{attach, drain, ledger_open, stats_read};

type Seed = (&'static str, Vec<u8>);

fn event(kind: Kind, memory: Memory, device: u32) -> Event {
    Event::new(kind, memory, device)
}

fn attach_seeds() -> Vec<Seed> {
    use attach::word::{
        CLAIM, CLOSED, COMPACTING, CURSOR, MOVED_FROM, SECTION_COUNT, SLOTS, START, UNKNOWN_FREES, of_section,
    };
    let (first, second) = (|word| of_section(0, word), |word| of_section(1, word));
    let sealed = |records: u64| (first(CLAIM), ring::SEALED | records);
    vec![
        ("fresh-ring", attach::changed(0, 6, &[])),
        ("full-ring", attach::changed(0, 3, &[(first(CLAIM), 8)])),
        ("one-slot", attach::changed(0, 0, &[(first(CLAIM), 1), (CURSOR, 1)])),
        ("empty-file", attach::raw(&[])),
        ("not-a-ring", attach::raw(b"GIF89a and more of it")),
        ("not-ready", attach::changed(0, 4, &[(0, 0)])),
        ("newer-version", attach::changed(0, 4, &[(1, 0x7f)])),
        ("slots-no-power", attach::changed(0, 4, &[(3, 12)])),
        ("slots-2-32", attach::changed(0, 4, &[(3, 1 << 32)])),
        ("slots-0", attach::changed(0, 4, &[(3, 0)])),
        ("cut-in-the-header", attach::changed(2, 4, &[])),
        ("with-holes", attach::changed(4, 4, &[])),
        ("claim-2-61", attach::changed(0, 4, &[(first(CLAIM), 1 << 61)])),
        ("cursor-ahead-of-claim", attach::changed(0, 4, &[(first(CLAIM), 3), (CURSOR, 9)])),
        ("cursor-max", attach::changed(0, 4, &[(first(CLAIM), u64::MAX), (CURSOR, u64::MAX)])),
        ("closed", attach::changed(0, 4, &[(CLOSED, ring::CLOSED_CLEAN)])),
        ("second-section", attach::changed(8, 4, &[sealed(16), (CURSOR, 16), (second(CLAIM), 3)])),
        ("three-sections", {
            let second = (second(CLAIM), ring::SEALED | 64);
            attach::changed(16, 4, &[sealed(16), second, (of_section(2, CLAIM), 5), (CURSOR, 80)])
        }),
        ("section-count-lies", attach::changed(0, 4, &[(SECTION_COUNT, u64::MAX), sealed(16), (CURSOR, 16)])),
        ("section-count-0", attach::changed(8, 4, &[(SECTION_COUNT, 0), sealed(16), (CURSOR, 16)])),
        ("section-beyond-the-file", attach::changed(8, 4, &[sealed(16), (CURSOR, 16), (second(SLOTS), 1 << 24)])),
        ("section-of-no-power", attach::changed(8, 4, &[sealed(16), (CURSOR, 16), (second(SLOTS), 100)])),
        ("sealed-at-the-most", attach::changed(8, 4, &[sealed(u64::MAX), (CURSOR, u64::MAX)])),
        (
            "sealed-near-2-61",
            attach::changed(24, 4, &{
                let near = ring::SEALED | 0xFFFF << 45;
                [(first(CLAIM), near), (second(CLAIM), near), (of_section(2, CLAIM), near), (CURSOR, 0xFFFF << 45)]
            }),
        ),
        ("compacted", attach::changed(0, 4, &[(first(CLAIM), 16), (first(START), 12)])),
        (
            "compacted-elsewhere",
            attach::changed(0, 4, &[(first(CLAIM), 16), (first(MOVED_FROM), 4), (first(START), 12)]),
        ),
        ("start-max", attach::changed(0, 4, &[(first(CLAIM), u64::MAX), (first(START), u64::MAX)])),
        ("start-2-62", {
            attach::changed(0, 4, &[(first(CLAIM), 1 << 62), (first(START), 1 << 62), (first(UNKNOWN_FREES), u64::MAX)])
        }),
        ("died-compacting", attach::changed(0, 4, &[(first(COMPACTING), 1), (first(CLAIM), 9)])),
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
        // An honest push at a claim whose successor is no number of the signed kind, and at the last of all.
        ("push-at-claim-2-62", of(0, &[Header(CLAIM, 1 << 62), Record(0, 0, !(1 << 62)), dram(1, 64), Drain, Die])),
        ("push-at-the-last-claim", of(0, &[Header(CLAIM, u64::MAX), dram(1, 64), dram(2, 64), Drain, Restart, Die])),
        ("grown", {
            let flood = |id| Flood(8, alloc(Memory::L1, 0, id, 64));
            of(3, &[flood(1), Grow(0), flood(11), Drain, flood(21), Grow(0), flood(31), Drain, Restart, Drain, Die])
        }),
        ("grown-unsealed", of(3, &[dram(1, 64), Grow(1), dram(2, 64), Drain, Restart, Drain, Die])),
        ("section-count-lies", of(3, &[dram(1, 64), Header(SECTION_COUNT, u64::MAX), Drain, Restart, Die])),
        ("section-count-0", of(3, &[dram(1, 64), Grow(0), Header(SECTION_COUNT, 0), dram(2, 64), Drain, Restart, Die])),
        ("sealed-at-the-most", {
            let sealed = Section(0, section::CLAIM, u64::MAX);
            of(3, &[dram(1, 64), Grow(0), dram(2, 64), sealed, Drain, Restart, Drain, Die])
        }),
        (
            "sealed-twice",
            of(3, &[dram(1, 64), Grow(0), Drain, Section(1, section::CLAIM, ring::SEALED | 9), Drain, Die]),
        ),
        ("section-beyond-the-file", {
            let lies =
                [Section(1, section::SLOTS, 1 << 24), Header(SECTION_COUNT, 2), Section(0, section::CLAIM, 1 << 63)];
            of(3, &[&lies[..], &[Drain, Restart, Drain, Die]].concat())
        }),
        ("compacted-under-the-reader", {
            let storm = [Flood(8, alloc(Memory::L1, 0, 1, 64)), Flood(8, free(Memory::L1, 0, 1, 64))];
            of(5, &[&storm[..], &[Drain, dram(99, 64), Compact(0, 0, 0), Drain, Compact(0, 4, 1), Drain, Die]].concat())
        }),
        ("compacted-unread", {
            let storm = [Flood(8, alloc(Memory::L1, 0, 1, 64)), Flood(7, free(Memory::L1, 0, 1, 64))];
            of(5, &[&storm[..], &[Compact(0, 0, 0), Restart, Drain, Die]].concat())
        }),
        ("vanished-max", {
            let jump = [
                Section(0, section::CLAIM, 4),
                Section(0, section::START, 4),
                Section(0, section::UNKNOWN_FREES, u64::MAX),
            ];
            let cells = [Vanished(0, 0, 0, u64::MAX), Vanished(0, 0, 1, u64::MAX), Vanished(0, 63, 15, u64::MAX)];
            of(3, &[&cells[..], &jump, &[Restart, Drain, Restart, Die]].concat())
        }),
        ("vanished-max-twice", {
            let jump = |at| {
                [
                    Section(0, section::MOVED_FROM, at),
                    Section(0, section::CLAIM, at + 4),
                    Section(0, section::START, at + 4),
                ]
            };
            let cells = [Vanished(0, 0, 0, u64::MAX), Vanished(0, 0, 1, u64::MAX)];
            of(3, &[&cells[..], &jump(0), &[Restart, Drain], &jump(4), &[Restart, Drain, Die]].concat())
        }),
        ("jump-2-62", {
            let jump = [Section(0, section::CLAIM, 1 << 62), Section(0, section::START, 1 << 62)];
            of(3, &[&jump[..], &[Restart, Drain, Restart, Die]].concat())
        }),
        ("jump-back", {
            let jump = [Section(0, section::MOVED_FROM, 8), Section(0, section::START, 2)];
            of(3, &[&[dram(1, 64), dram(2, 64)], &jump[..], &[Restart, Drain, Die]].concat())
        }),
        ("died-compacting", of(3, &[dram(1, 64), Section(0, section::COMPACTING, 1), Grow(0), dram(2, 64), Die])),
        ("bases-add-up-past-all", {
            let near = ring::SEALED | 0xFFFF << 45;
            let claims = (0..3).map(|n| Section(n, section::CLAIM, near));
            let lies: Vec<_> = claims.chain([Header(CURSOR, 0xFFFF << 46)]).collect();
            of(3, &[&[Grow(0), Grow(0), Grow(0)], &lies[..], &[Restart, Drain, Restart, Die]].concat())
        }),
        (
            "honest-beside",
            of(3, &[Honest(32, 0), dram(1, 64), Header(CLAIM, 1 << 61), Honest(32, 9), Restart, Honest(20, 3)]),
        ),
        ("honest-compacts", of(3, &[Away(250, 0), Honest(20, 1), Away(100, 5), Drain])),
        ("honest-grows", of(3, &[Away(60, 255), Honest(20, 1), Away(10, 0), Drain])),
        ("honest-drops", of(3, &[Away(255, 255), Honest(20, 0), Away(255, 0), Drain])),
        ("figures-at-2-62", of(3, &[dram(1, 1 << 62), Cell(0, 0, 0, 1 << 62), Header(DROPPED, 1), Drain, Die])),
        ("closed-and-dead", of(3, &[dram(1, 64), Header(CLOSED, ring::CLOSED_CLEAN), Die])),
    ]
}

fn ledger_seeds() -> Vec<Seed> {
    use ledger_open::Op::{Apply, Cut, Word};
    let of = ledger_open::input;
    let adopted = ledger_open::of_a_stranger;
    // Offsets by the tables in shm_layout::ledger, in words.
    let (whose, commit, settled, capacity, gone) = (16 / 8, 256 / 8, 264 / 8, 272 / 8, 280 / 8);
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
        ("commit-goes-on-to-2-62", of(&[Word(0, commit, u64::MAX >> 1), Apply(alloc(Memory::Dram, 0, 1, 1))])),
        ("commit-max-goes-on", of(&[Word(0, commit, u64::MAX), Apply(alloc(Memory::Dram, 0, 1, 1))])),
        ("gone-max", of(&[Word(0, gone, u64::MAX)])),
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
        // Taken over by root from a user's own aggregator.
        ("adopted", adopted(&[])),
        ("adopted-goes-on", adopted(&[Apply(alloc(Memory::Dram, 0, 50, 64)), Apply(free(Memory::L1, 1, 3, 0))])),
        ("adopted-behind-the-ring", adopted(&[Word(0, commit, 3)])),
        ("adopted-far-ahead", adopted(&[Word(0, commit, 1 << 40)])),
        ("adopted-capacity-lies", adopted(&[Word(0, capacity, 1 << 24)])),
        ("adopted-unsettled", adopted(&[Word(0, settled, 3), Word(3, 7, 0xFF << 32)])),
        // A viewer leaves it out, whoever goes on takes it back.
        ("adopted-dying-uncommitted", adopted(&[Word(3, 7, 0xFF << 32)])),
        ("adopted-sums-past-2-62", adopted(&[Word(3, 4, u64::MAX), Word(3, 12, u64::MAX), Word(3, 20, u64::MAX)])),
        ("adopted-entry-of-no-device", adopted(&[Word(3, 6, u64::MAX)])),
        ("adopted-events-max", adopted(&[Word(1, counters, u64::MAX), Word(2, counters, u64::MAX)])),
        ("adopted-account-max", adopted(&(0..6).map(account).collect::<Vec<_>>())),
        ("adopted-cut-short", adopted(&[Cut(40)])),
        ("adopted-of-a-third", adopted(&[Word(0, whose, 7 << 32)])),
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
        // The third process's count of events, too: four of 2^62 are one too many for a sum.
        ("inherited-events-add-up-past-all", {
            let words = (0..200).map(|n| Payload(4 + 24 + 3 * 104 + n, 0xFFFF << 46));
            of(many, &words.take(60).collect::<Vec<_>>())
        }),
        ("gone-max", of(many, &(0..32).map(|n| Header(7 + 8 * n, u64::MAX)).collect::<Vec<_>>())),
        ("gone-events-max", of(many, &[Header(7 + 8, u64::MAX), Header(7 + 8 * 17, u64::MAX), Look])),
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
        let mut kept: Vec<_> =
            std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|file| file.path()).collect();
        kept.sort();
        for path in kept.iter().filter(|_| check) {
            println!("{target}: {}", path.display());
            run(&std::fs::read(path).expect("a seed"));
        }
    }
}
