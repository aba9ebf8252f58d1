//! How processes come, multiply, change and end; and what becomes of a ring that loses its name.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid, fork};
use shm_layout::event::{Event, Kind, Memory};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use support::{Ground, PATIENCE, Player, figures, lines, play_if_asked, wait};

#[test]
fn player() {
    match std::env::var("TEST_END").as_deref() {
        Ok(way) => end(way),
        Err(_) => play_if_asked(),
    }
}

fn allocate(id: u64, size: u64) {
    producer::process::record(Event { id, size, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
}

/// A player that allocates 100 bytes and does one thing when it gets a line.
fn end(way: &str) {
    println!("\nready");
    allocate(1, 100);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    match way {
        "abort" => std::process::abort(),
        // What the kernel sends for a bad address, with its default action again: the runtime has a handler of its own.
        "segv" => {
            // SAFETY: no handler is installed, only the default action.
            unsafe { nix::sys::signal::signal(Signal::SIGSEGV, nix::sys::signal::SigHandler::SigDfl) }.unwrap();
            nix::sys::signal::raise(Signal::SIGSEGV).unwrap();
        }
        "fork_and_exit" => {
            // SAFETY: the other threads of a test binary hold nothing that the child needs.
            match unsafe { fork() }.unwrap() {
                ForkResult::Parent { child } => {
                    nix::sys::wait::waitpid(child, None).unwrap();
                    allocate(2, 10);
                    answer_and_wait("ok");
                }
                ForkResult::Child => {
                    allocate(1, 50);
                    // Through the destructors and `atexit`, as a child of Python's `os.fork` leaves.
                    std::process::exit(0);
                }
            }
        }
        "fork_and_close" => {
            for _ in 0..5 {
                // SAFETY: as above.
                match unsafe { fork() }.unwrap() {
                    ForkResult::Parent { child } => {
                        nix::sys::wait::waitpid(child, None).unwrap();
                    }
                    ForkResult::Child => {
                        // What the hooks do at the end of a process; this one never had an event.
                        producer::process::close();
                        std::process::exit(0);
                    }
                }
            }
            allocate(2, 10);
            answer_and_wait("ok");
        }
        "raw_clone" => {
            // As fork, but no handler of the C library hears of it.
            // SAFETY: no memory is shared and no stack given, as with fork; the child leaves by exit_group.
            let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
            if child == 0 {
                allocate(1, 50);
                allocate(3, 7);
                // SAFETY: leaves without anything that the parent's threads may hold.
                unsafe { libc::_exit(if producer::process::ring_name().is_some() { 7 } else { 1 }) };
            }
            let child = Pid::from_raw(i32::try_from(child).unwrap());
            let status = nix::sys::wait::waitpid(child, None).unwrap();
            assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 7)), "{status:?}");
            allocate(2, 10);
            answer_and_wait("ok");
        }
        "main_thread_ends" => {
            extern "C" fn end_this_thread(_: libc::c_int) {
                // SAFETY: ends this thread and not the process; what its frames hold is never used again.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            }
            let handler = nix::sys::signal::SigHandler::Handler(end_this_thread);
            // SAFETY: the handler is one system call.
            unsafe { nix::sys::signal::signal(Signal::SIGUSR1, handler) }.unwrap();
            // The main thread, which waits for this one.
            let me = libc::pid_t::try_from(std::process::id()).unwrap();
            // SAFETY: a signal to a thread of this process.
            assert_eq!(unsafe { libc::syscall(libc::SYS_tgkill, me, me, libc::SIGUSR1) }, 0);
            // /proc says of the whole process that it is a zombie.
            wait("its end", || std::fs::read_to_string("/proc/self/stat").unwrap().contains(") Z ").then_some(()))
                .unwrap();
            // Nor does its owner lock speak for it any more.
            drop(std::fs::File::open(format!("/dev/shm/{}", producer::process::ring_name().unwrap())).unwrap());
            allocate(2, 10);
            answer_and_wait("ok");
        }
        "spawns" => {
            // Both by vfork or posix_spawn, as std does it.
            for _ in 0..100 {
                assert!(Command::new("true").status().unwrap().success());
            }
            allocate(2, 10);
            answer_and_wait("ok");
        }
        other => panic!("{other}"),
    }
}

fn answer_and_wait(answer: &str) {
    println!("{answer}");
    std::io::stdout().flush().unwrap();
    std::thread::sleep(PATIENCE);
    std::process::exit(0);
}

