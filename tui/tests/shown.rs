//! From the fault to what a person sees of it: JSON, `--strict`, `tt-alloc doctor`, `alloc-top --once` and the screen. Aggregator
//! and tracked processes are real ones.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "shown/ground.rs"]
mod ground;

use ground::{Ground, PATIENCE, Role, scribble};
use serde_json::Value;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use shm_layout::ring::{DROP_DEVICES, RingHeader};
use std::io::{BufRead, Write};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Runs as what this test binary was started for.
#[test]
fn role() {
    let Some(role) = std::env::var_os("SHOWN_ROLE") else { return };
    let aggregator =
        (role == "aggregator").then(|| aggregator::embedded::start(&Prefix::from_environment().unwrap()).unwrap());
    println!("\nready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let answer = match words[0] {
            // kind, first id, how many, device
            kind @ ("alloc" | "free") => {
                let kind = if kind == "alloc" { Kind::Alloc } else { Kind::Free };
                for id in number(1)..number(1) + number(2) {
                    let device = words.get(3).map_or(0, |device| device.parse().unwrap());
                    producer::process::record(Event { id, size: 64, ..Event::new(kind, Memory::Dram, device) });
                }
                String::new()
            }
            "comm" => {
                std::fs::write("/proc/self/comm", b"\x1b[2J\x1b]0;x\x07\xe2\x80\xaey").unwrap();
                String::new()
            }
            "ring" => producer::process::ring_name().unwrap_or_default().to_owned(),
            other => panic!("{other}"),
        };
        println!("\n= {answer}");
    }
    drop(aggregator);
}

fn rejected(json: &Value) -> &Vec<Value> {
    static NONE: Vec<Value> = Vec::new();
    json["aggregator"]["rejected_rings"].as_array().unwrap_or(&NONE)
}

