//! Single allocations: an inventory, written whole, or by what has come and gone since one that was.
//!
//! ```text
//!   full     serial  { section } ...
//!   change   serial of its full one  { section } ...
//!   1        when it was read, CLOCK_MONOTONIC ns
//!   2        a sentence on what is not in it
//!   3        a process: { pid  ring pid  nonce  devices (a list)  tags  { tag } x tags  pieces  { kept  gone  new  { record  tag } x new } x pieces  { section } ... }
//!   ... 1    its user  name  when it began
//!   ... 2    its accounts (a list)
//! ```
//!
//! A full one is a change since nothing. The allocations of a process are in the order of their records, so that what is still there is a run.

use super::element::{Element, put_list, put_record, take_list, take_record};
use super::wire::{Malformed, Wire, put_number, put_section, put_text};
use crate::inventory::{Holder, Inventory};
use crate::ledger::Allocation;
use shm_layout::event::{Event, Memory};
use shm_layout::ledger::{Device, MAX_ACCOUNTS, MAX_DEVICES};
use shm_layout::stats::MAX_PROCESSES;
use shm_layout::text;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Allocations of one inventory, at most.
pub const MOST: usize = 100_000;
/// Devices of all processes of one inventory, at most.
const MOST_DEVICES: usize = 8_192;
/// Accounts of all processes of one inventory, at most; a look has room for 12,288.
const MOST_ACCOUNTS: usize = 32_768;
/// Sentences on what is missing, at most.
const MOST_MISSING: usize = 64;
/// Names of phases of one process, at most.
const MOST_TAGS: usize = 256;
/// Bytes of the name of a process, at most.
const MOST_NAME: usize = 64;

/// Room that is left in one inventory.
struct Room {
    allocations: usize,
    devices: usize,
    accounts: usize,
}

impl Room {
    const fn new() -> Self {
        Self { allocations: MOST, devices: MOST_DEVICES, accounts: MOST_ACCOUNTS }
    }

    /// Whether this one has its place in it, and takes it.
    fn take(&mut self, holder: &Holder) -> bool {
        let wanted = [holder.allocations.len(), holder.devices.len(), holder.accounts.len()];
        let room = [&mut self.allocations, &mut self.devices, &mut self.accounts];
        let fits = room.iter().zip(wanted).all(|(room, wanted)| **room >= wanted);
        if fits {
            room.into_iter().zip(wanted).for_each(|(room, wanted)| *room -= wanted);
        }
        fits
    }
}

/// Names a process: none is in an inventory twice.
const fn identity(holder: &Holder) -> (u32, u32, u64) {
    (holder.pid, holder.ring_pid, holder.nonce)
}

/// Puts an inventory into the order in which it is written, and leaves out what a reader would refuse; it says so.
pub fn in_order(mut inventory: Inventory) -> Inventory {
    inventory.missing.truncate(MOST_MISSING);
    inventory.holders.truncate(MAX_PROCESSES);
    let (mut room, mut known, before) = (Room::new(), BTreeSet::new(), inventory.holders.len());
    inventory.holders.retain_mut(|holder| {
        let mut numbers = BTreeSet::new();
        holder.devices.retain(|device| numbers.insert(device.device));
        holder.devices.truncate(MAX_DEVICES);
        holder.accounts.truncate(MAX_ACCOUNTS);
        !known.contains(&identity(holder)) && room.take(holder) && known.insert(identity(holder))
    });
    let left_out = before - inventory.holders.len();
    if left_out > 0 {
        inventory.missing.truncate(MOST_MISSING - 1);
        inventory.missing.push(format!("{left_out} processes: more than a recording holds"));
    }
    for holder in &mut inventory.holders {
        holder.allocations.sort_unstable_by_key(key);
        holder.sorted = false;
    }
    inventory
}

fn key(allocation: &Allocation) -> (u64, u64, u32, u64, u64) {
    let event = &allocation.event;
    (event.stamp, event.id, event.device, event.time, event.address)
}

