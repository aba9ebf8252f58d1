//! The JSON of `--json`: one object, the contract of [`shm_layout::report`].

use crate::source::{Connection, Observation};
use crate::users::Users;
use shm_layout::report::{Context, Report};

/// The report of what was seen, on one line.
///
/// # Errors
/// When it cannot be written as JSON (it always can).
pub fn report(seen: &Observation, users: &Users) -> serde_json::Result<String> {
    report_as(seen, matches!(seen.connection(), Connection::Live), users)
}

/// The same of an aggregator that was told to live, or not: of a recording.
///
/// # Errors
/// As of [`report`].
pub fn report_as(seen: &Observation, live: bool, users: &Users) -> serde_json::Result<String> {
    let context = Context {
        prefix: &seen.prefix,
        live,
        now_unix_ns: seen.unix_ns,
        pid: seen.identity.pid,
        started_monotonic_ns: seen.identity.started_monotonic_ns,
        now_monotonic_ns: seen.now_ns,
        heartbeat_ns: seen.heartbeat_ns,
    };
    let mut text = serde_json::to_string(&Report::new(&seen.snapshot, context, |uid| users.name(uid)))?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::sample;
    use serde_json::Value;
    use shm_layout::event::Memory;
    use shm_layout::report::MemoryTable;
    use shm_layout::stats::{Figures, Reason, Refusal, UNKNOWN, incomplete};

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn has(value: &Value, expected: &[&str]) {
        for key in expected {
            assert!(keys(value).contains(key), "{key} is missing in {value}");
        }
    }

    #[test]
    fn troubles_are_in_it() {
        let mut seen = sample::observation(1);
        seen.snapshot.health.hidden_refusals = 9;
        seen.snapshot.health.refused_rings = 10;
        seen.snapshot.processes[0].incomplete = incomplete::DROPPED | incomplete::NO_LEDGER;
        seen.snapshot.processes[0].torn_events_total = 3;
        seen.snapshot.processes[0].anomalies.double_free = 4;
        let mut refusal: Refusal = bytemuck::Zeroable::zeroed();
        (refusal.pid, refusal.uid, refusal.owner, refusal.reason) = (7, 1000, 1001, Reason::Owner as u32);
        (refusal.nonce, refusal.since_unix_ns, refusal.passing) = (0xbeef, 1_500_000_000, 1);
        // As another program might write it: not through `text::store`.
        refusal.text[..9].copy_from_slice(b"\x1b[31mbad\x07");
        seen.snapshot.refusals = vec![refusal];
        let text = report(&seen, &Users::default()).unwrap();
        assert!(!text.contains("\\u001b") && !text.contains('\x1b'), "{text}");
        let json: Value = serde_json::from_str(&text).unwrap();
        let aggregator = &json["aggregator"];
        assert_eq!((&aggregator["rejected_rings_hidden"], &aggregator["stale"]), (&9.into(), &false.into()));
        let ring = &aggregator["rejected_rings"][0];
        let expected = serde_json::json!({"name": "tt_alloc.ring.1000.7.000000000000beef", "pid": 7, "uid": 1000,
            "owner_uid": 1001, "reason": "owner", "text": "?[31mbad?", "passing": true, "since_unix_seconds": 1.5});
        assert_eq!(ring, &expected);
        let process = &json["processes"][0];
        assert_eq!(process["detail_incomplete_reasons"], serde_json::json!(["dropped", "no-ledger"]));
        assert_eq!((&process["torn_events_total"], &process["anomalies"]["double_free"]), (&3.into(), &4.into()));
        assert_eq!(process["last_event_age_seconds"], 0.04);
        assert_eq!(aggregator["heartbeat_age_seconds"], 0.06);
        seen.heartbeat_ns = seen.now_ns - 2_000_000_001;
        let json: Value = serde_json::from_str(&report(&seen, &Users::default()).unwrap()).unwrap();
        assert_eq!(json["aggregator"]["stale"], true);
        seen.heartbeat_ns = 0;
        let json: Value = serde_json::from_str(&report(&seen, &Users::default()).unwrap()).unwrap();
        assert_eq!(
            (&json["aggregator"]["stale"], &json["aggregator"]["heartbeat_age_seconds"]),
            (&true.into(), &Value::Null)
        );
    }

    #[test]
    fn the_contract_is_kept() {
        let mut seen = sample::observation(2);
        seen.snapshot.chips[1].memory[0].capacity_bytes = UNKNOWN;
        seen.snapshot.processes[0].uid = 4_123_456_789;
        seen.snapshot.processes[1].uid = 0;
        let text = report(&seen, &Users::default()).unwrap();
        assert!(text.ends_with("}\n") && text.lines().count() == 1);
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["schema_version"], 1);
        has(&json, &["schema_version", "aggregator", "devices", "processes"]);
        has(
            &json["aggregator"],
            &[
                "pid",
                "uptime_seconds",
                "rings",
                "events_total",
                "dropped_events_total",
                "torn_events_total",
                "anomalies",
                "lag_events",
            ],
        );
        has(&json["aggregator"]["anomalies"], &["free_unknown", "double_free", "invalid_record"]);
        let device = &json["devices"][0];
        has(device, &["chip_id", "arch", "board", "telemetry", "memory"]);
        assert!(device["chip_id"].as_str().unwrap().starts_with("0x"));
        assert_eq!(keys(&device["memory"]).len(), 7);
        let figures = [
            "live_bytes",
            "footprint_bytes",
            "blocks",
            "peak_footprint_bytes",
            "capacity_bytes",
            "allocated_bytes_total",
            "freed_bytes_total",
            "detail_complete",
            "baseline_bytes",
            "since_baseline_bytes",
            "baseline_automatic",
        ];
        for kind in ["DRAM", "L1", "L1_SMALL", "TRACE", "SYSTEM_MEMORY", "CB", "KERNEL"] {
            has(&device["memory"][kind], &figures);
        }
        has(&device["memory"]["CB"], &["registered_bytes", "resident_bytes"]);
        has(&device["memory"]["KERNEL"], &["application_bytes", "fabric_bytes", "dispatch_bytes", "cumulative"]);
        assert_eq!(device["memory"]["DRAM"]["capacity_bytes"], 32u64 << 30);
        assert_eq!(json["devices"][1]["memory"]["DRAM"]["capacity_bytes"], Value::Null);
        let process = &json["processes"][0];
        has(process, &["pid", "uid", "user", "name", "command_line", "state", "source", "devices"]);
        has(&process["devices"][0], &["chip_id", "device", "memory"]);
        assert_eq!((&process["user"], &json["processes"][1]["user"]), (&Value::Null, &Value::from("root")));
        let bytes = seen.snapshot.chips[0].memory[0].footprint_bytes;
        assert_eq!(device["memory"]["DRAM"]["footprint_bytes"].as_u64(), Some(bytes), "exact to the byte");
    }

    #[test]
    fn kernels_beyond_what_their_region_holds_are_said_to_be_cumulative() {
        let kernels = |footprint_bytes, fabric_bytes, capacity_bytes| {
            let figures = Figures { footprint_bytes, fabric_bytes, capacity_bytes, ..Figures::default() };
            serde_json::to_value(MemoryTable(vec![(Memory::Kernel, figures)])).unwrap()["KERNEL"]["cumulative"].clone()
        };
        assert_eq!(kernels(100, 0, 100), false);
        assert_eq!(kernels(101, 0, 100), true);
        assert_eq!(kernels(150, 50, 100), false, "the fabric's kernels lie elsewhere");
        assert_eq!(kernels(101, 0, UNKNOWN), Value::Null, "nobody told what there is room for");
    }
}
