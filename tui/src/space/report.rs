//! The spaces of a host as figures: a table, JSON.

use super::Space;
use super::caveats::caveats;
use crate::inventory::Inventory;
use crate::selection::{Selection, chip_labels};
use crate::source::Observation;
use crate::table::{Align, Table, shown_memories};
use crate::units;
use serde::Serialize;
use shm_layout::event::Memory;
use shm_layout::report::{SCHEMA_VERSION, chip_id_text};
use shm_layout::stats::Chip;

/// One space, in bytes of one bank: tt-metal's allocator takes the same of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    #[serde(skip)]
    label: String,
    /// The chip's logical number; none where nobody told one.
    device: Option<u32>,
    chip_id: String,
    memory: &'static str,
    /// How many banks there are; none: not known, as all that is of them.
    banks: Option<u64>,
    bank_begin: Option<u64>,
    bank_bytes: Option<u64>,
    taken_bytes_per_bank: Option<u64>,
    free_bytes_per_bank: Option<u64>,
    largest_free_begin: Option<u64>,
    largest_free_bytes_per_bank: Option<u64>,
    /// Of all that is free, what does not lie in the largest free run.
    fragmentation_percent: Option<u64>,
    blocks: usize,
    /// Whether all of that is known. If not, this `not_known` and that of the whole report tell what is not, and less may be free.
    exact: bool,
    not_known: Vec<String>,
}

impl Figures {
    fn of(space: &Space, chip: &Chip, label: String, memory: Memory, seen: &Observation) -> Self {
        let banks = space.banks;
        let largest = space.largest.filter(|_| space.free.is_some());
        let not_known = caveats(space, memory, Some(chip), seen);
        Self {
            label,
            device: Some(chip.device).filter(|number| *number != u32::MAX),
            chip_id: chip_id_text(chip.chip_id),
            memory: memory.name(),
            banks: banks.map(|banks| banks.count),
            bank_begin: banks.filter(|banks| banks.bytes > 0).map(|banks| banks.first),
            bank_bytes: banks.map(|banks| banks.bytes).filter(|bytes| *bytes > 0),
            taken_bytes_per_bank: banks.map(|_| space.taken),
            free_bytes_per_bank: space.free,
            largest_free_begin: largest.map(|(from, _)| from),
            largest_free_bytes_per_bank: space.free.map(|_| largest.map_or(0, |(from, to)| to - from)),
            fragmentation_percent: space.fragmentation(),
            blocks: space.blocks.len(),
            exact: space.free.is_some() && space.is_exact() && not_known.is_empty(),
            not_known,
        }
    }
}

/// What `tt-alloc map` tells.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    schema_version: u32,
    spaces: Vec<Figures>,
    /// What is missing everywhere: processes, rings, newer figures.
    not_known: Vec<String>,
}

/// Memory kinds of which it is told where things lie. Kernels lie in a ring of their own, of which no record tells the place.
pub fn is_mapped(memory: Memory) -> bool {
    memory != Memory::Kernel
}

impl Report {
    /// Every space of these chips and memory kinds that has banks or blocks. `memories`: none = every one; `not_known`: what is missing,
    /// beside what the inventory says of itself.
    pub fn of(
        seen: &Observation,
        inventory: &Inventory,
        selection: &Selection,
        memories: &[Memory],
        mut not_known: Vec<String>,
    ) -> Self {
        for missing in &inventory.missing {
            if !not_known.contains(missing) {
                not_known.push(missing.clone());
            }
        }

        let chips = &seen.snapshot.chips;
        let mut spaces = Vec::new();
        for (chip, label) in chips.iter().zip(chip_labels(chips)).filter(|(chip, _)| selection.has_chip(chip)) {
            let kinds = shown_memories(std::slice::from_ref(chip)).into_iter().filter(|kind| is_mapped(*kind));
            for memory in kinds.filter(|kind| memories.is_empty() || memories.contains(kind)) {
                let space = Space::of(inventory, (chip.chip_id, chip.id_is_logical), memory);
                if space.banks.is_some() || !space.blocks.is_empty() {
                    let mut figures = Figures::of(&space, chip, label.clone(), memory, seen);
                    figures.exact &= not_known.is_empty();
                    spaces.push(figures);
                }
            }
        }
        Self { schema_version: SCHEMA_VERSION, spaces, not_known }
    }

    /// Whether nothing is told because nothing could be read.
    pub fn is_blind(&self) -> bool {
        self.spaces.is_empty() && !self.not_known.is_empty()
    }

    /// What is not known, each in one line.
    pub fn notes(&self) -> Vec<String> {
        let of_spaces = self.spaces.iter().flat_map(|one| {
            one.not_known.iter().map(move |what| format!("device {} {}: {what}", one.label, one.memory))
        });
        of_spaces.chain(self.not_known.iter().cloned()).collect()
    }

