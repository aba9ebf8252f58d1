//! What the files in /dev/shm are called: `<prefix>.ring.<uid>.<pid>.<nonce>` and so on.

use core::fmt;

/// The directory of every segment.
pub const DIRECTORY: &str = "/dev/shm";
/// Prefix of every name, unless `TT_ALLOC_PREFIX` says otherwise.
pub const DEFAULT_PREFIX: &str = "tt_alloc";
/// The variable that changes the prefix, for tests and second instances.
pub const PREFIX_VARIABLE: &str = "TT_ALLOC_PREFIX";

/// A checked name prefix: 1 to 64 of `A–Z a–z 0–9 _ -`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

/// Why a prefix is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{PREFIX_VARIABLE}={0:?} is no name prefix: use 1 to 64 of A-Z a-z 0-9 _ -")]
pub struct PrefixError(String);

impl Default for Prefix {
    fn default() -> Self {
        Self(DEFAULT_PREFIX.to_owned())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    /// Checks a prefix.
    ///
    /// # Errors
    /// When it is empty, too long, or has a character that a file name should not have.
    pub fn new(text: &str) -> Result<Self, PrefixError> {
        let sound =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if sound { Ok(Self(text.to_owned())) } else { Err(PrefixError(text.to_owned())) }
    }

    /// The prefix that the environment asks for.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_environment() -> Result<Self, PrefixError> {
        match std::env::var_os(PREFIX_VARIABLE) {
            Some(text) if !text.is_empty() => Self::new(&text.to_string_lossy()),
            _ => Ok(Self::default()),
        }
    }

    /// The stats segment's name.
    pub fn stats(&self) -> String {
        format!("{self}.stats")
    }

    /// The name under which the next stats segment is made: it gets the other one when it is complete.
    pub fn next_stats(&self) -> String {
        format!("{self}.stats.next")
    }

    /// The aggregator's lock file's name.
    pub fn lock(&self) -> String {
        format!("{self}.lock")
    }
}

/// What a per-process file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Written by the tracked process.
    Ring,
    /// Written by the aggregator about it.
    Ledger,
    /// Written by the tracked process, if it was asked to: the call stacks of its allocations.
    Stacks,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Ledger => "ledger",
            Self::Stacks => "stacks",
        }
    }
}

/// The name of a per-process file, taken apart. A claim until the file's owner and header agree with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessFile {
    /// Ring, ledger or stacks.
    pub role: Role,
    /// Owner.
    pub uid: u32,
    /// Process id in its own namespace.
    pub pid: u32,
    /// Random; the same for a ring, its ledger and its stacks.
    pub nonce: u64,
}

impl ProcessFile {
    /// The file's name.
    pub fn name(&self, prefix: &Prefix) -> String {
        format!("{prefix}.{}.{}.{}.{:016x}", self.role.word(), self.uid, self.pid, self.nonce)
    }

    /// Takes a name apart; `None` for anything that [`name`](Self::name) would not have written.
    pub fn parse(name: &str, prefix: &Prefix) -> Option<Self> {
        let rest = name.strip_prefix(&prefix.0)?.strip_prefix('.')?;
        let mut parts = rest.split('.');
        let role = match parts.next()? {
            "ring" => Role::Ring,
            "ledger" => Role::Ledger,
            "stacks" => Role::Stacks,
            _ => return None,
        };
        let (uid, pid) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let nonce = u64::from_str_radix(parts.next()?, 16).ok()?;
        let file = Self { role, uid, pid, nonce };
        (parts.next().is_none() && file.name(prefix) == name).then_some(file)
    }

    /// The same process's file of the other role.
    pub const fn of_role(self, role: Role) -> Self {
        Self { role, ..self }
    }
}

/// The version that this first word of a segment tells, if it is ours but for its last byte, the version's digit.
pub(crate) fn other_version(magic: u64, ours: u64) -> Option<u32> {
    let ([name @ .., digit], [our_name @ .., our_digit]) = (magic.to_le_bytes(), ours.to_le_bytes());
    (name == our_name && digit != our_digit && digit.is_ascii_digit()).then(|| u32::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back() {
        let prefix = Prefix::default();
        let file = ProcessFile { role: Role::Ring, uid: 1000, pid: 42, nonce: 0xfeed };
        assert_eq!(file.name(&prefix), "tt_alloc.ring.1000.42.000000000000feed");
        assert_eq!(ProcessFile::parse(&file.name(&prefix), &prefix), Some(file));
    }

    #[test]
    fn strange_names_are_not_ours() {
        let prefix = Prefix::default();
        for name in [
            "tt_alloc.ring.1000.42.feed",
            "tt_alloc.ring.+1.42.000000000000feed",
            "tt_alloc.ring.1.42.000000000000feed.x",
            "tt_alloc.ring.1.42.000000000000FEED",
            "tt_alloc.stats",
            "tt_allocX.ring.1.42.000000000000feed",
            "tt_alloc.ring.99999999999.42.000000000000feed",
        ] {
            assert_eq!(ProcessFile::parse(name, &prefix), None, "{name}");
        }
        assert!(Prefix::new("../x").is_err() && Prefix::new("").is_err() && Prefix::new("a.b").is_err());
    }
}
