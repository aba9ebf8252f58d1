//! A producer: a process that writes random events through the real producer crate, keeps its own truth, and tells it when
//! asked. It does as single bytes on its socket say; see [`crate::cast`] for the other end.

mod worker;

use crate::truth::{Account, Opened, Said, Truth, told};
use anyhow::Context;
use clap::Parser;
use fastrand::Rng;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::ForkResult;
use shm_layout::event::{Arch, Event, Kind, Memory, flags};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;
use worker::Worker;

/// First argument of a producer's command line.
pub const ARGUMENT: &str = "producer";

/// Stop, and tell the truth.
pub const QUIET: u8 = b'q';
/// Go on, with as many events as fit again.
pub const GO: u8 = b'g';
/// Make a child by fork, which is a producer of its own.
pub const FORK: u8 = b'f';
/// End in good order.
pub const EXIT: u8 = b'x';
/// End as nobody wants to.
pub const ABORT: u8 = b'a';
/// Tell every live allocation.
pub const LIST: u8 = b'l';

/// Chips of the host, by unique id; which of them a device is, is random.
const CHIPS: u64 = 6;
const FIRST_CHIP: u64 = 0x7000_0000_0000;

/// Who to be.
#[derive(Clone, Debug, Parser)]
pub struct Part {
    /// Abstract name of the supervisor's socket.
    #[arg(long)]
    pub socket: String,
    /// Of its choices.
    #[arg(long)]
    pub seed: u64,
    /// It also does what totals do not survive once records are dropped.
    #[arg(long)]
    pub wild: bool,
    /// Its releases do not always say what they free.
    #[arg(long)]
    pub blind: bool,
    /// Threads that write.
    #[arg(long)]
    pub threads: u64,
    /// Logical devices.
    #[arg(long)]
    pub devices: u32,
    /// Events from one check to the next, at most.
    #[arg(long)]
    pub budget: Option<u64>,
}

/// A device as this process has told it.
#[derive(Clone, Copy, Debug)]
struct Device {
    opened: Option<Opened>,
    open: bool,
}

#[derive(Debug)]
struct Player {
    part: Part,
    rng: Rng,
    stream: UnixStream,
    workers: Vec<Worker>,
    devices: Vec<Device>,
    /// Records that are no allocation's, so far.
    controls: u64,
    forks: u64,
    wild_controls: bool,
    going: bool,
    /// `events` at which it has to wait for the next check.
    limit: u64,
}

/// A producer's whole life.
///
/// # Errors
/// When it cannot begin.
pub fn play(arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let part = Part::parse_from(arguments);
    // Children are nobody's concern here, and neither are core files.
    // SAFETY: no handler is installed.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let stream = connect(&part.socket)?;
    Player::new(part, stream).live()
}

fn connect(name: &str) -> anyhow::Result<UnixStream> {
    let address = SocketAddr::from_abstract_name(name)?;
    UnixStream::connect_addr(&address).context("the supervisor is gone")
}

impl Player {
    fn new(part: Part, stream: UnixStream) -> Self {
        let mut rng = Rng::with_seed(part.seed);
        let workers =
            (0..part.threads).map(|n| Worker::new(n, rng.u64(..), part.devices, (part.wild, part.blind))).collect();
        let devices = vec![Device { opened: None, open: false }; part.devices as usize];
        Self {
            part,
            rng,
            stream,
            workers,
            devices,
            controls: 0,
            forks: 0,
            wild_controls: false,
            going: false,
            limit: 0,
        }
    }

    fn live(mut self) -> anyhow::Result<()> {
        loop {
            let busy = self.going && self.left() > worker::STEP;
            let wait = if busy { PollTimeout::ZERO } else { PollTimeout::NONE };
            self.obey(wait)?;
            if self.going && self.left() > worker::STEP {
                self.act()?;
            }
        }
    }

