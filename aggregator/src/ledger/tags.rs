//! The names of a process's tags: in the ledger's file, for viewers and successors, and here, for a file that is begun anew.

use core::sync::atomic::AtomicU64;
use shm_layout::ledger::TagNames;
use shm_layout::tag::Name;

/// The names that were told, by number; at most one each.
#[derive(Debug, Default)]
pub struct Tags(Vec<(u8, Name)>);

impl Tags {
    /// Those of a file.
    pub fn of(file: &TagNames<AtomicU64>) -> Self {
        Self((1..=u8::MAX).filter_map(|number| Some((number, file.get(number)?))).collect())
    }

    /// Gives a number its name, cleaned: others read it. In the file, too.
    pub fn name(&mut self, file: &TagNames<AtomicU64>, number: u8, name: Name) {
        let name = name.cleaned();
        file.set(number, name);
        match self.0.iter_mut().find(|(of, _)| *of == number) {
            Some((_, known)) => *known = name,
            None => self.0.push((number, name)),
        }
    }

    /// Writes all of them into another file.
    pub fn fill(&self, file: &TagNames<AtomicU64>) {
        self.0.iter().for_each(|(number, name)| file.set(*number, name.cleaned()));
    }
}
