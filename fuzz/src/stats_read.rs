//! A stats segment that somebody has changed: found, checked, copied, decoded, and rendered in every way there is; and inherited by
//! the next aggregator.
//!
//! Byte 0: chips, processes, rows and event lines of the first snapshot, two bits each. Then one [`Op`] after the other.

use crate::ground::{self, MOST, assert_harmless};
use crate::script::{Reader, Writer};
use aggregator::fuzzing::{Heritage, Places};
use aggregator::host::{Host, Now};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde::de::IgnoredAny;
use shm_layout::procfs;
use shm_layout::segment::{Created, create};
use shm_layout::stats::{
    Chip, Figures, Health, Identity, Line, MAX_CHIPS, MAX_LINES, MAX_PROCESSES, MAX_ROWS, Process, Row, Snapshot,
    StatsHeader, StatsView, UNKNOWN, stats_bytes,
};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tui::clock::{self, Zone};
use tui::screen::dashboard::Dashboard;
use tui::screen::theme::Theme;
use tui::selection::Selection;
use tui::source::{Observation, Source};
use tui::users::Users;
use tui::{csv, degraded, json, screen, table};

/// Steps that one input may take.
const MOST_OPS: usize = 64;
/// Of these, looks: each costs as much as all the rest. Only the last one renders all that there is, the others a screen.
const MOST_LOOKS: usize = 3;
/// Screens, and columns of the table: one of each at a look, in turn.
const SCREENS: [(u16, u16); 3] = [(80, 24), (132, 43), (50, 12)];
const COLUMNS: [Option<usize>; 3] = [None, Some(80), Some(20)];

/// Room for a few processes; nobody is met here.
const PLACES: Places = Places { all: 8, of_one_user: 8, connections: 1, open_files: 1024 };

/// What changes next, or who looks.
#[derive(Clone, Debug)]
pub enum Op {
    /// Published, looked at and rendered.
    Look,
    /// A word of what is published next.
    Payload(u16, u64),
    /// A text: where, of which, what.
    Text(u8, u8, Vec<u8>),
    /// A word of the header, of a buffer's own, or of the sums that are left for a successor.
    Header(u8, u64),
    /// A word of the identity.
    Identity(u8, u64),
    /// A sample of the history: chip, number, bytes.
    Sample(u8, u16, u64),
    /// Looked at without being published again.
    LookAgain,
}

impl Op {
    fn read(from: &mut Reader<'_>) -> Self {
        match from.byte() % 8 {
            1 | 2 => Self::Payload(from.short(), from.number()),
            3 => {
                let (place, at, length) = (from.byte(), from.byte(), from.byte());
                Self::Text(place, at, from.bytes(usize::from(length)).to_vec())
            }
            4 => Self::Header(from.byte(), from.number()),
            5 => Self::Identity(from.byte(), from.number()),
            6 => Self::Sample(from.byte(), from.short(), from.number()),
            7 => Self::LookAgain,
            _ => Self::Look,
        }
    }

    /// The input that is read as this.
    pub fn write(&self, to: Writer) -> Writer {
        match self {
            Self::Look => to.byte(0),
            Self::Payload(at, value) => to.byte(1).short(*at).number(*value),
            Self::Text(place, at, text) => to.byte(3).byte(*place).byte(*at).byte(text.len() as u8).bytes(text),
            Self::Header(which, value) => to.byte(4).byte(*which).number(*value),
            Self::Identity(at, value) => to.byte(5).byte(*at).number(*value),
            Self::Sample(chip, at, value) => to.byte(6).byte(*chip).short(*at).number(*value),
            Self::LookAgain => to.byte(7),
        }
    }
}

/// An input: a snapshot of so many of everything, and these steps.
pub fn input(counts: u8, ops: &[Op]) -> Vec<u8> {
    ops.iter().fold(Writer::default().byte(counts), |to, op| op.write(to)).0
}

/// The segment, made once: it is large, and only a little of it changes at a time.
struct Segment {
    created: Created,
    /// Chips that have some.
    samples: BTreeSet<u8>,
}

impl Segment {
    fn make() -> Self {
        let name = ground::prefix().stats();
        Self { created: create(&name, stats_bytes()).expect("room in /dev/shm"), samples: BTreeSet::new() }
    }