    /// Does what was said, if something is said within this time.
    fn obey(&mut self, wait: PollTimeout) -> anyhow::Result<()> {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, wait)? == 0 {
            return Ok(());
        }
        let mut word = [0];
        if self.stream.read(&mut word)? == 0 {
            anyhow::bail!("the supervisor is gone");
        }
        match word[0] {
            QUIET => {
                self.going = false;
                let truth = self.truth();
                self.say(&Said::Quiet(truth))?;
            }
            GO => {
                self.going = true;
                self.limit = self.part.budget.map_or(u64::MAX, |budget| self.events() + budget);
                self.begin();
            }
            FORK => self.fork()?,
            EXIT => {
                producer::process::close();
                std::process::exit(0);
            }
            ABORT => std::process::abort(),
            LIST => {
                let blocks = self.workers.iter().flat_map(Worker::blocks).map(told).collect();
                self.say(&Said::Blocks(blocks))?;
            }
            other => anyhow::bail!("{other}: not known"),
        }
        Ok(())
    }

    fn say(&mut self, what: &Said) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        Ok(self.stream.write_all(&line)?)
    }

    fn events(&self) -> u64 {
        self.controls + self.workers.iter().map(|worker| worker.events).sum::<u64>()
    }

    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.events())
    }

    /// The first events, by one thread: the others need not wait for the ring then. They also surely fit.
    fn begin(&mut self) {
        if self.events() > 0 {
            return;
        }
        for device in 0..self.part.devices {
            // One in six is never introduced.
            if self.rng.u8(0..6) > 0 {
                self.open(device);
            }
        }
        self.workers[0].steps(1, u64::MAX);
    }

    fn act(&mut self) -> anyhow::Result<()> {
        match self.rng.u16(0..1000) {
            0..30 if self.part.wild => {
                let device = self.rng.u32(0..self.part.devices);
                self.wild_controls = true;
                // Of those that it opens, some are open.
                if self.rng.bool() { self.open(device) } else { self.close(device) }
            }
            30..32 => {
                let pairs = self.rng.u64(50_000..150_000);
                self.share(|worker, threads, left| worker.flood(pairs / threads, left));
            }
            32..70 => {
                let steps = self.rng.u64(200..3000);
                self.share(|worker, threads, left| worker.steps(steps / threads, left));
            }
            70..350 => {
                let wait = Duration::from_micros(self.rng.u64(0..8000));
                self.obey(PollTimeout::try_from(wait)?)?;
            }
            _ => {
                let (steps, at) = (self.rng.u64(1..40), self.rng.usize(..self.workers.len()));
                let left = self.left();
                self.workers[at].steps(steps, left);
                // There are others on this machine.
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    }

    /// Each thread does this with its share of the events that are left.
    fn share(&mut self, what: impl Fn(&mut Worker, u64, u64) + Sync) {
        let threads = self.workers.len() as u64;
        let left = self.left() / threads;
        if let [only] = &mut self.workers[..] {
            return what(only, 1, left);
        }
        std::thread::scope(|scope| {
            for worker in &mut self.workers {
                scope.spawn(|| what(worker, threads, left));
            }
        });
    }

    fn control(&mut self, event: Event) {
        producer::process::record(event);
        self.controls += 1;
    }

    fn open(&mut self, device: u32) {
        let logical = self.rng.u8(0..8) == 0;
        let chip_id = if logical { u64::from(device) } else { FIRST_CHIP + self.rng.u64(0..CHIPS) };
        let mark = if logical { flags::CHIP_ID_UNKNOWN } else { 0 };
        self.control(Event {
            id: chip_id,
            size: 140,
            context: Arch::Blackhole as u32,
            flags: mark,
            ..Event::new(Kind::DeviceInfo, Memory::Dram, device)
        });
        let known = &mut self.devices[device as usize];
        if known.open {
            // Opened again without a close: the close was lost, as far as anybody can tell.
            self.workers.iter_mut().for_each(|worker| worker.forget(device));
        }
        *known = Device { opened: Some(Opened { device, chip_id, logical }), open: true };
        self.control(Event { size: 32 << 30, footprint: 8, ..Event::new(Kind::Capacity, Memory::Dram, device) });
    }

    fn close(&mut self, device: u32) {
        self.control(Event::new(Kind::DeviceClose, Memory::Dram, device));
        self.devices[device as usize].open = false;
        self.workers.iter_mut().for_each(|worker| worker.forget(device));
    }

    /// The child is a producer of its own, with nothing yet.
    fn fork(&mut self) -> anyhow::Result<()> {
        let (mut read, write) = std::io::pipe()?;
        let seed = self.rng.u64(..);
        self.forks += 1;
        // SAFETY: the threads of `share` have ended, so that this one is alone; what the C library locks around a fork, it frees.
        match unsafe { nix::unistd::fork() }? {
            ForkResult::Parent { .. } => {
                drop(write);
                // The child is known to the supervisor, or dead, before the parent says anything.
                let mut nothing = [0];
                let _ended = read.read(&mut nothing)?;
            }
            ForkResult::Child => {
                drop(read);
                let part = Part { seed, ..self.part.clone() };
                let stream = connect(&part.socket)?;
                drop(write);
                *self = Self::new(part, stream);
            }
        }
        Ok(())
    }

    fn truth(&self) -> Truth {
        let mut accounts: Vec<Account> = Vec::new();
        for device in 0..self.part.devices {
            for memory in Memory::ALL {
                let mut account = Account::of(device, memory as u8);
                account.allocated = self.workers.iter().map(|w| w.allocated[device as usize][memory as usize]).sum();
                accounts.push(account);
            }
        }
        for event in self.workers.iter().flat_map(Worker::blocks) {
            let mine = accounts.iter_mut().find(|a| (a.device, a.memory) == (event.device, event.memory));
            if let Some(account) = mine {
                account.add(event);
            }
        }
        let mut truth = Truth {
            events: self.events(),
            forks: self.forks,
            bounded: self.part.budget.is_some(),
            has_ring: producer::process::ring_name().is_some(),
            devices: self.devices.iter().filter_map(|device| device.opened).collect(),
            accounts,
            ..Truth::default()
        };
        for worker in &self.workers {
            truth.wildness.sizeless |= worker.wildness.sizeless;
            truth.wildness.addresses |= worker.wildness.addresses;
            truth.wildness.false_frees |= worker.wildness.false_frees;
            truth.wildness.controls |= worker.wildness.controls;
        }
        truth.wildness.controls |= self.wild_controls;
        truth
    }
}
