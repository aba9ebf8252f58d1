//! Requests over the control socket by who owns a process, where that is not who owns its ring's file, and by who asks too often.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::control::{Answer, answer_of, socket_name};
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use socket::*;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use support::{Ground, Player, figures, lines, play_if_asked, wait};

const USER: u32 = 4321;

#[test]
fn client() {
    speak_if_asked();
}

#[test]
fn player() {
    play_if_asked();
}

fn address(prefix: &Prefix) -> SocketAddr {
    SocketAddr::from_abstract_name(socket_name(prefix)).unwrap()
}

fn ask(prefix: &Prefix, line: &str) -> Answer {
    let answer = asked(prefix, line).unwrap();
    answer_of(&answer).unwrap_or_else(|| panic!("{line}: {answer:?}"))
}

fn asked(prefix: &Prefix, line: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect_addr(&address(prefix))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The one that asks as somebody else, so many times, in a process of its own.
#[test]
fn asker() {
    let Ok(line) = std::env::var("TEST_ASK") else { return };
    let prefix = Prefix::new(&std::env::var("TEST_ASK_PREFIX").unwrap()).unwrap();
    for _ in 0..std::env::var("TEST_ASK_TIMES").unwrap().parse().unwrap() {
        println!("\nanswer: {:?}", ask(&prefix, &line));
    }
}

fn ask_as(uid: u32, prefix: &Prefix, line: &str, times: u32) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["asker", "--exact", "--nocapture"])
        .env("TEST_ASK", line)
        .env("TEST_ASK_PREFIX", prefix.to_string())
        .env("TEST_ASK_TIMES", times.to_string())
        .uid(uid)
        .gid(uid)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().filter_map(|line| line.strip_prefix("answer: ").map(str::to_owned)).collect()
}

#[test]
fn a_socket_process_is_its_user_s_and_not_the_aggregator_s() {
    if !nix::unistd::geteuid().is_root() {
        let _said = writeln!(std::io::stderr(), "\n!!! SKIPPED: only root can be several users !!!\n");
        return;
    }
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.uid(USER).gid(USER);
    let mut client = Client::start_by(command, &ground, 112);
    client.tell("connect 0 1");
    client.alloc(0, Memory::Dram, 1, 11);
    see_held(&ground, client.pid(), 0, Memory::Dram, (11, 1));
    let request = format!("baseline-set pid={}", client.pid());
    let refused = &ask_as(USER + 1, &ground.prefix, &request, 1)[0];
    assert!(refused.contains(&format!("Err(\"PID {} belongs to uid {USER}: ", client.pid())), "{refused}");
    let all = ask_as(USER, &ground.prefix, &request, 20);
    assert!(all.len() == 20 && all.iter().all(|answer| answer.starts_with("Ok(")), "{all:?}");
    let baseline = |s: &shm_layout::stats::Snapshot| figures(s, client.pid(), 0, Memory::Dram).baseline_bytes();
    let seen = ground.see("the baseline", |s| baseline(s) == Some(11));
    // Twenty were followed; the lines of all others are still there.
    let about = |what: &str| lines(&seen).iter().filter(|line| line.contains(what)).count();
    assert_eq!((about(&format!("(uid {USER})")), about("without a line, for a minute")), (4, 1), "{:?}", lines(&seen));
    // Root's are all told.
    (0..6).for_each(|_| assert!(ask(&ground.prefix, &request).is_ok()));
    ground.see("root's", |s| lines(s).iter().filter(|line| line.contains("(uid 0)")).count() == 6);
    client.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn whoever_has_the_control_socket_s_name_at_the_start_has_it_only_while_he_lives() {
    let ground = Ground::new();
    let squatter = UnixListener::bind_addr(&address(&ground.prefix)).unwrap();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 64, 0);
    ground.see("it", |s| s.health.live_allocations == 1);
    drop(squatter);
    // A child that another test has just forked may have the squatter's descriptor a moment longer.
    let answer = || answer_of(&asked(&ground.prefix, "reset").ok()?);
    assert!(wait("an answer of the aggregator", answer).unwrap().is_ok());
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}
