//! Live allocations in groups: how many, how much, which share of all, how old, how large.

use super::group_key::{By, Part};
use super::{Buffer, Order};
use crate::table::{Align, Table};
use crate::units;
use serde_json::{Map, Value, json};
use shm_layout::report::SCHEMA_VERSION;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Allocations that have one key in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As many parts as are grouped by.
    pub key: Vec<Part>,
    /// Allocations.
    pub count: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Of these the most that one takes.
    pub largest: u64,
    /// Allocations whose size nobody told: they may take more than is counted.
    pub unknown_sizes: u64,
    /// When the oldest was allocated, `CLOCK_MONOTONIC` ns.
    pub oldest_ns: u64,
    /// When the newest was.
    pub newest_ns: u64,
}

/// The groups of a list, and what they are parts of.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// What they are made by.
    pub by: Vec<By>,
    /// The groups, the largest or the oldest first.
    pub groups: Vec<Group>,
    /// Of all groups, those that are left out among them.
    pub count: u64,
    /// The same in bytes.
    pub bytes: u64,
    /// Groups that the limit left out.
    pub omitted: usize,
}

impl Groups {
    /// Of these allocations; at most `limit` groups.
    pub fn of(buffers: &[Buffer], by: &[By], order: &[Order], limit: Option<usize>, now_ns: u64) -> Self {
        let mut groups: BTreeMap<Vec<Part>, Group> = BTreeMap::new();
        for buffer in buffers {
            let key: Vec<Part> = by.iter().map(|by| Part::of(*by, buffer, now_ns)).collect();
            let (event, unknown) = (&buffer.allocation.event, buffer.allocation.size().is_none());
            let group = groups.entry(key.clone()).or_insert_with(|| Group {
                key,
                count: 0,
                bytes: 0,
                largest: 0,
                unknown_sizes: 0,
                oldest_ns: u64::MAX,
                newest_ns: 0,
            });
            group.count += 1;
            group.bytes = group.bytes.saturating_add(event.taken());
            group.largest = group.largest.max(event.taken());
            group.unknown_sizes += u64::from(unknown);
            group.oldest_ns = group.oldest_ns.min(event.time);
            group.newest_ns = group.newest_ns.max(event.time);
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        let order: &[Order] = if order.is_empty() { &[Order::Size] } else { order };
        // Stable: equal ones stay in the order of their keys.
        groups.sort_by_key(|group| {
            let key = |order: &Order| match order {
                Order::Size => (Reverse(group.bytes), Reverse(group.count)),
                Order::Age => (Reverse(u64::MAX - group.oldest_ns), Reverse(0)),
            };
            order.iter().map(key).collect::<Vec<_>>()
        });
        let omitted = limit.map_or(0, |limit| groups.len().saturating_sub(limit));
        let sum = |of: fn(&Group) -> u64| groups.iter().map(of).fold(0, u64::saturating_add);
        let (count, bytes) = (sum(|group| group.count), sum(|group| group.bytes));
        groups.truncate(limit.unwrap_or(usize::MAX));
        Self { by: by.to_vec(), groups, count, bytes, omitted }
    }

    /// As a table, one group a line; the last is the sum of all.
    pub fn table(&self, now_ns: u64, columns: Option<usize>) -> String {
        const FIGURES: [&str; 6] = ["COUNT", "BYTES", "SHARE", "OLDEST", "NEWEST", "LARGEST"];
        let keys = self.by.iter().map(|by| (by.title(), Align::Left));
        let titles: Vec<(&str, Align)> = keys.chain(FIGURES.map(|title| (title, Align::Right))).collect();
        let mut table = Table::new(&titles);
        for group in &self.groups {
            let age = |ns: u64| units::age(now_ns.saturating_sub(ns));
            // As with single ones: more than is known.
            let more = if group.unknown_sizes > 0 { "+?" } else { "" };
            let figures = [
                group.count.to_string(),
                units::bytes(group.bytes) + more,
                units::percent(group.bytes, Some(self.bytes)),
                age(group.oldest_ns),
                age(group.newest_ns),
                units::bytes(group.largest) + more,
            ];
            table.push(group.key.iter().map(Part::text).chain(figures).collect());
        }
        let of_all = std::iter::once("all".to_owned()).chain(self.by.iter().skip(1).map(|_| String::new()));
        table.push(of_all.chain([self.count.to_string(), units::bytes(self.bytes)]).collect());
        table.lines(columns).join("\n") + "\n"
    }

    /// As one JSON object on one line.
    ///
    /// # Errors
    /// When it cannot be written as JSON (it always can).
    pub fn json(&self, not_known: &Value, now_ns: u64) -> serde_json::Result<String> {
        let groups = self.groups.iter().map(|group| {
            let keys = self.by.iter().zip(&group.key).map(|(by, part)| (by.name().to_owned(), part.json()));
            let age = |ns: u64| now_ns.saturating_sub(ns) as f64 / 1e9;
            let share = (self.bytes > 0).then(|| group.bytes as f64 / self.bytes as f64);
            let figures = json!({
                "count": group.count,
                "footprint_bytes": group.bytes,
                "share": share,
                "oldest_age_seconds": age(group.oldest_ns),
                "newest_age_seconds": age(group.newest_ns),
                "largest_footprint_bytes": group.largest,
                "unknown_sizes": group.unknown_sizes,
            });
            let Value::Object(figures) = figures else { return Value::Null };
            keys.chain(figures).collect::<Map<String, Value>>().into()
        });
        let report = json!({
            "schema_version": SCHEMA_VERSION,
            "by": self.by.iter().map(|by| by.name()).collect::<Vec<_>>(),
            "groups": groups.collect::<Vec<Value>>(),
            "count": self.count,
            "footprint_bytes": self.bytes,
            "omitted": self.omitted,
            "not_known": not_known,
        });
        serde_json::to_string(&report).map(|text| text + "\n")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::ledger::{Allocation, fixture::alloc};
    use shm_layout::event::{Event, Memory, flags};
    use shm_layout::names::{ProcessFile, Role};

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 7000 * SECOND;

    fn buffer(pid: u32, chip_id: Option<u64>, event: Event) -> Buffer {
        let memory = Memory::from_u8(event.memory).unwrap();
        let allocation = Allocation { event, memory, chip_id, tag: None };
        let (nonce, thread) = (u64::from(pid), allocation.thread());
        let of = ProcessFile { role: Role::Ring, uid: 0, pid, nonce };
        Buffer { pid, uid: 0, nonce, process_name: format!("p{pid}"), allocation, of, thread, stack: None }
    }

    /// Footprints are 64 bytes more than sizes.
    fn some() -> Vec<Buffer> {
        let at = |seconds: u64| NOW - seconds * SECOND;
        let with = |context, event: Event| Event { context, ..event };
        vec![
            buffer(7, Some(0x1c), alloc(1, 0, Memory::Dram, 960, at(5))),
            buffer(7, Some(0x1c), alloc(2, 0, Memory::Dram, 1900, at(50))),
            buffer(8, Some(0x1c), alloc(1, 3, Memory::Dram, 1000, at(7))),
            buffer(8, None, with(9, alloc(2, 1, Memory::Cb, 192, at(4000)))),
            buffer(7, None, with(9, alloc(3, 1, Memory::Cb, 191, at(0)))),
            buffer(7, None, Event { flags: flags::SIZE_UNKNOWN, footprint: 0, ..alloc(4, 1, Memory::L1, 0, at(1)) }),
        ]
    }

    fn rows(by: &[By]) -> Vec<(Vec<String>, u64, u64)> {
        let groups = Groups::of(&some(), by, &[], None, NOW);
        groups.groups.iter().map(|g| (g.key.iter().map(Part::text).collect(), g.count, g.bytes)).collect()
    }

    fn row(key: &[&str], count: u64, bytes: u64) -> (Vec<String>, u64, u64) {
        (key.iter().map(|part| (*part).to_owned()).collect(), count, bytes)
    }

    #[test]
    fn by_each_thing() {
        assert_eq!(
            rows(&[By::SizeClass]),
            [
                row(&["1 KiB..2 KiB"], 3, 1024 + 1964 + 1064),
                row(&["256 B..512 B"], 1, 256),
                row(&["128 B..256 B"], 1, 255),
                row(&["?"], 1, 0)
            ]
        );
        assert_eq!(
            rows(&[By::Device]),
            [row(&["0x1c"], 3, 1024 + 1964 + 1064), row(&["1 (no chip id)"], 3, 511)],
            "one chip, whatever its processes call it"
        );
        assert_eq!(
            rows(&[By::Program]),
            [row(&["-"], 4, 4052), row(&["9 of PID 8"], 1, 256), row(&["9 of PID 7"], 1, 255)],
            "equal numbers of two processes are two programs"
        );
        assert_eq!(
            rows(&[By::Age]).iter().map(|(key, count, _)| (key[0].as_str(), *count)).collect::<Vec<_>>(),
            [("1s..10s", 3), ("10s..1m", 1), ("1h..1d", 1), ("<1s", 1)]
        );
        assert_eq!(
            rows(&[By::Memory, By::Process]),
            [
                row(&["DRAM", "7 (p7)"], 2, 2988),
                row(&["DRAM", "8 (p8)"], 1, 1064),
                row(&["CB", "8 (p8)"], 1, 256),
                row(&["CB", "7 (p7)"], 1, 255),
                row(&["L1", "7 (p7)"], 1, 0)
            ]
        );
        assert_eq!(rows(&[By::Tag]), [row(&["-"], 6, 4563)], "none of these is tagged");
    }

    #[test]
    fn the_sum_is_of_all_groups_and_json_says_what_was_asked() {
        let groups = Groups::of(&some(), &[By::Process, By::Memory], &[Order::Age], Some(2), NOW);
        assert_eq!((groups.count, groups.bytes, groups.omitted), (6, 4563, 3));
        let json: Value = serde_json::from_str(&groups.json(&json!([]), NOW).unwrap()).unwrap();
        assert_eq!(json["schema_version"], 1);
        assert_eq!(json["by"], json!(["process", "memory"]));
        assert_eq!((&json["count"], &json["footprint_bytes"], &json["omitted"]), (&6.into(), &4563.into(), &3.into()));
        let expected = json!({"process": {"pid": 8, "name": "p8"}, "memory": "CB", "count": 1, "footprint_bytes": 256,
            "share": 256.0 / 4563.0, "oldest_age_seconds": 4000.0, "newest_age_seconds": 4000.0,
            "largest_footprint_bytes": 256, "unknown_sizes": 0});
        assert_eq!(json["groups"][0], expected, "the oldest first");
        let text = groups.table(NOW, None);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["PROCESS", "MEMORY", "COUNT", "BYTES", "SHARE", "OLDEST", "NEWEST", "LARGEST"]);
        assert_eq!(lines[2], ["7", "(p7)", "DRAM", "2", "2.92", "KiB", "65%", "50s", "5s", "1.92", "KiB"]);
        assert_eq!(lines[3], ["all", "6", "4.46", "KiB"]);
        let unknown = Groups::of(&some(), &[By::Memory], &[], None, NOW).table(NOW, None);
        assert!(unknown.contains("0   B+?"), "what nobody told is not nothing:\n{unknown}");
        assert_eq!(Groups::of(&[], &[By::Age], &[], None, NOW).table(NOW, None).lines().count(), 2);
    }
}
