//! The host's thread is as it was, whatever we did in it: its errno, its cancellation, its signals.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use producer::environment::{ENABLED_VARIABLE, Options};
use producer::{Ring, process};
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::{DIRECTORY, PREFIX_VARIABLE, Prefix};
use shm_layout::ring::{Consumer, FIRST_SECTION_OFFSET, RingHeader, SECTIONS, Slot, records_offset, section_end};
use shm_layout::segment::{Access, Expect, Opened, open};
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;
use support::{end_of, once_more};

/// No errno of any system.
const STRANGE: i32 = 4242;
/// Says which part a process started by one of the tests plays.
const PART: &str = "TEST_HOST_PART";

// Not all of them are in the libc crate; and an end by cancellation unwinds.
unsafe extern "C-unwind" {
    fn pthread_testcancel();
}

fn ring(test: &str, slots: u64, most_slots: u64) -> Ring {
    let prefix = Prefix::new(&format!("tt_test_host_{}_{test}", std::process::id())).unwrap();
    Ring::create(&Options { prefix, slots, most_slots, ..Options::default() }).unwrap()
}

fn event(kind: Kind, id: u64) -> Event {
    Event { id, size: 64, footprint: 64, ..Event::new(kind, Memory::Dram, 0) }
}

/// The look of somebody else at a ring.
struct Seen(Opened);

impl Seen {
    fn of(ring: &Ring) -> Self {
        Self(open(ring.name(), Access::Read, Expect { owners: &[], least: 1, most: u64::MAX }).unwrap())
    }

    fn header(&self) -> &RingHeader<AtomicU64> {
        self.0.mapping.one(0).unwrap()
    }

    /// The records that are there, in their order; none of those that were claimed may be missing.
    fn records(&self) -> Vec<Event> {
        let (mut offset, mut records) = (FIRST_SECTION_OFFSET, Vec::new());
        let count = self.header().section_count.load(SeqCst) as usize;
        for section in &self.header().sections[..count.min(SECTIONS)] {
            assert!(!section.is_compacting());
            let slots = section.slots.load(SeqCst);
            let there = self.0.mapping.array::<Slot<AtomicU64>>(records_offset(offset), slots as usize).unwrap();
            let (start, claimed) = (section.start.load(SeqCst), section.claimed());
            let end = Consumer::new(there).unwrap().read(start, slots as usize, |event| records.push(event));
            assert_eq!(end, claimed, "from {start} on");
            offset = section_end(offset, slots).unwrap();
        }
        records
    }

    /// The ids that they leave alive.
    fn live(&self) -> BTreeSet<u64> {
        let mut live = BTreeSet::new();
        for event in self.records() {
            let _known = if event.kind == Kind::Alloc as u8 { live.insert(event.id) } else { live.remove(&event.id) };
        }
        live
    }
}

