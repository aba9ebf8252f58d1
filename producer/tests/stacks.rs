//! Call stacks of a process's allocations: taken where they are asked for, in a file of the process's own, and without harm to it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use producer::environment::{ENABLED_VARIABLE, RING_BYTES_VARIABLE, STACKS_VARIABLE};
use producer::process;
use shm_layout::event::{Event, Kind, Memory, flags};
use shm_layout::names::{DIRECTORY, PREFIX_VARIABLE, Prefix, ProcessFile, Role};
use shm_layout::ring::{Consumer, RECORDS_OFFSET, RingHeader, Slot};
use shm_layout::segment::{Access, Expect, Opened, open};
use shm_layout::stacks::{
    MODULES, MODULES_OFFSET, Module, ModuleSlot, STACKS, STACKS_BYTES, STACKS_OFFSET, Stack, StackSlot, StacksHeader,
    Table, check, held_by,
};
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Says which part a process started by one of the tests plays.
const PART: &str = "TEST_STACKS_PART";

unsafe extern "C" {
    fn _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void;
}

/// Runs one test of this file once more, in a process of its own that plays a part; what it writes on standard error. What its ring's prefix
/// is, is that test's alone.
fn play(test: &str, stacks: Option<&str>, variables: &[(&str, &str)]) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("tt_test_stacks_{}_{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env_remove(STACKS_VARIABLE);
    command.envs([(PART, "1"), (ENABLED_VARIABLE, "1"), (PREFIX_VARIABLE, prefix.as_str())]);
    command.envs(stacks.map(|value| (STACKS_VARIABLE, value))).envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{test} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(status.success(), "{status}\n{said}");
    let left = files(&format!("{prefix}."));
    assert!(left.is_empty(), "{left:?}");
    said
}

fn plays() -> bool {
    std::env::var_os(PART).is_some()
}

fn files(dot: &str) -> Vec<String> {
    let names = std::fs::read_dir(DIRECTORY).unwrap().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(dot)).collect()
}

fn of_role(role: &str) -> Vec<String> {
    files(&format!("{}.{role}.", Prefix::from_environment().unwrap()))
}

/// What is in this process's ring.
fn events() -> Vec<Event> {
    let ring =
        open(process::ring_name().unwrap(), Access::Read, Expect { owners: &[], least: 1, most: u64::MAX }).unwrap();
    let header = ring.mapping.one::<RingHeader<AtomicU64>>(0).unwrap();
    let slots = header.sections[0].slots.load(Relaxed) as usize;
    let slots = ring.mapping.array::<Slot<AtomicU64>>(RECORDS_OFFSET, slots).unwrap();
    let mut events = Vec::new();
    Consumer::new(slots).unwrap().read(0, slots.len(), |event| events.push(event));
    events
}

/// The stacks of this process, as somebody else sees them.
struct Seen(Opened);

impl Seen {
    fn new() -> Self {
        let ring = ProcessFile::parse(process::ring_name().unwrap(), &Prefix::from_environment().unwrap()).unwrap();
        let name = ring.of_role(Role::Stacks).name(&Prefix::from_environment().unwrap());
        let expect = Expect { owners: &[ring.uid], least: STACKS_BYTES as u64, most: STACKS_BYTES as u64 };
        let seen = Self(open(&name, Access::Read, expect).unwrap());
        let identity = seen.header().identity();
        check(&identity).unwrap();
        assert_eq!((identity.pid, identity.nonce), (std::process::id(), ring.nonce));
        seen
    }

    fn header(&self) -> &StacksHeader<AtomicU64> {
        self.0.mapping.one(0).unwrap()
    }

    fn told(&self) -> u64 {
        self.header().told.load(Relaxed)
    }

    fn stack(&self, number: u32) -> Option<Stack> {
        let slots = self.0.mapping.array::<StackSlot<AtomicU64>>(STACKS_OFFSET, STACKS).unwrap();
        Table::new(self.header(), slots).unwrap().stack(number)
    }

    fn modules(&self) -> Vec<Module> {
        let slots = self.0.mapping.array::<ModuleSlot<AtomicU64>>(MODULES_OFFSET, MODULES).unwrap();
        slots.iter().filter_map(ModuleSlot::module).collect()
    }
}

fn gettid() -> u32 {
    nix::unistd::gettid().as_raw() as u32
}

#[inline(never)]
fn inner(kind: Kind, id: u64) {
    process::record(Event { id, size: 64, ..Event::new(kind, Memory::Dram, 0) });
    black_box(id);
}

