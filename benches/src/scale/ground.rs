//! Names of this run's own, and nothing left behind.

use anyhow::Context;
use shm_layout::names::{DIRECTORY, Prefix};
use std::os::unix::fs::MetadataExt;

/// A name prefix that nobody else uses; whatever has it at the end is removed.
#[derive(Debug)]
pub struct Ground {
    /// The prefix.
    pub prefix: Prefix,
}

impl Ground {
    /// The ground of the run's `n`th point.
    ///
    /// # Errors
    /// Never in practice: the name is made to be valid.
    pub fn new(n: usize) -> anyhow::Result<Self> {
        Ok(Self { prefix: Prefix::new(&format!("bench_scale_{}_{n}", std::process::id()))? })
    }

    fn files(&self) -> Vec<String> {
        let own = format!("{}.", self.prefix);
        let Ok(entries) = std::fs::read_dir(DIRECTORY) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(&own)).collect()
    }

    /// Memory that the files with this word in their names take, bytes.
    pub fn bytes_of(&self, word: &str) -> u64 {
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

/// Bytes that are free in /dev/shm and in memory, whichever is less.
///
/// # Errors
/// When the kernel does not tell.
pub fn room() -> anyhow::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(DIRECTORY).context("how much room /dev/shm has")?;
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("no MemAvailable")?;
    let memory = line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024;
    Ok(memory.min(stat.blocks_available() as u64 * stat.fragment_size() as u64))
}
