//! A ring whose owner writes what it likes while it is read, by a whole host, beside an honest process.
//!
//! Byte 0: slots of the ring (a power of two). Then one [`Op`] after the other.

use crate::ground::{self, MOST, assert_harmless};
use crate::ring::Ring;
use crate::script::{Reader, Writer, alloc};
use aggregator::fuzzing::{Places, Wake};
use aggregator::host::{Host, Now};
use shm_layout::event::{Event, Memory};
use shm_layout::procfs;
use shm_layout::stats::{MAX_CHIPS, Snapshot};
use shm_layout::text;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

/// No such process: whoever asks finds it dead.
const NOBODY: u32 = 0x3FFF_FFFF;
/// What the honest process holds.
const HONEST: u64 = 5000;
/// Rings of one input: the honest one, and the hostile one at most once.
const MOST_DEATHS: u64 = 2;
/// Steps that one input may take.
const MOST_OPS: usize = 160;
/// Of these, restarts and looks for the dead, each of which costs as much as a hundred others.
const MOST_SLOW_OPS: usize = 6;

/// What the owner, the aggregator or the kernel does next.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// The host reads what is there.
    Drain,
    /// A record in good order.
    Push(Event),
    /// Any 64 bytes as a record in good order.
    PushRaw([u8; 64]),
    /// So many records in good order, their ids counting up.
    Flood(u8, Event),
    /// A word of a slot; word 0 is its stamp.
    Record(u8, u8, u64),
    /// A word of the header.
    Header(u8, u64),
    /// A counter of the drop table: device, memory, which, value.
    Cell(u8, u8, u8, u64),
    /// The aggregator is killed and started again.
    Restart,
    /// The file is cut under the reader.
    Shrink(u16),
    /// The owner is found dead.
    Die,
}

impl Op {
    fn read(from: &mut Reader<'_>) -> Self {
        match from.byte() % 16 {
            1 | 2 => Self::Push(from.event()),
            3 => {
                let mut raw = [0; 64];
                let bytes = from.bytes(64);
                raw[..bytes.len()].copy_from_slice(bytes);
                Self::PushRaw(raw)
            }
            4 => Self::Flood(from.byte(), from.event()),
            5 | 6 => Self::Record(from.byte(), from.byte(), from.number()),
            7 | 8 => Self::Header(from.byte(), from.number()),
            9 | 10 => Self::Cell(from.byte(), from.byte(), from.byte(), from.number()),
            11 => Self::Restart,
            12 => Self::Shrink(from.short()),
            13 => Self::Die,
            _ => Self::Drain,
        }
    }

    /// The input that is read as this.
    pub fn write(&self, to: Writer) -> Writer {
        match self {
            Self::Drain => to.byte(0),
            Self::Push(event) => to.byte(1).event(event),
            Self::PushRaw(raw) => to.byte(3).bytes(raw),
            Self::Flood(count, event) => to.byte(4).byte(*count).event(event),
            Self::Record(at, word, value) => to.byte(5).byte(*at).byte(*word).number(*value),
            Self::Header(which, value) => to.byte(7).byte(*which).number(*value),
            Self::Cell(device, memory, which, value) => {
                to.byte(9).byte(*device).byte(*memory).byte(*which).number(*value)
            }
            Self::Restart => to.byte(11),
            Self::Shrink(bytes) => to.byte(12).short(*bytes),
            Self::Die => to.byte(13),
        }
    }
}

/// An input: `1 << log` slots, and these steps.
pub fn input(log: u8, ops: &[Op]) -> Vec<u8> {
    ops.iter().fold(Writer::default().byte(log), |to, op| op.write(to)).0
}

struct Bench {
    host: Host,
    now: Now,
    generation: u64,
}

fn wake() -> &'static Wake {
    static WAKE: OnceLock<(OwnedFd, Wake)> = OnceLock::new();
    &WAKE
        .get_or_init(|| {
            let stop: OwnedFd = nix::sys::eventfd::EventFd::new().expect("an eventfd").into();
            let wake = Wake::new(stop.as_fd(), None).expect("an epoll set");
            (stop, wake)
        })
        .1
}

impl Bench {
    fn new(files: [shm_layout::names::ProcessFile; 2]) -> Self {
        static PLACES: OnceLock<Places> = OnceLock::new();
        let mut host = Host::new(ground::prefix().clone(), *PLACES.get_or_init(Places::make));
        let now = Now { monotonic_ns: 1_000_000_000, unix_ns: 1_800_000_000_000_000_000 };
        host.announce(files);
        host.welcome(wake(), Duration::from_secs(5), now);
        let mut bench = Self { host, now, generation: 0 };
        // So that the honest one's record is in its books before anything is asked of them.
        bench.drain();
        bench
    }

    fn tick(&mut self) {
        self.now.monotonic_ns += 30_000_000;
        self.now.unix_ns += 30_000_000;
    }

    fn drain(&mut self) {
        self.tick();
        self.host.look_around(self.now);
        for _ in 0..64 {
            self.host.drain(self.now);
            if !self.host.has_more() {
                break;
            }
        }
    }

    fn look(&mut self) -> Snapshot {
        self.generation += 1;
        let parts = self.host.snapshot(self.now, 0, self.generation);
        Snapshot {
            health: *parts.health,
            chips: parts.chips.to_vec(),
            processes: parts.processes.to_vec(),
            rows: parts.rows.to_vec(),
            lines: parts.lines.concat(),
            refusals: parts.refusals.to_vec(),
        }
    }
}

