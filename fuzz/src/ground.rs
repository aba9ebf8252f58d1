//! Where a target works: names of its own in /dev/shm, removed when the process ends; and what may leave towards a terminal.

use shm_layout::names::{DIRECTORY, Prefix, ProcessFile, Role};
use shm_layout::text;
use std::sync::OnceLock;

/// A sum above this is no size but an attack (`MOST_BYTES` of the aggregator's books).
pub const MOST: u64 = 1 << 62;

/// This process's prefix: `FUZZ_PREFIX` (default `ttfuzz`) and the process id.
pub fn prefix() -> &'static Prefix {
    static PREFIX: OnceLock<Prefix> = OnceLock::new();
    PREFIX.get_or_init(|| {
        // SAFETY: the handler only removes files; libFuzzer ends by `exit`.
        unsafe { libc::atexit(at_exit) };
        let first = std::env::var("FUZZ_PREFIX").unwrap_or_else(|_| "ttfuzz".to_owned());
        Prefix::new(&format!("{first}_{}", std::process::id())).expect("a prefix of letters")
    })
}

extern "C" fn at_exit() {
    let first = format!("{}.", prefix());
    for entry in std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&first) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The user that the files belong to.
pub fn uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// A ring of this target.
pub fn ring_file(pid: u32, nonce: u64) -> ProcessFile {
    ProcessFile { role: Role::Ring, uid: uid(), pid, nonce }
}

/// Unlinks a ring and its ledger, whoever made them.
pub fn remove(file: ProcessFile) {
    for role in [Role::Ring, Role::Ledger] {
        let _ = std::fs::remove_file(format!("{DIRECTORY}/{}", file.of_role(role).name(prefix())));
    }
}

/// Whether these are printable ASCII only: harmless, whatever [`text::clean`] thinks, and found out without a branch that the
/// fuzzer would count.
pub fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |bad, byte| bad | u8::from(byte.wrapping_sub(b' ') > b'~' - b' ')) == 0
}

/// Text for a terminal: nothing in it moves a cursor or changes a colour.
pub fn assert_harmless(text: &str) {
    for line in text.split('\n').filter(|line| !is_plain(line.as_bytes())) {
        assert_eq!(text::clean(line.as_bytes()), line, "harmful characters leave");
    }
}