fn reasons(json: &Value) -> Vec<&str> {
    let reasons = json["processes"][0]["detail_incomplete_reasons"].as_array();
    reasons.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn a_ring_of_another_version_is_named_with_its_reason_until_it_is_gone() {
    let ground = Ground::new();
    let mut player = ground.producer();
    player.tell("alloc 0 1");
    let ring = player.tell("ring");
    scribble(&ring).mapping.one::<AtomicU64>(8).unwrap().fetch_add(1, Relaxed);
    let aggregator = ground.aggregator();
    let (json, code) = ground.see("the refusal", |json, _| !rejected(json).is_empty());
    let found = &rejected(&json)[0];
    assert_eq!(
        (&found["name"], &found["reason"], &found["passing"]),
        (&ring.clone().into(), &"version".into(), &false.into())
    );
    assert_eq!((&found["pid"], code), (&player.child.id().into(), Some(4)));
    assert!(found["text"].as_str().unwrap().starts_with("layout version "), "{found}");
    assert!(found["since_unix_seconds"].as_f64().unwrap() > 1e9);
    let doctor = ground.doctor();
    assert!(doctor.finding("BAD", &format!("{ring} is not read: layout version")).contains("tt-alloc run"));
    assert_eq!(doctor.code, Some(1));
    assert!(ground.once().contains(&format!("{ring} is not read: layout version")));
    let pid = player.child.id();
    assert!(ground.screen(150).contains(&format!("! ring of PID {pid} refused: layout version")));
    assert!(ground.screen(40).contains("! 1 refused"));
    // It is still told after a restart of the aggregator, and counted once.
    aggregator.close();
    let aggregator = ground.aggregator();
    let (json, _) = ground.see("it again", |json, _| !rejected(json).is_empty());
    assert_eq!(json["aggregator"]["rejected_rings_total"], 1);
    std::fs::remove_file(format!("/dev/shm/{ring}")).unwrap();
    let (json, code) = ground.see("none", |json, _| rejected(json).is_empty());
    assert_eq!((code, &json["aggregator"]["rejected_rings_total"]), (Some(0), &1.into()));
    ground.doctor().finding("ok", "none is refused; 1 were, so far");
    assert!(!ground.screen(40).contains("refused") && !ground.once().contains("not read"));
    player.close();
    ground.see("nobody", |json, _| json["processes"].as_array().is_some_and(Vec::is_empty));
    aggregator.close();
    ground.ends_clean();
}

#[test]
fn more_refused_rings_than_fit_are_counted_and_another_s_is_still_told() {
    let ground = Ground::new();
    let fifo = |pid: u32| format!("/dev/shm/{}.ring.{}.{pid}.00000000000000ab", ground.0, nix::unistd::geteuid());
    for pid in 0..100 {
        nix::unistd::mkfifo(fifo(pid).as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let others = nix::unistd::geteuid().is_root();
    let aggregator = ground.aggregator();
    ground.see("all", |json, _| json["aggregator"]["rejected_rings_total"] == 100);
    nix::unistd::mkfifo(fifo(1000).as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    if others {
        std::os::unix::fs::chown(fifo(1000), Some(65_534), None).unwrap();
    } else {
        let _said = writeln!(std::io::stderr(), "\n!!! SKIPPED in part: only root can be two users !!!\n");
    }
    let (json, _) = ground.see("one more", |json, _| json["aggregator"]["rejected_rings_total"] == 101);
    assert_eq!((rejected(&json).len(), &json["aggregator"]["rejected_rings_hidden"]), (64, &37.into()));
    // Its owner was looked at when it was refused: between mkfifo and chown it was ours.
    if others {
        std::fs::rename(fifo(1000), fifo(2000)).unwrap();
        ground.see("the other user's", |json, _| rejected(json).iter().any(|ring| ring["owner_uid"] == 65_534));
    }
    ground.see("its old name gone", |json, _| json["aggregator"]["rejected_rings_hidden"] == 37);
    ground.doctor().finding("note", "89 more are refused");
    assert!(ground.once().contains("98 more rings are not read"));
    for pid in (0..100).chain([if others { 2000 } else { 1000 }]) {
        std::fs::remove_file(fifo(pid)).unwrap();
    }
    let (_, code) = ground.see("none", |json, _| rejected(json).is_empty());
    assert_eq!(code, Some(0));
    aggregator.close();
    ground.ends_clean();
}

#[test]
fn drops_are_told_by_process_and_strict_is_content_when_all_is_complete_again() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Role::start(&ground, "producer", 1 << 16);
    player.tell("comm");
    player.tell("alloc 0 1");
    ground.see("it", |json, code| json["aggregator"]["live_allocations"] == 1 && code == Some(0));
    aggregator.stop();
    player.tell("alloc 1 5000");
    aggregator.go_on();
    let dropped = |json: &Value| json["processes"][0]["dropped_events_total"].as_u64().unwrap_or(0);
    let (json, code) = ground.see("drops", |json, _| dropped(json) > 0 && json["processes"][0]["lag_events"] == 0);
    assert_eq!((reasons(&json), code), (vec!["dropped"], Some(4)));
    assert_eq!(json["aggregator"]["dropped_events_total"], dropped(&json));
    assert_eq!(json["devices"][0]["memory"]["DRAM"]["footprint_bytes"], 5001 * 64);
    let doctor = ground.doctor();
    let next = doctor.finding("BAD", "details are incomplete (dropped): its ring was full");
    assert!(next.contains("TT_ALLOC_RING_MAX_BYTES"), "{next}");
    assert_eq!(doctor.code, Some(1));
    let words = format!("! 1 process with incomplete details | {} dropped so far", dropped(&json));
    assert!(ground.screen(80).contains(&words), "{}", ground.screen(80));
    assert!(ground.screen(40).contains(&format!("! 1 incomplete | {} dropped", dropped(&json))));
    assert!(ground.once().contains("single allocations"));
    // Everything ends; in steps that fit the ring.
    for first in (0..5001).step_by(100) {
        player.tell(&format!("free {first} {}", 100.min(5001 - first)));
        let freed = (first + 100).min(5001);
        ground.see("freed", |json, _| json["devices"][0]["memory"]["DRAM"]["footprint_bytes"] == (5001 - freed) * 64);
    }
    let (json, code) = ground.see("complete again", |json, _| reasons(json).is_empty());
    assert!(code == Some(0) && dropped(&json) > 0, "what is over does not count: {code:?}");
    assert!(ground.doctor().finding("note", "records dropped so far").contains("TT_ALLOC_RING_MAX_BYTES"));
    assert!(ground.screen(80).contains("dropped") && !ground.screen(80).contains("incomplete"));
    player.close();
    ground.see("nobody", |json, _| json["processes"].as_array().is_some_and(Vec::is_empty));
    aggregator.close();
    ground.ends_clean();
}

#[test]
fn what_waits_and_what_was_torn_is_told() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = ground.producer();
    player.tell("alloc 0 2");
    let ring = scribble(&player.tell("ring"));
    ground.see("it", |json, _| json["aggregator"]["live_allocations"] == 2);
    // As a process with three threads between claim and publication has it.
    ring.mapping.one::<RingHeader<AtomicU64>>(0).unwrap().sections[0].claim.fetch_add(3, Relaxed);
    // A record behind them, so that the resting ring is looked at.
    player.tell("alloc 2 1");
    let lag = |json: &Value| json["processes"][0]["lag_events"] == 4;
    let (json, _) = ground.see("the lag", |json, _| lag(json) && json["aggregator"]["lag_events"] == 4);
    assert!(json["processes"][0]["last_event_age_seconds"].as_f64().is_some());
    let deadline = Instant::now() + PATIENCE;
    let stuck = format!("PID {} (", player.child.id());
    while !ground.doctor().said.lines().any(|line| line.contains(&stuck) && line.contains("4 events wait for")) {
        assert!(Instant::now() < deadline, "{}", ground.doctor().said);
    }
    assert!(ground.doctor().finding("note", "4 events wait").contains("kill -CONT"));
    player.kill();
    let (_, code) = ground.see("three torn", |json, _| json["aggregator"]["torn_events_total"] == 3);
    assert_eq!(code, Some(0), "nothing of it is left in any figure");
    ground.doctor().finding("note", "processes that are gone: 3 torn");
    assert!(ground.screen(80).contains("3 torn") && ground.once().contains("3 records were begun"));
    drop(ring);
    aggregator.close();
    ground.ends_clean();
}

#[test]
fn anomalies_are_told_by_process_and_kind() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = ground.producer();
    player.tell("alloc 0 1");
    for line in ["free 0 1", "free 0 1", "free 77 2"] {
        player.tell(line);
    }
    let of = |json: &Value, kind: &str| json["processes"][0]["anomalies"][kind].as_u64();
    let (json, code) = ground.see("both kinds", |json, _| of(json, "free_unknown") == Some(2));
    assert_eq!((of(&json, "double_free"), of(&json, "overflow"), code), (Some(1), Some(0), Some(0)));
    assert_eq!(json["aggregator"]["anomalies"]["free_unknown"], 2);
    let doctor = ground.doctor();
    let line = doctor.said.lines().find(|line| line.contains("2 frees of what it never announced")).unwrap_or_default();
    let who = format!("PID {} (", player.child.id());
    assert!(line.contains(&who) && line.contains("; 1 frees of what was freed before"), "{line}");
    assert!(ground.screen(80).contains("3 anomalies") && ground.once().contains("3 records could not be believed"));
    // Beyond what fits: totals may be too small, and that is a reason as long as the process lives.
    let devices = DROP_DEVICES as u64 + 300;
    for device in 0..devices {
        player.tell(&format!("alloc {} 1 {device}", 1000 + device));
    }
    let (json, code) = ground.see("an overflow", |json, _| of(json, "overflow") > Some(0));
    assert_eq!((reasons(&json), code), (vec!["overflow"], Some(4)));
    ground.doctor().finding("BAD", "totals may be too small");
    player.close();
    ground.see("nobody", |json, code| json["processes"].as_array().is_some_and(Vec::is_empty) && code == Some(0));
    aggregator.close();
    ground.ends_clean();
}

#[test]
fn a_process_without_a_ledger_says_so() {
    let ground = Ground::new();
    let mut player = ground.producer();
    player.tell("alloc 0 1");
    let ledger = format!("/dev/shm/{}", player.tell("ring").replace(".ring.", ".ledger."));
    std::fs::create_dir(&ledger).unwrap();
    std::fs::write(format!("{ledger}/x"), "data").unwrap();
    let aggregator = ground.aggregator();
    let (json, code) = ground.see("it", |json, _| !reasons(json).is_empty());
    assert_eq!((reasons(&json), code), (vec!["no-ledger"], Some(4)));
    assert_eq!(json["devices"][0]["memory"]["DRAM"]["footprint_bytes"], 64);
    assert!(ground.doctor().finding("BAD", "it has no ledger").contains("/dev/shm"));
    assert!(ground.screen(80).contains("1 process with incomplete details"));
    std::fs::remove_dir_all(&ledger).unwrap();
    player.close();
    ground.see("nobody", |json, _| json["processes"].as_array().is_some_and(Vec::is_empty));
    aggregator.close();
    ground.ends_clean();
}

#[test]
fn an_aggregator_that_stands_still_and_one_that_is_dead_are_told() {
    let ground = Ground::new();
    let mut aggregator = ground.aggregator();
    let mut player = ground.producer();
    player.tell("alloc 0 3");
    let (json, code) = ground.see("it", |json, _| json["aggregator"]["live_allocations"] == 3);
    assert_eq!((&json["aggregator"]["stale"], code), (&false.into(), Some(0)));
    let pid = aggregator.child.id();
    ground.doctor().finding("ok", &format!("PID {pid} of user"));
    aggregator.stop();
    let (json, code) = ground.see("that it stands still", |json, _| json["aggregator"]["stale"] == true);
    let age = json["aggregator"]["heartbeat_age_seconds"].as_f64().unwrap();
    assert!(age > 2.0 && code == Some(4), "{age} {code:?}");
    assert!(ground.doctor().finding("BAD", "has not answered for").contains(&format!("kill -CONT {pid}")));
    assert!(ground.screen(80).contains("aggregator silent for") && ground.once().contains("figures are old"));
    aggregator.go_on();
    ground.see("that it goes on", |json, code| json["aggregator"]["stale"] == false && code == Some(0));
    aggregator.kill();
    ground.see("that it died", |json, code| json["aggregator"]["stale"] == true && code == Some(4));
    assert!(ground.doctor().finding("BAD", "the aggregator died").contains("aggregator &"));
    assert!(ground.screen(80).contains("aggregator died"));
    // The next one sees to the rest.
    let aggregator = ground.aggregator();
    ground.see("the next", |json, code| json["aggregator"]["stale"] == false && code == Some(0));
    player.close();
    ground.see("nobody", |json, _| json["processes"].as_array().is_some_and(Vec::is_empty));
    aggregator.close();
    ground.ends_clean();
}
