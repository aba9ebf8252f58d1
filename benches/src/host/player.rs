//! A tracked process: this very program, started again, with one ring that it writes as it is told.

use super::ground::Ground;
use super::{Outcome, monotonic_ns};
use producer::Ring;
use producer::environment::Options;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// First argument of a player's command line; its prefix and its ring's slots follow.
pub const ARGUMENT: &str = "--player";
/// Slots of a small ring: 64 KiB.
pub const SMALL: u64 = 1024;

/// A tracked process.
#[derive(Debug)]
pub struct Player {
    /// The process.
    pub child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Player {
    /// Starts it; [`ready`](Self::ready) waits for it.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn start(ground: &Ground, slots: u64) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ARGUMENT, &ground.prefix.to_string(), &slots.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else { return Err("no pipes".into()) };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// So many of them, each with its first event written.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start_many(ground: &Ground, count: usize, slots: u64) -> Outcome<Vec<Self>> {
        let mut players = Vec::with_capacity(count);
        for _ in 0..count {
            let mut player = Self::start(ground, slots)?;
            player.ready()?;
            players.push(player);
        }
        Ok(players)
    }

    /// Waits until its ring is there and its first event is in it.
    ///
    /// # Errors
    /// When it has none.
    pub fn ready(&mut self) -> Outcome<()> {
        self.answer().map(|_| ())
    }

    fn answer(&mut self) -> Outcome<u64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().parse().map_err(|_| "a player has ended")?)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to do something that is answered by a number when it is done.
    ///
    /// # Errors
    /// When it has ended.
    pub fn ask(&mut self, what: &str) -> Outcome<u64> {
        self.tell(what)?;
        self.answer()
    }

    /// Tells it to do something for as long as it lives.
    ///
    /// # Errors
    /// When it has ended.
    pub fn tell(&mut self, what: &str) -> Outcome<()> {
        Ok(writeln!(self.input, "{what}")?)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn block(kind: Kind, id: u64) -> Event {
    Event { id, size: 64, ..Event::new(kind, Memory::Dram, 0) }
}

/// The player's side. It ends with its input.
///
/// | line | what it does | answer |
/// |---|---|---|
/// | `stamp` | one allocation in L1 | the moment before, `CLOCK_MONOTONIC` ns |
/// | `fill N` | N events: allocations, seven of eight freed at once | 0 |
/// | `pace N` | from now on N pairs of allocation and free each millisecond | |
/// | `flood` | from now on pairs without a pause | |
///
/// # Errors
/// When there can be no ring.
pub fn play(prefix: &str, slots: &str) -> Outcome<()> {
    let ring = Ring::create(&Options { prefix: Prefix::new(prefix)?, slots: slots.parse()?, ..Options::default() })?;
    ring.record(block(Kind::Alloc, 0));
    println!("0");
    let mut stamps = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (word, count) = line.split_once(' ').unwrap_or((&line, "0"));
        let count: u64 = count.parse()?;
        match word {
            "stamp" => {
                stamps += 1;
                let before = monotonic_ns();
                ring.record(Event { memory: Memory::L1 as u8, ..block(Kind::Alloc, stamps) });
                println!("{before}");
            }
            "fill" => {
                let (mut written, mut id) = (1, 1);
                while written < count {
                    ring.record(block(Kind::Alloc, id));
                    written += 1;
                    if id % 8 != 0 && written < count {
                        ring.record(block(Kind::Free, id));
                        written += 1;
                    }
                    id += 1;
                }
                println!("0");
            }
            "pace" => loop {
                write_pairs(&ring, count);
                std::thread::sleep(Duration::from_millis(1));
                end_with_parent();
            },
            "flood" => loop {
                write_pairs(&ring, 10_000);
                end_with_parent();
            },
            other => return Err(other.into()),
        }
        std::io::stdout().flush()?;
    }
    std::process::exit(0)
}

fn write_pairs(ring: &Ring, count: u64) {
    let writer = ring.writer();
    for id in 1..=count {
        writer.record(block(Kind::Alloc, id));
        writer.record(block(Kind::Free, id));
    }
}

/// A player that does not read its input any more must not outlive whoever started it.
fn end_with_parent() {
    if nix::unistd::getppid().as_raw() == 1 {
        std::process::exit(0);
    }
}