    fn view(&self) -> StatsView<'_, AtomicU64> {
        let mapping = &self.created.mapping;
        let at = size_of::<StatsHeader<AtomicU64>>();
        let words = mapping.array(at, (stats_bytes() - at) / 8).expect("the words");
        StatsView::new(mapping.one(0).expect("the header"), words).expect("a segment of this version")
    }

    fn announce(&mut self, start_ticks: u64) {
        let view = self.view();
        view.announce(Identity {
            pid: std::process::id(),
            uid: ground::uid(),
            start_ticks,
            started_unix_ns: 1,
            started_monotonic_ns: 1,
            ..bytemuck::Zeroable::zeroed()
        });
        view.header.heartbeat.store(clock::monotonic_ns(), Relaxed);
        view.header.active.store(0, Relaxed);
        view.header.history_head.store(0, Relaxed);
        view.header.since.store(0, Relaxed);
        view.header.gone.as_flattened().iter().for_each(|word| word.store(0, Relaxed));
        for chip in &self.samples {
            view.clear_history(usize::from(*chip));
        }
        for buffer in 0..2 {
            self.buffer(buffer).iter().for_each(|word| word.store(0, Relaxed));
        }
        self.samples.clear();
    }

    /// The two words before a buffer's payload.
    fn buffer(&self, which: usize) -> &[AtomicU64] {
        let bytes = self.view().snapshots().capacity() * 8 + 16;
        self.created.mapping.array(stats_bytes() - (2 - which) * bytes, 2).expect("inside")
    }

    fn header_word(&self, which: u8, value: u64) {
        let view = self.view();
        let word = match which % 8 {
            0 => &view.header.active,
            1 => &view.header.heartbeat,
            2 => &view.header.history_head,
            7 => &view.header.gone.as_flattened()[usize::from(which / 8)],
            n => &self.buffer(usize::from(n - 3) / 2)[usize::from(n - 3) % 2],
        };
        word.store(value, Relaxed);
    }
}

fn first(counts: u8) -> Snapshot {
    let of = |at: u8| usize::from(counts >> at & 3);
    let (chips, processes, lines) = (of(0), of(2), of(6));
    let rows = if chips == 0 || processes == 0 { 0 } else { of(4) };
    let figures = Figures { capacity_bytes: UNKNOWN, footprint_bytes: 4096, blocks: 1, ..Figures::default() };
    let zeroed: (Chip, Process, Line) =
        (bytemuck::Zeroable::zeroed(), bytemuck::Zeroable::zeroed(), bytemuck::Zeroable::zeroed());
    let chip = |n: usize| Chip { chip_id: 0x10 + n as u64, arch: 3, memory: [figures; 8], ..zeroed.0 };
    let process = |n: usize| Process { pid: 1000 + n as u32, nonce: n as u64, ..zeroed.1 };
    let row = |n: usize| Row {
        process: (n % processes.max(1)) as u32,
        chip: (n % chips.max(1)) as u32,
        device: n as u32,
        memory: n as u32,
        figures,
    };
    Snapshot {
        health: Health::default(),
        chips: (0..chips).map(chip).collect(),
        processes: (0..processes).map(process).collect(),
        rows: (0..rows).map(row).collect(),
        lines: vec![zeroed.2; lines],
        refusals: vec![bytemuck::Zeroable::zeroed(); lines],
        differences: Vec::new(),
    }
}

