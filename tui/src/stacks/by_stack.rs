//! What is alive, by call stack.

use super::told::{Frame, Told};
use crate::buffers::Buffer;
use crate::units;
use serde::Serialize;
use shm_layout::report::SCHEMA_VERSION;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Allocations of one process with one stack, of whatever thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Process id.
    pub pid: u32,
    /// Its name; `None` once it is gone.
    pub process_name: Option<String>,
    /// Bytes that they take.
    pub footprint_bytes: u64,
    /// How many they are.
    pub blocks: u64,
    /// The innermost first; empty where none is known.
    pub stack: Vec<Frame>,
    /// Whether the stack goes on.
    pub stack_cut: bool,
}

/// Groups allocations, the largest group first.
pub fn groups(buffers: &[Buffer], told: &Told) -> Vec<Group> {
    let mut found: HashMap<(u32, Option<&[u64]>), Group> = HashMap::new();
    for buffer in buffers {
        let stack = told.stack(buffer);
        let group = found.entry((buffer.pid, stack.map(|stack| &stack.addresses[..]))).or_insert_with(|| Group {
            pid: buffer.pid,
            process_name: Some(buffer.process_name.clone()).filter(|name| !name.is_empty()),
            footprint_bytes: 0,
            blocks: 0,
            stack: told.frames(buffer),
            stack_cut: stack.is_some_and(|stack| stack.cut),
        });
        group.footprint_bytes = group.footprint_bytes.saturating_add(buffer.allocation.event.taken());
        group.blocks += 1;
    }
    let mut groups: Vec<Group> = found.into_values().collect();
    groups.sort_by_cached_key(|group| {
        let addresses: Vec<u64> = group.stack.iter().map(|frame| frame.address).collect();
        (Reverse(group.footprint_bytes), Reverse(group.blocks), group.pid, addresses)
    });
    groups
}

/// For people: each group with its frames.
pub fn table(groups: &[Group]) -> String {
    let mut text = String::new();
    for group in groups {
        let allocations = if group.blocks == 1 { "allocation" } else { "allocations" };
        text += &format!(
            "{} in {} {allocations} of PID {} ({})\n",
            units::bytes(group.footprint_bytes),
            group.blocks,
            group.pid,
            group.process_name.as_deref().unwrap_or("?")
        );
        for line in lines(&group.stack, group.stack_cut) {
            text += &format!("    {line}\n");
        }
    }
    text
}

/// A stack in lines.
pub fn lines(stack: &[Frame], cut: bool) -> Vec<String> {
    let mut lines: Vec<String> = stack.iter().map(Frame::text).collect();
    if lines.is_empty() {
        lines.push("no call stack".to_owned());
    } else if cut {
        lines.push("...".to_owned());
    }
    lines
}

/// For flame graphs: a line each, the outermost frame first, with the bytes at its end.
pub fn folded(groups: &[Group]) -> String {
    let mut sums: Vec<(String, u64)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for group in groups {
        let name = group.process_name.as_deref().unwrap_or("?");
        let mut parts = vec![format!("{name}-{}", group.pid)];
        match (&group.stack[..], group.stack_cut) {
            ([], _) => parts.push("[no call stack]".to_owned()),
            (_, true) => parts.push("[...]".to_owned()),
            _ => {}
        }
        parts.extend(group.stack.iter().rev().map(Frame::name));
        // What separates frames is none of a name.
        let line = parts.iter().map(|part| part.replace(';', ":")).collect::<Vec<_>>().join(";");
        let at = *places.entry(line.clone()).or_insert(sums.len());
        match sums.get_mut(at) {
            Some((_, bytes)) => *bytes = bytes.saturating_add(group.footprint_bytes),
            None => sums.push((line, group.footprint_bytes)),
        }
    }
    sums.iter().map(|(line, bytes)| format!("{line} {bytes}\n")).collect()
}

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    stacks: &'a [Group],
    /// Left out by the limit.
    omitted: usize,
}

/// As one JSON object on one line.
///
/// # Errors
/// When it cannot be written as JSON (it always can).
pub fn json(groups: &[Group], omitted: usize) -> serde_json::Result<String> {
    let report = Report { schema_version: SCHEMA_VERSION, stacks: groups, omitted };
    serde_json::to_string(&report).map(|text| text + "\n")
}

/// Puts the stacks of a list under its rows.
pub fn under_rows(table: &str, buffers: &[Buffer], told: &Told) -> String {
    let lines_of = |buffer: &Buffer| {
        let stack = buffer.stack.as_deref().unwrap_or_default();
        lines(stack, told.stack(buffer).is_some_and(|stack| stack.cut))
    };
    let rows: Vec<&str> = table.lines().collect();
    let heading = rows.len().saturating_sub(buffers.len());
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        text += &format!("{row}\n");
        if let Some(buffer) = at.checked_sub(heading).and_then(|at| buffers.get(at)) {
            lines_of(buffer).iter().for_each(|line| text += &format!("        {line}\n"));
        }
    }
    text
}
