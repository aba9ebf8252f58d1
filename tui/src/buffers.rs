//! The list of live allocations: chosen, sorted, as a table or as JSON.

pub mod filter;
pub mod group_key;
pub mod groups;

use crate::ledger::{Allocation, Ledger};
use crate::selection::Selection;
use crate::stacks::told::Frame;
use crate::table::{Align, Table};
use crate::units;
use filter::Filter;
use serde::Serialize;
use serde_json::Value;
use shm_layout::event::{Memory, flags};
use shm_layout::names::ProcessFile;
use shm_layout::report::{SCHEMA_VERSION, chip_id_text};
use std::cmp::Ordering;
use std::rc::Rc;

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// The largest footprint first.
    Size,
    /// The oldest first.
    Age,
}

/// Which allocations are asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Of this process only.
    pub pid: Option<u32>,
    /// On these devices only.
    pub devices: Selection,
    /// Of these memory kinds only; none = every one.
    pub memories: Vec<Memory>,
    /// Of these phases only; none = every one, and what is of none.
    pub tags: Vec<String>,
    /// What they must be like.
    pub filter: Filter,
    /// Sorted by the first, among equals by the second; none = by size.
    pub order: Vec<Order>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// One live allocation, with its owner.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Names its ledger: two processes that had the same pid are two.
    pub nonce: u64,
    /// Its name; empty once it is gone.
    pub process_name: String,
    /// The allocation.
    pub allocation: Allocation,
    /// The ring that it was told in.
    pub of: ProcessFile,
    /// The thread that allocated; `None` where it is not told, or by its stack only ([`Told::fill`](crate::stacks::told::Told::fill)).
    pub thread: Option<u32>,
    /// Its call stack, the innermost frame first, if it was looked up ([`Told::fill`](crate::stacks::told::Told::fill)).
    pub stack: Option<Rc<[Frame]>>,
}

impl Query {
    /// The allocations asked for, of these ledgers; also how many the limit left out.
    pub fn answer(&self, ledgers: &[Ledger]) -> (Vec<Buffer>, usize) {
        let mut found = self.found(ledgers);
        let order: &[Order] = if self.order.is_empty() { &[Order::Size] } else { &self.order };
        found.sort_unstable_by(|one, other| {
            let (a, b) = (&one.allocation.event, &other.allocation.event);
            let by = |order: &Order| match order {
                Order::Size => b.taken().cmp(&a.taken()),
                Order::Age => a.time.cmp(&b.time),
            };
            let asked = order.iter().map(by).fold(Ordering::Equal, Ordering::then);
            // The rest makes the order the same at every call.
            asked.then_with(|| (one.pid, a.device, a.id, one.nonce).cmp(&(other.pid, b.device, b.id, other.nonce)))
        });
        let left_out = self.limit.map_or(0, |limit| found.len().saturating_sub(limit));
        found.truncate(self.limit.unwrap_or(usize::MAX));
        (found, left_out)
    }

    /// All that are asked for, in no order.
    pub fn found(&self, ledgers: &[Ledger]) -> Vec<Buffer> {
        let mut found = Vec::new();
        for ledger in ledgers.iter().filter(|ledger| self.means(ledger)) {
            let identity = ledger.identity();
            let (pid, uid, nonce, process_name) = (identity.pid, identity.uid, identity.nonce, ledger.process_name());
            let chosen = ledger.allocations().into_iter().filter(|allocation| self.has(allocation));
            let of = ledger.ring();
            found.extend(chosen.map(|allocation| Buffer {
                pid,
                uid,
                nonce,
                process_name: process_name.clone(),
                of,
                thread: allocation.thread(),
                stack: None,
                allocation,
            }));
        }
        found
    }

    /// Whether this process is meant.
    pub fn means(&self, ledger: &Ledger) -> bool {
        let identity = ledger.identity();
        self.pid.is_none_or(|pid| pid == identity.pid) && self.filter.uid.is_none_or(|uid| uid == identity.uid)
    }

    /// Whether this allocation is meant, whoever has it.
    pub fn has(&self, allocation: &Allocation) -> bool {
        self.devices.has(allocation.event.device, allocation.chip_id)
            && (self.memories.is_empty() || self.memories.contains(&allocation.memory))
            && (self.tags.is_empty() || allocation.tag().is_some_and(|tag| self.tags.iter().any(|asked| asked == tag)))
            && self.filter.has(allocation)
    }
}