fn put_text(snapshot: &mut Snapshot, place: u8, at: u8, text: &[u8]) {
    let field: &mut [u8] = match place % 5 {
        0 => match snapshot.processes.get_mut(usize::from(at % 4)) {
            Some(process) => &mut process.name,
            None => return,
        },
        1 => match snapshot.processes.get_mut(usize::from(at % 4)) {
            Some(process) => &mut process.command_line,
            None => return,
        },
        2 => match snapshot.chips.get_mut(usize::from(at % 4)) {
            Some(chip) => &mut chip.board,
            None => return,
        },
        3 => match snapshot.refusals.get_mut(usize::from(at % 4)) {
            Some(refusal) => &mut refusal.text,
            None => return,
        },
        _ => match snapshot.lines.get_mut(usize::from(at % 4)) {
            Some(line) => &mut line.text,
            None => return,
        },
    };
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

/// One input.
pub fn run(data: &[u8]) {
    thread_local! {
        static SEGMENT: RefCell<Segment> = RefCell::new(Segment::make());
    }
    SEGMENT.with_borrow_mut(|segment| play(segment, data));
}

fn play(segment: &mut Segment, data: &[u8]) {
    let mut script = Reader(data);
    segment.announce(procfs::stat("self").expect("this process").start_ticks);
    let counts = script.byte();
    let (mut snapshot, mut changes) = (first(counts), Vec::new());
    let mut source = Source::trusting(ground::prefix(), vec![ground::uid()]);
    let mut dashboard =
        Dashboard::new("fuzz".to_owned(), Zone::utc(), Theme::new(true, false), Selection::default(), 100);
    let (mut looks, mut rendered) = (0, false);
    for _ in 0..MOST_OPS {
        if script.is_empty() {
            break;
        }
        let op = Op::read(&mut script);
        // Of the end, or nothing of the end would be left to be seen.
        rendered = script.is_empty() && looks < MOST_LOOKS;
        match &op {
            Op::Look | Op::LookAgain if looks == MOST_LOOKS => {}
            Op::Look => {
                publish(segment, &snapshot, &changes);
                looks += 1;
                look(&mut source, &mut dashboard, looks, rendered);
            }
            Op::Payload(at, value) => changes.push((*at, *value)),
            Op::Text(place, at, text) => put_text(&mut snapshot, *place, *at, text),
            Op::Header(which, value) => segment.header_word(*which, *value),
            Op::Identity(at, value) => {
                let words = segment.created.mapping.array::<AtomicU64>(0, 16).expect("the identity");
                words[usize::from(at % 16)].store(*value, Relaxed);
                // Whoever has looked keeps what was checked then; a new reader sees the change.
                source = Source::trusting(ground::prefix(), vec![ground::uid()]);
            }
            Op::Sample(chip, at, value) => {
                segment.view().record_sample(usize::from(*chip), 0, u64::from(*at), *value);
                segment.samples.insert(*chip);
            }
            Op::LookAgain => {
                looks += 1;
                look(&mut source, &mut dashboard, looks, rendered);
            }
        }
        rendered &= matches!(op, Op::Look | Op::LookAgain);
    }
    if !rendered {
        publish(segment, &snapshot, &changes);
        look(&mut source, &mut dashboard, usize::from(counts), true);
    }
    inherit();
}

/// A successor that finds it is not ended by it, and takes over nothing that it could not publish itself.
fn inherit() {
    let Ok(Some(heritage)) = Heritage::find(ground::prefix()) else { return };
    let Heritage { snapshot, gone, .. } = &heritage;
    let figures = snapshot.chips.iter().flat_map(|chip| chip.memory);
    for figures in figures.chain(snapshot.rows.iter().map(|row| row.figures)) {
        let Figures { footprint_bytes, peak_footprint_bytes, allocated_bytes_total, .. } = figures;
        let most = footprint_bytes.max(peak_footprint_bytes).max(allocated_bytes_total).max(figures.freed_bytes_total);
        assert!(most <= MOST, "{figures:?}");
    }
    assert!(gone.events.max(gone.dropped).max(gone.torn).max(gone.deaths) <= MOST, "{gone:?}");
    // As they are, for whoever does not clean them again.
    let texts =
        snapshot.lines.iter().map(|line| &line.text[..]).chain(snapshot.chips.iter().map(|chip| &chip.board[..]));
    for text in texts {
        assert_harmless(std::str::from_utf8(text).expect("whole characters").trim_end_matches('\0'));
    }
    let mut host = Host::new(ground::prefix().clone(), PLACES);
    host.inherit(&heritage, Now { monotonic_ns: 1 << 40, unix_ns: 1 << 60 });
    host.miss(Now { monotonic_ns: 1 << 41, unix_ns: 1 << 60 });
    let parts = host.snapshot(Now { monotonic_ns: 1 << 41, unix_ns: 1 << 60 }, 0, 1);
    let seen = parts.to_snapshot();
    let mut words = Vec::new();
    seen.encode(&mut words);
    assert_eq!(Snapshot::decode(&words).as_ref(), Ok(&seen), "what a successor publishes can be read");
    assert!(heritage.history().is_some());
}

fn publish(segment: &Segment, snapshot: &Snapshot, changes: &[(u16, u64)]) {
    let mut words = Vec::new();
    snapshot.encode(&mut words);
    for (at, value) in changes {
        let length = words.len();
        words[usize::from(*at) % length] = *value;
    }
    segment.view().snapshots().publish(&words);
}

/// One look; `all`: with everything that can be made of it.
fn look(source: &mut Source, dashboard: &mut Dashboard, turn: usize, all: bool) {
    let feed = source.poll();
    assert_harmless(&feed.connection.to_string());
    if let Some(seen) = feed.seen.as_ref().filter(|_| all) {
        render(seen, COLUMNS[turn % COLUMNS.len()]);
        degraded::reasons(&feed.connection, seen).iter().for_each(|reason| assert_harmless(reason));
    }
    dashboard.update(feed);
    dashboard.look(source);
    let (width, height) = SCREENS[turn % SCREENS.len()];
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    screen::draw(&mut buffer, area, dashboard);
    // As one text: cell by cell it takes longer than everything else here.
    assert_harmless(&buffer.content().iter().map(|cell| cell.symbol()).collect::<String>());
}

/// A report as JSON: all of it is read, only what can be counted is kept.
#[derive(serde::Deserialize)]
struct Listed {
    processes: Vec<IgnoredAny>,
    devices: Vec<IgnoredAny>,
}

fn render(seen: &Observation, columns: Option<usize>) {
    let snapshot = &seen.snapshot;
    assert!(snapshot.chips.len() <= MAX_CHIPS && snapshot.processes.len() <= MAX_PROCESSES);
    assert!(snapshot.rows.len() <= MAX_ROWS && snapshot.lines.len() <= MAX_LINES);
    assert_eq!(seen.history.len(), snapshot.chips.len());
    let users = Users::default();
    let text = json::report(seen, &users).expect("it can always be written");
    assert_harmless(&text);
    assert!(!text.contains("\\u00"), "an escaped control character is one again in whoever reads it: {text}");
    let listed: Listed = serde_json::from_str(&text).expect("JSON");
    assert_eq!((listed.processes.len(), listed.devices.len()), (snapshot.processes.len(), snapshot.chips.len()));
    assert_harmless(&table::overview(seen, &users, columns, "nobody"));
    assert_harmless(&csv::rows(seen, &users).replace("\r\n", "\n"));
    snapshot.lines.iter().for_each(|line| assert_harmless(&table::line_text(line)));
}
