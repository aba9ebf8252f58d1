//! What a thread allocates carries the phase that it is in, and its ring says what that is called before anything carries it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use nix::errno::Errno;
use producer::environment::ENABLED_VARIABLE;
use producer::{process, tag};
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::{DIRECTORY, PREFIX_VARIABLE};
use shm_layout::ring::{Consumer, FIRST_SECTION_OFFSET, RingHeader, SECTIONS, Slot, records_offset, section_end};
use shm_layout::segment::{Access, Expect, Opened, open};
use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Says that this process is the one that a test has started.
const PART: &str = "TEST_TAGS_PART";

/// Runs `body` in a process of its own, with these variables: one process has one ring, and one set of names. What it said; nothing in
/// that process.
fn alone(test: &str, variables: &[(&str, &str)], body: impl FnOnce()) -> Option<Output> {
    if std::env::var_os(PART).is_some() {
        body();
        process::close();
        return None;
    }
    let prefix = format!("tt_test_tags_{}_{}", std::process::id(), test.len());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .envs([(PART, "1"), (ENABLED_VARIABLE, "1"), (PREFIX_VARIABLE, &prefix)])
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{}{said}", output.status, String::from_utf8_lossy(&output.stdout));
    let names = std::fs::read_dir(DIRECTORY).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(&prefix)).collect();
    assert!(left.is_empty(), "{left:?}");
    Some(output)
}

fn alloc(id: u64) {
    process::record(Event { id, size: 64, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
}

fn ring() -> Opened {
    let expect = Expect { owners: &[], least: 1, most: u64::MAX };
    open(process::ring_name().unwrap(), Access::ReadWrite, expect).unwrap()
}

/// The records of this process's ring, in their order.
fn records(ring: &Opened) -> Vec<Event> {
    let header: &RingHeader<AtomicU64> = ring.mapping.one(0).unwrap();
    let (mut offset, mut records) = (FIRST_SECTION_OFFSET, Vec::new());
    let count = header.section_count.load(SeqCst) as usize;
    for section in &header.sections[..count.min(SECTIONS)] {
        let slots = section.slots.load(SeqCst);
        let there = ring.mapping.array::<Slot<AtomicU64>>(records_offset(offset), slots as usize).unwrap();
        let start = section.start.load(SeqCst);
        let end = Consumer::new(there).unwrap().read(start, slots as usize, |event| records.push(event));
        assert_eq!(end, section.claimed());
        offset = section_end(offset, slots).unwrap();
    }
    records
}

/// The phase of each allocation of this process's ring, by id; a name must stand before whatever carries its number.
fn phases() -> BTreeMap<u64, Option<String>> {
    let (mut names, mut phases) = (BTreeMap::new(), BTreeMap::new());
    for event in records(&ring()) {
        if let (true, Some((number, name))) = (event.kind == Kind::Tag as u8, event.told_tag()) {
            names.insert(number, name.text());
        } else if event.kind == Kind::Alloc as u8 {
            let number = event.tag_number();
            let name = (number != 0).then(|| names.get(&number).expect("its name stands before it").clone());
            assert!(phases.insert(event.id, name).is_none());
        }
    }
    phases
}

fn told_tags() -> usize {
    records(&ring()).iter().filter(|event| event.kind == Kind::Tag as u8).count()
}

#[test]
fn phases_lie_within_each_other() {
    alone("phases_lie_within_each_other", &[], || {
        tag::pop();
        tag::push("model load");
        assert_eq!(process::ring_name(), None, "a tag alone makes no ring");
        alloc(1);
        {
            let _decode = tag::scope("decode");
            alloc(2);
            tag::push("");
            alloc(3);
            tag::pop();
            alloc(4);
        }
        alloc(5);
        tag::pop();
        alloc(6);
        // There is nothing more to pop, and what is pushed then counts all the same.
        (0..3).for_each(|_| tag::pop());
        tag::push("decode");
        alloc(7);
        let names =
            [Some("model load"), Some("decode"), None, Some("decode"), Some("model load"), None, Some("decode")];
        assert!(phases().into_iter().eq((1..).zip(names.map(|name| name.map(str::to_owned)))), "{:?}", phases());
        assert_eq!(told_tags(), 2, "each name once");
    });
}

#[test]
fn deeper_than_is_kept_apart_is_popped_right() {
    alone("deeper_than_is_kept_apart_is_popped_right", &[], || {
        let name = |depth: usize| format!("depth {depth}");
        (1..=100).for_each(|depth| tag::push(&name(depth)));
        alloc(100);
        (1..100).rev().for_each(|depth| {
            tag::pop();
            alloc(depth as u64);
        });
        tag::pop();
        alloc(0);
        for (id, phase) in phases() {
            assert_eq!(phase, (id > 0).then(|| name((id as usize).min(tag::DEPTH))), "{id}");
        }
    });
}

#[test]
fn every_thread_has_its_own() {
    alone("every_thread_has_its_own", &[], || {
        let (threads, rounds) = (16_u64, 200);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    for round in 0..rounds {
                        let _own = tag::scope(&format!("thread {thread}"));
                        alloc(thread << 32 | round << 2);
                        {
                            let _all = tag::scope("of all");
                            alloc(thread << 32 | round << 2 | 1);
                        }
                        alloc(thread << 32 | round << 2 | 2);
                    }
                });
            }
        });
        alloc(u64::MAX);
        let phases = phases();
        assert_eq!(phases.len() as u64, threads * rounds * 3 + 1);
        for (id, phase) in phases {
            let name = if id & 3 == 1 { "of all".to_owned() } else { format!("thread {}", id >> 32) };
            assert_eq!(phase, (id != u64::MAX).then_some(name), "{id:#x}");
        }
    });
}