/// Content of a frame: `serial` is the full one's, this one or the one before.
pub fn content(serial: u64, before: Option<&Inventory>, now: &Inventory) -> Vec<u8> {
    let mut content = Vec::new();
    put_number(&mut content, serial);
    let mut piece = Vec::new();
    put_number(&mut piece, now.read_ns);
    put_section(&mut content, 1, &piece);
    for sentence in &now.missing {
        put_section(&mut content, 2, sentence.as_bytes());
    }
    for holder in &now.holders {
        piece.clear();
        let same = |other: &&Holder| identity(other) == identity(holder);
        let before = before.and_then(|before| before.holders.iter().find(same));
        put_holder(&mut piece, before, holder);
        put_section(&mut content, 3, &piece);
    }
    content
}

fn put_holder(to: &mut Vec<u8>, before: Option<&Holder>, holder: &Holder) {
    put_number(to, u64::from(holder.pid));
    put_number(to, u64::from(holder.ring_pid));
    put_number(to, holder.nonce);
    put_list(to, &[], 0, &holder.devices);
    let mut tags: Vec<&str> = Vec::new();
    for tag in holder.allocations.iter().filter_map(Allocation::tag) {
        if tags.len() < MOST_TAGS && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    put_number(to, tags.len() as u64);
    for tag in &tags {
        put_text(to, tag.as_bytes());
    }
    let mut pieces = 0;
    let mut written = Vec::new();
    let (mut old, mut new) = (before.map_or(&[][..], |before| &before.allocations), &holder.allocations[..]);
    while !(old.is_empty() && new.is_empty()) {
        let kept = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        (old, new) = (&old[kept..], &new[kept..]);
        // Then those that are in one of them alone, up to the next that is in both.
        let (mut gone, mut come) = (0, 0);
        while let (Some(a), Some(b)) = (old.get(gone), new.get(come)) {
            match key(a).cmp(&key(b)) {
                _ if a == b => break,
                std::cmp::Ordering::Less => gone += 1,
                std::cmp::Ordering::Greater => come += 1,
                std::cmp::Ordering::Equal => (gone, come) = (gone + 1, come + 1),
            }
        }
        if gone == old.len() || come == new.len() {
            (gone, come) = (old.len(), new.len());
        }
        put_number(&mut written, kept as u64);
        put_number(&mut written, gone as u64);
        put_number(&mut written, come as u64);
        let mut last = Event::empty();
        for one in &new[..come] {
            put_record(&mut written, &last, &one.event);
            let tag = one.tag().and_then(|tag| tags.iter().position(|known| *known == tag));
            put_number(&mut written, tag.map_or(0, |at| at as u64 + 1));
            last = one.event;
        }
        (old, new) = (&old[gone..], &new[come..]);
        pieces += 1;
    }
    put_number(to, pieces);
    to.extend(written);
    written = Vec::new();
    put_number(&mut written, u64::from(holder.uid));
    put_text(&mut written, holder.name.as_bytes());
    put_number(&mut written, holder.began_unix_ns);
    put_section(to, 1, &written);
    written.clear();
    put_list(&mut written, before.map_or(&[][..], |before| &before.accounts), 0, &holder.accounts);
    put_section(to, 2, &written);
}

/// The serial number of a frame's full inventory.
///
/// # Errors
/// When there is none.
pub fn serial(content: &[u8]) -> Result<u64, Malformed> {
    Wire::new(content).number()
}

/// The inventory of a frame; `before`: its full one, if it is none.
///
/// # Errors
/// When its content contradicts itself.
pub fn take(content: &[u8], before: Option<&Inventory>) -> Result<Inventory, Malformed> {
    let mut wire = Wire::new(content);
    let _serial = wire.number()?;
    let mut inventory = Inventory::default();
    let (mut room, mut known) = (Room::new(), BTreeSet::new());
    while let Some((number, mut content)) = wire.section()? {
        match number {
            1 => inventory.read_ns = content.number()?,
            2 if inventory.missing.len() < MOST_MISSING => {
                let told = content.rest();
                inventory.missing.push(text::clean(&told[..told.len().min(512)]));
            }
            3 if inventory.holders.len() < MAX_PROCESSES => {
                let holder = take_holder(&mut content, before, &room)?;
                if !room.take(&holder) || !known.insert(identity(&holder)) {
                    return Err(Malformed);
                }
                inventory.holders.push(holder);
            }
            _ => {}
        }
    }
    Ok(inventory)
}

fn take_holder(wire: &mut Wire<'_>, before: Option<&Inventory>, room: &Room) -> Result<Holder, Malformed> {
    let short = |wire: &mut Wire<'_>| u32::try_from(wire.number()?).map_err(|_| Malformed);
    let (pid, ring_pid, nonce) = (short(wire)?, short(wire)?, wire.number()?);
    let devices: Vec<Device> = take_list(wire, &[], MAX_DEVICES.min(room.devices))?;
    if devices.iter().map(|device| device.device).collect::<BTreeSet<_>>().len() < devices.len() {
        return Err(Malformed);
    }
    let mut tags: Vec<Arc<str>> = Vec::new();
    for _ in 0..wire.count(MOST_TAGS)? {
        tags.push(text::clean(wire.text()?).into());
    }
    let same = |other: &&Holder| identity(other) == (pid, ring_pid, nonce);
    let before = before.and_then(|before| before.holders.iter().find(same));
    let mut old = before.map_or(&[][..], |before| &before.allocations);
    let mut allocations = Vec::new();
    for _ in 0..wire.count(2 * MOST)? {
        let kept = wire.count(old.len())?;
        allocations.extend_from_slice(&old[..kept]);
        let gone = wire.count(old.len() - kept)?;
        old = &old[kept + gone..];
        let mut last = Event::empty();
        for _ in 0..wire.count(room.allocations.saturating_sub(allocations.len()))? {
            take_record(wire, &mut last)?;
            let tag = match wire.count(tags.len())? {
                0 => None,
                at => Some(Arc::clone(&tags[at - 1])),
            };
            let memory = Memory::from_u8(last.memory).ok_or(Malformed)?;
            allocations.push(Allocation { event: last, memory, chip_id: None, tag });
        }
    }
    if allocations.len() > room.allocations {
        return Err(Malformed);
    }
    for one in &mut allocations {
        let device = devices.iter().find(|device| device.device == one.event.device && device.id_is_logical == 0);
        one.chip_id = device.map(|device| device.chip_id);
    }
    let mut holder = Holder { pid, ring_pid, nonce, devices, allocations, ..Holder::default() };
    // Recordings of before have none of these.
    while let Some((number, mut content)) = wire.section()? {
        match number {
            1 => {
                holder.uid = short(&mut content)?;
                let name = content.text()?;
                holder.name = text::clean(&name[..name.len().min(MOST_NAME)]);
                holder.began_unix_ns = content.number()?;
            }
            2 => {
                let before = before.map_or(&[][..], |before| &before.accounts);
                holder.accounts = take_list(&mut content, before, MAX_ACCOUNTS.min(room.accounts))?;
            }
            _ => {}
        }
    }
    Ok(holder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::ledger::fixture::alloc;
    use shm_layout::ledger::Account;

    fn inventory(ids: &[u64]) -> Inventory {
        let device = Device { device: 0, chip_id: 0x1c, tensix_cores: 140, open: 1, ..Device::empty() };
        let one = |id: &u64| Allocation {
            event: Event { stamp: id + 1, flags: 0x100, ..alloc(*id, (*id % 2) as u32, Memory::L1, 64 * id, *id) },
            memory: Memory::L1,
            chip_id: id.is_multiple_of(2).then_some(0x1c),
            tag: id.is_multiple_of(3).then(|| Arc::from(format!("phase {}", id % 9))),
        };
        let allocations = ids.iter().rev().map(one).collect();
        let account = |memory| Account { memory, peak: ids.len() as u64, unlisted_bytes: -5, ..Account::default() };
        let holder = Holder {
            pid: 7,
            ring_pid: 7,
            nonce: 0xfeed,
            uid: 1000,
            name: "train".into(),
            began_unix_ns: 1_700_000_000_000_000_000,
            devices: vec![device],
            accounts: (0..1 + ids.len() as u32 % 3).map(account).collect(),
            allocations,
            sorted: false,
        };
        let missing = vec!["much".to_owned()];
        in_order(Inventory { holders: vec![holder], missing, read_ns: 77, study: None })
    }

    fn same(a: &Inventory, b: &Inventory) -> bool {
        let holder = |one: &Holder| {
            let key = (one.pid, one.ring_pid, one.nonce, one.uid, one.name.clone(), one.began_unix_ns);
            (key, one.devices.clone(), one.accounts.clone(), one.allocations.clone())
        };
        a.holders.iter().map(holder).eq(b.holders.iter().map(holder))
            && (&a.missing, a.read_ns) == (&b.missing, b.read_ns)
    }

    #[test]
    fn allocations_come_back_and_only_changes_are_written() {
        let first = inventory(&(0..1000).collect::<Vec<_>>());
        let full = content(3, None, &first);
        assert_eq!(serial(&full), Ok(3));
        assert!(same(&take(&full, None).unwrap(), &first));
        let ids: Vec<u64> = (0..1100).filter(|id| ![5, 500, 999].contains(id)).collect();
        for ids in [&ids[..], &ids[3..], &[], &[5000], &(0..1000).collect::<Vec<_>>()[..]] {
            let second = inventory(ids);
            let change = content(3, Some(&first), &second);
            assert!(same(&take(&change, Some(&first)).unwrap(), &second), "{}", ids.len());
            assert!(change.len() < full.len() / 5, "{} of {}", change.len(), full.len());
        }
        for end in 1..full.len() {
            // Between two sections it is merely less.
            if let Ok(read) = take(&full[..end], None) {
                assert!(read.holders.is_empty());
            }
        }
    }

    #[test]
    fn more_than_there_may_be_is_refused() {
        let mut content = vec![1];
        let mut holder = vec![7, 7, 7, 0, 0, 0, 0, 1, 0, 0];
        put_number(&mut holder, MOST as u64 + 1);
        put_section(&mut content, 3, &holder);
        assert_eq!(take(&content, None).unwrap_err(), Malformed);
    }

    #[test]
    fn no_process_and_no_device_is_there_twice() {
        let once = [7, 8, 9, 2, 0, 1, 1, 1, 0, 2, 0, 0];
        let device_twice = [7, 8, 9, 2, 0, 0, 0, 0];
        for (holders, is_one) in
            [(&[&once[..]][..], true), (&[&once[..], &once[..]], false), (&[&device_twice[..]], false)]
        {
            let mut content = vec![1];
            holders.iter().for_each(|holder| put_section(&mut content, 3, holder));
            assert_eq!(take(&content, None).is_ok(), is_one, "{holders:?}");
        }
        let mut doubled = inventory(&[1, 2, 3]);
        doubled.holders.push(doubled.holders[0].clone());
        let device = doubled.holders[0].devices[0];
        doubled.holders[0].devices.push(device);
        let written = in_order(doubled);
        assert_eq!((written.holders.len(), written.holders[0].devices.len()), (1, 1));
        assert_eq!(written.missing, ["much", "1 processes: more than a recording holds"]);
        assert!(same(&take(&content(1, None, &written), None).unwrap(), &written));
    }

    #[test]
    fn what_is_written_is_read_also_of_very_many_accounts() {
        let crowd = |n: u32| {
            let accounts = vec![Account::default(); 200];
            Holder { pid: n, accounts, ..Holder::default() }
        };
        let written = in_order(Inventory { holders: (0..200).map(crowd).collect(), ..Inventory::default() });
        assert_eq!(
            (written.holders.len(), &written.missing[..]),
            (163, &["37 processes: more than a recording holds".to_owned()][..])
        );
        assert!(same(&take(&content(1, None, &written), None).unwrap(), &written));
        let mut more = content(1, None, &written);
        put_section(&mut more, 3, &[0xff, 1, 0, 0, 0, 0, 0, 0, 0, 2, 5, 200, 1, 0, 0, 0]);
        assert_eq!(take(&more, None).unwrap_err(), Malformed);
    }
}
