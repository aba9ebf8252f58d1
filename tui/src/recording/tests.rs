#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::frame::{self, HEADER_BYTES, Header, kind};
use super::look::Look;
use super::reader::Reader;
use super::wire::put_section;
use super::writer::Writer;
use super::*;
use crate::inventory::{Holder, Inventory};
use crate::ledger::Allocation;
use crate::ledger::fixture::alloc;
use crate::sample;
use crate::source::{Connection, Feed, History, Observation};
use bytemuck::Zeroable;
use shm_layout::event::{Event, Memory};
use shm_layout::ledger::Device;
use shm_layout::stats::Line;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

mod bounds;
mod golden;
mod harm;
mod past;
mod torn;

use past::past;

const SECOND: u64 = 1_000_000_000;

/// A host at this second: figures move, a line comes now and then, a process comes and goes.
fn seen(second: u64) -> Observation {
    let mut seen = sample::observation(2);
    let swing = (second % 40) as f64 / 20.0 - 1.0;
    seen.snapshot = sample::host_at(2, swing);
    let health = &mut seen.snapshot.health;
    health.generation += second;
    health.events_total += second * 1000;
    for n in 0..second / 7 {
        let text = shm_layout::text::store(format!("line {n}").as_bytes());
        seen.snapshot.lines.remove(0);
        seen.snapshot.lines.push(Line { unix_ns: sample::UNIX_NS + n, severity: 0, pid: 7, text });
    }
    if second % 50 > 30 {
        seen.snapshot.processes.pop();
        seen.snapshot.rows.retain(|row| row.process < 2);
    }
    // More than there are samples of, from a second on.
    seen.history_head = 300 + second;
    seen.history = (0..2).map(|_| past(seen.history_head)).collect();
    for moment in [&mut seen.now_ns, &mut seen.unix_ns, &mut seen.heartbeat_ns] {
        *moment += second * SECOND;
    }
    seen
}

fn look(second: u64) -> Look {
    Look::new(&Connection::Live, seen(second), vec![(0, "root".into()), (65_534, "nobody".into())]).unwrap()
}

fn same(feed: &Feed, second: u64) -> bool {
    let Some(read) = &feed.seen else { return false };
    let seen = seen(second);
    (&read.snapshot, &read.history, read.history_head) == (&seen.snapshot, &seen.history, seen.history_head)
        && (read.now_ns, read.unix_ns, read.heartbeat_ns) == (seen.now_ns, seen.unix_ns, seen.heartbeat_ns)
        && (read.identity.pid, read.identity.started_unix_ns) == (seen.identity.pid, seen.identity.started_unix_ns)
        && matches!(feed.connection, Connection::Live)
}

fn inventory(second: u64) -> Inventory {
    let process = sample::host(1).processes[0];
    let device = Device { device: 0, chip_id: 0x1c, tensix_cores: 140, open: 1, ..Device::zeroed() };
    let one = |id: u64| Allocation {
        event: Event { stamp: id + 1, ..alloc(id, 0, Memory::Dram, 64 * id, id) },
        memory: Memory::Dram,
        chip_id: Some(0x1c),
        tag: id.is_multiple_of(2).then(|| "forward".into()),
    };
    let allocations = (second..second + 50).map(one).collect();
    let holder = Holder {
        pid: 7,
        ring_pid: process.ring_pid,
        nonce: process.nonce,
        devices: vec![device],
        allocations,
        ..Holder::default()
    };
    Inventory { holders: vec![holder], read_ns: sample::NOW_NS + second * SECOND, ..Inventory::default() }
}

/// Writes a session with a look a second, whole ones every `every`, inventories every 20.
fn record(path: &Path, seconds: std::ops::Range<u64>, every: u64) {
    record_of(path, seconds, every, look);
}

/// The same of a small host.
fn small(second: u64) -> Look {
    let mut seen = seen(second);
    let snapshot = &mut seen.snapshot;
    snapshot.lines.truncate(2);
    snapshot.processes.truncate(1);
    snapshot.chips.truncate(1);
    snapshot.rows.retain(|row| row.process == 0 && row.chip == 0 && row.memory < 2);
    let samples = |at: usize| if at < 2 { vec![1, 2, second] } else { vec![0; 3] };
    let spans = |at: usize| if at < 2 { vec![2; 15] } else { vec![0; 15] };
    seen.history = vec![Rc::new(History { samples: std::array::from_fn(samples), spans: std::array::from_fn(spans) })];
    Look::new(&Connection::Live, seen, vec![(0, "root".into())]).unwrap()
}

