//! tt-metal's own counters, `/dev/shm/tt_device_<id>_memory`: a second source, of processes that are not tracked and to compare
//! with. Read by copies, never mapped: a file that is cut short is a short read.
//!
//! A file stays when its processes are gone, those that were killed keep their slots, and anybody can make such a file. So a
//! slot is believed only as far as it fits a living process: of the file's owner (or only root can write the file), of the name that the
//! slot has, and started before the slot was written, which a later process with the same pid is not. A pid of another
//! namespace is some other process here, and hardly ever fits.
//!
//! How many of these files are read, and how many slots believed, is bounded for each owner and for all; owners take turns, root and who
//! has a device open first.

mod files;
mod region;

use crate::person::Person;
use crate::telemetry::Root;
use files::Files;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
pub use region::{KINDS, Slot};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Slots believed at most, of the files of one owner and of all: whoever compares them has other things to do.
const SLOTS_OF_ONE: usize = 512;
const SLOTS: usize = 2048;
/// How often the folder is looked through for files that came or went.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A process's start is known to a clock tick, and clocks are set.
const SLACK_NS: u64 = 1_000_000_000;

/// What the counters of one chip tell of living processes.
#[derive(Clone, Debug)]
pub struct Region {
    /// UMD's unique id of the chip, as in the file's name.
    pub chip_id: u64,
    /// Logical number of the chip for who wrote it last.
    pub number: u32,
    /// Nobody but its owner (and root) may write the file.
    pub is_private: bool,
    /// Processes whose slots are believed.
    pub believed: Vec<(Person, Slot)>,
}

/// The files.
#[derive(Debug)]
pub struct Counters {
    folder: PathBuf,
    files: Files,
    looked: Option<Instant>,
}

/// What was looked up, and how much was believed, in one reading.
#[derive(Debug, Default)]
struct Round {
    people: HashMap<u32, Option<Person>>,
    by_owner: HashMap<u32, usize>,
    all: usize,
}

impl Counters {
    /// Those of this host.
    pub fn new(root: Root) -> Self {
        Self { folder: root.path("dev/shm"), files: Files::default(), looked: None }
    }

    /// What they tell now, chips of which they tell nothing left out; and how many files are not read, or not to their end. Files
    /// of these users come before those of others.
    pub fn read(&mut self, first: &HashSet<u32>) -> (Vec<Region>, u64) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.files = Files::look(&self.folder, first);
            self.looked = Some(Instant::now());
        }
        let mut unread = self.files.beyond;
        let mut round = Round::default();
        let mut regions = Vec::new();
        for file in &self.files.chosen {
            let (writer, contents) = match contents(&file.path) {
                Ok(Some(read)) => read,
                Err(nix::errno::Errno::ENOENT) => continue,
                Ok(None) | Err(_) => {
                    unread += 1;
                    continue;
                }
            };
            // Another's since it was chosen has to wait until it is looked again.
            let (believed, is_whole) =
                if writer.owner == file.owner { round.believe(contents.slots, writer) } else { (Vec::new(), false) };
            unread += u64::from(!is_whole);
            if !believed.is_empty() {
                let Writer { is_private, .. } = writer;
                regions.push(Region { chip_id: file.chip_id, number: contents.number, is_private, believed });
            }
        }
        (regions, unread)
    }
}

impl Round {
    /// Slots of a file that fit a living process, one for each process; and whether these are all.
    fn believe(&mut self, slots: Vec<Slot>, writer: Writer) -> (Vec<(Person, Slot)>, bool) {
        let mut believed: Vec<(Person, Slot)> = Vec::new();
        let of_owner = self.by_owner.entry(writer.owner).or_default();
        for slot in slots {
            let person = self.people.entry(slot.pid).or_insert_with(|| Person::of(slot.pid));
            let Some(person) = person.as_ref().filter(|person| is_believed(person, &slot, writer)) else { continue };
            if believed.iter().any(|(known, _)| known.pid == slot.pid) {
                continue;
            }
            if *of_owner >= SLOTS_OF_ONE || self.all >= SLOTS {
                return (believed, false);
            }
            *of_owner += 1;
            self.all += 1;
            believed.push((person.clone(), slot));
        }
        (believed, true)
    }
}

/// Who may have written a file.
#[derive(Clone, Copy, Debug)]
struct Writer {
    owner: u32,
    is_private: bool,
}

/// A file's writer and contents; `None` if it is no such file.
fn contents(path: &Path) -> Result<Option<(Writer, region::Contents)>, nix::errno::Errno> {
    // O_NONBLOCK: a FIFO of this name must not hold us up.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = open(path, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let sizes = region::BYTES as u64..=region::MOST_BYTES;
    if !regular || !u64::try_from(stat.st_size).is_ok_and(|size| sizes.contains(&size)) {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(region::BYTES);
    let read = File::from(file).take(region::BYTES as u64).read_to_end(&mut bytes);
    let writer = Writer { owner: stat.st_uid, is_private: stat.st_mode & 0o022 == 0 };
    Ok(read.ok().and_then(|_| region::decode(&bytes)).map(|contents| (writer, contents)))
}

/// Whether this slot may be about this process.
fn is_believed(person: &Person, slot: &Slot, writer: Writer) -> bool {
    let by_its_user = writer.owner == person.uid || writer.owner == 0 && writer.is_private;
    let named = slot.name == person.name || slot.name == "unknown";
    let began = person.start_unix_ns <= slot.updated_unix_ns.saturating_add(SLACK_NS);
    by_its_user && named && began
}

#[cfg(test)]
mod tests;
