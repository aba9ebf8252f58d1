//! Names of this run's own, and nothing left behind.

use super::Outcome;
use shm_layout::names::{DIRECTORY, Prefix};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// A name prefix that nobody else uses; whatever has it at the end is removed.
#[derive(Debug)]
pub struct Ground {
    /// The prefix.
    pub prefix: Prefix,
}

impl Ground {
    /// A new one.
    ///
    /// # Errors
    /// Never in practice: the name is made to be valid.
    pub fn new() -> Outcome<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: a counter.
        let n = NEXT.fetch_add(1, Relaxed);
        Ok(Self { prefix: Prefix::new(&format!("bench_host_{}_{n}", std::process::id()))? })
    }

    /// Names of its files.
    pub fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.prefix);
        let Ok(entries) = std::fs::read_dir(DIRECTORY) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(&dot)).collect()
    }

    /// Bytes of its files whose name has this word, as reserved in memory.
    pub fn bytes_of(&self, word: &str) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let mine = self.files().into_iter().filter(|name| name.contains(word));
        mine.filter_map(|name| std::fs::metadata(format!("{DIRECTORY}/{name}")).ok())
            .map(|file| file.blocks() * 512)
            .sum()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for name in self.files() {
            let _gone = std::fs::remove_file(format!("{DIRECTORY}/{name}"));
        }
    }
}
