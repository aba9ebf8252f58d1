//! The phase in which an allocation was made is in the ledger, whatever happens to the aggregator, and nothing in its name can hurt.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Event, Kind, Memory};
use shm_layout::stats::Anomalies;
use shm_layout::tag::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use support::daemon::Daemon;
use support::tags::{phases, raw_names};
use support::{Ground, Player, lines, play_if_asked, wait};

#[test]
fn player() {
    play_if_asked();
}

/// Waits until the ledger lists exactly these ids, each in its phase.
fn must_list(ground: &Ground, ring: &str, held: &BTreeMap<u64, Option<String>>) {
    let now = || phases(ground, ring).map(|live| live.into_iter().map(|(event, tag)| (event.id, tag)).collect());
    wait("these phases", || now().filter(|now: &BTreeMap<_, _>| now == held))
        .unwrap_or_else(|why| panic!("{why}: {held:?}\nlast: {:?}", now()));
}

/// A process and what it holds.
struct Job {
    player: Player,
    ring: String,
    held: BTreeMap<u64, Option<String>>,
    next: u64,
}

impl Job {
    fn start(ground: &Ground, environment: &[(&str, &str)]) -> Self {
        let mut job = Self {
            player: Player::start_with(ground, environment),
            ring: String::new(),
            held: BTreeMap::new(),
            next: 1,
        };
        job.alloc(None);
        job.ring = job.player.tell("ring");
        job
    }

    fn alloc(&mut self, phase: Option<&str>) {
        self.player.alloc(0, Memory::Dram, self.next, 64, 0);
        self.held.insert(self.next, phase.map(str::to_owned));
        self.next += 1;
    }

    fn alloc_in(&mut self, phase: &str) {
        self.player.tell(&format!("push {phase}"));
        self.alloc(Some(phase));
        self.player.tell("pop");
    }

    fn free(&mut self, id: u64) {
        self.player.free(0, Memory::Dram, id, 64, 0);
        self.held.remove(&id).unwrap();
    }
}