#[inline(never)]
fn outer(kind: Kind, id: u64) {
    inner(kind, id);
    black_box(id);
}

#[inline(never)]
fn another(kind: Kind, id: u64) {
    inner(kind, id);
    black_box(id);
}

/// The function that this address is a return address in.
fn function(address: u64) -> usize {
    // SAFETY: any address may be asked about.
    unsafe { _Unwind_FindEnclosingFunction((address - 1) as *mut c_void) as usize }
}

#[test]
fn without_being_asked_for_there_is_no_file() {
    if plays() {
        outer(Kind::Alloc, 1);
        assert_eq!((of_role("ring").len(), of_role("stacks").len()), (1, 0));
        let [event] = events()[..] else { panic!("one event") };
        assert_eq!((event.thread, event.flags), (gettid(), 0));
        process::close();
        return;
    }
    for value in [None, Some("0"), Some("off"), Some("")] {
        let said = play("without_being_asked_for_there_is_no_file", value, &[]);
        assert!(!said.contains("tt-alloc"), "{said}");
    }
}

#[test]
fn a_value_that_means_nothing_is_told_in_one_line_and_none_are_taken() {
    let test = "a_value_that_means_nothing_is_told_in_one_line_and_none_are_taken";
    if plays() {
        outer(Kind::Alloc, 1);
        outer(Kind::Alloc, 2);
        assert_eq!((of_role("ring").len(), of_role("stacks").len(), events().len()), (1, 0, 2));
        return process::close();
    }
    for value in ["33", "deep\x1b[2J"] {
        let said = play(test, Some(value), &[]);
        let lines: Vec<_> = said.lines().filter(|line| line.contains("tt-alloc")).collect();
        assert!(matches!(lines[..], [line] if line.contains(STACKS_VARIABLE) && !line.contains('\x1b')), "{said:?}");
    }
}

