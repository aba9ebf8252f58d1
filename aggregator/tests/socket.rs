//! The original's protocol, byte by byte: its three sizes, pieces, garbage, lies, questions.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "support/socket.rs"]
mod socket;
mod support;

use shm_layout::event::Memory;
use socket::*;
use support::{Ground, lines};

#[test]
fn client() {
    speak_if_asked();
}

#[test]
fn events_and_questions_in_all_three_sizes() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    for bytes in [72, 112, 144] {
        let mut client = Client::start(&ground, bytes);
        let pid = client.pid();
        client.alloc(0, Memory::Dram, 0x1000, 4096);
        client.alloc(0, Memory::L1, 0x2000, 512);
        client.alloc(0, Memory::L1Small, 0x3000, 64);
        client.alloc(0, Memory::Trace, 0x4000, 32);
        client.alloc(0, Memory::SystemMemory, 0x5000, 7777);
        client.alloc(1, Memory::Dram, 0x1000, 99);
        client.free(0, 0x2000);
        let answer = client.ask(QUERY, 0);
        assert_eq!((answer.kind(), answer.u32(4)), (RESPONSE, 0), "{bytes}");
        assert_eq!(answer.buffers(), [4096, 0, 64, 32], "{bytes}: what was told before is in the answer");
        assert_eq!(client.ask(QUERY, 1).buffers(), [99, 0, 0, 0]);
        if bytes == 144 {
            client.say(CB_ALLOC, 0, 1500, 0, 0x100);
            client.say(KERNEL_LOAD, 0, 57344, 1, 77);
            client.say(KERNEL_LOAD, 0, 1000, 0, 78);
            assert_eq!(client.ask(QUERY, 0).programs(), [1500, 58344]);
        }
        if bytes > 72 {
            let (devices, available) = if bytes == 112 { (108, 104) } else { (124, 120) };
            let info = client.ask(DEVICE_INFO_QUERY, -1);
            assert_eq!((info.kind(), info.u32(devices), info.u32(available)), (DEVICE_INFO_RESPONSE, 2, 1));
            assert_eq!(client.ask(DEVICE_INFO_QUERY, 1).u32(available), 1);
            assert_eq!(client.ask(DEVICE_INFO_QUERY, 5).u32(available), 0);
        }
        let shown = see_held(&ground, pid, 0, Memory::SystemMemory, (7777, 1));
        let process = shown.processes.iter().find(|process| process.pid == pid).unwrap();
        assert_eq!((process.source, process.uid), (1, nix::unistd::getuid().as_raw()));
        assert_eq!((process.anomalies.sum(), process.dropped_events_total, process.incomplete), (0, 0, 0));
        client.kill();
        ground.see("it gone", |s| s.processes.is_empty());
    }
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn pieces_of_any_length_and_two_connections_at_once() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    for bytes in [72, 112, 144] {
        let mut client = Client::start(&ground, bytes);
        client.tell("connect 1 2");
        let stream = |client: &Client, from: u64| -> Vec<u8> {
            (from..from + 40).flat_map(|n| client.message(ALLOC, 0, 100, 0, n * 64)).collect()
        };
        let (one, two) = (stream(&client, 1), stream(&client, 1001));
        let mut at = 0;
        for step in 1.. {
            let end = (at + step * 7 % 61 + 1).min(one.len());
            client.send(0, &one[at..end]);
            client.send(1, &two[at..end]);
            at = end;
            if at == one.len() {
                break;
            }
        }
        let shown = see_held(&ground, client.pid(), 0, Memory::Dram, (8000, 80));
        assert_eq!(shown.health.anomalies.sum(), 0, "{bytes}");
        client.kill();
        ground.see("it gone", |s| s.processes.is_empty());
    }
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn garbage_is_passed_over_and_in_the_end_nobody_listens_and_the_client_lives() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Client::start(&ground, 144);
    client.alloc(0, Memory::Dram, 0x1000, 10);
    client.send(0, b"GET / HTTP/1.1\r\n\r\n");
    client.alloc(0, Memory::Dram, 0x2000, 20);
    client.send(0, &[0xFF; 1000]);
    client.alloc(0, Memory::Dram, 0x3000, 30);
    see_held(&ground, client.pid(), 0, Memory::Dram, (60, 3));
    ground.see("it counted with its process", |s| s.processes[0].anomalies.invalid_record > 0);
    // Far more than is put up with.
    for _ in 0..40 {
        client.send(0, &[0xFF; 5000]);
    }
    client.alloc(0, Memory::Dram, 0x4000, 40);
    ground.see("a line", |s| lines(s).iter().any(|line| line.contains("not listened to any more")));
    // Its connection stays, so that its next send is not its end; whoever waits for an answer there is told.
    client.alloc(0, Memory::Dram, 0x5000, 50);
    assert_eq!(client.receive(0, 144), Err("UnexpectedEof".to_owned()));
    client.alloc(0, Memory::Dram, 0x6000, 60);
    // A new connection is heard again.
    client.tell("connect 1 2");
    let bytes = client.message(ALLOC, 0, 70, 0, 0x7000);
    client.send(1, &bytes);
    see_held(&ground, client.pid(), 0, Memory::Dram, (130, 4));
    client.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn whoever_claims_another_pid_is_refused_and_a_forked_child_is_itself() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let (mut honest, mut liar) = (Client::start(&ground, 144), Client::start(&ground, 144));
    honest.alloc(0, Memory::Dram, 0x1000, 1000);
    liar.alloc(0, Memory::Dram, 0x1000, 1);
    see_held(&ground, liar.pid(), 0, Memory::Dram, (1, 1));
    for kind in [ALLOC, FREE] {
        let lie = message(144, kind, 0, 5000, 0, honest.pid() as i32, 0x1000);
        liar.send(0, &lie);
    }
    liar.alloc(0, Memory::Dram, 0x2000, 2);
    let shown = see_held(&ground, liar.pid(), 0, Memory::Dram, (3, 2));
    assert_eq!(held(&shown, honest.pid(), 0, Memory::Dram), (1000, 1));
    let row = shown.processes.iter().find(|process| process.pid == liar.pid()).unwrap();
    assert_eq!(row.anomalies.invalid_record, 2, "counted with the liar");
    let told = |s: &_| lines(s).iter().any(|line| line.contains("claims to be process"));
    ground.see("a line", told);

    let bytes = honest.message(ALLOC, 0, 77, 0, 0x1000);
    let child: u32 = honest.tell(&format!("fork 0 {}", to_hex(&bytes))).parse().unwrap();
    see_held(&ground, child, 0, Memory::Dram, (77, 1));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child as i32), nix::sys::signal::SIGKILL).unwrap();
    let shown = ground.see("the child gone", |s| s.processes.len() == 2);
    assert_eq!(held(&shown, honest.pid(), 0, Memory::Dram), (1000, 1));
    honest.kill();
    liar.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn who_never_reads_answers_is_still_heard() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Client::start(&ground, 144);
    client.alloc(0, Memory::Dram, 0x1000, 1);
    let questions: Vec<u8> = (0..200).flat_map(|_| client.message(QUERY, 0, 0, 0, 0)).collect();
    for n in 0..40 {
        client.send(0, &questions);
        client.alloc(0, Memory::Dram, 0x2000 + n, 1);
    }
    see_held(&ground, client.pid(), 0, Memory::Dram, (41, 41));
    // Others are answered.
    let mut other = Client::start(&ground, 72);
    assert_eq!(other.ask(QUERY, 0).buffers(), [41, 0, 0, 0]);
    client.kill();
    other.kill();
    ground.must_be_clean_but_for_stats();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn what_remains_and_the_kernels_are_printed() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut client = Client::start(&ground, 144);
    client.alloc(0, Memory::Dram, 0xabc0, 3 << 20);
    client.alloc(1, Memory::L1, 0xdef0, 2048);
    (0..11).for_each(|n| client.alloc(2, Memory::Dram, 0x77000 + n, 1 << 20));
    client.say(KERNEL_LOAD, 0, 57344, 1, 0xbeef);
    see_held(&ground, client.pid(), 0, Memory::Kernel, (57344, 1));
    client.say(DUMP_REMAINING, 0, 0, 0, 0);
    let pid = client.pid();
    let expected = [
        "Device 0:\n  DRAM: 1 buffers, 3.00 MB total\n".to_owned(),
        format!("    - 0xabc0: 3072.0 KB (PID {pid})\n"),
        "Device 1:\n  L1: 1 buffers, 0.00 MB total\n".to_owned(),
        "Device 2:\n  DRAM: 11 buffers, 11.00 MB total\n".to_owned(),
    ];
    let printed = support::wait("the buffers", || {
        let printed = daemon.printed();
        expected.iter().all(|part| printed.contains(part)).then_some(printed)
    });
    let printed = printed.unwrap_or_else(|why| panic!("{why}: {}", daemon.printed()));
    assert!(!printed.contains("0x77000"), "more than ten are not listed");
    support::wait("the kernels", || {
        // Not more than twice a second.
        client.say(DUMP_KERNELS, 0, 0, 0, 0);
        std::thread::sleep(std::time::Duration::from_millis(100));
        daemon.printed().contains(&format!("    - 0xbeef: 56.0 KB (PID {pid}, age ")).then_some(())
    })
    .unwrap();
    client.kill();
    daemon.end();
    ground.must_be_clean();
}