/// Runs one test of this file once more, in a process of its own that plays `part`; what it prints.
fn play(test: &str, part: &str, variables: &[(&str, &str)]) -> String {
    let mut command = once_more(test);
    command.env(PART, part).envs(variables.iter().copied()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let status = end_of(&mut child, Duration::from_secs(60), &format!("{part} hangs"));
    let output = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert!(status.success(), "{part}: {status}\n{output}");
    output
}

fn part() -> Option<String> {
    std::env::var(PART).ok()
}

fn must_be_clean(prefix: &str) {
    let names = std::fs::read_dir(DIRECTORY).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(prefix)).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Runs `body` in a thread of the C library, which an end by cancellation may unwind. Whether it was cancelled.
fn in_threads<const N: usize>(body: extern "C-unwind" fn(*mut c_void) -> *mut c_void) -> [bool; N] {
    // SAFETY: the same function, but that it may unwind; what unwinds it is the C library, which called it.
    let body: extern "C" fn(*mut c_void) -> *mut c_void = unsafe { std::mem::transmute(body) };
    let mut threads = [0; N];
    for (number, thread) in threads.iter_mut().enumerate() {
        // SAFETY: `thread` is a place for the id; the argument is a number.
        let answer = unsafe { libc::pthread_create(thread, std::ptr::null(), body, number as *mut c_void) };
        assert_eq!(answer, 0);
    }
    threads.map(|thread| {
        let mut end = std::ptr::null_mut();
        // SAFETY: a thread made above, joined once.
        assert_eq!(unsafe { libc::pthread_join(thread, &mut end) }, 0);
        end as isize == -1
    })
}

fn ask_for_my_end() {
    // SAFETY: this thread lives. Its cancellation is deferred, as it is by default.
    assert_eq!(unsafe { libc::pthread_cancel(libc::pthread_self()) }, 0);
}

#[test]
fn errno_is_the_same_after_compaction_growth_and_drops() {
    let ring = ring("errno", 64, 192);
    let seen = Seen::of(&ring);
    let record = |kind, id| {
        Errno::set_raw(STRANGE);
        ring.record(event(kind, id));
        assert_eq!(Errno::last_raw(), STRANGE, "{kind:?} of {id}");
    };
    for id in 0..200 {
        record(Kind::Alloc, id);
        record(Kind::Free, id);
    }
    assert_eq!(seen.header().section_count.load(SeqCst), 1);
    assert!(seen.header().sections[0].start.load(SeqCst) > 0, "compacted");
    (1000..1060).for_each(|id| record(Kind::Alloc, id));
    assert_eq!(seen.header().section_count.load(SeqCst), 2, "grown");
    assert_eq!(ring.dropped(), 0);
    (2000..2500).for_each(|id| record(Kind::Alloc, id));
    assert!(ring.dropped() > 0);
    Errno::set_raw(STRANGE);
    ring.close();
    assert_eq!(Errno::last_raw(), STRANGE);
}

#[test]
fn errno_is_the_same_after_the_first_event() {
    match part().as_deref() {
        None => {
            let prefix = format!("tt_test_host_first_{}", std::process::id());
            let on = (ENABLED_VARIABLE, "1");
            play("errno_is_the_same_after_the_first_event", "makes", &[on, (PREFIX_VARIABLE, &prefix)]);
            must_be_clean(&prefix);
            play("errno_is_the_same_after_the_first_event", "cannot", &[on, (PREFIX_VARIABLE, "no/prefix")]);
            play("errno_is_the_same_after_the_first_event", "unclear", &[(ENABLED_VARIABLE, "perhaps")]);
        }
        Some(part) => {
            // Nobody hears the warning: that is an error of `write`.
            // SAFETY: nothing in this process owns standard error.
            unsafe { libc::close(2) };
            Errno::set_raw(STRANGE);
            // Hooks ask this first.
            assert_eq!(process::enabled(), part != "unclear");
            assert_eq!(Errno::last_raw(), STRANGE);
            process::record(event(Kind::Alloc, 1));
            let errno = Errno::last_raw();
            let made = process::ring_name().is_some();
            Errno::set_raw(STRANGE);
            process::close();
            let after = Errno::last_raw();
            assert_eq!((made, errno, after), (part == "makes", STRANGE, STRANGE));
        }
    }
}

static RING: OnceLock<Ring> = OnceLock::new();
static CAME_THROUGH: AtomicUsize = AtomicUsize::new(0);
const EACH: u64 = 5000;
const STAY: u64 = 20;

extern "C-unwind" fn churn_to_the_end(number: *mut c_void) -> *mut c_void {
    ask_for_my_end();
    let first = (number as u64 + 1) << 32;
    let ring = RING.get().unwrap();
    for id in first..first + EACH {
        ring.record(event(Kind::Alloc, id));
        if id >= first + STAY {
            ring.record(event(Kind::Free, id));
        }
    }
    CAME_THROUGH.fetch_add(1, SeqCst);
    // SAFETY: nothing of this frame has to be dropped.
    unsafe { pthread_testcancel() };
    std::ptr::null_mut()
}

#[test]
fn a_thread_that_is_to_be_cancelled_ends_outside_of_ours_and_the_ring_stays_sound() {
    if part().is_none() {
        play("a_thread_that_is_to_be_cancelled_ends_outside_of_ours_and_the_ring_stays_sound", "played", &[]);
        return;
    }
    let ring = RING.get_or_init(|| ring("cancel", 64, 1 << 20));
    assert_eq!(in_threads::<4>(churn_to_the_end), [true; 4]);
    assert_eq!(CAME_THROUGH.load(SeqCst), 4);
    let seen = Seen::of(ring);
    if ring.dropped() == 0 {
        let stay = (1..=4).flat_map(|thread: u64| (0..STAY).map(move |n| thread << 32 | n)).collect();
        assert_eq!(seen.live(), stay);
    } else {
        // On a machine without time for us. What is there must be readable all the same.
        seen.records();
    }
    // Nobody has kept anything: the next one makes room.
    let (before, live) = (ring.dropped(), seen.live().len());
    for id in 0..100_000 {
        ring.record(event(Kind::Alloc, id));
        ring.record(event(Kind::Free, id));
    }
    assert_eq!(ring.dropped(), before);
    assert_eq!(Seen::of(ring).live().len(), live);
    ring.close();
}

extern "C-unwind" fn first_event(_: *mut c_void) -> *mut c_void {
    ask_for_my_end();
    // Hooks ask this first.
    let _tracked = process::enabled();
    process::record(event(Kind::Alloc, 1));
    CAME_THROUGH.fetch_add(1, SeqCst);
    // SAFETY: as above.
    unsafe { pthread_testcancel() };
    std::ptr::null_mut()
}

#[test]
fn a_thread_that_is_to_be_cancelled_makes_the_ring_or_warns_first() {
    let name = "a_thread_that_is_to_be_cancelled_makes_the_ring_or_warns_first";
    match part().as_deref() {
        None => {
            let prefix = format!("tt_test_host_making_{}", std::process::id());
            let on = (ENABLED_VARIABLE, "1");
            play(name, "makes", &[on, (PREFIX_VARIABLE, &prefix)]);
            must_be_clean(&prefix);
            play(name, "cannot", &[on, (PREFIX_VARIABLE, "no/prefix")]);
            play(name, "unclear", &[(ENABLED_VARIABLE, "perhaps")]);
        }
        Some(part) => {
            assert_eq!(in_threads::<8>(first_event), [true; 8]);
            assert_eq!(CAME_THROUGH.load(SeqCst), 8);
            assert_eq!(process::ring_name().is_some(), part == "makes");
            process::close();
        }
    }
}

/// Runs `body` while SIGUSR1 makes this thread run `handler` again and again: so far apart, or at once.
fn amid_signals(handler: extern "C" fn(libc::c_int), apart: Option<Duration>, body: impl FnOnce()) {
    // SAFETY: the handlers of this file make atomic stores, and system calls that handlers may make.
    unsafe { signal(Signal::SIGUSR1, SigHandler::Handler(handler)) }.unwrap();
    // SAFETY: no arguments.
    let me = unsafe { libc::pthread_self() };
    let done = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while done.load(SeqCst) == 0 {
                // SAFETY: that thread waits for this one.
                assert_eq!(unsafe { libc::pthread_kill(me, libc::SIGUSR1) }, 0);
                apart.into_iter().for_each(std::thread::sleep);
            }
        });
        body();
        done.store(1, SeqCst);
    });
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn pushes(_signal: libc::c_int) {
    // Relaxed: a number of its own for each.
    let id = 1 << 40 | HANDLED.fetch_add(1, Relaxed);
    if let Some(ring) = RING.get() {
        ring.record(event(Kind::Alloc, id));
        ring.record(event(Kind::Free, id));
    }
}

