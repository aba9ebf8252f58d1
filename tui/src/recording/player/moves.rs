//! Ways through a recording, and how they are gone.

use super::{Player, SPEEDS};
use std::io;

/// A jump, ns.
const JUMP_NS: u64 = 60_000_000_000;

/// What somebody wants of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// One look back.
    StepBack,
    /// One look on.
    StepOn,
    /// A minute back.
    JumpBack,
    /// A minute on.
    JumpOn,
    /// The next slower speed.
    Slower,
    /// The next faster speed.
    Faster,
}

impl Move {
    /// Whether what it leads to is not what follows.
    pub const fn is_jump(self) -> bool {
        matches!(self, Self::StepBack | Self::JumpBack | Self::JumpOn)
    }
}

impl Player {
    /// Does what somebody wants. True: another moment is shown, and not the one that follows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn go(&mut self, wanted: Move) -> io::Result<bool> {
        self.go_all(&[wanted])
    }

    /// Does all of this, one after the other. Of jumps only where they lead is read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn go_all(&mut self, wanted: &[Move]) -> io::Result<bool> {
        let mut jumped = false;
        let mut to_ns = None;
        for wanted in wanted {
            let from_ns = to_ns.unwrap_or(self.position_ns);
            match wanted {
                Move::Slower => self.speed = self.speed.saturating_sub(1),
                Move::Faster => self.speed = (self.speed + 1).min(SPEEDS.len() - 1),
                Move::JumpBack => to_ns = Some(from_ns.saturating_sub(JUMP_NS)),
                Move::JumpOn => to_ns = Some(from_ns.saturating_add(JUMP_NS).min(self.length_ns())),
                Move::StepBack | Move::StepOn => {
                    jumped |= self.land(to_ns.take())?;
                    if *wanted == Move::StepBack {
                        self.step_back()?;
                        jumped = true;
                    } else {
                        self.step()?;
                        self.position_ns = self.shown.as_ref().map_or(self.position_ns, |shown| shown.at_ns);
                    }
                }
            }
        }
        Ok(jumped | self.land(to_ns)?)
    }

    /// Ends a jump, if there was one.
    fn land(&mut self, to_ns: Option<u64>) -> io::Result<bool> {
        to_ns.map_or(Ok(false), |to_ns| self.seek(to_ns).map(|()| true))
    }

    fn step_back(&mut self) -> io::Result<()> {
        let Some(now) = self.shown.as_ref().map(|shown| shown.offset) else { return Ok(()) };
        let behind = self.reader.looks.partition_point(|mark| mark.offset < now);
        let Some(mark) = behind.checked_sub(1) else { return Ok(()) };
        self.begin_at(mark);
        while let Some((offset, header, frame)) = self.peek()? {
            if offset >= now {
                break;
            }
            self.take(offset, header, frame)?;
        }
        self.position_ns = self.shown.as_ref().map_or(self.position_ns, |shown| shown.at_ns);
        Ok(())
    }
}
