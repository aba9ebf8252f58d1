//! Frames that were not written to their end with a session behind them, and files that claim much: what is read of them.

use super::super::frame::{MARKER, frame, head};
use super::super::reader::Damage;
use super::harm::forged;
use super::*;

/// Bytes that are neither frames nor all the same.
fn noise(count: usize) -> Vec<u8> {
    (0..count as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn a_session_behind_a_torn_frame_is_played() {
    for (length, written) in [(2 << 20, 1 << 20), (2 << 20, 0), (3000, 10), (60_000, 59_999), (500, 0)] {
        let folder = folder();
        record(&file(&folder), 0..5, 60);
        let mut bytes = std::fs::read(file(&folder)).unwrap();
        let torn = frame(kind::INVENTORY, sample::NOW_NS, sample::UNIX_NS, &noise(length)).unwrap();
        bytes.extend(&torn[..HEADER_BYTES + written]);
        std::fs::write(file(&folder), &bytes).unwrap();
        let damage = Damage { torn: (HEADER_BYTES + written) as u64, ..Damage::default() };
        assert_eq!(Reader::open(&file(&folder)).unwrap().damage, damage);
        record(&file(&folder), 100..110, 60);
        let mut player = Player::open(&file(&folder)).unwrap();
        player.seek(u64::MAX).unwrap();
        assert!(same(&player.feed(), 109), "{length} {written}");
        for (wanted, second) in [(Move::JumpBack, 0), (Move::JumpOn, 109)] {
            player.go(wanted).unwrap();
            assert!(same(&player.feed(), second), "{length} {written}");
        }
        player.seek(4 * SECOND).unwrap();
        for (wanted, second) in
            [(Move::StepOn, 100), (Move::StepOn, 101), (Move::StepBack, 100), (Move::StepBack, 4), (Move::StepOn, 100)]
        {
            player.go(wanted).unwrap();
            assert!(same(&player.feed(), second), "{length} {written} {second}");
        }
        assert!(player.damage().unwrap().starts_with("damaged in 1 places"));
        let reader = Reader::open(&file(&folder)).unwrap();
        assert_eq!((reader.sessions.len(), reader.length_ns), (2, 14 * SECOND));
        let damage = Damage { places: 1, bytes: (HEADER_BYTES + written) as u64, torn: 0 };
        assert_eq!(reader.damage, damage, "{length} {written}");
    }
}

#[test]
fn no_byte_is_read_again_and_again() {
    let folder = folder();
    record_of(&file(&folder), 0..4, 3, small);
    let session = std::fs::read(file(&folder)).unwrap();
    let markers = MARKER.repeat(1 << 15);
    let mut header = frame(kind::KEY, 1, 1, &noise(400 << 10)).unwrap();
    header.truncate(HEADER_BYTES);
    let headers = header.repeat((512 << 10) / HEADER_BYTES);
    // Contents of frames that nothing stands behind are looked at, but not so many that they lie across each other.
    for (between, contents) in [(markers, 0), (headers, 64 << 20)] {
        let bytes = [&session[..], &between, &session[head().len()..]].concat();
        std::fs::write(file(&folder), &bytes).unwrap();
        let reader = Reader::open(&file(&folder)).unwrap();
        let read = reader.bytes_read.get();
        assert!(read < 4 * bytes.len() as u64 + contents, "{read} of {}", bytes.len());
        assert_eq!((reader.sessions.len(), reader.damage.bytes), (2, between.len() as u64));
    }
}

/// A session that looks so often, then whole looks and one by its differences at these moments.
fn at(path: &Path, refresh_ms: u64, keys: &[u64], delta: u64) -> Player {
    let session = Session { refresh_ms, ..Session::default() };
    let mut frames = vec![(kind::SESSION, 0, session.content())];
    frames.extend(keys.iter().map(|moment| (kind::KEY, *moment, small(0).whole())));
    frames.push((kind::DELTA, delta, small(1).since(&small(0), 1)));
    forged(path, &frames);
    Player::open(path).unwrap()
}

#[test]
fn time_at_which_nobody_recorded_does_not_pass() {
    let folder = folder();
    let (minute, hour) = (60 * SECOND, 3600 * SECOND);
    for (refresh_ms, keys, delta, length_ns) in [
        (250, &[0, u64::MAX][..], u64::MAX, SECOND),
        (u64::MAX, &[0][..], u64::MAX, SECOND),
        (250, &[u64::MAX, 0][..], u64::MAX, SECOND),
        (250, &[0, minute, hour][..], hour + 5, minute + SECOND + 5),
        (3_600_000, &[0, hour][..], 2 * hour, 2 * hour),
    ] {
        let mut player = at(&file(&folder), refresh_ms, keys, delta);
        assert_eq!(player.length_ns(), length_ns);
        let mut shown = 1;
        while !player.is_at_end() && shown < 10_000 {
            shown += 1;
            player.pass(Duration::from_secs(1)).unwrap();
        }
        assert!(shown <= 2 + length_ns / SECOND, "{shown}");
        assert_eq!(player.unix_ns(), delta, "the last one is shown");
    }
}