    /// As one JSON object on one line.
    ///
    /// # Errors
    /// When it cannot be written as JSON (it always can).
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| text + "\n")
    }

    /// For a person: a space a line, cut to this many columns.
    pub fn text(&self, columns: Option<usize>) -> String {
        let mut table = Table::new(&[
            ("DEVICE", Align::Left),
            ("CHIP", Align::Left),
            ("MEMORY", Align::Left),
            ("BANKS", Align::Right),
            ("PER BANK", Align::Right),
            ("TAKEN", Align::Right),
            ("FREE", Align::Right),
            ("LARGEST RUN", Align::Right),
            ("AT", Align::Right),
            ("FRAG", Align::Right),
            ("BLOCKS", Align::Right),
        ]);
        for one in &self.spaces {
            let bytes = |figure: Option<u64>| figure.map_or_else(|| "-".to_owned(), units::bytes);
            let at_most = |figure: Option<u64>| match figure {
                Some(_) if !one.exact => format!("<= {}", bytes(figure).trim_start()),
                _ => bytes(figure),
            };
            table.push(vec![
                one.label.clone(),
                one.chip_id.clone(),
                one.memory.to_owned(),
                one.banks.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                bytes(one.bank_bytes),
                bytes(one.taken_bytes_per_bank),
                at_most(one.free_bytes_per_bank),
                at_most(one.largest_free_bytes_per_bank),
                one.largest_free_begin.map_or_else(|| "-".to_owned(), |at| format!("0x{at:x}")),
                one.fragmentation_percent.map_or_else(|| "-".to_owned(), |share| format!("{share}%")),
                units::count(one.blocks as u64),
            ]);
        }
        match (table.is_empty(), self.not_known.is_empty()) {
            (false, _) => table.lines(columns).join("\n") + "\n",
            (true, true) => "nothing is allocated\n".to_owned(),
            (true, false) => "nothing that can be read from here is allocated\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::screen::views::ledger_fixture::{allocation, device, holder, observation};
    use serde_json::Value;

    fn holders(seen: &Observation) -> Inventory {
        let held = vec![
            allocation(1, 0, Memory::Dram, 0x1000, 8 * 0x800, 9),
            allocation(2, 0, Memory::L1, 0x2_0000, 130 * 64, 9),
        ];
        let holders = vec![holder(&seen.snapshot.processes[0], vec![device(seen, 0)], held)];
        Inventory { holders, ..Inventory::default() }
    }

    fn report(selection: &Selection, memories: &[Memory]) -> Report {
        let seen = observation(2);
        Report::of(&seen, &holders(&seen), selection, memories, Vec::new())
    }

    fn json(report: &Report) -> Value {
        serde_json::from_str(&report.json().unwrap()).unwrap()
    }

    #[test]
    fn what_is_free_is_what_is_not_taken() {
        let json = json(&report(&Selection::default(), &[Memory::Dram]));
        let one = &json["spaces"][0];
        let [bank, taken, free, largest] =
            ["bank_bytes", "taken_bytes_per_bank", "free_bytes_per_bank", "largest_free_bytes_per_bank"]
                .map(|key| one[key].as_u64().unwrap());
        assert!(taken > 0 && taken + free == bank, "{one}");
        // One block divides what is free in two at most.
        assert!(largest <= free && largest * 2 >= free, "{one}");
        assert_eq!((&one["blocks"], &one["exact"]), (&1.into(), &true.into()), "{one}");
    }

    #[test]
    fn nothing_is_exact_where_something_is_missing() {
        let seen = observation(2);
        let free = |report: &Report| {
            let json = json(report);
            (json["spaces"][0]["exact"].as_bool().unwrap(), json["not_known"].as_array().unwrap().len())
        };
        let of = |inventory: &Inventory, not_known| {
            Report::of(&seen, inventory, &Selection::default(), &[Memory::Dram], not_known)
        };
        let why = || vec!["the allocations of process 7: too many".to_owned()];
        let whole = holders(&seen);
        assert_eq!(free(&of(&whole, Vec::new())), (true, 0));
        assert_eq!(free(&of(&whole, why())), (false, 1));
        assert!(of(&whole, why()).text(None).contains("<= "));
        let missing = Inventory { missing: why(), ..whole.clone() };
        assert_eq!(free(&of(&missing, why())), (false, 1), "told once");
        // The number of banks alone tells nothing of what is free.
        let mut countless = whole;
        countless.holders[0].devices[0].banks.iter_mut().for_each(|banks| banks.bytes = 0);
        let told = json(&of(&countless, Vec::new()));
        assert_eq!(
            (&told["spaces"][0]["exact"], &told["spaces"][0]["free_bytes_per_bank"]),
            (&false.into(), &Value::Null)
        );
        assert!(!told["spaces"][0]["not_known"].as_array().unwrap().is_empty(), "{told}");
        let blind = of(&Inventory { missing: why(), ..Inventory::default() }, Vec::new());
        assert!(blind.is_blind() && blind.text(None).contains("can be read"), "{}", blind.text(None));
    }

    #[test]
    fn only_what_is_asked_for_is_told() {
        let kinds = |report: &Report| report.spaces.iter().map(|one| one.memory).collect::<Vec<_>>();
        assert_eq!(kinds(&report(&Selection::default(), &[])), ["DRAM", "L1"]);
        assert_eq!(kinds(&report(&Selection::default(), &[Memory::L1])), ["L1"]);
        let other = Selection(vec!["1".parse().unwrap()]);
        assert_eq!(kinds(&report(&other, &[])), [""; 0], "nobody told anything of it");
    }

    #[test]
    fn the_table_says_the_same() {
        let text = report(&Selection::default(), &[]).text(None);
        assert!(text.lines().next().unwrap().ends_with("FRAG  BLOCKS"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains("<="), "{text}");
    }
}