fn record_of(path: &Path, seconds: std::ops::Range<u64>, every: u64, look: fn(u64) -> Look) {
    let mut writer = Writer::open(path, Begin::Append).unwrap();
    let at = |second: u64| (sample::NOW_NS + second * SECOND, sample::UNIX_NS + second * SECOND);
    let session = Session { host: "box".into(), release: "0.1.0".into(), boot_id: "b007".into(), refresh_ms: 1000 };
    let (now_ns, unix_ns) = at(seconds.start);
    writer.write(kind::SESSION, now_ns, unix_ns, &session.content()).unwrap();
    let full = inventory(seconds.start);
    let (first, last) = (seconds.start, seconds.end);
    for second in seconds {
        let (now_ns, unix_ns) = at(second);
        let behind = (second - first) % every;
        if behind == 0 {
            writer.write(kind::KEY, now_ns, unix_ns, &look(second).whole()).unwrap();
        } else {
            let content = look(second).since(&look(second - 1), behind);
            writer.write(kind::DELTA, now_ns, unix_ns, &content).unwrap();
        }
        if second == first {
            let content = allocations::content(first, None, &full);
            writer.write(kind::INVENTORY, now_ns, unix_ns, &content).unwrap();
        } else if (second - first) % 20 == 0 {
            let content = allocations::content(first, Some(&full), &inventory(second));
            writer.write(kind::CHANGE, now_ns, unix_ns, &content).unwrap();
        }
    }
    let (now_ns, unix_ns) = at(last - 1);
    writer.write(kind::END, now_ns, unix_ns, &[]).unwrap();
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("a.rec")
}

#[test]
fn what_was_recorded_is_played_and_every_moment_can_be_sought() {
    let folder = folder();
    record(&file(&folder), 0..130, 60);
    let mut player = Player::open(&file(&folder)).unwrap();
    assert_eq!((player.length_ns(), player.damage()), (129 * SECOND, None));
    assert_eq!(player.session().unwrap().host, "box");
    assert_eq!(player.names().len(), 2);
    assert!(same(&player.feed(), 0));
    for second in 1..130 {
        assert!(player.pass(Duration::from_secs(1)).unwrap());
        assert!(same(&player.feed(), second), "{second}");
    }
    assert!(player.is_at_end() && !player.pass(Duration::from_secs(1)).unwrap());
    for second in [0, 59, 60, 61, 119, 120, 129, 7, 64] {
        player.seek(second * SECOND + 5).unwrap();
        assert!(same(&player.feed(), second), "{second}");
        assert_eq!(player.position_ns(), (second * SECOND + 5).min(129 * SECOND));
    }
    player.seek(u64::MAX).unwrap();
    for second in (0..129).rev() {
        assert!(player.go(Move::StepBack).unwrap());
        assert!(same(&player.feed(), second), "{second}");
    }
    player.go(Move::StepBack).unwrap();
    assert!(same(&player.feed(), 0), "nothing is before the first");
    for second in 1..70 {
        player.go(Move::StepOn).unwrap();
        assert!(same(&player.feed(), second), "{second}");
    }
    player.go(Move::JumpBack).unwrap();
    assert!(same(&player.feed(), 9));
    player.go(Move::JumpOn).unwrap();
    player.go(Move::JumpOn).unwrap();
    assert!(same(&player.feed(), 129));
    assert!(player.seek_unix(sample::UNIX_NS + 77 * SECOND + 1).unwrap());
    assert!(same(&player.feed(), 77));
    assert!(!player.seek_unix(5).unwrap());
    assert!(same(&player.feed(), 0));
}

#[test]
fn time_passes_as_fast_as_asked_for() {
    let folder = folder();
    record(&file(&folder), 0..130, 60);
    let mut player = Player::open(&file(&folder)).unwrap();
    for _ in 0..10 {
        player.go(Move::Faster).unwrap();
    }
    assert_eq!(player.speed_quarters(), 4 * 64);
    player.pass(Duration::from_secs(1)).unwrap();
    assert!(same(&player.feed(), 64));
    for _ in 0..10 {
        player.go(Move::Slower).unwrap();
    }
    assert_eq!(player.speed_quarters(), 1);
    player.pass(Duration::from_secs(4)).unwrap();
    assert!(same(&player.feed(), 65));
}

