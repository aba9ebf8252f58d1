//! What /proc tells about a process: the facts by which one is told from a later one with the same pid.

use crate::names::{Prefix, ProcessFile};
use std::fs;
use std::io::Read;

/// Reads at most `limit` bytes of a /proc file.
pub fn read_bounded(path: &str, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// State and start of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, … ; `Z` is a zombie: dead, though its pid is still taken. A process whose main thread alone has ended is `S`.
    pub state: u8,
    /// Clock ticks after boot at which it started.
    pub start_ticks: u64,
}

/// Reads /proc/`pid`/stat (`self` for the caller).
pub fn stat(pid: &str) -> Option<Stat> {
    let bytes = read_bounded(&format!("/proc/{pid}/stat"), 4096).ok()?;
    // The name is in parentheses and may hold parentheses and blanks: count fields after the last one.
    let after = bytes.iter().rposition(|b| *b == b')')? + 2;
    let fields = String::from_utf8_lossy(bytes.get(after..)?);
    let mut fields = fields.split_ascii_whitespace();
    let told = *fields.next()?.as_bytes().first()?;
    // Fields 20 and 22 of the whole line; the state was field 3.
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    let start_ticks = fields.nth(1)?.parse().ok()?;
    // Only the main thread has ended: the others run on.
    let state = if told == b'Z' && threads > 1 { b'S' } else { told };
    Some(Stat { state, start_ticks })
}

/// Whether nobody has this pid here; always so of pid 0, a process in a namespace that cannot be seen from here. Asks the kernel and not
/// /proc, which may hide a process (hidepid).
pub fn is_gone(pid: u32) -> bool {
    match i32::try_from(pid) {
        // Signals to these mean groups.
        Ok(0) | Err(_) => true,
        Ok(pid) => nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH),
    }
}

/// The boot's id; zeros when it cannot be read.
pub fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut id = [0; 16];
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    for (to, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *to = u8::from_str_radix(&String::from_utf8_lossy(pair), 16).unwrap_or(0);
    }
    id
}

/// Inode of a process's pid namespace; 0 when it may not be read.
pub fn pid_namespace(pid: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/proc/{pid}/ns/pid")).map(|m| m.ino()).unwrap_or(0)
}

/// Per-process files of this prefix in /dev/shm.
pub fn process_files(prefix: &Prefix) -> Vec<ProcessFile> {
    let Ok(entries) = fs::read_dir(crate::names::DIRECTORY) else { return Vec::new() };
    entries.flatten().filter_map(|entry| ProcessFile::parse(&entry.file_name().to_string_lossy(), prefix)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg_attr(miri, ignore = "no /proc under miri")]
    fn we_ourselves_run() {
        let me = super::stat("self").expect("/proc/self/stat");
        assert_eq!(Some(me.start_ticks), super::stat(&std::process::id().to_string()).map(|s| s.start_ticks));
        assert!(me.start_ticks > 0 && me.state != b'Z');
        assert_ne!(super::boot_id(), [0; 16]);
    }
}
