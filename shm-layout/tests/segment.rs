//! Segments in the real /dev/shm, under names of their own.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
#![cfg(not(miri))] // Files and mappings: nothing that miri can run.

use nix::sys::stat::Mode;
use shm_layout::leftover::{self, Fate};
use shm_layout::locks::{Lock, holder, try_take};
use shm_layout::names::{DIRECTORY, Prefix, ProcessFile, Role};
use shm_layout::ring::{CLOCK_MONOTONIC_NS, Identity, RingHeader, Slot, ring_bytes};
use shm_layout::segment::{Access, Expect, Mapping, SegmentError, create, grow, open, remove_if_same};
use shm_layout::stats::StatsHeader;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Names of one test; what is left under them goes when it ends, however it ends.
struct Names(String);

impl Names {
    fn new() -> Self {
        use std::hash::BuildHasher;
        let random = std::hash::RandomState::new().hash_one(0);
        Self(format!("test_{}_{random:x}", std::process::id()))
    }

    fn name(&self, of: &str) -> String {
        format!("{}.{of}", self.0)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for entry in fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.0) {
                let _gone = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir(entry.path()));
            }
        }
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(DIRECTORY).join(name)
}

const ANY: Expect<'static> = Expect { owners: &[], least: 1, most: u64::MAX };

/// Opens, in a thread that may hang: a name that holds us up fails the test instead of stopping it.
fn open_quickly(name: &str, access: Access, expect: Expect<'_>) -> Result<(), SegmentError> {
    let (name, owners, least, most) = (name.to_owned(), expect.owners.to_vec(), expect.least, expect.most);
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let result = open(&name, access, Expect { owners: &owners, least, most }).map(drop);
        let _nobody_waits_any_more = send.send(result);
    });
    receive.recv_timeout(Duration::from_secs(5)).expect("open was held up")
}