#[test]
fn stacks_begin_where_the_event_was_told_and_are_there_once() {
    if plays() {
        const STRANGE: i32 = 4242;
        for id in 1..=3 {
            Errno::set_raw(STRANGE);
            outer(Kind::Alloc, id);
            assert_eq!(Errno::last_raw(), STRANGE);
        }
        another(Kind::Alloc, 4);
        outer(Kind::Free, 1);
        let (events, seen) = (events(), Seen::new());
        let numbers: Vec<u32> = events[..4].iter().map(|event| event.thread).collect();
        assert!(events[..4].iter().all(|event| event.flags == flags::STACK));
        assert_eq!((events[4].thread, events[4].flags), (gettid(), 0), "a free has none");
        // The loop's three are one.
        assert!(numbers[0] == numbers[1] && numbers[1] == numbers[2] && numbers[2] != numbers[3], "{numbers:?}");
        assert_eq!(seen.told(), 2);
        for (number, caller) in [(numbers[0], outer as *const () as usize), (numbers[3], another as *const () as usize)]
        {
            let stack = seen.stack(number).unwrap();
            let functions: Vec<usize> = stack.addresses.iter().map(|address| function(*address)).collect();
            assert_eq!((functions[0], functions[1]), (inner as *const () as usize, caller));
            assert_eq!((stack.thread, stack.addresses.len(), stack.cut), (gettid(), 5, true));
            let modules = seen.modules();
            let program = held_by(&modules, stack.addresses[0]).unwrap();
            assert!(std::env::current_exe().unwrap().to_str().unwrap().as_bytes() == program.path().unwrap());
        }
        let name = of_role("stacks").pop().unwrap();
        let mode = std::fs::metadata(format!("{DIRECTORY}/{name}")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        process::close();
        assert!(of_role("stacks").is_empty(), "it goes with the ring");
        return;
    }
    let said = play("stacks_begin_where_the_event_was_told_and_are_there_once", Some("5"), &[]);
    assert!(!said.contains("tt-alloc"), "{said}");
}

#[test]
fn sixteen_threads_have_their_own() {
    if plays() {
        let threads: Vec<u32> = std::thread::scope(|scope| {
            let begin = |thread: u64| {
                move || {
                    (0..200).for_each(|n| if n % 2 == 0 { outer } else { another }(Kind::Alloc, thread << 32 | n));
                    gettid()
                }
            };
            let threads: Vec<_> = (0..16).map(|thread| scope.spawn(begin(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (events, seen) = (events(), Seen::new());
        assert_eq!(events.len(), 16 * 200);
        for event in events {
            assert_eq!(event.flags, flags::STACK);
            let stack = seen.stack(event.thread).unwrap();
            assert_eq!(stack.thread, threads[(event.id >> 32) as usize]);
            let caller = if event.id % 2 == 0 { outer } else { another } as *const () as usize;
            assert_eq!(function(stack.addresses[1]), caller);
        }
        assert_eq!((seen.told(), seen.header().untold.load(Relaxed)), (32, 0));
        return process::close();
    }
    play("sixteen_threads_have_their_own", Some("1"), &[]);
}

#[test]
fn a_forked_child_has_its_own() {
    if plays() {
        outer(Kind::Alloc, 1);
        let parents = Seen::new();
        // SAFETY: the other threads of this process hold nothing that the child needs.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                another(Kind::Alloc, 2);
                outer(Kind::Alloc, 3);
                let (events, seen) = (events(), Seen::new());
                let sound = events.len() == 2
                    && events
                        .iter()
                        .all(|event| seen.stack(event.thread).is_some_and(|stack| stack.thread == gettid()))
                    && (seen.told(), parents.told()) == (2, 1)
                    && of_role("stacks").len() == 2;
                process::close();
                std::process::exit(if sound && of_role("stacks").len() == 1 { 0 } else { 1 });
            }
            ForkResult::Parent { child } => {
                let end = waitpid(child, None).unwrap();
                assert_eq!(end, nix::sys::wait::WaitStatus::Exited(child, 0));
            }
        }
        outer(Kind::Alloc, 4);
        assert_eq!((parents.told(), events().len()), (2, 2), "another place of this function");
        return process::close();
    }
    play("a_forked_child_has_its_own", Some("8"), &[]);
}

/// Comes to the event by a way of its own for each number below 2^13.
#[inline(never)]
fn left(bits: u32, way: u64) {
    descend(bits, way);
    black_box(way);
}

#[inline(never)]
fn right(bits: u32, way: u64) {
    descend(bits, way);
    black_box(way);
}

#[inline(never)]
fn descend(bits: u32, way: u64) {
    match bits {
        0 => inner(Kind::Alloc, way),
        _ if way >> (bits - 1) & 1 == 0 => left(bits - 1, way),
        _ => right(bits - 1, way),
    }
    black_box(way);
}

#[test]
fn with_a_full_table_events_go_on_without_stacks() {
    if plays() {
        const BITS: u32 = 13;
        (0..1 << BITS).for_each(|way| descend(BITS, way));
        let (events, seen) = (events(), Seen::new());
        assert_eq!(events.len(), 1 << BITS);
        let (with, without): (Vec<&Event>, Vec<&Event>) = events.iter().partition(|event| event.flags == flags::STACK);
        assert!(with.iter().all(|event| seen.stack(event.thread).is_some()));
        assert!(without.iter().all(|event| event.thread == gettid() && event.flags == 0));
        let numbers: BTreeSet<u32> = with.iter().map(|event| event.thread).collect();
        assert_eq!(numbers.len(), with.len(), "each has come by a way of its own");
        assert_eq!((seen.told(), seen.header().untold.load(Relaxed)), (with.len() as u64, without.len() as u64));
        assert!(with.len() > STACKS * 3 / 4 && !without.is_empty(), "{}", with.len());
        // And what is there is found again.
        let before = seen.told();
        descend(BITS, 0);
        assert_eq!(seen.told(), before);
        return process::close();
    }
    play("with_a_full_table_events_go_on_without_stacks", Some("32"), &[]);
}

#[test]
fn a_process_that_cannot_have_the_file_says_so_once_and_is_tracked() {
    let test = "a_process_that_cannot_have_the_file_says_so_once_and_is_tracked";
    if plays() {
        use nix::sys::resource::{Resource, setrlimit};
        setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 1 << 20).unwrap();
        outer(Kind::Alloc, 1);
        outer(Kind::Alloc, 2);
        assert_eq!((of_role("ring").len(), of_role("stacks").len()), (1, 0));
        assert!(events().iter().all(|event| event.thread == gettid() && event.flags == 0));
        return process::close();
    }
    let said = play(test, Some("1"), &[(RING_BYTES_VARIABLE, "65536")]);
    let lines: Vec<_> = said.lines().filter(|line| line.contains("tt-alloc")).collect();
    assert!(matches!(lines[..], [line] if line.contains("no call stacks")), "{said:?}");
}
