#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::region::{BYTES, Slot, decode};
use super::{Counters, Person, Root};
use crate::host::Now;
use shm_layout::stats::UNKNOWN;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder with counters' files; gone with it.
struct Shm(PathBuf);

impl Shm {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tt_alloc_shm_{}_{n}", std::process::id()));
        fs::create_dir_all(folder.join("dev/shm")).unwrap();
        Self(folder)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("dev/shm/tt_device_{id}_memory"))
    }

    fn read(&self) -> (Vec<super::Region>, u64) {
        Counters::new(Root::at(&self.0)).read(&HashSet::new())
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

/// A region, byte by byte as tt-metal writes it.
fn region(version: u32, slots: &[(usize, i32, [u64; 5], u64, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    put(&mut bytes, 0, &version.to_le_bytes());
    put(&mut bytes, 4, &(slots.len() as u32).to_le_bytes());
    put(&mut bytes, 32, &0x1234_u64.to_le_bytes());
    put(&mut bytes, 40, &3_u32.to_le_bytes());
    (0..16).for_each(|chip| put(&mut bytes, 88 + chip * 48, &u32::MAX.to_le_bytes()));
    for (place, pid, figures, updated, name) in slots {
        let at = 856 + place * 120;
        put(&mut bytes, at, &pid.to_le_bytes());
        figures.iter().enumerate().for_each(|(kind, figure)| put(&mut bytes, at + 8 + kind * 8, &figure.to_le_bytes()));
        put(&mut bytes, at + 48, &updated.to_le_bytes());
        put(&mut bytes, at + 56, name.as_bytes());
    }
    if version >= 4 {
        put(&mut bytes, 8536, b"YDER");
    }
    bytes
}

#[test]
fn the_three_versions_are_read() {
    let told =
        |version| decode(&region(version, &[(0, 7, [1, 2, 3, 4, 5], 99, "a"), (63, 8, [6, 7, 8, 9, 10], 98, "b")]));
    for version in 2..=4 {
        let contents = told(version).unwrap();
        let slot = |pid, bytes, updated_unix_ns, name: &str| Slot { pid, bytes, updated_unix_ns, name: name.into() };
        let expected = [slot(7, [1, 2, 3, 4, 5], 99, "a"), slot(8, [6, 7, 8, 9, 10], 98, "b")];
        assert_eq!((contents.number, contents.slots.as_slice()), (3, expected.as_slice()), "version {version}");
    }
    assert!(told(1).is_none() && told(5).is_none() && told(0).is_none());
}

#[test]
fn what_is_not_whole_or_cannot_be_is_left_out() {
    let mut unready = region(4, &[]);
    put(&mut unready, 8536, &1_u32.to_le_bytes());
    assert!(decode(&unready).is_none(), "somebody is making it");
    let cut = &region(3, &[])[..BYTES - 1];
    assert!(decode(cut).is_none() && decode(&[]).is_none() && decode(&3_u32.to_le_bytes()).is_none());
    // 0 is free, -1 is being released; a figure that has wrapped is none; a name may have no end, and no good characters.
    let long = "\x1b[31m".repeat(13);
    let slots = [(0, 0, [1; 5], 1, "x"), (1, -1, [1; 5], 1, "x"), (2, 5, [u64::MAX - 9, 1, 1, 1, 1], 1, &long[..64])];
    let contents = decode(&region(3, &slots)).unwrap();
    let [slot] = &contents.slots[..] else { panic!("{contents:?}") };
    assert_eq!((slot.pid, slot.bytes), (5, [UNKNOWN, 1, 1, 1, 1]));
    assert!(!slot.name.contains('\x1b') && slot.name.chars().count() == 64, "{:?}", slot.name);
}

#[test]
fn only_what_fits_a_living_process_is_believed() {
    let (shm, now) = (Shm::new(), Now::read().unix_ns);
    let me = Person::of(std::process::id()).unwrap();
    let pid = i32::try_from(me.pid).unwrap();
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    let ghost = i32::try_from(dead.id()).unwrap();
    dead.wait().unwrap();
    let slots = [
        (0, ghost, [1; 5], now, "true"),
        (1, pid, [1; 5], now, "another"),
        // Before this process began, who had its pid then?
        (2, pid, [1; 5], me.start_unix_ns - 60_000_000_000, me.name.as_str()),
        (3, pid, [4096, 0, 0, 0, 7], now, me.name.as_str()),
    ];
    fs::write(shm.path("4660"), region(3, &slots)).unwrap();
    let (regions, unread) = shm.read();
    let [region] = &regions[..] else { panic!("{regions:?}") };
    assert_eq!((region.chip_id, region.number, unread), (4660, 3, 0));
    let believed: Vec<_> = region.believed.iter().map(|(person, slot)| (person.pid, slot.bytes)).collect();
    assert_eq!(believed, [(me.pid, [4096, 0, 0, 0, 7])]);
}

#[test]
fn a_file_of_another_user_tells_nothing_of_this_one() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let (shm, now) = (Shm::new(), Now::read().unix_ns);
    let me = Person::of(std::process::id()).unwrap();
    let slot = [(0, i32::try_from(me.pid).unwrap(), [1; 5], now, me.name.as_str())];
    fs::write(shm.path("1"), region(3, &slot)).unwrap();
    assert_eq!(shm.read().0.len(), 1);
    std::os::unix::fs::chown(shm.path("1"), Some(65_534), None).unwrap();
    assert!(shm.read().0.is_empty(), "user 65534 says what root's process holds");
    std::os::unix::fs::chown(shm.path("1"), Some(0), None).unwrap();
    fs::set_permissions(shm.path("1"), fs::Permissions::from_mode(0o666)).unwrap();
    let (regions, _) = shm.read();
    assert!(!regions[0].is_private, "anybody may have written it: shown, not compared");
}

#[test]
fn what_is_no_such_file_is_counted_and_not_read() {
    let shm = Shm::new();
    fs::write(shm.path("1"), region(9, &[])).unwrap();
    fs::write(shm.path("2"), vec![0; 9280]).unwrap();
    fs::write(shm.path("3"), region(3, &[])).unwrap();
    fs::write(shm.path("4"), vec![3; 100]).unwrap();
    std::os::unix::fs::symlink(shm.path("3"), shm.path("5")).unwrap();
    nix::unistd::mkfifo(&shm.path("6"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(shm.path("7")).unwrap();
    // Names that tt-metal does not give.
    ["+8", "008", "x", "", "99999999999999999999999"]
        .iter()
        .for_each(|id| fs::write(shm.path(id), region(3, &[])).unwrap());
    let (regions, unread) = shm.read();
    assert!(regions.is_empty(), "{regions:?}");
    assert_eq!(unread, 6, "all but 3, which is sound and empty");
}

#[test]
fn a_file_that_is_cut_short_or_gone_meanwhile_harms_nobody() {
    let shm = Shm::new();
    fs::write(shm.path("1"), region(3, &[])).unwrap();
    let mut counters = Counters::new(Root::at(&shm.0));
    assert_eq!(counters.read(&HashSet::new()).1, 0);
    fs::write(shm.path("1"), &region(3, &[])[..4096]).unwrap();
    assert_eq!(counters.read(&HashSet::new()).1, 1);
    fs::remove_file(shm.path("1")).unwrap();
    assert_eq!(counters.read(&HashSet::new()).1, 0, "gone is not unread");
}

/// What one user's files can make of work for whoever reads them, compares them and shows them.
#[test]
fn hostile_files_are_believed_up_to_a_bound_and_once_for_each_process() {
    let (shm, now) = (Shm::new(), Now::read().unix_ns);
    let me = Person::of(std::process::id()).unwrap();
    let pid = i32::try_from(me.pid).unwrap();
    let full: Vec<_> = (0..64).map(|place| (place, pid, [place as u64; 5], now, me.name.as_str())).collect();
    (0..128).for_each(|chip| fs::write(shm.path(&chip.to_string()), region(3, &full)).unwrap());
    let (regions, unread) = shm.read();
    assert_eq!((regions.len(), unread), (64, 64));
    assert!(regions.iter().all(|region| region.believed.len() == 1), "each process once");
    assert_eq!(regions[0].believed[0].1.bytes, [0; 5], "by its first slot, as tt-metal looks for it");
}

#[test]
fn many_processes_of_one_user_are_believed_up_to_a_bound_and_the_rest_is_counted() {
    let (shm, now) = (Shm::new(), Now::read().unix_ns);
    let mut sleepers: Vec<_> =
        (0..20).map(|_| std::process::Command::new("sleep").arg("60").spawn().unwrap()).collect();
    // `sleep` is what they become by exec.
    let is_sleep = |pid| Person::of(pid).is_some_and(|person| person.name == "sleep");
    sleepers.iter().for_each(|sleeper| while !is_sleep(sleeper.id()) {});
    let slots: Vec<_> =
        sleepers.iter().enumerate().map(|(at, s)| (at, i32::try_from(s.id()).unwrap(), [1; 5], now, "sleep")).collect();
    (0..30).for_each(|chip| fs::write(shm.path(&chip.to_string()), region(3, &slots)).unwrap());
    let (regions, unread) = shm.read();
    sleepers.iter_mut().for_each(|sleeper| {
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    });
    // 600 slots in 30 files; 25 of these fit whole, and of the 26th twelve.
    assert_eq!(regions.iter().map(|region| region.believed.len()).sum::<usize>(), super::SLOTS_OF_ONE);
    assert_eq!((regions.len(), unread), (26, 5));
}
