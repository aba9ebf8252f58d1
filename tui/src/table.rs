//! The plain-text tables of one-shot output: no colour, no decoration, one fact a column.

use crate::baseline;
use crate::roster::Roster;
use crate::selection::chip_labels;
use crate::source::Observation;
use crate::telemetry;
use crate::totals;
use crate::units;
use crate::users::Users;
use ratatui::text::Span;
use shm_layout::event::{Arch, Memory};
use shm_layout::report::chip_id_text;
use shm_layout::stats::{Chip, Figures, Line};
use shm_layout::text;

/// How a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table that is aligned when it is written.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

/// Columns that the text takes on a terminal; wide characters take two.
pub fn width(text: &str) -> usize {
    // Most texts; the tables of wide characters are not for them.
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) { text.len() } else { Span::raw(text).width() }
}

/// The text, cut to this many columns.
pub fn cut(text: &str, columns: usize) -> String {
    let mut left = columns;
    let mut kept = String::new();
    for c in text.chars() {
        let mut one = [0; 4];
        let Some(rest) = left.checked_sub(width(c.encode_utf8(&mut one))) else { break };
        left = rest;
        kept.push(c);
    }
    kept
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// One more row.
    pub fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, header first, each at most `columns` wide where given.
    pub fn lines(&self, columns: Option<usize>) -> Vec<String> {
        let header: Vec<String> = self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        let all = || std::iter::once(&header).chain(&self.rows);
        let width_of = |at: usize| all().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width_of).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for ((cell, (_, align)), width_here) in row.iter().zip(&self.columns).zip(&widths) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let gap = " ".repeat(width_here.saturating_sub(width(cell)));
                match align {
                    Align::Left => line.extend([cell.as_str(), &gap]),
                    Align::Right => line.extend([gap.as_str(), cell]),
                }
            }
            let line = line.trim_end().to_owned();
            columns.map_or(line.clone(), |most| cut(&line, most))
        };
        all().map(line).collect()
    }
}

/// Everything seen, as text that ends with a line break; the processes in the snapshot's order. `nobody`: what is said where there is none.
pub fn overview(seen: &Observation, users: &Users, columns: Option<usize>, nobody: &str) -> String {
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut chips = Table::new(&[
        ("DEVICE", Align::Left),
        ("CHIP", Align::Left),
        ("ARCH", Align::Left),
        ("BOARD", Align::Left),
        ("MEMORY", Align::Left),
        ("USED", Align::Right),
        ("CAPACITY", Align::Right),
        ("USE", Align::Right),
        ("PEAK", Align::Right),
        ("BLOCKS", Align::Right),
        ("NOTE", Align::Left),
    ]);
    for (chip, label) in seen.snapshot.chips.iter().zip(chip_labels(&seen.snapshot.chips)) {
        let notes = chip_notes(chip, seen.unix_ns);
        let shown = shown_memories(std::slice::from_ref(chip));
        if shown.is_empty() {
            chips.push(bare_row(chip, &label, notes.clone()));
        }
        for (at, memory) in shown.into_iter().enumerate() {
            chips.push(chip_row(chip, &label, memory, if at == 0 { notes.clone() } else { Vec::new() }));
        }
    }
    parts.push(if chips.is_empty() { vec!["no chip".to_owned()] } else { chips.lines(columns) });

    let mut roster = Roster::default();
    roster.update(&seen.snapshot.processes, users);
    let labels = chip_labels(&seen.snapshot.chips);
    let rows = totals::processes(&seen.snapshot, &roster);
    let compared = rows.iter().any(|p| p.since.is_some());
    let mut columns_of_processes = vec![
        ("PID", Align::Right),
        ("USER", Align::Left),
        ("NAME", Align::Left),
        ("CHIPS", Align::Left),
        ("TOTAL", Align::Right),
        ("DRAM", Align::Right),
        ("L1", Align::Right),
        ("CB", Align::Right),
        ("OTHER", Align::Right),
        ("EVENTS", Align::Right),
        ("COMMAND", Align::Left),
    ];
    if compared {
        columns_of_processes.insert(5, ("SINCE", Align::Right));
    }
    let mut processes = Table::new(&columns_of_processes);
    for p in rows {
        let mut cells = vec![p.pid.to_string(), p.who.user.clone(), p.who.name.clone(), p.chips.list(&labels)];
        let amount = |bytes| if p.is_known() { units::bytes(bytes) } else { "?".to_owned() };
        cells.push(amount(p.total));
        if compared {
            cells.push(p.since.map_or_else(|| "-".to_owned(), units::change));
        }
        cells.extend([p.dram, p.l1, p.cb, p.other].map(amount));
        let events = if p.mark().is_some() { "-".to_owned() } else { p.events.to_string() };
        cells.extend([events, p.command_line()]);
        processes.push(cells);
    }
    parts.push(if processes.is_empty() { vec![nobody.to_owned()] } else { processes.lines(columns) });
    let mut text = parts.iter().map(|lines| lines.join("\n")).collect::<Vec<_>>().join("\n\n");
    text.push('\n');
    text
}

