//! The flags of the original's viewer, allocation_monitor_client: `-a`, `-d`, `-r`. This process is the tracked one, and has the aggregator of its own
//! user beside it.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use nix::pty::Winsize;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const TOP: &str = env!("CARGO_BIN_EXE_alloc-top");

/// Runs the test in a process of its own, which is tracked under a prefix of its own. True: this is it.
fn tracked(test: &str) -> bool {
    if std::env::var_os("FLAGS_TEST").is_some() {
        return true;
    }
    let name = format!("flags_{test}_{}", std::process::id());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .envs([("FLAGS_TEST", "1"), ("TT_ALLOC_TRACKING_ENABLED", "1"), ("TT_ALLOC_PREFIX", &name)])
        .env("TT_ALLOC_HOST_ROOT", "/nonexistent")
        .output()
        .unwrap();
    let gc = Command::new(env!("CARGO_BIN_EXE_tt-alloc")).arg("gc").env("TT_ALLOC_PREFIX", &name).output().unwrap();
    assert!(gc.status.success() && output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let left = std::fs::read_dir(shm_layout::names::DIRECTORY).unwrap().flatten();
    let left: Vec<_> =
        left.map(|entry| entry.file_name()).filter(|file| file.to_string_lossy().starts_with(&name)).collect();
    assert!(left.is_empty(), "{left:?}");
    false
}

/// An aggregator, and this process on three chips of it.
fn three_devices(prefix: &Prefix) -> aggregator::embedded::Embedded {
    let aggregator = aggregator::embedded::start(prefix).unwrap();
    for device in 0..3 {
        let chip = 0x7000 + u64::from(device);
        producer::process::record(Event { id: chip, context: 3, ..Event::new(Kind::DeviceInfo, Memory::Dram, device) });
        let size = u64::from(device + 1) << 20;
        producer::process::record(Event { id: chip, size, ..Event::new(Kind::Alloc, Memory::Dram, device) });
    }
    let deadline = Instant::now() + PATIENCE;
    while devices(&[]).1 != [0, 1, 2] {
        assert!(Instant::now() < deadline, "the devices were never shown");
        std::thread::sleep(Duration::from_millis(20));
    }
    aggregator
}

fn end(aggregator: aggregator::embedded::Embedded, prefix: &Prefix) {
    drop(aggregator);
    for left in [prefix.stats(), prefix.lock()] {
        let _ = std::fs::remove_file(format!("/dev/shm/{left}"));
    }
}

/// The exit code, the devices in the table of `--once` and what is complained of.
fn devices(arguments: &[&str]) -> (Option<i32>, Vec<u64>, String) {
    let output =
        Command::new(TOP).arg("--once").args(arguments).env_remove("TT_ALLOC_TRACKING_ENABLED").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().skip(1).take_while(|line| !line.is_empty());
    let numbers = rows.filter(|row| row.contains("DRAM")).filter_map(|row| row.split(' ').next()?.parse().ok());
    (output.status.code(), numbers.collect(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn all_devices() {
    if !tracked("all_devices") {
        return;
    }
    let prefix = Prefix::from_environment().unwrap();
    let aggregator = three_devices(&prefix);
    for arguments in [&["-a"][..], &["--all"], &["-a", "-r", "500"], &["-d", "1", "-a"], &["-a", "-d", "1"]] {
        let (code, shown, wrong) = devices(arguments);
        assert_eq!((code, shown.as_slice(), wrong.as_str()), (Some(0), &[0, 1, 2][..], ""), "{arguments:?}");
    }
    end(aggregator, &prefix);
}

#[test]
fn one_device_or_several() {
    if !tracked("one_device_or_several") {
        return;
    }
    let prefix = Prefix::from_environment().unwrap();
    let aggregator = three_devices(&prefix);
    for (arguments, expected) in [
        (&["-d", "1"][..], &[1][..]),
        (&["-d", "0", "-d", "2"], &[0, 2]),
        (&["-d", "2", "-d", "0", "-d", "2"], &[0, 2]),
        (&["-d0", "-d1", "-d2"], &[0, 1, 2]),
        (&["--device", "0x7002"], &[2]),
    ] {
        let (code, shown, wrong) = devices(arguments);
        assert_eq!((code, shown.as_slice(), wrong.as_str()), (Some(0), expected, ""), "{arguments:?}");
    }
    // The original shows a device that is not there as one with nothing in use.
    let (code, shown, wrong) = devices(&["-d", "7"]);
    assert_eq!((code, shown.as_slice()), (Some(3), &[][..]));
    assert!(wrong.contains("none of the 3 known devices has that number"), "{wrong}");
    let (code, _, wrong) = devices(&["-d", "-1"]);
    assert_eq!(code, Some(2), "{wrong}");
    end(aggregator, &prefix);
}

/// What is written on a terminal, without the sequences that move the cursor and without blanks, which are not written.
fn letters(written: &[u8]) -> String {
    let mut letters = String::new();
    let text = String::from_utf8_lossy(written);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            if characters.next_if_eq(&'[').is_some() {
                while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
        } else if !c.is_whitespace() {
            letters.push(c);
        }
    }
    letters
}

/// alloc-top with these arguments on a terminal of its own, until it has written this.
fn shows(arguments: &[&str], words: &str) {
    let size = Winsize { ws_row: 40, ws_col: 140, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = nix::pty::openpty(Some(&size), None).unwrap();
    let side = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = Command::new(TOP)
        .args(arguments)
        .env("TERM", "xterm")
        .env("TT_ALLOC_PREFIX", format!("flags_r_{}", std::process::id()))
        .stdin(side())
        .stdout(side())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let (mut output, into) = (std::fs::File::from(pty.master.try_clone().unwrap()), Arc::clone(&written));
    std::thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(bytes) = output.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..bytes]);
        }
    });
    let deadline = Instant::now() + PATIENCE;
    while !letters(&written.lock().unwrap()).contains(words) {
        assert!(Instant::now() < deadline, "{arguments:?}: {}", letters(&written.lock().unwrap()));
        assert_eq!(child.try_wait().unwrap(), None, "{arguments:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::File::from(pty.master.try_clone().unwrap()).write_all(b"q").unwrap();
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "{arguments:?}: it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn refresh_in_milliseconds() {
    // Nobody publishes: the screen says how often it looks for somebody who does.
    for (arguments, words) in [
        (&["-r", "1000"][..], "every1000ms"),
        (&["-r", "500", "-a"], "every500ms"),
        (&["-d", "0", "-d", "1", "--refresh", "75"], "every75ms"),
        (&["-r", "10"], "every50ms"),
        (&[], "every250ms"),
    ] {
        shows(arguments, words);
    }
    for refused in ["0", "-5", "soon", "1.5"] {
        let output = Command::new(TOP).args(["-r", refused]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{refused}");
    }
}
