//! Recordings that earlier releases made are played.

use super::super::reader::Damage;
use super::past::with_spans_of_samples;
use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/format-1.rec");

/// Made once, with the release that wrote format 1 first.
#[test]
#[ignore = "writes the file that the next test reads"]
fn make_the_recording_of_format_1() {
    std::fs::create_dir_all(Path::new(GOLDEN).parent().unwrap()).unwrap();
    record(Path::new(GOLDEN), 0..90, 60);
}

/// A recording of format 1 is played by every later release. Its figures are written out here: the sample host may change.
#[test]
fn a_recording_of_format_1_is_played() {
    let mut player = Player::open(Path::new(GOLDEN)).unwrap();
    assert_eq!((player.length_ns(), player.damage()), (89 * SECOND, None));
    let session = Session { host: "box".into(), release: "0.1.0".into(), boot_id: "b007".into(), refresh_ms: 1000 };
    assert_eq!(player.session(), Some(&session));
    for (second, dram, processes, events, line) in [
        (0, 24_654_118_912, 3, 8_845_356, "PID 52011 (ttnn_bench) attached: 1 chip"),
        (30, 26_522_681_344, 3, 8_875_356, "line 3"),
        (60, 25_899_827_200, 3, 8_905_356, "line 7"),
        (89, 25_214_687_232, 2, 8_934_356, "line 11"),
    ] {
        player.seek(second * SECOND).unwrap();
        let seen = player.feed().seen.unwrap();
        let snapshot = &seen.snapshot;
        assert_eq!(snapshot.chips[0].memory[0].footprint_bytes, dram, "{second}");
        assert_eq!((snapshot.processes.len(), snapshot.health.events_total), (processes, events), "{second}");
        assert_eq!(shm_layout::text::load(&snapshot.lines.last().unwrap().text), line);
        assert_eq!((seen.history.len(), seen.history_head), (2, 300 + second));
        // It has no spans: they are made of the samples.
        assert_eq!(*seen.history[1], with_spans_of_samples(second), "{second}");
        let held = player.inventory().unwrap().unwrap();
        assert_eq!(held.holders[0].allocations[1].event.address, (second / 20 * 20 + 1) * 0x1000);
        assert_eq!(held.holders[0].allocations[0].tag(), Some("forward"));
    }
    let damage = Reader::open(Path::new(GOLDEN)).unwrap().damage;
    assert_eq!(damage, Damage::default());
}