fn look(name: &str, expect: Expect<'_>) -> Result<(), SegmentError> {
    open_quickly(name, Access::Read, expect)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn a_created_segment_is_reserved_private_and_zero() {
    let names = Names::new();
    let name = names.name("a");
    let bytes = ring_bytes(64) as usize;
    let created = create(&name, bytes).unwrap();
    let meta = fs::metadata(path(&name)).unwrap();
    assert_eq!((meta.len(), meta.nlink(), meta.uid()), (bytes as u64, 1, nix::unistd::geteuid().as_raw()));
    assert!(meta.blocks() * 512 >= bytes as u64, "blocks are not reserved");
    assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
    assert_eq!((meta.dev(), meta.ino()), created.inode);
    assert_eq!(created.mapping.len(), bytes);
    let words: &[AtomicU64] = created.mapping.array(0, bytes / 8).unwrap();
    assert!(words.iter().all(|word| word.load(Relaxed) == 0));
    created.publish_to_all().unwrap();
    assert_eq!(fs::metadata(path(&name)).unwrap().permissions().mode() & 0o7777, 0o644);
}

#[test]
fn a_name_is_taken_once() {
    let names = Names::new();
    let name = names.name("a");
    let first = create(&name, 4096).unwrap();
    assert!(matches!(create(&name, 4096), Err(SegmentError::Exists { .. })));
    assert_eq!(fs::metadata(path(&name)).unwrap().ino(), first.inode.1, "the first one is untouched");
    // Nor through a symbolic link, dangling or not.
    let link = names.name("link");
    symlink(path(&names.name("elsewhere")), path(&link)).unwrap();
    assert!(matches!(create(&link, 4096), Err(SegmentError::Exists { .. })));
    assert!(!path(&names.name("elsewhere")).exists());
}

#[test]
fn what_does_not_fit_is_an_error_and_leaves_nothing() {
    let names = Names::new();
    let name = names.name("a");
    let shm = nix::sys::statvfs::statvfs(DIRECTORY).unwrap();
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
    let whole = shm.blocks() as u64 * shm.fragment_size() as u64;
    // A file system without a limit has no such size; nothing to see then.
    if whole == 0 || whole > 1 << 45 {
        return;
    }
    let result = create(&name, usize::try_from(whole).unwrap() + 4096);
    // Some kernels refuse the mapping before the blocks.
    assert!(matches!(result, Err(SegmentError::NoSpace { .. } | SegmentError::Io { .. })), "{result:?}");
    assert!(!path(&name).exists());
    if let Err(error @ SegmentError::NoSpace { .. }) = result {
        assert!(error.to_string().contains("--shm-size"), "{error}");
    }
}

#[test]
fn dropping_a_created_segment_leaves_the_file() {
    let names = Names::new();
    let name = names.name("a");
    drop(create(&name, 4096).unwrap());
    assert!(path(&name).exists());
    look(&name, ANY).unwrap();
}

#[test]
fn removal_spares_a_strangers_file() {
    let names = Names::new();
    let name = names.name("a");
    let old = create(&name, 4096).unwrap();
    fs::remove_file(path(&name)).unwrap();
    let new = create(&name, 4096).unwrap();
    assert_ne!(old.inode, new.inode, "the old inode is still in use");
    assert!(!remove_if_same(&name, old.inode));
    old.remove();
    assert!(path(&name).exists(), "the new file is another one");
    assert!(remove_if_same(&name, new.inode));
    assert!(!path(&name).exists() && !remove_if_same(&name, new.inode));
}

#[test]
fn links_pipes_and_directories_are_refused_at_once() {
    let names = Names::new();
    let (file, link, pipe, directory, hard) =
        (names.name("file"), names.name("link"), names.name("pipe"), names.name("dir"), names.name("hard"));
    let created = create(&file, 4096).unwrap();
    symlink(path(&file), path(&link)).unwrap();
    nix::unistd::mkfifo(&path(&pipe), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    fs::create_dir(path(&directory)).unwrap();
    for name in [&link, &pipe, &directory] {
        for access in [Access::Read, Access::ReadWrite] {
            // A directory cannot even be opened for writing.
            let refused = match open_quickly(name, access, ANY) {
                Err(SegmentError::NotRegular { .. }) => true,
                Err(SegmentError::Io { .. }) => *name == directory && access == Access::ReadWrite,
                _ => false,
            };
            assert!(refused, "{name}");
        }
    }
    look(&file, ANY).unwrap();
    fs::hard_link(path(&file), path(&hard)).unwrap();
    for name in [&file, &hard] {
        assert!(matches!(look(name, ANY), Err(SegmentError::Linked { found: 2, .. })));
    }
    assert!(matches!(look(&names.name("nothing"), ANY), Err(SegmentError::NotFound { .. })));
    drop(created);
}

#[test]
fn sizes_and_holes_are_refused() {
    let names = Names::new();
    let name = names.name("a");
    let created = create(&name, 8192).unwrap();
    let between = |least, most| look(&name, Expect { owners: &[], least, most });
    between(8192, 8192).unwrap();
    assert!(matches!(between(8193, 10_000), Err(SegmentError::Size { found: 8192, .. })));
    assert!(matches!(between(1, 8191), Err(SegmentError::Size { found: 8192, .. })));
    let file = fs::OpenOptions::new().write(true).open(path(&name)).unwrap();
    // A page is there, fifteen are not.
    file.set_len(4096).unwrap();
    file.set_len(65_536).unwrap();
    assert!(matches!(look(&name, ANY), Err(SegmentError::Sparse { .. })));
    file.set_len(0).unwrap();
    assert!(matches!(look(&name, Expect { least: 0, ..ANY }), Err(SegmentError::Size { found: 0, .. })));
    drop(created);
}

#[test]
fn owners_are_checked() {
    let names = Names::new();
    let name = names.name("a");
    let created = create(&name, 4096).unwrap();
    let me = nix::unistd::geteuid().as_raw();
    look(&name, Expect { owners: &[me + 1, me], ..ANY }).unwrap();
    let refused = look(&name, Expect { owners: &[me + 1], ..ANY });
    assert!(matches!(refused, Err(SegmentError::Owner { found, .. }) if found == me));
    if !is_root() {
        // Only root can give a file away.
        return;
    }
    std::os::unix::fs::chown(path(&name), Some(54_321), None).unwrap();
    let refused = look(&name, Expect { owners: &[me], ..ANY });
    assert!(matches!(refused, Err(SegmentError::Owner { found: 54_321, .. })));
    drop(created);
}

/// Permissions of the mapping at this address, as the kernel tells.
fn permissions(mapping: &Mapping) -> String {
    let start = format!("{:x}-", mapping.address() as usize);
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.starts_with(&start)).expect("it is mapped");
    line.split_ascii_whitespace().nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_mapping_for_reading_cannot_be_written() {
    let names = Names::new();
    let name = names.name("a");
    let created = create(&name, 4096).unwrap();
    assert_eq!(permissions(&created.mapping), "rw-s");
    let read = open(&name, Access::Read, ANY).unwrap();
    assert_eq!(permissions(&read.mapping), "r--s");
    let write = open(&name, Access::ReadWrite, ANY).unwrap();
    assert_eq!(permissions(&write.mapping), "rw-s");
    // One memory, seen through all of them.
    write.mapping.one::<AtomicU64>(8).unwrap().store(5, Relaxed);
    let seen = [&created.mapping, &read.mapping].map(|m| m.one::<AtomicU64>(8).unwrap().load(Relaxed));
    assert_eq!(seen, [5, 5]);
}

#[test]
fn nothing_outside_a_mapping_is_given_out() {
    let names = Names::new();
    let created = create(&names.name("a"), 8192).unwrap();
    let m = &created.mapping;
    assert!(m.array::<AtomicU64>(0, 1024).is_some() && m.array::<AtomicU64>(8192, 0).is_some());
    assert!(m.array::<AtomicU64>(0, 1025).is_none() && m.array::<AtomicU64>(8192, 1).is_none());
    assert!(m.array::<AtomicU64>(4, 1).is_none(), "not aligned");
    assert!(m.array::<AtomicU64>(8, usize::MAX).is_none() && m.array::<AtomicU64>(usize::MAX - 7, 2).is_none());
    assert!(m.array::<Slot<AtomicU64>>(64, 1).is_some() && m.array::<Slot<AtomicU64>>(32, 1).is_none());
    assert!(m.one::<RingHeader<AtomicU64>>(4096).is_some() && m.one::<RingHeader<AtomicU64>>(4224).is_none());
}

#[test]
fn a_segment_grows_and_keeps_what_it_has() {
    let names = Names::new();
    let name = names.name("a");
    let mut created = create(&name, 4096).unwrap();
    created.mapping.one::<AtomicU64>(0).unwrap().store(9, Relaxed);
    // Within the addresses that the first step takes, beyond them, and back to where it was: that is no growth.
    for (bytes, room) in [(40_960, 65_536), (65_536, 65_536), (200_000, 1 << 20), (262_144, 0), (2 << 20, 0)] {
        grow(&name, &created.file, &mut created.mapping, bytes, room).unwrap();
        let m = &created.mapping;
        assert_eq!(m.len(), bytes);
        assert!(m.array::<AtomicU64>(bytes / 8 * 8, 1).is_none(), "what is mapped beyond the file is not given out");
        assert_eq!(m.one::<AtomicU64>(0).unwrap().load(Relaxed), 9);
        let last = m.one::<AtomicU64>(bytes / 8 * 8 - 8).unwrap();
        assert_eq!(last.load(Relaxed), 0);
        last.store(1, Relaxed);
        look(&name, Expect { least: bytes as u64, ..ANY }).unwrap();
    }
    assert_eq!(created.mapping.one::<AtomicU64>(40_952).unwrap().load(Relaxed), 1);
}

fn identity(file: ProcessFile, start_ticks: u64) -> Identity {
    Identity {
        pid: file.pid,
        uid: file.uid,
        start_ticks,
        pid_namespace: shm_layout::procfs::pid_namespace("self"),
        clock: CLOCK_MONOTONIC_NS,
        created_monotonic_ns: 1,
        created_unix_ns: 1,
        nonce: file.nonce,
        ..Identity::with_slots(4)
    }
}

/// Makes a ring file, announced with this start time or not at all.
fn make_ring(prefix: &Prefix, file: ProcessFile, announced: Option<u64>) {
    let created = create(&file.name(prefix), ring_bytes(4) as usize).unwrap();
    let header = created.mapping.one::<RingHeader<AtomicU64>>(0).unwrap();
    if let Some(ticks) = announced {
        header.announce(&identity(file, ticks));
    }
}

#[test]
fn in_passing_the_plainly_gone_are_removed_where_no_aggregator_does_it() {
    let names = Names::new();
    let prefix = Prefix::new(&names.0).unwrap();
    let (me, uid) = (std::process::id(), nix::unistd::geteuid().as_raw());
    let ring = |pid, nonce| ProcessFile { role: Role::Ring, uid, pid, nonce };
    let (reused, gone) = (ring(me, 1), [2, 3, 4].map(|nonce| ring(4_194_303, nonce)));
    // What else lies in /dev/shm, and there may be much, does not end the look around; which of it is seen first is the kernel's affair.
    let others = Names::new();
    let mut crowd = (0..1400).map(|n| fs::write(path(&format!("{}.{n}", others.0)), "").unwrap());
    crowd.by_ref().take(700).for_each(drop);
    make_ring(&prefix, reused, Some(1));
    gone.iter().for_each(|gone| make_ring(&prefix, *gone, Some(1)));
    crowd.for_each(drop);
    let left = || shm_layout::procfs::process_files(&prefix).len();
    let stats = create(&prefix.stats(), 4096).unwrap();
    let heartbeat = &stats.mapping.one::<StatsHeader<AtomicU64>>(0).unwrap().heartbeat;
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    let now = now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64;
    heartbeat.store(now, Relaxed);
    leftover::collect_in_passing(&prefix, uid);
    assert_eq!(left(), 4, "an aggregator does it");
    // It was killed a minute ago and has left its segment.
    heartbeat.store(now.saturating_sub(60_000_000_000).max(1), Relaxed);
    leftover::collect_in_passing(&prefix, uid + 1);
    assert_eq!(left(), 4, "another user's");
    leftover::collect_in_passing(&prefix, uid);
    assert_eq!(left(), 2, "two at a time: the host waits for it");
    leftover::collect_in_passing(&prefix, uid);
    assert_eq!(shm_layout::procfs::process_files(&prefix), [reused], "whose pid is taken costs a longer look");
}

#[test]
fn what_the_dead_left_is_found_and_removed() {
    let names = Names::new();
    let prefix = Prefix::new(&names.0).unwrap();
    let (me, uid) = (std::process::id(), nix::unistd::geteuid().as_raw());
    let ticks = shm_layout::procfs::stat("self").unwrap().start_ticks;
    // Ours alive; one whose pid was given to us later; one that cannot be; one that died before its magic.
    let ring = |pid, nonce| ProcessFile { role: Role::Ring, uid, pid, nonce };
    let make = |file, announced| make_ring(&prefix, file, announced);
    let (alive, reused, gone, unfinished) = (ring(me, 1), ring(me, 2), ring(4_194_303, 3), ring(4_194_302, 4));
    make(alive, Some(ticks));
    make(reused, Some(ticks + 1));
    make(gone, Some(1));
    make(unfinished, None);
    // So new that its maker may be at work on it, in a namespace that is not ours.
    assert_eq!(leftover::fate(&prefix, &unfinished).unwrap(), Fate::Alive);
    let file = fs::OpenOptions::new().write(true).open(path(&unfinished.name(&prefix))).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
    let ledger = gone.of_role(Role::Ledger);
    drop(create(&ledger.name(&prefix), 4096).unwrap());
    assert_eq!(leftover::fate(&prefix, &alive).unwrap(), Fate::Alive);
    for file in [reused, gone, unfinished] {
        assert!(matches!(leftover::fate(&prefix, &file).unwrap(), Fate::Leftover { .. }), "{file:?}");
    }
    assert!(leftover::orphaned_ledgers(&prefix).is_empty(), "its ring is there");
    assert!(leftover::collect(&prefix, Some(uid + 1)).is_empty());
    let mut removed = leftover::collect(&prefix, Some(uid));
    removed.sort();
    let mut expected = [reused, gone, unfinished].map(|file| file.name(&prefix));
    expected.sort();
    assert_eq!(removed, expected);
    assert_eq!(leftover::orphaned_ledgers(&prefix), [ledger.name(&prefix)]);
    assert_eq!(shm_layout::procfs::process_files(&prefix), [alive]);
}

/// The test binary again, running one helper of this file; `None` if this is that helper's own process.
fn in_child(helper: &str) -> Option<std::process::Output> {
    if std::env::var_os("SEGMENT_HELPER").is_some() {
        return None;
    }
    let binary = std::env::current_exe().unwrap();
    let command = Command::new(binary).args([helper, "--exact", "--nocapture"]).env("SEGMENT_HELPER", "1").output();
    Some(command.unwrap())
}

#[track_caller]
fn assert_success(output: &std::process::Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
}

/// Without a second descriptor there is no segment, and no file of that name either.
#[test]
fn without_descriptors_nothing_is_left_behind() {
    if let Some(output) = in_child("without_descriptors_nothing_is_left_behind") {
        return assert_success(&output);
    }
    use nix::sys::resource::{Resource, setrlimit};
    let names = Names::new();
    let name = names.name("a");
    // The lowest free descriptor; one more is allowed, a second one is not.
    let free = std::os::fd::AsRawFd::as_raw_fd(&fs::File::open("/dev/null").unwrap()) as u64;
    setrlimit(Resource::RLIMIT_NOFILE, free + 1, free + 1).unwrap();
    let result = create(&name, 4096);
    assert!(matches!(result, Err(SegmentError::Io { .. })), "{result:?}");
    // Not by looking into the directory: that takes a descriptor as well, and there is one.
    assert!(!path(&name).exists(), "a file was left behind");
}

/// Whoever passes by is not ended by an owner who cuts the file short at that moment.
#[test]
fn a_ring_cut_short_does_not_end_the_passer_by() {
    if let Some(output) = in_child("a_ring_cut_short_does_not_end_the_passer_by") {
        return assert_success(&output);
    }
    let names = Names::new();
    let prefix = Prefix::new(&names.0).unwrap();
    let uid = nix::unistd::geteuid().as_raw();
    let ring = ProcessFile { role: Role::Ring, uid, pid: 4_194_303, nonce: 1 };
    drop(create(&ring.name(&prefix), ring_bytes(4) as usize).unwrap());
    let file = fs::OpenOptions::new().write(true).open(path(&ring.name(&prefix))).unwrap();
    let until = Instant::now() + Duration::from_secs(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < until {
                file.set_len(0).unwrap();
                nix::fcntl::posix_fallocate(&file, 0, ring_bytes(4) as libc::off_t).unwrap();
            }
        });
        while Instant::now() < until {
            let _any = leftover::fate(&prefix, &ring);
        }
    });
}

/// The owner lock as another process sees it, and what ends it.
#[test]
fn locks_are_seen_by_others_and_end_with_their_process() {
    let names = Names::new();
    let name = names.name("a");
    let created = create(&name, 4096).unwrap();
    let path = path(&name);
    if !Command::new("python3").arg("--version").output().is_ok_and(|o| o.status.success()) {
        // Another process is needed that can lock a byte.
        return;
    }
    let program = "import fcntl,sys\nf=open(sys.argv[1],'r+b')\nfcntl.lockf(f,fcntl.LOCK_EX,1,0)\nprint('x',flush=True)\nsys.stdin.read()";
    let mut child = Command::new("python3")
        .args(["-c", program])
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut byte).unwrap();
    assert_eq!(holder(&created.file, Lock::Owner), Ok(Some(child.id())));
    assert_eq!(holder(&created.file, Lock::Consumer), Ok(None));
    assert_eq!(try_take(&created.file, Lock::Owner), Ok(false));
    assert_eq!(try_take(&created.file, Lock::Consumer), Ok(true));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(holder(&created.file, Lock::Owner), Ok(None));
    assert_eq!(try_take(&created.file, Lock::Owner), Ok(true));
}
