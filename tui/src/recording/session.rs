//! Who recorded: the first frame of each session.

use super::wire::{Malformed, Wire, put_number, put_section};
use shm_layout::text;

/// Where and with what was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Name of the host.
    pub host: String,
    /// Release of tt-alloc.
    pub release: String,
    /// Tells one run of the kernel from another; empty where it does not say.
    pub boot_id: String,
    /// Time between two looks, ms.
    pub refresh_ms: u64,
}

impl Session {
    /// Of this host, as of now.
    pub fn here(host: String, refresh_ms: u64) -> Self {
        let boot_id = shm_layout::procfs::read_bounded("/proc/sys/kernel/random/boot_id", 64).unwrap_or_default();
        let boot_id = text::clean(boot_id.trim_ascii());
        Self { host, release: env!("CARGO_PKG_VERSION").to_owned(), boot_id, refresh_ms }
    }

    /// As it is written: sections 1 host, 2 release, 3 boot id, 4 time between two looks.
    pub fn content(&self) -> Vec<u8> {
        let mut content = Vec::new();
        for (number, text) in [(1, &self.host), (2, &self.release), (3, &self.boot_id)] {
            put_section(&mut content, number, text.as_bytes());
        }
        let mut refresh = Vec::new();
        put_number(&mut refresh, self.refresh_ms);
        put_section(&mut content, 4, &refresh);
        content
    }

    /// As it was written.
    ///
    /// # Errors
    /// When its content contradicts itself.
    pub fn of(content: &[u8]) -> Result<Self, Malformed> {
        let mut session = Self::default();
        let mut wire = Wire::new(content);
        while let Some((number, mut content)) = wire.section()? {
            let told = |content: Wire<'_>| text::clean(&content.rest()[..content.rest().len().min(256)]);
            match number {
                1 => session.host = told(content),
                2 => session.release = told(content),
                3 => session.boot_id = told(content),
                4 => session.refresh_ms = content.number()?,
                _ => {}
            }
        }
        Ok(session)
    }
}
