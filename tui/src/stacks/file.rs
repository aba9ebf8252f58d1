//! The stacks of one process. Its user may write anything there, at any moment: nothing is believed but for that process's rows.

use aggregator::sigbus::Guarded;
use shm_layout::names::{DIRECTORY, Prefix, ProcessFile, Role};
use shm_layout::ring::IdentityError;
use shm_layout::segment::{Access, Expect, SegmentError, open};
use shm_layout::stacks::{
    MODULES, MODULES_OFFSET, Module, ModuleSlot, STACKS, STACKS_BYTES, STACKS_OFFSET, Stack, StackSlot, StacksHeader,
    Table, check,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;

/// Why a process's stacks are not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StacksError {
    /// The file is not as it should be.
    #[error("{DIRECTORY}/{0}; its call stacks are left out")]
    Segment(#[from] SegmentError),
    /// Not stacks that this build reads.
    #[error("{DIRECTORY}/{name}: {error}; its call stacks are left out")]
    Foreign {
        /// File name.
        name: String,
        /// What is wrong.
        error: IdentityError,
    },
    /// The file was cut short, or is of another process than its name says.
    #[error("{DIRECTORY}/{name}: {what}; its call stacks are left out")]
    Unsound {
        /// File name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// Stacks of one process, copied.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    /// By number.
    pub stacks: HashMap<u32, Stack>,
    /// What is loaded where.
    pub modules: Vec<Module>,
    /// Whether the process is the viewer's own: then its user may as well be believed about what files to read.
    pub own: bool,
}

/// Copies the stacks with these numbers, and the modules, of the process with this ring.
///
/// # Errors
/// What is wrong with the file.
pub fn read(prefix: &Prefix, ring: &ProcessFile, numbers: &BTreeSet<u32>) -> Result<Copied, StacksError> {
    let name = ring.of_role(Role::Stacks).name(prefix);
    let expect = Expect { owners: &[ring.uid], least: STACKS_BYTES as u64, most: STACKS_BYTES as u64 };
    let opened = open(&name, Access::Read, expect)?;
    let unsound = |what| StacksError::Unsound { name: name.clone(), what };
    let file = Guarded::new(opened).ok_or_else(|| unsound("too many files are open"))?;
    let header = file.mapping.one::<StacksHeader<AtomicU64>>(0);
    let modules = file.mapping.array::<ModuleSlot<AtomicU64>>(MODULES_OFFSET, MODULES);
    let slots = file.mapping.array::<StackSlot<AtomicU64>>(STACKS_OFFSET, STACKS);
    let (Some(header), Some(modules), Some(slots)) = (header, modules, slots) else {
        return Err(unsound("shorter than it was"));
    };
    let identity = header.identity();
    check(&identity).map_err(|error| StacksError::Foreign { name: name.clone(), error })?;
    if (identity.uid, identity.pid, identity.nonce) != (ring.uid, ring.pid, ring.nonce) {
        return Err(unsound("its header names another process than its file name"));
    }
    let table = Table::new(header, slots).ok_or_else(|| unsound("no places"))?;
    let stacks = numbers.iter().filter_map(|number| Some((*number, table.stack(*number)?))).collect();
    let modules = modules.iter().filter_map(ModuleSlot::module).collect();
    if file.faulted() {
        return Err(unsound("it was cut short while it was read"));
    }
    Ok(Copied { stacks, modules, own: ring.uid == nix::unistd::geteuid().as_raw() })
}
