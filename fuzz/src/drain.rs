//! A ring whose owner writes what it likes while it is read, by a whole host, beside an honest process.
//!
//! Byte 0: slots of the ring (a power of two). Then one [`Op`] after the other. The honest process writes by the producer's own
//! code, into a ring so small that it is compacted, continued and at last full while no aggregator is there.

use crate::ground::{self, MOST, assert_harmless};
use crate::honest::Honest;
use crate::ring::Ring;
use crate::script::{Reader, Writer};
use aggregator::fuzzing::{Places, Wake, believable};
use aggregator::host::{Host, Now};
use shm_layout::event::Event;
use shm_layout::ring::SECTIONS;
use shm_layout::stats::{MAX_CHIPS, Process, Snapshot};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

/// No such process: whoever asks finds it dead.
const NOBODY: u32 = 0x3FFF_FFFF;
/// Rings of one input: the honest one, and the hostile one at most once.
const MOST_DEATHS: u64 = 2;
/// Steps that one input may take: two for each of more devices than there can be chips, and some.
const MOST_OPS: usize = 2 * (MAX_CHIPS + 16);
/// Of these, drains by the whole host, each followed by a check of all that it tells.
const MOST_DRAINS: usize = 24;
/// And restarts and looks for the dead, each of which costs as much as a hundred others.
const MOST_SLOW_OPS: usize = 3;
/// What a ring can say at most of records that are not read: every section as large as one may be (`MOST_SLOTS` of attach.rs).
const MOST_LAG: u64 = (SECTIONS as u64) << 24;

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
    /// It goes on in a further section; odd: without sealing the one before.
    Grow(u8),
    /// It compacts a section, under the reader's hands: which, how far it says that it was read, with history (odd) or not.
    Compact(u8, u64, u8),
    /// A word of a section's header: section, which, value.
    Section(u8, u8, u64),
    /// A figure of a vanished table: section, device, memory kind times two (odd: the peak), value.
    Vanished(u8, u8, u8, u64),
    /// The honest process makes and ends so many allocations, drawn by the second byte.
    Honest(u8, u8),
    /// The same four times over, while no aggregator is there.
    Away(u8, u8),
}