#[test]
fn sixty_four_threads_lose_and_invent_nothing() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.tell("threads 64 500 32");
    let seen = ground.see("all of it", |s| s.health.events_total == 64 * 750);
    let l1 = figures(&seen, player.pid(), 0, Memory::L1);
    assert_eq!((l1.footprint_bytes, l1.blocks), (64 * 250 * 32, 64 * 250));
    assert_eq!((l1.allocated_bytes_total, l1.freed_bytes_total), (64 * 500 * 32, 64 * 250 * 32));
    assert_eq!((seen.health.anomalies, seen.health.dropped_events_total), Default::default());
    player.close();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn who_crashes_takes_everything_with_it() {
    for (way, signal) in [("abort", Signal::SIGABRT), ("segv", Signal::SIGSEGV)] {
        let ground = Ground::new();
        let aggregator = ground.aggregator();
        let mut player = Player::start_with(&ground, &[("TEST_END", way)]);
        ground.see("it", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 100);
        player.say("now");
        assert_eq!(player.child.wait().unwrap().signal(), Some(signal as i32));
        let seen = ground.see("its death", |s| s.processes.is_empty() && s.health.deaths_total == 1);
        assert!(lines(&seen).iter().any(|line| line.contains("died")), "{:?}", lines(&seen));
        drop(aggregator);
        ground.must_be_clean();
    }
}

#[test]
fn a_forked_child_that_exits_leaves_its_parent_s_ring_alone() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start_with(&ground, &[("TEST_END", "fork_and_exit")]);
    player.tell("now");
    let seen = ground.see("the parent, still counting", |s| {
        s.processes.len() == 1 && figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 110
    });
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, 110);
    assert_eq!(seen.health.anomalies, Default::default());
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

/// A player that does something with children and allocates 10 bytes more than the 100 that it had: nothing of it may go, and nobody else
/// stay.
fn is_itself_afterwards(way: &str) {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start_with(&ground, &[("TEST_END", way)]);
    ground.see("it", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 100);
    player.tell("now");
    let alone = |s: &shm_layout::stats::Snapshot| {
        s.processes.len() == 1 && figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 110
    };
    ground.see("it alone, still counting", alone);
    // Several sweeps long.
    std::thread::sleep(std::time::Duration::from_millis(1000));
    let seen = ground.look().unwrap();
    assert!(alone(&seen), "{seen:#?}");
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, 110);
    assert_eq!(seen.health.anomalies, Default::default());
    player.kill();
    // A death, not an end in good order: nobody has closed its ring for it. The other one is a child of its own that had a ring.
    let deaths = 1 + u64::from(way == "raw_clone");
    ground.see("nobody", |s| s.processes.is_empty() && s.health.deaths_total == deaths);
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn a_forked_child_without_an_event_closes_nothing_at_its_end() {
    is_itself_afterwards("fork_and_close");
    // Where nobody reads it, closing a ring removes it.
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &[("TEST_END", "fork_and_close")]);
    player.tell("now");
    assert_eq!(ground.files().len(), 1, "its parent's ring has its name");
    let aggregator = ground.aggregator();
    ground.see("the parent", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 110);
    player.kill();
    ground.see("its death", |s| s.processes.is_empty() && s.health.deaths_total == 1);
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn a_child_of_a_raw_clone_has_a_ring_of_its_own() {
    is_itself_afterwards("raw_clone");
}

#[test]
fn a_process_whose_main_thread_has_ended_lives_on() {
    is_itself_afterwards("main_thread_ends");
}

#[test]
fn a_hundred_spawned_programs_change_nothing() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start_with(&ground, &[("TEST_END", "spawns")]);
    player.tell("now");
    let seen = ground.see("both", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 110);
    assert_eq!((seen.processes.len(), seen.health.deaths_total), (1, 0));
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

/// As `rm /dev/shm/<prefix>*` and logind's RemoveIPC do, with the process's own files.
fn unlink(ground: &Ground) {
    for name in ground.files().iter().filter(|name| name.contains(".ring.") || name.contains(".ledger.")) {
        std::fs::remove_file(format!("/dev/shm/{name}")).unwrap();
    }
}

#[test]
fn a_ring_without_a_name_is_read_on_until_its_process_ends() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 100, 0);
    ground.see("it", |s| s.health.live_allocations == 1);
    unlink(&ground);
    player.alloc(0, Memory::Dram, 2, 10, 0);
    let seen = ground.see("the next", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 110);
    assert_eq!(seen.health.deaths_total, 0);
    // Several sweeps long.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(ground.look().unwrap().health.deaths_total, 0);
    player.kill();
    ground.see("its death", |s| s.processes.is_empty() && s.health.deaths_total == 1);
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn a_late_aggregator_finds_a_ring_without_a_name_and_spares_another_file_of_that_name() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 100, 0);
    let name = player.tell("ring");
    unlink(&ground);
    assert!(ground.files().is_empty());
    let aggregator = ground.aggregator();
    ground.see("it", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 100);
    player.free(0, Memory::Dram, 1, 100, 0);
    player.alloc(0, Memory::Dram, 2, 7, 0);
    ground.see("what it does", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 7);
    let path = format!("/dev/shm/{name}");
    std::fs::write(&path, "somebody else's").unwrap();
    kill(Pid::from_raw(player.pid().cast_signed()), Signal::SIGKILL).unwrap();
    player.child.wait().unwrap();
    ground.see("its death", |s| s.processes.is_empty() && s.health.deaths_total == 1);
    drop(aggregator);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody else's");
    std::fs::remove_file(&path).unwrap();
    wait("an empty /dev/shm", || ground.files().is_empty().then_some(())).unwrap();
}
