//! tt-metal's own counters, `/dev/shm/tt_device_<id>_memory`: a second source, of processes that are not tracked and to compare
//! with. Read by copies, never mapped: a file that is cut short is a short read.
//!
//! A file stays when its processes are gone, those that were killed keep their slots, and anybody can make such a file. So a
//! slot is believed only as far as it fits a living process: of the file's owner (or only root can write the file), of the name that the
//! slot has, and started before the slot was written, which a later process with the same pid is not. A pid of another
//! namespace is some other process here, and hardly ever fits.

mod region;

use crate::telemetry::{Person, Root};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
pub use region::{KINDS, Slot};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Files read at most.
const FILES: usize = 128;
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
    files: Vec<(u64, PathBuf)>,
    looked: Option<Instant>,
}

impl Counters {
    /// Those of this host.
    pub fn new(root: Root) -> Self {
        Self { folder: root.path("dev/shm"), files: Vec::new(), looked: None }
    }

    /// What they tell now, chips of which they tell nothing left out; and how many files are not read.
    pub fn read(&mut self) -> (Vec<Region>, u64) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.look();
            self.looked = Some(Instant::now());
        }
        let mut unread = 0;
        let mut regions = Vec::new();
        for (chip_id, path) in &self.files {
            match contents(path) {
                Ok(Some((writer, contents))) => {
                    let slots = contents.slots.into_iter();
                    let believed: Vec<_> = slots.filter_map(|slot| Some((believe(&slot, writer)?, slot))).collect();
                    if !believed.is_empty() {
                        let Writer { is_private, .. } = writer;
                        regions.push(Region { chip_id: *chip_id, number: contents.number, is_private, believed });
                    }
                }
                Ok(None) => unread += 1,
                Err(nix::errno::Errno::ENOENT) => {}
                Err(_) => unread += 1,
            }
        }
        (regions, unread)
    }

    fn look(&mut self) {
        self.files.clear();
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let id = |name: &str| name.strip_prefix("tt_device_")?.strip_suffix("_memory")?.parse().ok();
        let found = entries.flatten().filter_map(|entry| Some((id(entry.file_name().to_str()?)?, entry.path())));
        self.files.extend(found);
        self.files.sort_unstable();
        // `+7` and `007` are numbers as well; tt-metal writes neither.
        self.files.retain(|(id, path)| path.ends_with(format!("tt_device_{id}_memory")));
        self.files.truncate(FILES);
    }
}

/// Who may have written a file.
#[derive(Clone, Copy, Debug)]
struct Writer {
    owner: u32,
    is_private: bool,
}

/// A file's writer and contents; `None` if it is no such file.
fn contents(path: &PathBuf) -> Result<Option<(Writer, region::Contents)>, nix::errno::Errno> {
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

/// The process that this slot is about, if it may be believed.
fn believe(slot: &Slot, writer: Writer) -> Option<Person> {
    let person = Person::of(slot.pid)?;
    let by_its_user = writer.owner == person.uid || writer.owner == 0 && writer.is_private;
    let named = slot.name == person.name || slot.name == "unknown";
    let began = person.start_unix_ns <= slot.updated_unix_ns.saturating_add(SLACK_NS);
    (by_its_user && named && began).then_some(person)
}

#[cfg(test)]
mod tests;
