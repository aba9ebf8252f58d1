#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::Bystanders;
use crate::chips::Chips;
use crate::counters::{Region, Slot};
use crate::person::Person;
use crate::sheet::Sheet;
use crate::telemetry::{Device, Reading};
use shm_layout::event::Arch;
use shm_layout::stats::{MAX_CHIPS, Presence, Telemetry};
use std::sync::Arc;

const SERIAL: u64 = 0x412_0000_1234;

fn person(pid: u32) -> Person {
    Person { pid, uid: 666, start_ticks: 1, start_unix_ns: 1, name: "sleep".into(), command_line: Vec::new() }
}

fn device(number: u32, serial: u64, open_by: Vec<Person>) -> Device {
    let asic_id = 0xA0 + u64::from(number);
    Device {
        arch: Arch::Blackhole,
        telemetry: Telemetry { read_unix_ns: 1, number, asic_id, serial, ..Telemetry::NONE },
        open_by,
    }
}

/// A file of somebody who has only his own `sleep`s to tell of.
fn region(chip_id: u64, pids: impl Iterator<Item = u32>) -> Region {
    let slot = |pid| Slot { pid, bytes: [1; 5], updated_unix_ns: 1, name: "sleep".into() };
    Region { chip_id, number: 0, is_private: true, believed: pids.map(|pid| (person(pid), slot(pid))).collect() }
}

fn settled(devices: Vec<Device>, regions: Vec<Region>, chips: &mut Chips) -> Bystanders {
    let mut bystanders = Bystanders::default();
    bystanders.hear(Arc::new(Reading { devices, regions: regions.into(), ..Reading::default() }));
    bystanders.settle(chips, &Sheet::default(), 1);
    bystanders
}

#[test]
fn nobody_s_counters_take_a_tracked_chip_s_telemetry_away() {
    let mut chips = Chips::default();
    chips.find_or_add(SERIAL << 5, false).unwrap();
    let hostile = vec![region(SERIAL, 5..6), region(0xA0, 5..6)];
    let bystanders = settled(vec![device(0, SERIAL, Vec::new())], hostile, &mut chips);
    assert_eq!((chips.all()[0].telemetry.presence, chips.all()[0].telemetry.number), (Presence::Both as u32, 0));
    assert!(bystanders.chips().iter().all(|chip| chip.telemetry.presence == Presence::Counters as u32));
}

#[test]
fn nobody_s_counters_hide_a_device_that_nobody_tracked_uses() {
    // Each of these could be the first device's board, and there are more of them than there is room for.
    let hostile = [SERIAL, SERIAL << 5].into_iter().chain(1..=100).map(|id| region(id, 5..6)).collect();
    let devices = (0..3).map(|number| device(number, SERIAL + u64::from(number), Vec::new())).collect();
    let mut chips = Chips::default();
    chips.find_or_add(0x7777, false).unwrap();
    let bystanders = settled(devices, hostile, &mut chips);
    let shown = bystanders.chips();
    let numbers: Vec<u32> = shown[..3].iter().map(|chip| chip.telemetry.number).collect();
    assert_eq!((numbers, shown.len()), (vec![0, 1, 2], MAX_CHIPS - 1));
    assert!(shown[..3].iter().all(|chip| chip.telemetry.presence == Presence::Driver as u32));
    assert_eq!((bystanders.hidden_rows(), bystanders.unread_counters()), (0, 102 + 3 + 1 - MAX_CHIPS as u64));
    // The driver's own that do not fit are told as hidden.
    let devices = (0..70).map(|number| device(number, SERIAL + u64::from(number), Vec::new())).collect();
    assert_eq!(settled(devices, Vec::new(), &mut chips).hidden_rows(), 70 + 1 - MAX_CHIPS as u64);
}

#[test]
fn whoever_has_a_device_open_is_shown_before_those_that_only_counters_tell_of() {
    let mut chips = Chips::default();
    let user = person(4_000_000);
    let hostile = (1..=4).map(|id| region(id, 1..500)).collect();
    let bystanders = settled(vec![device(0, SERIAL, vec![user.clone(), user])], hostile, &mut chips);
    let shown = bystanders.processes();
    assert_eq!((shown.len(), bystanders.hidden()), (256, 500 - 256));
    assert_eq!((shown[0].pid, shown[255].pid), (1, 4_000_000), "by pid");
    assert!(shown.is_sorted_by_key(|process| process.pid));
    // Each with the kinds of each chip, once.
    assert_eq!(bystanders.rows().len(), 255 * 4 * 5 + 1);
}
