#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::*;
use crate::sample;
use shm_layout::stats::Presence;

/// By RFC 4180: records of fields. What is no CSV panics.
fn read(text: &str) -> Vec<Vec<String>> {
    let mut records = vec![vec![String::new()]];
    let mut rest = text;
    while !rest.is_empty() {
        let fields = records.last_mut().unwrap();
        if let Some(behind) = rest.strip_prefix('"') {
            assert_eq!(fields.last().unwrap(), "", "a quote inside a field that is not quoted: {rest:?}");
            rest = behind;
            loop {
                let end = rest.find('"').unwrap();
                fields.last_mut().unwrap().push_str(&rest[..end]);
                rest = &rest[end + 1..];
                let Some(behind) = rest.strip_prefix('"') else { break };
                fields.last_mut().unwrap().push('"');
                rest = behind;
            }
            assert!(rest.starts_with([',', '\r']), "{rest:?}");
        } else if let Some(behind) = rest.strip_prefix(',') {
            fields.push(String::new());
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("\r\n") {
            rest = behind;
            records.push(vec![String::new()]);
        } else {
            let c = rest.chars().next().unwrap();
            assert!(!matches!(c, '\r' | '\n'), "a bare line break");
            fields.last_mut().unwrap().push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    assert_eq!(records.pop().unwrap(), [""], "the last record ends as the others do");
    records
}

fn records(seen: &Observation) -> Vec<Vec<String>> {
    let all = read(&(header() + &rows(seen, &Users::default())));
    assert!(all.iter().all(|record| record.len() == COLUMNS.len()), "{all:?}");
    all
}

fn field<'a>(record: &'a [String], column: &str) -> &'a str {
    &record[COLUMNS.iter().position(|known| *known == column).unwrap()]
}

#[test]
fn devices_and_processes_are_told_to_the_byte() {
    let seen = sample::observation(2);
    let all = records(&seen);
    assert_eq!(all[0], COLUMNS);
    let kinds: Vec<&str> = all[1..].iter().map(|record| field(record, "record")).collect();
    assert_eq!(kinds, ["device", "device", "process", "process", "process"]);
    let chip = &seen.snapshot.chips[0];
    let device = &all[1];
    let dram = chip.memory[Memory::Dram as usize];
    assert_eq!(field(device, "dram_bytes"), dram.footprint_bytes.to_string());
    assert_eq!(field(device, "dram_capacity_bytes"), (32u64 << 30).to_string());
    assert_eq!(field(device, "dram_peak_bytes"), dram.peak_footprint_bytes.to_string());
    assert_eq!(field(device, "chip_id"), format!("{:#x}", chip.chip_id));
    assert_eq!((field(device, "device"), field(device, "pid"), field(device, "stale")), ("0", "", "false"));
    assert_eq!(field(device, "unix_seconds"), "1700000000.000");
    let process = &all[3];
    assert_eq!((field(process, "pid"), field(process, "name"), field(process, "user")), ("41207", "python3", "root"));
    assert_eq!((field(process, "device"), field(process, "age_seconds")), ("0 1", "5399"));
    let mine = |memory: Memory| {
        let rows = seen.snapshot.rows_of(0).filter(move |row| row.memory == memory as u32);
        rows.map(|row| row.figures.footprint_bytes).sum::<u64>()
    };
    for (column, memory) in [("l1_bytes", Memory::L1), ("trace_bytes", Memory::Trace), ("kernel_bytes", Memory::Kernel)]
    {
        assert_eq!(field(process, column), mine(memory).to_string(), "{column}");
    }
    let resident: u64 = seen.snapshot.rows_of(0).map(|row| row.figures.resident_bytes).sum();
    let total = mine(Memory::Dram) + mine(Memory::L1) + mine(Memory::L1Small) + mine(Memory::Trace) + resident;
    assert_eq!(field(process, "total_bytes"), total.to_string());
    assert_eq!((field(process, "since_baseline_bytes"), field(process, "chip_id")), ("", ""));
}

#[test]
fn what_is_not_known_is_empty_and_not_zero() {
    let mut seen = sample::observation(2);
    seen.snapshot.processes[2].source = Source::Driver as u32;
    seen.snapshot.chips[1].memory = [Figures { capacity_bytes: UNKNOWN, ..Figures::default() }; MEMORY_KINDS];
    seen.snapshot.chips[1].telemetry.presence = Presence::Driver as u32;
    seen.snapshot.chips[1].id_is_logical = 1;
    seen.heartbeat_ns = 0;
    let all = records(&seen);
    for column in ["chip_id", "total_bytes", "dram_bytes", "blocks", "dram_capacity_bytes", "dram_peak_bytes"] {
        assert_eq!(field(&all[2], column), "", "{column}");
    }
    for column in ["total_bytes", "dram_bytes", "events", "detail_complete"] {
        assert_eq!(field(&all[5], column), "", "{column}");
    }
    assert_eq!((field(&all[5], "source"), field(&all[5], "stale")), ("driver", "true"));
}

#[test]
fn names_are_neither_formulas_nor_escapes() {
    let mut seen = sample::observation(1);
    for (process, name) in seen.snapshot.processes.iter_mut().zip(["=cmd|'/C calc'!A0", "  @SUM(1,2)\"x\"", "a,\"b"]) {
        process.name = text::store(name.as_bytes());
    }
    // As another program might write it: not through `text::store`.
    seen.snapshot.processes[2].command_line[..14].copy_from_slice(b"+1\r\n\x1b[31m\tx,\"y");
    seen.snapshot.processes[2].command_line[14..].fill(0);
    let text = rows(&seen, &Users::default());
    assert!(!text.contains(['\u{1b}', '\t']), "{text:?}");
    let all = records(&seen);
    let names: Vec<&str> = all[2..].iter().map(|record| field(record, "name")).collect();
    assert_eq!(names, ["'=cmd|'/C calc'!A0", "'  @SUM(1,2)\"x\"", "a,\"b"]);
    assert_eq!(field(&all[4], "command_line"), "'+1???[31m?x,\"y");
    // Numbers are none: a spreadsheet has to sum them.
    for row in seen.snapshot.rows.iter_mut().filter(|row| row.memory == Memory::Dram as u32) {
        row.figures.baseline = row.figures.footprint_bytes + (1 << 50) + 1;
    }
    let all = records(&seen);
    assert!(field(&all[2], "since_baseline_bytes").starts_with('-'));
}
