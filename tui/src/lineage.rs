//! Who started a process, and who started that one.

use shm_layout::procfs;

/// Generations looked up.
const MOST: usize = 32;

/// The parent of process `pid`, its parent, and so on up to the first of all; none where the system does not tell.
pub fn ancestors(pid: u32) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::new();
    let mut of = pid;
    while all.len() < MOST {
        match parent(of) {
            // A pid may be used again while this goes on: no circle.
            Some(parent) if parent != 0 && parent != pid && !all.contains(&parent) => {
                all.push(parent);
                of = parent;
            }
            _ => break,
        }
    }
    all
}

fn parent(pid: u32) -> Option<u32> {
    let bytes = procfs::read_bounded(&format!("/proc/{pid}/stat"), 4096).ok()?;
    // As in `procfs::stat`: the name may hold anything, so fields are counted after it.
    let after = bytes.iter().rposition(|b| *b == b')')? + 2;
    String::from_utf8_lossy(bytes.get(after..)?).split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_comes_from_its_parent() {
        let mine = std::process::id();
        let parent = u32::try_from(nix::unistd::getppid().as_raw()).unwrap_or(0);
        let all = ancestors(mine);
        assert_eq!(all.first().copied(), Some(parent).filter(|parent| *parent != 0));
        assert!(!all.contains(&mine) && all.len() <= MOST);
        assert!(ancestors(4_123_456_789).is_empty());
    }
}
