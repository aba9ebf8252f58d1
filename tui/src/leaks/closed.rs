//! What is held on a device that its process has closed, and what nobody knows the size of.
//!
//! A close ends everything that is alive on the device, by rule: what is found there was allocated afterwards. What tt-metal
//! frees after the close is a free of something unknown, and is counted as that; how much was alive at the close is not kept.

use super::{Class, Finding, Kind, Look, Sum};
use crate::ledger::Allocation;
use crate::units;
use aggregator::bytes_text;
use shm_layout::event::flags;
use std::collections::BTreeMap;

/// Both.
pub fn findings(look: &Look) -> Vec<Finding> {
    let mut found = Vec::new();
    for held in &look.processes {
        let mut places: BTreeMap<_, Vec<&Allocation>> = BTreeMap::new();
        for allocation in &held.allocations {
            let closed = held.device(allocation.event.device).is_some_and(|device| device.open == 0);
            let place = (allocation.event.device, allocation.memory, Class::of(allocation));
            if closed {
                places.entry((Kind::ClosedDevice, place)).or_default().push(allocation);
            }
            if allocation.has(flags::SIZE_UNKNOWN) {
                places.entry((Kind::SizeUnknown, place)).or_default().push(allocation);
            }
        }
        for ((kind, (device, memory, class)), all) in places {
            let sum = Sum::of(all.iter().copied());
            let finding = Finding::of(kind, held, device, memory, class, sum);
            let (mut finding, oldest) = finding.with_oldest(all.iter().copied(), look.at_ns);
            let (is, was) = if sum.count == 1 { ("is", "was") } else { ("are", "were") };
            let age = units::age(oldest);
            if kind == Kind::ClosedDevice {
                finding.text += &format!(
                    ": {} ({}) {was} allocated after the process closed that device, and {is} still there, the oldest for {age}",
                    sum.count,
                    bytes_text(sum.bytes),
                );
                finding.next = class.excuse().map_or_else(
                    || format!("see them: `tt-alloc buffers --pid {} --device {device}`", held.pid),
                    str::to_owned,
                );
            } else {
                finding.suspect = false;
                finding.text += &format!(
                    ": the size of {} {is} not known, the oldest {is} there for {age}; bytes of this row are too small",
                    sum.count
                );
            }
            found.push(finding);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{buffer, held, look};
    use super::*;
    use shm_layout::event::Memory;

    #[test]
    fn only_on_closed_devices() {
        let mut one = held(7, vec![buffer(1, Memory::Dram, 4096, 10), buffer(2, Memory::Cb, 100, 20)]);
        assert!(findings(&look(30, vec![one.clone()])).is_empty());
        one.devices[0].open = 0;
        let found = findings(&look(30, vec![one.clone()]));
        assert_eq!(found.iter().map(|f| (f.suspect, f.count)).collect::<Vec<_>>(), [(true, 1), (false, 1)]);
        assert!(
            found[0].text.contains("1 (4.00 KiB) was allocated after the process closed that device"),
            "{}",
            found[0].text
        );
        one.devices.clear();
        assert!(findings(&look(30, vec![one])).is_empty(), "of a device that nobody told of nothing is known");
    }

    #[test]
    fn an_unknown_size_is_told_and_no_suspect() {
        let mut unknown = buffer(1, Memory::L1, 0, 10);
        unknown.event.flags |= flags::SIZE_UNKNOWN;
        let found = findings(&look(30, vec![held(7, vec![unknown])]));
        assert_eq!((found.len(), found[0].kind, found[0].suspect), (1, Kind::SizeUnknown, false));
    }
}