#[test]
fn a_killed_aggregator_leaves_phases_and_their_names_to_the_next() {
    let ground = Ground::new();
    let mut job = Job::start(&ground, &[]);
    let mut daemon = Daemon::start(&ground);
    for round in 0..4 {
        job.alloc_in("model load");
        job.player.tell("push decode");
        job.alloc(Some("decode"));
        job.alloc_in(&format!("step {round}"));
        job.player.tell("pop");
        job.alloc(None);
        must_list(&ground, &job.ring, &job.held);
        daemon.kill();
        // Nobody reads: a name that was told before, and one that was not.
        job.alloc_in("decode");
        job.alloc_in(&format!("nobody there {round}"));
        job.free(*job.held.keys().next().unwrap());
        daemon = Daemon::start(&ground);
        must_list(&ground, &job.ring, &job.held);
    }
    let seen = ground.look().unwrap();
    assert_eq!((seen.processes[0].anomalies, seen.processes[0].incomplete), (Anomalies::default(), 0));
    job.player.close();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

/// Its ring was compacted many times before anybody came.
#[test]
fn a_late_aggregator_knows_the_names_of_long_ago() {
    let ground = Ground::new();
    let mut job = Job::start(&ground, &[("TT_ALLOC_RING_BYTES", "65536")]);
    job.alloc_in("model load");
    for round in 0..30 {
        job.player.tell(&format!("push round {round}"));
        job.player.tell(&format!("churn {} 1 2000 64", 1_000_000 * (round + 1)));
        // The one that churn leaves.
        job.held.insert(1_000_000 * (round + 1) + 2000, Some(format!("round {round}")));
        job.player.tell("pop");
    }
    let bytes = std::fs::metadata(format!("/dev/shm/{}", job.ring)).unwrap().len();
    assert!(bytes < 1 << 20, "it grew to {bytes}: nothing was compacted");
    let aggregator = ground.aggregator();
    must_list(&ground, &job.ring, &job.held);
    let seen = ground.look().unwrap();
    assert_eq!((seen.processes[0].incomplete, seen.processes[0].dropped_events_total), (0, 0));
    job.player.kill();
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn a_ledger_that_is_begun_anew_has_the_names_again() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let mut job = Job::start(&ground, &[]);
    job.alloc_in("decode");
    must_list(&ground, &job.ring, &job.held);
    OpenOptions::new()
        .write(true)
        .open(format!("/dev/shm/{}", job.ring.replace(".ring.", ".ledger.")))
        .unwrap()
        .set_len(0)
        .unwrap();
    // What was listed is not listed any more.
    job.held.clear();
    job.alloc_in("decode");
    ground.see("the line", |seen| lines(seen).iter().any(|line| line.contains("lost its ledger")));
    job.held.clear();
    job.alloc_in("decode");
    job.alloc_in("new");
    let named = || {
        let live = phases(&ground, &job.ring)?;
        let of = |id: &u64| live.iter().find(|(event, _)| event.id == *id)?.1.clone();
        let phases: Vec<_> = job.held.keys().filter_map(of).collect();
        (phases.len() == 2).then_some(phases)
    };
    assert_eq!(wait("both", named).unwrap(), ["decode", "new"]);
    daemon.kill();
}

/// The child's ring is another one, and its names are told there.
#[test]
fn a_forked_child_is_in_its_parents_phase() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut job = Job::start(&ground, &[]);
    job.player.tell("push prefill");
    let child: u32 = job.player.tell("fork 64").parse().unwrap();
    let ring = wait("its ring", || {
        ground.files().into_iter().find(|name| name.contains(&format!(".ring.{}.{child}.", nix::unistd::geteuid())))
    });
    must_list(&ground, &ring.unwrap(), &BTreeMap::from([(1, Some("prefill".to_owned()))]));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.cast_signed()), nix::sys::signal::Signal::SIGKILL).unwrap();
    job.player.close();
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}

/// What a process tells of its tags is its own word: it is cleaned before others read it, and costs nobody else anything.
#[test]
fn names_of_others_are_cleaned_and_numbers_that_are_none_say_nothing() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let (mut liar, mut honest) = (Job::start(&ground, &[]), Job::start(&ground, &[]));
    honest.alloc_in("decode");
    let mut raw = |number: u64, name: &[u8]| {
        let Event { id, address, size, footprint, .. } = Event::tag(0, Name::new(name));
        liar.player.tell(&format!("event {} 0 0 {id} {address} {size} {footprint} {number} 0", Kind::Tag as u8));
    };
    // In the place of the one that it is going to tell itself, then of all others, several times over.
    for round in 0..3 {
        for number in [1, 2, 255, 0, 256, 1 << 16, u64::from(u32::MAX)] {
            raw(number, format!("{round}\x1b]0;title\x07\u{202e}").as_bytes());
            raw(number, b"\xff\xfe\x9b2J\r\n\xc3\x28 and so on and so on");
        }
    }
    liar.alloc_in("really");
    must_list(&ground, &liar.ring, &liar.held);
    must_list(&ground, &honest.ring, &honest.held);
    let names = raw_names(&ground, &liar.ring);
    let really = phases(&ground, &liar.ring).unwrap().iter().map(|(event, _)| event.tag_number()).max().unwrap();
    let told = (0..=255).filter(|number: &u8| names[usize::from(*number) * 32] != 0);
    assert_eq!(told.collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 255, really]));
    for name in names.chunks(32) {
        let text = std::str::from_utf8(name.split(|byte| *byte == 0).next().unwrap()).unwrap();
        assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text:?}");
    }
    let seen = ground.look().unwrap();
    assert!(seen.processes.iter().all(|process| (process.anomalies, process.incomplete) == (Anomalies::default(), 0)));
    liar.player.kill();
    honest.player.kill();
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}