#[test]
fn single_allocations_are_those_of_the_moment() {
    let folder = folder();
    record(&file(&folder), 0..70, 60);
    record(&file(&folder), 1000..1005, 60);
    let mut player = Player::open(&file(&folder)).unwrap();
    for (second, from) in [(0, 0), (19, 0), (20, 20), (69, 60), (45, 40)] {
        player.seek(second * SECOND).unwrap();
        let read = player.inventory().unwrap().unwrap();
        assert_eq!(read.holders[0].allocations, inventory(from).holders[0].allocations, "{second}");
        assert_eq!(read.read_ns, inventory(from).read_ns);
    }
    player.seek(u64::MAX).unwrap();
    assert_eq!(player.inventory().unwrap().unwrap().read_ns, inventory(1000).read_ns, "of its own session");
}

#[test]
fn sessions_follow_each_other_without_the_time_between() {
    let folder = folder();
    record(&file(&folder), 0..10, 60);
    record(&file(&folder), 5000..5010, 60);
    let mut player = Player::open(&file(&folder)).unwrap();
    assert_eq!((player.length_ns(), player.damage()), (19 * SECOND, None));
    player.seek(9 * SECOND).unwrap();
    assert!(same(&player.feed(), 9));
    player.seek(10 * SECOND).unwrap();
    assert!(same(&player.feed(), 5000));
    player.seek(13 * SECOND).unwrap();
    assert!(same(&player.feed(), 5003));
    for second in [5002, 5001, 5000, 9, 8] {
        player.go(Move::StepBack).unwrap();
        assert!(same(&player.feed(), second), "{second}");
    }
}

#[test]
fn a_last_frame_that_is_torn_is_left_out_and_said() {
    let folder = folder();
    record(&file(&folder), 0..20, 60);
    let whole = std::fs::read(file(&folder)).unwrap();
    let player = Player::open(&file(&folder)).unwrap();
    let before_end = whole.len() - HEADER_BYTES;
    drop(player);
    for cut in [1, 30, HEADER_BYTES, HEADER_BYTES + 1, HEADER_BYTES + 9] {
        std::fs::write(file(&folder), &whole[..whole.len() - cut]).unwrap();
        let mut player = Player::open(&file(&folder)).unwrap();
        player.seek(u64::MAX).unwrap();
        let last = if whole.len() - cut < before_end { 18 } else { 19 };
        assert!(same(&player.feed(), last), "{cut}");
        let told = player.damage();
        assert_eq!(told.is_some(), cut != HEADER_BYTES, "{cut}: {told:?}");
        assert!(told.is_none_or(|told| told.starts_with("it ends in the middle of a frame")));
    }
    // A session that comes behind it is not lost.
    std::fs::write(file(&folder), &whole[..whole.len() - HEADER_BYTES - 9]).unwrap();
    record(&file(&folder), 100..110, 60);
    let mut player = Player::open(&file(&folder)).unwrap();
    player.seek(u64::MAX).unwrap();
    assert!(same(&player.feed(), 109));
    assert!(player.damage().unwrap().contains("damaged"));
}

/// Where the frames begin.
fn frames(path: &Path) -> Vec<(usize, Header)> {
    let mut reader = Reader::open(path).unwrap();
    let mut frames = Vec::new();
    let mut offset = frame::HEAD_BYTES as u64;
    while let Some((found, header)) = reader.next(offset).unwrap() {
        frames.push((found as usize, header));
        offset = header.end(found);
    }
    frames
}