#[test]
fn of_three_hundred_names_the_first_255_count_and_one_line_says_so() {
    let output = alone("of_three_hundred_names_the_first_255_count_and_one_line_says_so", &[], || {
        alloc(1000);
        for round in 0..2 {
            for id in 0..300 {
                let _phase = tag::scope(&format!("name {id}"));
                alloc(round * 300 + id);
            }
        }
        let phases = phases();
        assert_eq!(phases.len(), 601);
        for (id, phase) in phases {
            let known = (id < 600 && id % 300 < 255).then(|| format!("name {}", id % 300));
            assert_eq!(phase, known, "{id}");
        }
        assert_eq!(told_tags(), 255);
    });
    if let Some(output) = output {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<_> = said.lines().filter(|line| line.starts_with("tt-alloc: ")).collect();
        assert!(matches!(lines[..], [line] if line.contains("255") && line.contains("name 255")), "{said}");
    }
}

/// Nobody takes the line: that is an error of `write`, and none of the host's.
#[test]
fn a_line_that_nobody_takes_leaves_errno_alone() {
    alone("a_line_that_nobody_takes_leaves_errno_alone", &[], || {
        // It says that there is room, and cannot be written.
        let deaf = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: nothing in this process owns standard error.
        assert_eq!(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&deaf), 2) }, 2);
        Errno::set_raw(4242);
        for name in 0..300 {
            let _phase = tag::scope(&format!("name {name}"));
        }
        assert_eq!(Errno::last_raw(), 4242);
    });
}

/// Another pid is another ring, which knows none of the names yet; the phase goes on.
#[test]
fn a_forked_child_goes_on_in_its_phase() {
    alone("a_forked_child_goes_on_in_its_phase", &[], || {
        tag::push("outer");
        tag::push("inner");
        alloc(1);
        let parent = process::ring_name().unwrap();
        // SAFETY: this thread is alone with the harness's, which waits; the child does nothing that another thread may have locked.
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                let right = std::panic::catch_unwind(|| {
                    alloc(2);
                    assert_ne!(process::ring_name().unwrap(), parent);
                    tag::pop();
                    alloc(3);
                    tag::push("its own");
                    alloc(4);
                    let phases = phases();
                    let names = ["inner", "outer", "its own"].map(|name| Some(name.to_owned()));
                    assert!(phases.into_iter().eq((2..).zip(names)));
                    process::close();
                });
                std::process::exit(i32::from(right.is_err()));
            }
            nix::unistd::ForkResult::Parent { child } => {
                let ended = nix::sys::wait::waitpid(child, None).unwrap();
                assert_eq!(ended, nix::sys::wait::WaitStatus::Exited(child, 0));
            }
        }
        tag::pop();
        alloc(5);
        assert_eq!(phases()[&5].as_deref(), Some("outer"));
        assert_eq!(told_tags(), 2);
    });
}

/// A name that has no room is told the next time, and is no loss that makes anything incomplete.
#[test]
fn a_name_that_finds_no_room_is_told_later() {
    let small = [("TT_ALLOC_RING_BYTES", "4096"), ("TT_ALLOC_RING_MAX_BYTES", "4096")];
    alone("a_name_that_finds_no_room_is_told_later", &small, || {
        alloc(0);
        let ring = ring();
        let header: &RingHeader<AtomicU64> = ring.mapping.one(0).unwrap();
        let slots = header.sections[0].slots.load(SeqCst);
        (1..slots).for_each(alloc);
        tag::push("decode");
        assert_eq!((header.dropped.load(SeqCst), header.lost_controls.load(SeqCst)), (0, 0));
        assert_eq!(records(&ring).len() as u64, slots);
        // Somebody reads half of it.
        let there =
            ring.mapping.array::<Slot<AtomicU64>>(records_offset(FIRST_SECTION_OFFSET), slots as usize).unwrap();
        Consumer::new(there).unwrap().release(0, slots / 2);
        tag::push("decode");
        alloc(slots);
        let mut last = Vec::new();
        Consumer::new(there).unwrap().read(slots, 9, |event| last.push(event));
        assert_eq!(last.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::Tag as u8, Kind::Alloc as u8]);
        assert_eq!(last[0].told_tag().map(|(number, _)| number), Some(last[1].tag_number()));
    });
}

#[test]
fn nothing_happens_where_tracking_is_off() {
    alone("nothing_happens_where_tracking_is_off", &[(ENABLED_VARIABLE, "0")], || {
        Errno::set_raw(4242);
        let _phase = tag::scope("decode");
        // SAFETY: null is no name.
        unsafe { tag::push_c(std::ptr::null()) };
        alloc(1);
        tag::pop();
        assert_eq!((process::ring_name(), Errno::last_raw()), (None, 4242));
    });
}
