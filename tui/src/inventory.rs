//! Every live allocation of every process, for the views that show single ones: read from the ledgers by a thread of its own, so that
//! the screen waits for nothing.

pub mod study;

use crate::leaks::{Held, Look};
use crate::ledger::{Allocation, LedgerError, ledgers};
use crate::source::trusted_owners;
use shm_layout::event::Memory;
use shm_layout::ledger::{Account, Device};
use shm_layout::names::Prefix;
use shm_layout::stats::Process;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use study::{Study, Watcher};

/// Read again after this time, ns.
const EVERY_NS: u64 = 1_000_000_000;
/// Nor before so many times the time that the last reading took: with a million allocations the thread would never rest.
const REST: u64 = 8;
/// Allocations that are kept of all processes together; of more, whole processes are left out, and said to be.
pub const MOST: usize = 2_000_000;

/// What one process holds.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// Process id in the name of its ring, and what else is there: with it a process of a snapshot is found.
    pub ring_pid: u32,
    /// See `ring_pid`.
    pub nonce: u64,
    /// Its user.
    pub uid: u32,
    /// Its name; empty once it is gone.
    pub name: String,
    /// When it began, Unix time in ns, to a hundredth of a second; 0 if that cannot be told.
    pub began_unix_ns: u64,
    /// Its devices, with the capacities that it told.
    pub devices: Vec<Device>,
    /// Its accounts.
    pub accounts: Vec<Account>,
    /// What is live; in the order of [`sort`](Self::sort) where `sorted` says so, else in none.
    pub allocations: Vec<Allocation>,
    /// See `allocations`.
    pub sorted: bool,
}

impl Holder {
    /// Whether it is this process of a snapshot.
    pub const fn is(&self, process: &Process) -> bool {
        self.ring_pid == process.ring_pid && self.nonce == process.nonce
    }

    /// The device that it knows by this logical number.
    pub fn device(&self, number: u32) -> Option<&Device> {
        self.devices.iter().find(|device| device.device == number)
    }

    /// Puts what is live in the order of device, memory kind and address, so that a part of it is found without looking at the rest.
    pub fn sort(&mut self) {
        self.allocations.sort_unstable_by_key(|allocation| {
            let event = &allocation.event;
            (event.device, allocation.memory, event.address, event.id)
        });
        self.sorted = true;
    }

    /// Numbers of the devices that it told of or holds something on.
    pub fn device_numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self.devices.iter().map(|device| device.device).collect();
        if self.sorted {
            let mut rest = &self.allocations[..];
            while let Some(first) = rest.first() {
                let device = first.event.device;
                numbers.push(device);
                rest = &rest[rest.partition_point(|allocation| allocation.event.device <= device)..];
            }
        } else {
            numbers.extend(self.allocations.iter().map(|allocation| allocation.event.device));
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// What it holds of a memory kind on the device of this number, by address.
    pub fn on_device(&self, device: u32, memory: Memory) -> Vec<&Allocation> {
        let place = |allocation: &Allocation| (allocation.event.device, allocation.memory);
        if self.sorted {
            let from = self.allocations.partition_point(|allocation| place(allocation) < (device, memory));
            let rest = &self.allocations[from..];
            return rest[..rest.partition_point(|allocation| place(allocation) == (device, memory))].iter().collect();
        }
        let here = |allocation: &&Allocation| place(allocation) == (device, memory);
        let mut found: Vec<&Allocation> = self.allocations.iter().filter(here).collect();
        found.sort_unstable_by_key(|allocation| (allocation.event.address, allocation.event.id));
        found
    }
}

/// What was read at one time.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The processes whose ledgers could be read.
    pub holders: Vec<Holder>,
    /// What is not in it, in words.
    pub missing: Vec<String>,
    /// When it was read, `CLOCK_MONOTONIC` ns.
    pub read_ns: u64,
    /// What these and earlier looks tell about leaks; none where nobody looked again and again.
    pub study: Option<Study>,
}

impl Inventory {
    /// Reads every ledger of this prefix that these users own.
    pub fn read(prefix: &Prefix, owners: &[u32]) -> Self {
        Self::read_most(prefix, owners, MOST)
    }

    /// The same, with at most so many allocations.
    pub fn read_most(prefix: &Prefix, owners: &[u32], most: usize) -> Self {
        Self::read_and(prefix, owners, most, |_| None)
    }