/// The list as a table, one allocation a line.
pub fn table(buffers: &[Buffer], now_ns: u64, columns: Option<usize>) -> String {
    let tagged = buffers.iter().any(|buffer| buffer.allocation.tag().is_some());
    let mut columns_shown = vec![
        ("PID", Align::Right),
        ("NAME", Align::Left),
        ("DEVICE", Align::Right),
        ("CHIP", Align::Left),
        ("MEMORY", Align::Left),
        ("SIZE", Align::Right),
        ("FOOTPRINT", Align::Right),
        ("ADDRESS", Align::Right),
        ("AGE", Align::Right),
        ("ID", Align::Right),
        ("CONTEXT", Align::Right),
    ];
    columns_shown.extend(tagged.then_some(("TAG", Align::Left)));
    columns_shown.push(("FLAGS", Align::Left));
    let mut table = Table::new(&columns_shown);
    for Buffer { pid, process_name, allocation, .. } in buffers {
        let event = &allocation.event;
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        let context = if event.context == 0 { "-".to_owned() } else { event.context.to_string() };
        let name = if process_name.is_empty() { "?" } else { process_name };
        let mut row = vec![
            pid.to_string(),
            name.to_owned(),
            event.device.to_string(),
            or_unknown(allocation.chip_id.map(chip_id_text)),
            allocation.memory.name().to_owned(),
            units::maybe_bytes(allocation.size()),
            units::bytes(event.taken()),
            format!("{:#x}", event.address),
            units::age(allocation.age_ns(now_ns)),
            event.id.to_string(),
            context,
        ];
        row.extend(tagged.then(|| allocation.tag().unwrap_or("-").to_owned()));
        row.push(flag_names(allocation).join(","));
        table.push(row);
    }
    let mut text = table.lines(columns).join("\n");
    text.push('\n');
    text
}

fn flag_names(allocation: &Allocation) -> Vec<&'static str> {
    let named = [
        (flags::SYSTEM, "system"),
        (flags::GLOBALLY_ALLOCATED, "global"),
        (flags::FABRIC, "fabric"),
        (flags::DISPATCH, "dispatch"),
        (flags::SIZE_UNKNOWN, "size-unknown"),
        (flags::ID_IS_ADDRESS, "address-id"),
    ];
    named.into_iter().filter(|(flag, _)| allocation.has(*flag)).map(|(_, name)| name).collect()
}

#[derive(Serialize)]
struct BuffersReport<'a> {
    schema_version: u32,
    buffers: Vec<BufferReport<'a>>,
    /// Left out by the limit.
    omitted: usize,
    /// What the list does not show.
    not_known: &'a Value,
}

#[derive(Serialize)]
struct BufferReport<'a> {
    pid: u32,
    process_name: Option<&'a str>,
    device: u32,
    chip_id: Option<String>,
    memory: &'static str,
    id: u64,
    id_is_address: bool,
    address: u64,
    size_bytes: Option<u64>,
    footprint_bytes: u64,
    age_seconds: f64,
    context: Option<u32>,
    tag: Option<&'a str>,
    thread: Option<u32>,
    system: bool,
    globally_allocated: bool,
    fabric: bool,
    dispatch: bool,
    /// With `--stacks` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<&'a [Frame]>,
}

