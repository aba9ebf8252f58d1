//! Rings that are there and are not read, each with its reason: what snapshots show of them, and what is not to be tried again.
//!
//! Anybody may make any number of them. So many names are remembered and no more, of the user who has most the newest is
//! forgotten; of what fits into a snapshot every owner gets his part, whatever users his files' names claim.

use crate::attach::AttachError;
use nix::sys::stat::lstat;
use shm_layout::names::{DIRECTORY, Prefix, ProcessFile};
use shm_layout::stats::{MAX_REFUSALS, Reason, Refusal};
use shm_layout::text;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

/// Names that are remembered: some 12 MiB at most.
const REMEMBERED: usize = 1 << 16;
/// Of so many the reason is remembered in words; of others as a number.
const WORDED: usize = 1 << 10;
/// So many of those that are not shown are looked at in one sweep.
const LOOKED_AT: usize = 64;

/// Why a ring is not read.
#[derive(Clone, Debug)]
pub struct Why {
    /// Its kind.
    pub reason: Reason,
    /// It will be tried again.
    pub passing: bool,
    /// In words, without the ring's name.
    pub words: String,
}

impl Why {
    /// Of a ring that could not be attached.
    pub fn of(error: &AttachError, name: &str) -> Self {
        let words = error.to_string();
        let words = words.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&words).to_owned();
        Self { reason: error.reason(), passing: error.may_pass(), words }
    }
}

/// (uid, pid, nonce) of a name, in order.
type Key = (u32, u32, u64);

fn key(file: &ProcessFile) -> Key {
    (file.uid, file.pid, file.nonce)
}

#[derive(Debug)]
struct Entry {
    /// Tells files apart that have the same name one after the other.
    inode: u64,
    owner: u32,
    reason: Reason,
    passing: bool,
    since_unix_ns: u64,
    words: Option<Box<str>>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Refused {
    rings: BTreeMap<Key, Entry>,
    /// By owner: since when, and which.
    by_owner: BTreeMap<u32, BTreeSet<(u64, Key)>>,
    /// Where the next sweep goes on.
    looked_at: Option<Key>,
    rows: Vec<Refusal>,
    changed: bool,
}

impl Refused {
    /// This ring is not read. Since when stays as it was, if it was refused before.
    pub fn add(&mut self, prefix: &Prefix, file: &ProcessFile, why: Why, unix_ns: u64) {
        let Some((inode, owner)) = look(prefix, file) else { return self.remove(file) };
        let since_unix_ns = self.rings.get(&key(file)).map_or(unix_ns, |before| before.since_unix_ns);
        self.put(
            key(file),
            Entry {
                inode,
                owner,
                reason: why.reason,
                passing: why.passing,
                since_unix_ns,
                words: Some(why.words.into()),
            },
        );
    }

    fn put(&mut self, key: Key, mut entry: Entry) {
        self.take(&key);
        if self.rings.len() >= REMEMBERED
            && let Some(most) = self.by_owner.values().max_by_key(|of| of.len())
            && let Some((_, newest)) = most.last().copied()
        {
            self.take(&newest);
        }
        if self.rings.len() >= WORDED {
            entry.words = None;
        }
        self.by_owner.entry(entry.owner).or_default().insert((entry.since_unix_ns, key));
        self.rings.insert(key, entry);
        self.changed = true;
    }

    fn take(&mut self, key: &Key) {
        let Some(entry) = self.rings.remove(key) else { return };
        if let Some(of) = self.by_owner.get_mut(&entry.owner) {
            of.remove(&(entry.since_unix_ns, *key));
            if of.is_empty() {
                self.by_owner.remove(&entry.owner);
            }
        }
        self.changed = true;
    }

    /// It is attached, or it is gone.
    pub fn remove(&mut self, file: &ProcessFile) {
        self.take(&key(file));
    }

    /// Whether it is not to be tried again.
    pub fn is_final(&self, file: &ProcessFile) -> bool {
        self.rings.get(&key(file)).is_some_and(|entry| !entry.passing)
    }

    /// Looks whether those that are shown, and some of the others, are still there. Names under which there is another
    /// file now: these are as new.
    pub fn sweep(&mut self, prefix: &Prefix) -> Vec<ProcessFile> {
        let mut keys: Vec<Key> = self.rows.iter().map(|row| key(&row.file())).collect();
        let begin = self.looked_at.map_or(Unbounded, Excluded);
        keys.extend(self.rings.range((begin, Unbounded)).map(|(key, _)| *key).take(LOOKED_AT));
        // From the beginning again, once the end was reached.
        self.looked_at = keys.get(self.rows.len() + LOOKED_AT - 1).copied();
        let mut replaced = Vec::new();
        for (uid, pid, nonce) in keys {
            let file = ProcessFile { role: shm_layout::names::Role::Ring, uid, pid, nonce };
            let Some(known) = self.rings.get(&key(&file)).map(|entry| (entry.inode, entry.passing)) else { continue };
            match look(prefix, &file) {
                Some((inode, _)) if inode == known.0 => {}
                found => {
                    self.remove(&file);
                    // One that is tried again anyhow will be found.
                    if found.is_some() && !known.1 {
                        replaced.push(file);
                    }
                }
            }
        }
        replaced
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rings.len()
    }