impl Op {
    fn read(from: &mut Reader<'_>) -> Self {
        match from.byte() % 24 {
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
            14 => Self::Grow(from.byte()),
            15 => Self::Compact(from.byte(), from.number(), from.byte()),
            16 | 17 => Self::Section(from.byte(), from.byte(), from.number()),
            18 => Self::Vanished(from.byte(), from.byte(), from.byte(), from.number()),
            19 => Self::Honest(from.byte(), from.byte()),
            20 => Self::Away(from.byte(), from.byte()),
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
            Self::Grow(how) => to.byte(14).byte(*how),
            Self::Compact(which, read, history) => to.byte(15).byte(*which).number(*read).byte(*history),
            Self::Section(number, which, value) => to.byte(16).byte(*number).byte(*which).number(*value),
            Self::Vanished(number, device, memory, value) => {
                to.byte(18).byte(*number).byte(*device).byte(*memory).number(*value)
            }
            Self::Honest(count, seed) => to.byte(19).byte(*count).byte(*seed),
            Self::Away(count, seed) => to.byte(20).byte(*count).byte(*seed),
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

    /// What is told once nothing of the honest process is left unread.
    fn look_when_read(&mut self, honest: &Honest) -> Option<Snapshot> {
        let seen = self.look();
        let lags = |process: &&Process| process.nonce == honest.file.nonce && process.lag_events > 0;
        if !seen.processes.iter().any(|process| lags(&process)) {
            return Some(seen);
        }
        self.drain();
        None
    }

    fn look(&mut self) -> Snapshot {
        self.generation += 1;
        let parts = self.host.snapshot(self.now, 0, self.generation);
        parts.to_snapshot()
    }
}

/// One input.
pub fn run(data: &[u8]) {
    let mut script = Reader(data);
    let slots = 1_u64 << (script.byte() % 9);
    let hostile_file = ground::ring_file(NOBODY, 2);
    let mut honest = Honest::begin();
    let honest_file = honest.file;
    // Its name comes from the header, for there is no process to ask.
    let mut hostile = Ring::make(hostile_file, slots, 1, b"ho\x1b[31mst\xe2\x80\xaeile\xff");
    let files = [honest_file, hostile_file];
    let mut bench = Bench::new(files);
    let (mut pushed, mut shrunk, mut slow, mut drains) = (0, false, 0, 0);
    for _ in 0..MOST_OPS {
        if script.is_empty() {
            break;
        }
        let op = Op::read(&mut script);
        slow += usize::from(matches!(op, Op::Restart | Op::Die | Op::Away(..)));
        drains += usize::from(matches!(op, Op::Drain | Op::Honest(..)));
        match op {
            Op::Drain | Op::Honest(..) if drains > MOST_DRAINS => {}
            Op::Restart | Op::Die | Op::Away(..) if slow > MOST_SLOW_OPS => {}
            // Where its pages were, its owner has none either.
            op if shrunk && !matches!(op, Op::Drain | Op::Restart | Op::Die | Op::Honest(..) | Op::Away(..)) => {}
            Op::Drain => {
                bench.drain();
                check(&mut bench, &honest, pushed);
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
                bench = Bench::new(files);
            }
            Op::Shrink(bytes) => {
                hostile.shrink(u64::from(bytes));
                shrunk = true;
            }
            Op::Die => {
                bench.host.sweep(bench.now);
                check(&mut bench, &honest, pushed);
            }
            Op::Grow(how) => hostile.grow(how & 1 == 1),
            Op::Compact(which, read, history) => {
                // What it moves may be read once more.
                pushed += hostile.compact(which, read, history & 1 == 1);
            }
            Op::Section(number, which, value) => hostile.section_word(number, which, value),
            Op::Vanished(number, device, memory, value) => {
                hostile.vanished_cell(number, device, memory / 2, memory & 1 == 1, value);
            }
            Op::Honest(count, seed) => {
                bench.drain();
                honest.live(count.into(), seed, true);
                bench.drain();
                check(&mut bench, &honest, pushed);
            }
            Op::Away(count, seed) => {
                drop(bench);
                honest.live(4 * usize::from(count), seed, false);
                bench = Bench::new(files);
                check(&mut bench, &honest, pushed);
            }
        }
    }
    bench.drain();
    check(&mut bench, &honest, pushed);
    // Whatever it was: its end leaves nothing of it.
    for _ in 0..64 {
        if bench.host.process_count() == 1 {
            break;
        }
        bench.host.sweep(bench.now);
        bench.drain();
    }
    let seen = check(&mut bench, &honest, pushed);
    assert_eq!(seen.processes.len(), 1, "the dead one is gone");
    let left: u64 = seen.chips.iter().flat_map(|chip| chip.memory).map(|figures| figures.footprint_bytes).sum();
    assert_eq!(left, honest.footprint(), "its end leaves nothing of it");
    drop(bench);
    ground::remove(honest_file);
    ground::remove(hostile_file);
}

fn check(bench: &mut Bench, honest: &Honest, pushed: u64) -> Snapshot {
    // At a section's end the host turns to the others first.
    let seen = (0..SECTIONS).find_map(|_| bench.look_when_read(honest)).expect("it is read to its end");
    assert!(seen.chips.len() <= MAX_CHIPS && seen.processes.len() <= 2 && !seen.processes.is_empty());
    let at = seen.processes.iter().position(|process| process.nonce == honest.file.nonce).expect("the honest process");
    let held: Vec<_> = seen.rows_of(at).map(|row| row.figures).collect();
    honest.check(&held);
    let process = &seen.processes[at];
    assert_eq!(process.lag_events, 0, "all that the honest one wrote was read");
    assert_eq!(process.dropped_events_total, honest.dropped());
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
    assert!(seen.health.live_allocations <= pushed + honest.blocks(), "more is live than was ever told");
    for process in &seen.processes {
        assert!(process.lag_events <= MOST_LAG && process.dropped_events_total <= 1 << 48, "{process:?}");
        assert!(process.events_total <= MOST, "{process:?}");
        for field in [&process.name[..], &process.command_line] {
            let text = std::str::from_utf8(field).expect("whole characters").trim_end_matches('\0');
            assert_harmless(text);
            assert!(!text.contains('\0'), "what follows a NUL is not shown");
        }
    }
    for line in &seen.lines {
        let text = std::str::from_utf8(&line.text).expect("whole characters");
        assert_harmless(text.trim_end_matches('\0'));
    }
    // Both may have died before, and counted what they claimed.
    assert!(seen.health.dropped_events_total <= MOST_DEATHS << 48 && seen.health.lag_events <= MOST_LAG);
    // No process can bring it about that a successor throws away what is known of the others.
    assert!(believable(&seen, &bench.host.gone()), "a successor would not take these figures over: {:?}", seen.health);
    let mut words = Vec::new();
    seen.encode(&mut words);
    assert_eq!(Snapshot::decode(&words).as_ref(), Ok(&seen), "what is published can be read");
    seen
}