/// The list as one JSON object on one line; `omitted` is what the limit left out, `not_known` what could not be read.
///
/// # Errors
/// When it cannot be written as JSON (it always can).
pub fn json(buffers: &[Buffer], omitted: usize, not_known: &Value, now_ns: u64) -> serde_json::Result<String> {
    let rows = buffers.iter().map(|Buffer { pid, process_name, allocation, thread, stack, .. }| {
        let event = &allocation.event;
        BufferReport {
            pid: *pid,
            process_name: Some(process_name.as_str()).filter(|name| !name.is_empty()),
            device: event.device,
            chip_id: allocation.chip_id.map(chip_id_text),
            memory: allocation.memory.name(),
            id: event.id,
            id_is_address: allocation.has(flags::ID_IS_ADDRESS),
            address: event.address,
            size_bytes: allocation.size(),
            footprint_bytes: event.taken(),
            age_seconds: allocation.age_ns(now_ns) as f64 / 1e9,
            context: Some(event.context).filter(|n| *n != 0),
            tag: allocation.tag(),
            thread: *thread,
            system: allocation.has(flags::SYSTEM),
            globally_allocated: allocation.has(flags::GLOBALLY_ALLOCATED),
            fabric: allocation.has(flags::FABRIC),
            dispatch: allocation.has(flags::DISPATCH),
            stack: stack.as_deref(),
        }
    });
    let report = BuffersReport { schema_version: SCHEMA_VERSION, buffers: rows.collect(), omitted, not_known };
    serde_json::to_string(&report).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::ledger::{self, fixture};
    use crate::selection::Device;
    use fixture::alloc;
    use shm_layout::event::Event;

    fn ids(query: &Query, ledgers: &[Ledger]) -> Vec<u64> {
        query.answer(ledgers).0.iter().map(|buffer| buffer.allocation.event.id).collect()
    }

    #[test]
    fn chosen_sorted_and_cut() {
        let written = fixture::write(
            "query",
            &[
                alloc(1, 0, Memory::Dram, 100, 50),
                alloc(2, 1, Memory::L1, 300, 10),
                alloc(3, 0, Memory::L1, 100, 20),
                Event { flags: flags::SIZE_UNKNOWN | flags::SYSTEM, ..alloc(4, 0, Memory::Kernel, 200, 30) },
            ],
        );
        let owner = [nix::unistd::geteuid().as_raw()];
        let (ledgers, _) = ledger::ledgers(&written.prefix, &owner);
        let query = Query::default();
        assert_eq!(ids(&query, &ledgers), [2, 4, 1, 3]);
        assert_eq!(ids(&Query { order: vec![Order::Age], ..query.clone() }, &ledgers), [2, 3, 4, 1]);
        assert_eq!(ids(&Query { order: vec![Order::Size, Order::Age], ..query.clone() }, &ledgers), [2, 4, 3, 1]);
        assert_eq!(ids(&Query { memories: vec![Memory::L1], ..query.clone() }, &ledgers), [2, 3]);
        assert_eq!(ids(&Query { pid: Some(1), ..query.clone() }, &ledgers), [0; 0]);
        let of = |device| Query { devices: Selection(vec![device]), ..Query::default() };
        assert_eq!(ids(&of(Device::Number(1)), &ledgers), [2]);
        assert_eq!(ids(&of(Device::ChipId(0x1c)), &ledgers), [4, 1, 3]);
        let (cut, left_out) = Query { limit: Some(1), ..query.clone() }.answer(&ledgers);
        assert_eq!((cut.len(), left_out), (1, 3));

        let (all, _) = query.answer(&ledgers);
        let json: serde_json::Value =
            serde_json::from_str(&json(&all, 0, &Value::Array(Vec::new()), 1_000_000_050).unwrap()).unwrap();
        assert_eq!(json["schema_version"], 1);
        let rows = json["buffers"].as_array().unwrap();
        assert_eq!(rows.len(), 4);
        assert_eq!((&rows[2]["chip_id"], &rows[2]["age_seconds"]), (&"0x1c".into(), &1.0.into()));
        assert_eq!((&rows[2]["size_bytes"], &rows[2]["footprint_bytes"]), (&100.into(), &164.into()));
        assert!(rows[0]["chip_id"].is_null() && rows[1]["size_bytes"].is_null());
        assert_eq!((&rows[1]["system"], &rows[0]["system"]), (&true.into(), &false.into()));
        for key in ["pid", "process_name", "device", "memory", "id", "address", "context", "tag", "thread"] {
            assert!(rows[0].get(key).is_some(), "{key}");
        }

        let text = table(&all, 60_000_000_050, None);
        assert_eq!(text.lines().count(), 5);
        assert!(text.lines().nth(2).unwrap().ends_with("system,size-unknown"), "{text}");
        assert!(!text.contains("TAG"), "nothing is tagged: {text}");
    }

    #[test]
    fn phases_are_shown_and_chosen() {
        let tagged =
            |id, number: u16| Event { flags: number << flags::TAG_SHIFT, ..alloc(id, 0, Memory::Dram, 64, 10) };
        let written = fixture::write("phases", &[tagged(1, 0), tagged(2, 1), tagged(3, 2), tagged(4, 1)]);
        written.name_tag(1, b"model load");
        written.name_tag(2, b"decode");
        let (ledgers, _) = ledger::ledgers(&written.prefix, &[nix::unistd::geteuid().as_raw()]);
        let of = |tags: &[&str]| Query { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..Query::default() };
        assert_eq!(ids(&of(&["model load"]), &ledgers), [2, 4]);
        assert_eq!(ids(&of(&["decode", "model load"]), &ledgers), [2, 3, 4]);
        assert_eq!(ids(&of(&["decod"]), &ledgers), [0; 0]);
        let (all, _) = of(&[]).answer(&ledgers);
        let json: serde_json::Value =
            serde_json::from_str(&json(&all, 0, &Value::Array(Vec::new()), 60).unwrap()).unwrap();
        let tags: Vec<_> = json["buffers"].as_array().unwrap().iter().map(|row| row["tag"].as_str()).collect();
        assert_eq!(tags, [None, Some("model load"), Some("decode"), Some("model load")]);
        let text = table(&all, 60, None);
        assert!(
            text.lines().next().unwrap().contains("TAG") && text.lines().nth(3).unwrap().contains("decode"),
            "{text}"
        );
    }
}