#[test]
fn a_damaged_frame_is_left_out_up_to_the_next_whole_look() {
    let folder = folder();
    record(&file(&folder), 0..90, 30);
    let whole = std::fs::read(file(&folder)).unwrap();
    let deltas: Vec<usize> =
        frames(&file(&folder)).iter().filter(|(_, h)| h.kind == kind::DELTA).map(|(at, _)| *at).collect();
    // Behind the first key frame 29 deltas: the tenth is of second 10. Once in its content, once in its header.
    for (at, places) in [(deltas[9] + HEADER_BYTES + 3, 0), (deltas[9] + 5, 1)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(file(&folder), &bytes).unwrap();
        let mut player = Player::open(&file(&folder)).unwrap();
        player.seek(9 * SECOND).unwrap();
        assert!(same(&player.feed(), 9));
        player.seek(20 * SECOND).unwrap();
        let shown = player.feed();
        assert!(same(&shown, 9), "the last one that is whole stays");
        player.seek(30 * SECOND).unwrap();
        assert!(same(&player.feed(), 30));
        player.seek(89 * SECOND).unwrap();
        assert!(same(&player.feed(), 89));
        player.seek(25 * SECOND).unwrap();
        player.go(Move::StepOn).unwrap();
        assert!(same(&player.feed(), 30), "a step goes to the next that is whole");
        let damage = Reader::open(&file(&folder)).unwrap().damage;
        assert_eq!((damage.places, damage.torn), (places, 0));
        assert!(player.damage().unwrap().contains("left out"));
    }
}

#[test]
fn what_a_later_version_adds_is_stepped_over() {
    let folder = folder();
    {
        let mut writer = Writer::open(&file(&folder), Begin::New).unwrap();
        let mut session = Session::default().content();
        put_section(&mut session, 99, b"something");
        writer.write(kind::SESSION, 1, 1, &session).unwrap();
        writer.write(77, 1, 1, b"a frame of another kind").unwrap();
        let mut key = look(0).whole();
        put_section(&mut key, 99, b"a section");
        writer.write(kind::KEY, sample::NOW_NS, sample::UNIX_NS, &key).unwrap();
        writer.write(78, 1, 1, &[0; 5000]).unwrap();
        let mut delta = look(1).since(&look(0), 1);
        put_section(&mut delta, 99, b"a section");
        let at = |second| (sample::NOW_NS + second * SECOND, sample::UNIX_NS + second * SECOND);
        writer.write(kind::DELTA, at(1).0, at(1).1, &delta).unwrap();
    }
    let mut player = Player::open(&file(&folder)).unwrap();
    assert!(same(&player.feed(), 0));
    player.seek(u64::MAX).unwrap();
    assert!(same(&player.feed(), 1));
    assert_eq!(player.damage(), None);
}

#[test]
fn a_file_of_something_else_is_neither_written_nor_read() {
    let folder = folder();
    let path = file(&folder);
    std::fs::write(&path, "the only copy of a thesis").unwrap();
    assert!(matches!(Writer::open(&path, Begin::Append), Err(RecordingError::Occupied { .. })));
    assert!(matches!(Player::open(&path), Err(RecordingError::NotARecording { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"the only copy of a thesis");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Player::open(&path), Err(RecordingError::NotARecording { .. })));
    drop(Writer::open(&path, Begin::Append).unwrap());
    assert!(matches!(Player::open(&path), Err(RecordingError::Empty { .. })));
    assert!(matches!(Writer::open(&path, Begin::New), Err(RecordingError::System { .. })));
    let writer = Writer::open(&path, Begin::Append).unwrap();
    assert!(matches!(Writer::open(&path, Begin::Append), Err(RecordingError::Busy { .. })));
    drop(writer);
    let mut newer = frame::head();
    newer[8] = 9;
    std::fs::write(&path, newer).unwrap();
    for error in [Writer::open(&path, Begin::Append).unwrap_err(), Player::open(&path).unwrap_err()] {
        assert!(matches!(error, RecordingError::Format { found: 9, .. }), "{error}");
    }
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(Player::open(&fifo), Err(RecordingError::NotRegular { .. })), "and nobody waits for a writer");
    assert!(matches!(Writer::open(&fifo, Begin::Append), Err(RecordingError::NotRegular { .. })));
    assert!(matches!(Player::open(folder.path()), Err(RecordingError::NotRegular { .. })));
    use std::os::unix::fs::PermissionsExt;
    let fresh = folder.path().join("fresh");
    drop(Writer::open(&fresh, Begin::New).unwrap());
    assert_eq!(std::fs::metadata(&fresh).unwrap().permissions().mode() & 0o777, 0o600, "command lines are in it");
    let theirs = folder.path().join("theirs");
    std::fs::write(&theirs, "something else").unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    for (path, mode) in [(&fresh, 0o600), (&empty, 0o600), (&theirs, 0o644)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let _opened = Writer::open(path, Begin::Append);
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
}