    /// The same, and what is made of it at once.
    fn read_and(prefix: &Prefix, owners: &[u32], most: usize, study: impl FnOnce(&Look) -> Option<Study>) -> Self {
        let (readable, refused) = ledgers(prefix, owners);
        let mut missing: Vec<String> = refused.iter().map(LedgerError::to_string).collect();
        let (mut processes, mut ring_pids) = (Vec::new(), Vec::new());
        let mut room = most;
        for ledger in readable {
            let (identity, state) = (*ledger.identity(), ledger.state());
            let (pid, allocations) = (identity.pid, ledger.allocations_most(room));
            if ledger.was_cut_short() {
                missing
                    .push(format!("the ledger of process {pid} was cut short while it was read: its list is not all"));
            }
            let Some(allocations) = allocations else {
                let room = crate::units::count(room as u64);
                missing.push(format!(
                    "the allocations of process {pid}: more than the {room} that there is room for beside others here"
                ));
                continue;
            };
            room -= allocations.len();
            ring_pids.push(identity.ring_pid);
            processes.push(Held {
                pid,
                uid: identity.uid,
                nonce: identity.nonce,
                name: ledger.process_name(),
                began_unix_ns: aggregator::start_unix_ns(identity.start_ticks),
                devices: state.devices,
                accounts: state.accounts,
                allocations,
            });
        }
        let look = Look { at_ns: crate::clock::monotonic_ns(), processes };
        let study = study(&look);
        let holders = look.processes.into_iter().zip(ring_pids).map(|(held, ring_pid)| holder(held, ring_pid));
        Self { holders: holders.collect(), missing, read_ns: look.at_ns, study }
    }

    /// The same as the views want it, and what is made of it: of one that was read elsewhere, as a look of its own.
    pub fn studied(self, study: impl FnOnce(&Look) -> Study) -> Self {
        let (mut processes, mut ring_pids) = (Vec::new(), Vec::new());
        for holder in self.holders {
            let Holder { pid, ring_pid, nonce, uid, name, began_unix_ns, devices, accounts, allocations, sorted: _ } =
                holder;
            ring_pids.push(ring_pid);
            processes.push(Held { pid, uid, nonce, name, began_unix_ns, devices, accounts, allocations });
        }
        let look = Look { at_ns: self.read_ns, processes };
        let study = Some(study(&look));
        let holders = look.processes.into_iter().zip(ring_pids).map(|(held, ring_pid)| holder(held, ring_pid));
        Self { holders: holders.collect(), missing: self.missing, read_ns: look.at_ns, study }
    }

    /// Allocations of all processes together.
    pub fn len(&self) -> usize {
        self.holders.iter().map(|holder| holder.allocations.len()).sum()
    }

    /// Whether nobody holds anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whose this is.
    pub fn of(&self, process: &Process) -> Option<&Holder> {
        self.holders.iter().find(|holder| holder.is(process))
    }
}

fn holder(held: Held, ring_pid: u32) -> Holder {
    let Held { pid, uid, nonce, name, began_unix_ns, devices, accounts, allocations } = held;
    let mut holder =
        Holder { pid, ring_pid, nonce, uid, name, began_unix_ns, devices, accounts, allocations, sorted: false };
    holder.sort();
    holder
}

/// What the thread is asked.
#[derive(Debug)]
enum Asked {
    /// To read the ledgers of this prefix.
    Read(Prefix),
    /// To let go of this one: a million allocations take longer than a frame to give back.
    Drop(Arc<Inventory>),
}

/// The newest inventory, and the thread that makes the next one.
#[derive(Debug, Default)]
pub struct Inventories {
    newest: Option<Arc<Inventory>>,
    asked_ns: Option<u64>,
    /// What the newest took, ns.
    took_ns: u64,
    thread: Option<(Sender<Asked>, Receiver<Read>)>,
    /// Why nothing more is read.
    ended: Option<String>,
}

/// What was read, and the time that it took, ns.
type Read = (Arc<Inventory>, u64);

impl Inventories {
    /// With one that never changes: of a recording, or of a test.
    pub fn fixed(inventory: Inventory) -> Self {
        Self { newest: Some(Arc::new(inventory)), asked_ns: Some(u64::MAX), took_ns: 0, thread: None, ended: None }
    }

    /// With this one, after which what reads the ledgers has broken off.
    #[cfg(test)]
    pub fn broken_off(inventory: Option<Inventory>) -> Self {
        let ((asks, _), (_, answers)) = (channel(), channel());
        Self { newest: inventory.map(Arc::new), thread: Some((asks, answers)), ..Self::default() }
    }

    /// The newest one; none before the first is read.
    pub const fn newest(&self) -> Option<&Arc<Inventory>> {
        self.newest.as_ref()
    }

    /// Why nothing more is read, if that is so.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Takes what has been read, and asks for the next one if it is time. True: there is a new one.
    pub fn look(&mut self, prefix: &Prefix, now_ns: u64) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let mut arrived = None;
        while let Some((_, answers)) = &self.thread {
            match answers.try_recv() {
                Ok(read) => arrived = Some(read),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.end("what reads the ledgers has broken off"),
            }
        }
        let is_new = arrived.is_some();
        if let Some((arrived, took_ns)) = arrived {
            self.took_ns = took_ns;
            if let Some(old) = self.newest.replace(arrived)
                && let Some((asks, _)) = &self.thread
            {
                let _gone = asks.send(Asked::Drop(old));
            }
        }
        let every_ns = EVERY_NS.max(self.took_ns.saturating_mul(REST));
        if self.asked_ns.is_none_or(|asked| now_ns.saturating_sub(asked) >= every_ns && self.has_answered(asked)) {
            if self.thread.is_none() && self.ended.is_none() {
                match start() {
                    Ok(thread) => self.thread = Some(thread),
                    Err(error) => self.end(&format!("no thread is to be had for the ledgers: {error}")),
                }
            }
            if let Some((asks, _)) = &self.thread {
                // Where it is gone the next look finds that.
                let _gone = asks.send(Asked::Read(prefix.clone()));
            }
            self.asked_ns = Some(now_ns);
        }
        is_new
    }

    /// What was read last stays, with its age.
    fn end(&mut self, why: &str) {
        (self.thread, self.ended) =
            (None, Some(format!("nothing more is read: {why}; alloc-top is to be started anew")));
    }

    /// One question at a time: a host with very many allocations takes its time.
    fn has_answered(&self, asked_ns: u64) -> bool {
        self.newest.as_ref().is_some_and(|newest| newest.read_ns >= asked_ns)
    }
}