    /// Whether [`rows`](Self::rows) are other ones than last time.
    pub const fn has_news(&self) -> bool {
        self.changed
    }

    /// What a snapshot shows: of every owner some, his oldest first.
    pub fn rows(&mut self) -> &[Refusal] {
        if core::mem::take(&mut self.changed) {
            self.rows.clear();
            let mut turns: Vec<_> = self.by_owner.values().take(MAX_REFUSALS).map(BTreeSet::iter).collect();
            while self.rows.len() < MAX_REFUSALS && !turns.is_empty() {
                let room = MAX_REFUSALS - self.rows.len();
                let mut round = Vec::new();
                turns.retain_mut(|turn| turn.next().map(|(_, key)| round.push(*key)).is_some());
                self.rows.extend(round.iter().take(room).filter_map(|key| Some(row(key, self.rings.get(key)?))));
            }
        }
        &self.rows
    }
}

/// Inode and owner of a ring's file, whatever it is; `None` if there is none.
fn look(prefix: &Prefix, file: &ProcessFile) -> Option<(u64, u32)> {
    let stat = lstat(format!("{DIRECTORY}/{}", file.name(prefix)).as_str()).ok()?;
    Some((stat.st_ino, stat.st_uid))
}

fn row(key: &Key, entry: &Entry) -> Refusal {
    let (uid, pid, nonce) = *key;
    Refusal {
        nonce,
        pid,
        uid,
        owner: entry.owner,
        reason: entry.reason as u32,
        passing: entry.passing.into(),
        reserved: 0,
        since_unix_ns: entry.since_unix_ns,
        text: text::store(entry.words.as_deref().unwrap_or_default().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(owner: u32, since_unix_ns: u64) -> Entry {
        let words = Some("not a regular file".into());
        Entry { inode: 1, owner, reason: Reason::NotRegular, passing: false, since_unix_ns, words }
    }

    #[test]
    fn one_owner_s_flood_does_not_hide_another_s_ring() {
        let mut refused = Refused::default();
        let claims = |n: u32| (n % 900, n, 7);
        (0..100_000).for_each(|n| refused.put(claims(n), entry(5, u64::from(n))));
        refused.put((1, 1, 1), entry(6, 1 << 40));
        assert_eq!(refused.len(), REMEMBERED, "bounded");
        assert!(refused.rings.values().filter(|entry| entry.words.is_some()).count() <= WORDED);
        assert!(refused.has_news());
        let rows = refused.rows().to_vec();
        assert_eq!(rows.len(), MAX_REFUSALS);
        assert_eq!(rows.iter().filter(|row| row.owner == 6).count(), 1);
        let of_flood: Vec<u64> = rows.iter().filter(|row| row.owner == 5).map(|row| row.since_unix_ns).collect();
        assert_eq!(of_flood, (0..63).collect::<Vec<_>>(), "the oldest first");
        assert!(!refused.has_news());
        // One of those that are shown goes: the next takes its place.
        refused.take(&claims(0));
        assert_eq!(refused.rows().iter().map(|row| row.since_unix_ns).filter(|since| *since < 1 << 40).max(), Some(63));
        assert_eq!(refused.rows().len(), MAX_REFUSALS);
    }

    #[test]
    fn what_is_gone_leaves_the_list_and_what_is_new_is_told() {
        let prefix = Prefix::new(&format!("refused_{}", std::process::id())).expect("a prefix");
        let file = |pid| ProcessFile { role: shm_layout::names::Role::Ring, uid: 0, pid, nonce: 1 };
        let path = |pid| format!("{DIRECTORY}/{}", file(pid).name(&prefix));
        let why = || Why { reason: Reason::Size, passing: false, words: "7 bytes".to_owned() };
        let mut refused = Refused::default();
        for pid in 0..300 {
            std::fs::write(path(pid), "x").expect("a file");
            refused.add(&prefix, &file(pid), why(), u64::from(pid));
        }
        assert_eq!((refused.len(), refused.rows().len()), (300, MAX_REFUSALS));
        assert!(refused.sweep(&prefix).is_empty() && refused.is_final(&file(3)));
        // Another file under the name of one: made before the old one goes, so that it has another inode.
        std::fs::write(path(1000), "y").expect("a file");
        std::fs::rename(path(1000), path(3)).expect("renamed");
        assert_eq!(refused.sweep(&prefix), [file(3)]);
        assert!(!refused.is_final(&file(3)));
        (0..300).for_each(|pid| std::fs::remove_file(path(pid)).expect("removed"));
        let sweeps = (0..10).take_while(|_| {
            refused.sweep(&prefix);
            refused.rows();
            refused.len() > 0
        });
        assert!(sweeps.count() < 10, "{}", refused.len());
        refused.add(&prefix, &file(1), why(), 1);
        assert_eq!(refused.len(), 0, "it is gone by now");
    }
}
