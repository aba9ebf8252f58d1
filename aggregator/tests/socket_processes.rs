//! Socket clients as processes: many threads, many connections, deaths, and an aggregator that is killed and replaced.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::event::Memory;
use shm_layout::names::{ProcessFile, Role};
use shm_layout::ring::{RingHeader, SOURCE_PROXY};
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::{Reason, incomplete};
use socket::*;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::AtomicU64;
use support::{Ground, PATIENCE, Player, lines, play_if_asked};

#[test]
fn client() {
    speak_if_asked();
}

#[test]
fn player() {
    play_if_asked();
}

#[test]
fn sixteen_threads_with_addresses_as_ids_are_exact_when_all_is_quiet() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    for connections in [1, 16] {
        let mut client = Client::start(&ground, 144);
        client.tell(&format!("storm 16 {connections} 5000"));
        let (blocks, bytes) = left_by_storm(16);
        let shown = see_held(&ground, client.pid(), 0, Memory::Dram, (bytes, blocks));
        let row = shown.processes.iter().find(|process| process.pid == client.pid()).unwrap();
        assert_eq!((row.dropped_events_total, row.incomplete, row.anomalies.sum()), (0, 0, 0), "{connections}");
        client.kill();
        ground.see("all gone", |s| s.processes.is_empty() && s.chips.iter().all(|c| c.memory[0].footprint_bytes == 0));
    }
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn a_client_that_disconnects_keeps_what_it_holds_and_its_death_ends_it() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Client::start(&ground, 144);
    client.alloc(0, Memory::Dram, 0x1000, 100);
    client.alloc(3, Memory::L1, 0x1000, 200);
    client.say(CB_ALLOC, 0, 300, 0, 0x40);
    client.say(KERNEL_LOAD, 0, 400, 0, 9);
    see_held(&ground, client.pid(), 0, Memory::Kernel, (400, 1));
    client.tell("drop 0");
    client.tell("connect 0 1");
    client.free(0, 0x1000);
    let shown = see_held(&ground, client.pid(), 0, Memory::Dram, (0, 0));
    assert_eq!(held(&shown, client.pid(), 3, Memory::L1), (200, 1));
    assert_eq!(held(&shown, client.pid(), 0, Memory::Cb), (300, 1));
    client.tell("drop 0");
    // Whoever reads nothing from it any more learns of its death nevertheless.
    client.kill();
    let shown = ground.see("it gone", |s| s.processes.is_empty());
    assert!(shown.chips.iter().all(|chip| chip.memory.iter().all(|of| of.footprint_bytes == 0 && of.blocks == 0)));
    assert!(lines(&shown).iter().any(|line| line.contains("removed 1 buffer (200 B), 1 CB (300 B), 1 kernel (400 B)")));

    let mut tidy = Client::start(&ground, 72);
    tidy.alloc(0, Memory::Dram, 0x1000, 100);
    tidy.free(0, 0x1000);
    let pid = tidy.pid();
    see_held(&ground, pid, 0, Memory::Dram, (0, 0));
    ground.see("its free", |s| s.processes.iter().any(|process| process.events_total == 2));
    tidy.tell("drop 0");
    std::thread::sleep(std::time::Duration::from_millis(50));
    tidy.kill();
    let shown = ground.see("it gone", |s| s.processes.is_empty());
    let end = lines(&shown).into_iter().rfind(|line| line.starts_with(&format!("PID {pid}"))).unwrap();
    assert!(end.ends_with("exited"), "holding nothing and hung up, its end is one in good order: {end}");
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn a_killed_aggregator_is_continued_by_the_next_one_and_what_is_not_known_is_said() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let (mut one, mut two) = (Client::start(&ground, 144), Client::start(&ground, 72));
    (1..=50).for_each(|n| one.alloc(0, Memory::Dram, n << 12, 10));
    two.alloc(0, Memory::L1, 0x9000, 7);
    see_held(&ground, one.pid(), 0, Memory::Dram, (500, 50));
    see_held(&ground, two.pid(), 0, Memory::L1, (7, 1));
    for round in 0..3 {
        daemon.kill();
        if round == 2 {
            // Nobody's proxy writes for it any more: its end is noticed all the same.
            two.kill();
        }
        daemon = Daemon::start(&ground);
        see_held(&ground, one.pid(), 0, Memory::Dram, (500 - 10 * round, 50 - round));
        one.tell("connect 0 1");
        // A free finds, in the next aggregator, what it frees.
        one.free(0, (round + 1) << 12);
        let shown = see_held(&ground, one.pid(), 0, Memory::Dram, (490 - 10 * round, 49 - round));
        let rows: Vec<_> = shown.processes.iter().filter(|process| process.pid == one.pid()).collect();
        assert_eq!(rows.len(), 1, "one process, one row");
        assert_eq!(rows[0].anomalies.sum(), 0);
        assert_ne!(rows[0].incomplete & incomplete::CONTROLS_LOST, 0, "what came while none ran is not known");
        if round < 2 {
            assert_eq!(held(&shown, two.pid(), 0, Memory::L1), (7, 1), "also while it says nothing");
        } else {
            ground.see("the other one gone", |s| s.processes.len() == 1);
        }
    }
    one.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn five_hundred_connections() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut clients: Vec<Client> = (0..5).map(|_| Client::start(&ground, 144)).collect();
    for client in &mut clients {
        client.tell("connect 0 100");
        for n in 0..100 {
            let bytes = client.message(ALLOC, 0, 1, 0, n << 8);
            client.send(n, &bytes);
        }
    }
    for client in &clients {
        see_held(&ground, client.pid(), 0, Memory::Dram, (100, 100));
    }
    // On another connection than the one that told of it.
    for client in &mut clients {
        for n in 0..100 {
            let bytes = client.message(FREE, 0, 0, 0, n << 8);
            client.send(99 - n, &bytes);
        }
    }
    for client in &mut clients {
        see_held(&ground, client.pid(), 0, Memory::Dram, (0, 0));
        client.kill();
    }
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn a_process_may_have_a_ring_of_its_own_and_speak_to_the_socket() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 11, 0);
    let mut client = Client::start(&ground, 144);
    client.alloc(0, Memory::Dram, 1, 22);
    see_held(&ground, player.pid(), 0, Memory::Dram, (11, 1));
    let shown = see_held(&ground, client.pid(), 0, Memory::Dram, (22, 1));
    assert_eq!(client.ask(QUERY, 0).buffers()[0], 33, "viewers see everybody");
    let sources: Vec<u32> = shown.processes.iter().map(|process| process.source).collect();
    assert!(sources.contains(&0) && sources.contains(&1));
    daemon.kill();
    daemon = Daemon::start(&ground);
    see_held(&ground, player.pid(), 0, Memory::Dram, (11, 1));
    player.close();
    client.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn a_ring_that_is_cut_short_is_told_again_in_a_new_one() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Client::start(&ground, 144);
    (0..20).for_each(|n| client.alloc(0, Memory::Dram, n << 8, 5));
    see_held(&ground, client.pid(), 0, Memory::Dram, (100, 20));
    let ring = ground.files().into_iter().find(|name| name.contains(".ring.")).unwrap();
    std::fs::OpenOptions::new().write(true).open(format!("/dev/shm/{ring}")).unwrap().set_len(0).unwrap();
    // Whoever touches it first finds out.
    let again = |s: &shm_layout::stats::Snapshot| lines(s).iter().any(|line| line.contains("its ring was cut short"));
    let mut n = 20;
    support::wait("the line", || {
        client.alloc(0, Memory::Dram, n << 8, 5);
        n += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
        ground.look().filter(again).map(drop)
    })
    .unwrap();
    client.alloc(0, Memory::Dram, n << 8, 5);
    see_held(&ground, client.pid(), 0, Memory::Dram, (5 * (n + 1), n + 1));
    client.free(0, 0);
    see_held(&ground, client.pid(), 0, Memory::Dram, (5 * n, n));
    client.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn only_the_aggregators_own_user_may_speak_for_others() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut player = Player::start_as(&ground, 4321);
    player.alloc(0, Memory::Dram, 1, 11, 0);
    see_held(&ground, player.pid(), 0, Memory::Dram, (11, 1));
    // A ring that says of itself that it is about somebody else's process.
    let name = player.tell("ring");
    let expect = Expect { owners: &[], least: 1, most: u64::MAX };
    let from = segment::open(&name, Access::Read, expect).unwrap();
    let identity = from.mapping.one::<RingHeader<AtomicU64>>(0).unwrap().identity();
    let forged = ProcessFile { role: Role::Ring, uid: 4321, pid: player.pid(), nonce: 0x50AC << 48 | 7 };
    let bytes = from.mapping.len();
    // Complete and its user's before it has its name.
    let made = segment::create(&format!("{}.forged", ground.prefix), bytes).unwrap();
    nix::unistd::fchown(&made.file, Some(4321.into()), None).unwrap();
    let header = made.mapping.one::<RingHeader<AtomicU64>>(0).unwrap();
    header.sections[0].slots.store(identity.slots, std::sync::atomic::Ordering::Relaxed);
    header.section_count.store(1, std::sync::atomic::Ordering::Relaxed);
    header.announce(&shm_layout::ring::Identity {
        source: SOURCE_PROXY,
        client_uid: 0,
        pid: player.pid(),
        nonce: forged.nonce,
        ..identity
    });
    let at = |name: &str| format!("/dev/shm/{name}");
    std::fs::rename(at(&made.name), at(&forged.name(&ground.prefix))).unwrap();
    let shown = ground.see("its refusal", |s| !s.refusals.is_empty());
    assert_eq!((shown.refusals[0].pid, shown.refusals[0].reason), (player.pid(), Reason::Impostor as u32));
    std::fs::remove_file(at(&forged.name(&ground.prefix))).unwrap();
    player.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn clients_of_other_users_are_shown_as_theirs() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    assert_eq!(std::fs::metadata(&daemon.path).unwrap().permissions().mode() & 0o777, 0o666, "root's is for everybody");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.uid(4321).gid(4321);
    let mut client = Client::start_by(command, &ground, 112);
    client.tell("connect 0 1");
    client.alloc(0, Memory::Dram, 1, 11);
    let shown = see_held(&ground, client.pid(), 0, Memory::Dram, (11, 1));
    assert_eq!(shown.processes[0].uid, 4321);
    client.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn the_socket_of_a_living_server_and_squatted_paths_are_left_alone_and_a_dead_ones_is_replaced() {
    let ground = Ground::new();
    let path = path(&ground);
    let refused = |why: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aggregator"))
            .args(["--legacy-socket".as_ref(), path.as_os_str()])
            .env("TT_ALLOC_PREFIX", format!("{}_other", ground.prefix))
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let ended = support::wait("its end", || child.try_wait().unwrap());
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ended.unwrap_or_else(|why| panic!("{why}: it listens, {said}"));
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    let daemon = Daemon::start(&ground);
    refused("another server has this socket");
    assert!(UnixStream::connect(&path).is_ok(), "it still answers");
    daemon.kill();
    assert!(path.exists());
    let daemon = Daemon::start(&ground);
    daemon.end();

    std::fs::write(&path, "mine").unwrap();
    refused("no socket");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    refused("no socket");
    std::fs::remove_file(&path).unwrap();

    // Taken away while it runs: made again.
    let daemon = Daemon::start(&ground);
    std::fs::remove_file(&path).unwrap();
    ground.see("a line", |s| lines(s).iter().any(|line| line.contains("was taken away: made again")));
    UnixStream::connect(&path).unwrap();
    // Somebody else's in its place: left alone, also at the end.
    let theirs = UnixListener::bind(path.with_extension("theirs")).unwrap();
    std::fs::rename(path.with_extension("theirs"), &path).unwrap();
    ground.see("a line", |s| lines(s).iter().any(|line| line.contains("nobody can connect any more")));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.pid() as i32), nix::sys::signal::SIGTERM).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut daemon = daemon;
    while daemon.child.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(path.exists());
    drop((daemon, theirs));
    std::fs::remove_file(&path).unwrap();
    ground.must_be_clean();
}