/// One input.
pub fn run(data: &[u8]) {
    let mut script = Reader(data);
    let slots = 1_u64 << (script.byte() % 9);
    let me = std::process::id();
    let start = procfs::stat("self").expect("this process").start_ticks;
    let (honest_file, hostile_file) = (ground::ring_file(me, 1), ground::ring_file(NOBODY, 2));
    // Its name comes from the header, for there is no process to ask.
    let honest = Ring::make(honest_file, 8, start, b"honest");
    let hostile = Ring::make(hostile_file, slots, 1, b"ho\x1b[31mst\xe2\x80\xaeile\xff");
    honest.push(&alloc(Memory::Dram, 7, 1, HONEST));
    let mut bench = Bench::new([honest_file, hostile_file]);
    let (mut pushed, mut shrunk, mut slow) = (1, false, 0);
    for _ in 0..MOST_OPS {
        if script.is_empty() {
            break;
        }
        let op = Op::read(&mut script);
        slow += usize::from(matches!(op, Op::Restart | Op::Die));
        match op {
            Op::Restart | Op::Die if slow > MOST_SLOW_OPS => {}
            // Where its pages were, its owner has none either.
            op if shrunk && !matches!(op, Op::Drain | Op::Restart | Op::Die) => {}
            Op::Drain => {
                bench.drain();
                check(&bench.look(), slots, pushed);
            }
            Op::Push(event) => pushed += u64::from(hostile.push(&event)),
            Op::PushRaw(raw) => pushed += u64::from(hostile.push(&bytemuck::pod_read_unaligned(&raw))),
            Op::Flood(count, event) => {
                for n in 0..u64::from(count) {
                    pushed += u64::from(hostile.push(&Event { id: event.id + n, ..event }));
                }
            }
            Op::Record(at, word, value) => {
                // A stamp that fits makes a record of whatever lies there.
                pushed += 1;
                hostile.record_word(at, word, value);
            }
            Op::Header(which, value) => hostile.word(which, value),
            Op::Cell(device, memory, which, value) => hostile.drop_cell(device, memory, which, value),
            Op::Restart => {
                drop(bench);
                bench = Bench::new([honest_file, hostile_file]);
            }
            Op::Shrink(bytes) => {
                hostile.shrink(u64::from(bytes));
                shrunk = true;
            }
            Op::Die => {
                bench.host.sweep(bench.now);
                check(&bench.look(), slots, pushed);
            }
        }
    }
    bench.drain();
    check(&bench.look(), slots, pushed);
    // Whatever it was: its end leaves nothing of it.
    for _ in 0..64 {
        if bench.host.process_count() == 1 {
            break;
        }
        bench.host.sweep(bench.now);
        bench.drain();
    }
    let seen = bench.look();
    check(&seen, slots, pushed);
    assert_eq!(seen.processes.len(), 1, "the dead one is gone");
    let left: u64 = seen.chips.iter().flat_map(|chip| chip.memory).map(|figures| figures.footprint_bytes).sum();
    assert_eq!(left, HONEST, "its end leaves nothing of it");
    drop(bench);
    ground::remove(honest_file);
    ground::remove(hostile_file);
}

fn check(seen: &Snapshot, slots: u64, pushed: u64) {
    assert!(seen.chips.len() <= MAX_CHIPS && seen.processes.len() <= 2 && seen.processes.len() + 1 >= 2);
    let honest = seen.processes.iter().position(|process| process.nonce == 1).expect("the honest process");
    let held: Vec<_> = seen.rows_of(honest).map(|row| (row.figures.footprint_bytes, row.figures.blocks)).collect();
    assert_eq!(held, [(HONEST, 1)], "somebody's lies changed another's row");
    let mut sums = vec![[[0_u64; 3]; 8]; seen.chips.len()];
    for row in &seen.rows {
        let figures = &row.figures;
        for bytes in [
            figures.live_bytes,
            figures.footprint_bytes,
            figures.peak_footprint_bytes,
            figures.allocated_bytes_total,
            figures.freed_bytes_total,
            figures.blocks,
            figures.resident_bytes,
            figures.fabric_bytes,
            figures.dispatch_bytes,
        ] {
            assert!(bytes <= MOST, "{figures:?}");
        }
        assert!(figures.peak_footprint_bytes >= figures.footprint_bytes, "{figures:?}");
        let sum = &mut sums[row.chip as usize][row.memory as usize];
        for (sum, one) in sum.iter_mut().zip([figures.live_bytes, figures.footprint_bytes, figures.blocks]) {
            *sum += one;
        }
    }
    for (chip, sums) in seen.chips.iter().zip(sums) {
        for (figures, sums) in chip.memory.iter().zip(sums) {
            let shown = [figures.live_bytes, figures.footprint_bytes, figures.blocks];
            assert_eq!(shown, sums, "a chip's sum is not that of its rows");
        }
    }
    assert!(seen.health.live_allocations <= pushed, "more is live than was ever told");
    for process in &seen.processes {
        assert!(process.lag_events <= slots.max(8) && process.dropped_events_total <= 1 << 48);
        assert_harmless(&text::load(&process.name));
        assert_harmless(&text::load(&process.command_line));
        assert_eq!(text::store::<32>(&text::load(&process.name).into_bytes()), process.name);
    }
    for line in &seen.lines {
        let text = std::str::from_utf8(&line.text).expect("whole characters");
        assert_harmless(text.trim_end_matches('\0'));
    }
    // Both may have died before, and counted what they claimed.
    assert!(seen.health.dropped_events_total <= MOST_DEATHS << 48 && seen.health.lag_events <= slots + 8);
    let mut words = Vec::new();
    seen.encode(&mut words);
    assert_eq!(Snapshot::decode(&words).as_ref(), Ok(seen), "what is published can be read");
}