#[test]
fn a_signal_s_handler_never_runs_amid_the_making_of_room() {
    if part().is_none() {
        play("a_signal_s_handler_never_runs_amid_the_making_of_room", "played", &[]);
        return;
    }
    // One section: the handler's events would be dropped, for the one who makes room cannot be waited for.
    let ring = RING.get_or_init(|| ring("signal", 4096, 4096));
    amid_signals(pushes, Some(Duration::from_micros(20)), || {
        for id in 0..1_000_000 {
            ring.record(event(Kind::Alloc, id));
            ring.record(event(Kind::Free, id));
        }
    });
    assert!(HANDLED.load(SeqCst) > 100, "{HANDLED:?}");
    assert_eq!(ring.dropped(), 0);
    ring.close();
}

static BEGUN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn tells(_signal: libc::c_int) {
    if BEGUN.load(SeqCst) != 0 {
        process::record(event(Kind::Alloc, 1));
        HANDLED.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_signal_s_handler_never_runs_amid_the_making_of_the_ring() {
    let name = "a_signal_s_handler_never_runs_amid_the_making_of_the_ring";
    if part().is_none() {
        let prefix = format!("tt_test_host_storm_{}", std::process::id());
        for _ in 0..10 {
            play(name, "played", &[(ENABLED_VARIABLE, "1"), (PREFIX_VARIABLE, &prefix)]);
        }
        must_be_clean(&prefix);
        return;
    }
    assert!(process::enabled());
    amid_signals(tells, None, || {
        BEGUN.store(1, SeqCst);
        process::record(event(Kind::Alloc, 2));
        while HANDLED.load(SeqCst) < 10 {
            std::hint::spin_loop();
        }
        BEGUN.store(0, SeqCst);
    });
    // Whatever finds the ring half made is lost, and counted.
    let ring =
        open(process::ring_name().unwrap(), Access::Read, Expect { owners: &[], least: 1, most: u64::MAX }).unwrap();
    let header: &RingHeader<AtomicU64> = ring.mapping.one(0).unwrap();
    assert_eq!((header.dropped.load(SeqCst), header.lost_controls.load(SeqCst)), (0, 0));
    process::close();
}
