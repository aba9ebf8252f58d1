//! What is done to whom at random, from one check to the next.

use crate::cast::Cast;
use crate::producer::{self, Part};
use crate::tally::Tally;
use crate::victim::Victim;
use crate::{Arguments, ratchet::Ratchet};
use fastrand::Rng;
use shm_layout::event::EVENT_BYTES;
use shm_layout::names::Prefix;
use std::time::{Duration, Instant};

/// Everything that storms act upon.
#[derive(Debug)]
pub struct Ground {
    /// Of all choices.
    pub rng: Rng,
    /// Name prefix.
    pub prefix: Prefix,
    /// The producers.
    pub cast: Cast,
    /// The aggregator.
    pub victim: Victim,
    /// What is counted.
    pub tally: Tally,
    /// Counters that must not run backwards.
    pub ratchet: Ratchet,
    /// How long anything may take.
    pub patience: Duration,
    /// The command line.
    pub arguments: Arguments,
}

impl Ground {
    fn milliseconds(&mut self, below: u64) -> Duration {
        Duration::from_micros(self.rng.u64(0..below * 1000))
    }

    /// Someone new.
    fn start_producer(&mut self) -> anyhow::Result<()> {
        let wild = self.rng.bool();
        let (smallest, largest) = (12, 21);
        // 4 KiB to 2 MiB.
        let ring_bytes = 1_u64 << self.rng.u32(smallest..=largest);
        let within = ring_bytes / EVENT_BYTES as u64 * 9 / 10;
        let within_it = self.rng.u8(0..8) < if wild { 7 } else { 6 };
        let bounded = self.arguments.no_overflow || within_it && !self.arguments.unbounded;
        let part = Part {
            socket: self.cast.socket().to_owned(),
            seed: self.rng.u64(..),
            wild,
            blind: wild && (bounded || self.arguments.known_faults),
            threads: [1, 1, 1, 2, 4, 8][self.rng.usize(..6)],
            devices: self.rng.u32(1..=4),
            budget: bounded.then_some(within),
        };
        self.cast.start(&part, ring_bytes)?;
        self.tally.producers += 1;
        Ok(())
    }

    fn start_producers(&mut self, at_most: usize) -> anyhow::Result<()> {
        for _ in 0..at_most {
            if self.cast.len() < self.arguments.producers {
                self.start_producer()?;
            }
        }
        Ok(())
    }

    /// Things happen for so long. `gently`: nothing happens to the aggregator.
    ///
    /// # Errors
    /// When something ends that was not made to.
    pub fn storm(&mut self, length: Duration, gently: bool) -> anyhow::Result<()> {
        let end = Instant::now() + length;
        let mut absent_until = None;
        let mut stopped_until = None;
        self.cast.go();
        while Instant::now() < end {
            let now = Instant::now();
            if absent_until.is_none_or(|at| at <= now) {
                self.victim.start()?;
                absent_until = None;
            }
            if self.victim.is_stopped() && stopped_until.is_none_or(|at| at <= now) {
                self.victim.go_on();
            }
            match self.rng.u8(0..100) {
                0..18 => {
                    let most = self.rng.usize(1..4);
                    self.start_producers(most)?;
                }
                18..24 => self.kill_some(),
                24..34 => self.stop_or_continue_one(),
                34..39 => self.tell_one(producer::FORK),
                39..41 => self.tell_one(producer::EXIT),
                41 => self.tell_one(producer::ABORT),
                42..46 if !gently => self.kill_aggregator()?,
                46..54 if !gently => self.kill_aggregator_at_work()?,
                54..56 if !gently => {
                    self.kill_aggregator()?;
                    // Rarely for so long that everybody fills the ring.
                    let most = if self.rng.u8(0..10) == 0 { 800 } else { 60 };
                    absent_until = Some(Instant::now() + self.milliseconds(most));
                }
                56 if !gently => {
                    for _ in 0..self.rng.u8(2..6) {
                        self.victim.start()?;
                        std::thread::sleep(self.milliseconds(8));
                        self.kill_aggregator()?;
                    }
                }
                57 if !gently => self.end_aggregator()?,
                58..60 => {
                    let most = if self.rng.u8(0..8) == 0 { 500 } else { 60 };
                    self.victim.stop();
                    stopped_until = Some(Instant::now() + self.milliseconds(most));
                    self.tally.aggregator_stops += u64::from(self.victim.is_stopped());
                }
                60..63 => self.look()?,
                _ => {}
            }
            let pause = self.milliseconds(16);
            self.cast.hear(pause, &mut self.tally)?;
        }
        self.victim.go_on();
        self.victim.must_live()
    }

    fn kill_aggregator(&mut self) -> anyhow::Result<()> {
        self.tally.aggregator_kills += u64::from(self.victim.kill()?);
        Ok(())
    }

    /// It is held up until there is much to read, and killed while it reads.
    fn kill_aggregator_at_work(&mut self) -> anyhow::Result<()> {
        self.victim.stop();
        std::thread::sleep(self.milliseconds(12));
        self.victim.go_on();
        std::thread::sleep(Duration::from_micros(self.rng.u64(0..1500)));
        self.kill_aggregator()
    }

    fn end_aggregator(&mut self) -> anyhow::Result<()> {
        self.tally.aggregator_ends += u64::from(self.victim.end(self.patience)?);
        Ok(())
    }

    /// Counters must run forwards in storms, too.
    fn look(&mut self) -> anyhow::Result<()> {
        match crate::figures::look(&self.prefix) {
            Some(seen) => self.ratchet.check(&seen),
            None => Ok(()),
        }
    }

    fn kill_some(&mut self) {
        let share = match self.rng.u8(0..20) {
            0 => 100,
            1..4 => 40,
            _ => 0,
        };
        let one = self.rng.usize(0..self.cast.members.len().max(1));
        for at in 0..self.cast.members.len() {
            let hit = at == one || self.rng.u8(0..100) < share;
            let member = &mut self.cast.members[at];
            if hit && !member.is_leaving() {
                member.kill();
                self.tally.producer_kills += 1;
            }
        }
    }

    fn stop_or_continue_one(&mut self) {
        let count = self.cast.members.len();
        if count == 0 {
            return;
        }
        let at = self.rng.usize(..count);
        let member = &mut self.cast.members[at];
        if member.stopped {
            member.go_on();
        } else if !member.is_leaving() {
            member.stop();
            self.tally.producer_stops += 1;
        }
    }

    fn tell_one(&mut self, what: u8) {
        let count = self.cast.members.len();
        // Forked children are beyond the number that is asked for, but not without end.
        if count == 0 || what == producer::FORK && count > 2 * self.arguments.producers {
            return;
        }
        let at = self.rng.usize(..count);
        let member = &mut self.cast.members[at];
        if !member.is_here() {
            return;
        }
        if what == producer::FORK {
            member.tell(what);
        } else {
            member.leave(what);
            self.tally.producer_ends += 1;
        }
    }
}