/// What the driver tells of it, and whether nobody tracked uses it.
fn chip_notes(chip: &Chip, now_unix_ns: u64) -> Vec<String> {
    let mark = telemetry::mark(chip).map(str::to_owned);
    mark.into_iter().chain(telemetry::words(&chip.telemetry, now_unix_ns)).collect()
}

/// The row of a chip without any figure.
fn bare_row(chip: &Chip, label: &str, notes: Vec<String>) -> Vec<String> {
    let mut cells = chip_row(chip, label, Memory::Dram, notes);
    cells[4..10].iter_mut().for_each(|cell| *cell = "-".to_owned());
    cells
}

fn chip_row(chip: &Chip, label: &str, memory: Memory, mut notes: Vec<String>) -> Vec<String> {
    let figures = &chip.memory[memory as usize];
    let used = used(memory, figures);
    let capacity = capacity(chip, memory);
    let or_unknown = |text: String| if text.is_empty() { "?".to_owned() } else { text };
    match memory {
        Memory::Cb => notes.push(format!(
            "use is resident, peak registered; {} registered",
            units::bytes(figures.footprint_bytes).trim()
        )),
        Memory::SystemMemory => notes.push("host memory".to_owned()),
        _ => {}
    }
    notes.extend(baseline::words(figures));
    if figures.detail_incomplete != 0 {
        notes.push("detail incomplete".to_owned());
    }
    vec![
        label.to_owned(),
        chip_name(chip),
        Arch::from_u32(chip.arch).name().to_owned(),
        or_unknown(text::load(&chip.board)),
        memory.name().to_owned(),
        units::bytes(used),
        units::maybe_bytes(capacity),
        units::percent(used, capacity),
        units::bytes(figures.peak_footprint_bytes),
        figures.blocks.to_string(),
        notes.join("; "),
    ]
}

/// The chip's id as text; a mere logical number is marked.
pub fn chip_name(chip: &Chip) -> String {
    if chip.id_is_logical != 0 { format!("#{} (id unknown)", chip.chip_id) } else { chip_id_text(chip.chip_id) }
}

/// Bytes that the memory's bar shows: of CBs, what is resident; of the others, the footprint.
pub const fn used(memory: Memory, figures: &Figures) -> u64 {
    match memory {
        Memory::Cb => figures.resident_bytes,
        _ => figures.footprint_bytes,
    }
}

/// What `used` may grow to, bytes. Resident CBs lie in L1.
pub fn capacity(chip: &Chip, memory: Memory) -> Option<u64> {
    let own = chip.memory[memory as usize].capacity().filter(|c| *c > 0);
    match memory {
        Memory::Cb => own.or_else(|| chip.memory[Memory::L1 as usize].capacity()),
        _ => own,
    }
}

/// Memory kinds that any of these chips has or uses, the most asked for first.
pub fn shown_memories(chips: &[Chip]) -> Vec<Memory> {
    const ORDER: [Memory; 7] =
        [Memory::Dram, Memory::L1, Memory::Cb, Memory::L1Small, Memory::Trace, Memory::Kernel, Memory::SystemMemory];
    let shown = |memory: &Memory| {
        chips
            .iter()
            .map(|chip| &chip.memory[*memory as usize])
            .any(|f| f.is_used() || f.capacity().is_some_and(|c| c > 0))
    };
    ORDER.into_iter().filter(shown).collect()
}

/// The text of an event line.
pub fn line_text(line: &Line) -> String {
    text::load(&line.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn golden_overview() {
        let mut seen = sample::observation(2);
        seen.snapshot.chips[1].memory[0].capacity_bytes = shm_layout::stats::UNKNOWN;
        seen.snapshot.chips[1].memory[0].detail_incomplete = 1;
        for process in &mut seen.snapshot.processes {
            process.uid = 4_123_456_789;
        }
        insta::assert_snapshot!(overview(&seen, &Users::default(), None, "no tracked process"));
    }

    #[test]
    fn lines_are_cut_where_the_terminal_ends() {
        let seen = sample::observation(1);
        for columns in [0, 1, 20, 80] {
            let text = overview(&seen, &Users::default(), Some(columns), "no tracked process");
            assert!(text.lines().all(|line| width(line) <= columns), "{columns}:\n{text}");
        }
    }

    #[test]
    fn wide_characters_keep_the_columns() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Right)]);
        table.push(vec!["漢字".into(), "1".into()]);
        table.push(vec!["x".into(), "22".into()]);
        assert_eq!(table.lines(None), ["A      B", "漢字   1", "x     22"]);
        assert_eq!(cut("漢字", 3), "漢");
    }

    #[test]
    fn an_empty_host_is_said_in_words() {
        let mut seen = sample::observation(0);
        seen.snapshot.processes.clear();
        assert_eq!(overview(&seen, &Users::default(), None, "no tracked process"), "no chip\n\nno tracked process\n");
    }
}