fn start() -> io::Result<(Sender<Asked>, Receiver<Read>)> {
    let (asks, questions) = channel::<Asked>();
    let (answers, inventories) = channel();
    let read = move || {
        let (mut watcher, zone) = (Watcher::default(), crate::clock::Zone::system());
        for asked in questions {
            let prefix = match asked {
                Asked::Read(prefix) => prefix,
                Asked::Drop(old) => {
                    drop(old);
                    continue;
                }
            };
            let study = |look: &Look| Some(watcher.see(look, crate::clock::unix_ns(), &zone));
            let before_ns = crate::clock::monotonic_ns();
            let read = Arc::new(Inventory::read_and(&prefix, &trusted_owners(), MOST, study));
            if answers.send((read, crate::clock::monotonic_ns().saturating_sub(before_ns))).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("ledgers".into()).spawn(read)?;
    Ok((asks, inventories))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::ledger::fixture::{self, alloc};
    use std::time::{Duration, Instant};

    #[test]
    fn what_is_live_is_found_by_device_and_by_process() {
        let entries =
            [alloc(1, 0, Memory::Dram, 4096, 10), alloc(2, 0, Memory::L1, 64, 20), alloc(3, 1, Memory::Dram, 77, 30)];
        let written = fixture::write("inventory", &entries);
        let me = [nix::unistd::geteuid().as_raw()];
        let inventory = Inventory::read(&written.prefix, &me);
        assert_eq!((inventory.holders.len(), inventory.missing.len()), (1, 0));
        let ids = |device, memory| {
            inventory.holders[0].on_device(device, memory).iter().map(|a| a.event.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(0, Memory::Dram), [1]);
        assert_eq!(ids(0, Memory::L1), [2]);
        assert_eq!(ids(1, Memory::Dram), [3]);
        let mut process = crate::sample::host(1).processes[0];
        assert!(inventory.of(&process).is_none());
        (process.ring_pid, process.nonce) = (written.file.pid, written.file.nonce);
        assert_eq!(inventory.of(&process).unwrap().allocations.len(), 3);
        let nobody = Inventory::read(&written.prefix, &[4_123_456_789]);
        assert_eq!((nobody.holders.len(), nobody.missing.len()), (0, 1), "a stranger's is not believed, and said");
    }

    #[test]
    fn of_a_process_with_too_many_nothing_is_kept_and_that_is_said() {
        let entries = [alloc(1, 0, Memory::Dram, 4096, 10), alloc(2, 0, Memory::L1, 64, 20)];
        let written = fixture::write("most", &entries);
        let me = [nix::unistd::geteuid().as_raw()];
        let read = |most| Inventory::read_most(&written.prefix, &me, most);
        assert_eq!((read(2).holders[0].allocations.len(), read(2).missing.len()), (2, 0));
        let less = read(1);
        assert_eq!((less.holders.len(), less.missing.len()), (0, 1));
        assert!(less.missing[0].contains("more than the 1 that there is room for"), "{}", less.missing[0]);
    }

    #[test]
    fn what_takes_long_to_read_is_read_seldom() {
        let prefix = Prefix::new("tt_test_tui_nobody").unwrap();
        let newest = Some(Arc::new(Inventory { read_ns: 100, ..Inventory::default() }));
        let second = 1_000_000_000;
        for (took_ns, waits, asks) in [(0, second - 1, second), (2 * second, 16 * second - 1, 16 * second)] {
            let mut inventories =
                Inventories { newest: newest.clone(), asked_ns: Some(100), took_ns, ..Inventories::default() };
            inventories.look(&prefix, 100 + waits);
            assert_eq!(inventories.asked_ns, Some(100), "{took_ns}");
            inventories.look(&prefix, 100 + asks);
            assert_eq!(inventories.asked_ns, Some(100 + asks), "{took_ns}");
        }
    }

    #[test]
    fn the_screen_never_waits_and_the_newest_arrives() {
        let written = fixture::write("inventories", &[alloc(1, 0, Memory::Dram, 4096, 10)]);
        let mut inventories = Inventories::default();
        let until = Instant::now() + Duration::from_secs(20);
        while !inventories.look(&written.prefix, crate::clock::monotonic_ns()) {
            assert!(Instant::now() < until, "nothing was read");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(inventories.newest().unwrap().holders.len(), 1);
        let fixed = Inventories::fixed(Inventory::default());
        assert!(fixed.newest().unwrap().holders.is_empty());
    }
}
