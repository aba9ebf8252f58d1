//! The demo's trace: events that real ttnn processes wrote, in a compact file.
//!
//! ```text
//!   "TTATRC1\n"
//!   processes: varint, then for each: name, command line (varint length + UTF-8), end (0 clean, 1 killed)
//!   events: varint, then for each, in the order of time:
//!     process | µs since the event before | kind | memory | flags | device | context      varints
//!     id − last id of this process (zigzag) | address | size | footprint                  varints
//! ```

use shm_layout::event::{Event, Kind};
use shm_layout::text;
use std::io;

const MAGIC: &[u8] = b"TTATRC1\n";
/// Longest text and most processes that a trace may have.
const MOST: u64 = 4096;

/// How a recorded process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order.
    Clean,
    /// Killed.
    Killed,
}

/// A recorded process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// comm.
    pub name: String,
    /// Command line.
    pub command_line: String,
    /// How it ended.
    pub end: End,
}

/// A recorded event: whose, when (µs since the trace's begin), what. Stamp, time and thread are not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the process.
    pub process: usize,
    /// µs since the begin.
    pub at_us: u64,
    /// The event.
    pub event: Event,
}

/// A recorded trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Who.
    pub processes: Vec<Process>,
    /// What, in the order of time.
    pub steps: Vec<Step>,
}

impl Trace {
    /// The trace that comes with this program.
    ///
    /// # Errors
    /// Never, unless the build put another file in its place.
    pub fn bundled() -> io::Result<Self> {
        Self::decode(include_bytes!("../../demo/llm-serving.trace"))
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put(&mut out, self.processes.len() as u64);
        for process in &self.processes {
            for text in [&process.name, &process.command_line] {
                put(&mut out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            put(&mut out, u64::from(process.end == End::Killed));
        }
        put(&mut out, self.steps.len() as u64);
        let mut last_us = 0;
        let mut last_id = vec![0_u64; self.processes.len()];
        for Step { process, at_us, event } in &self.steps {
            put(&mut out, *process as u64);
            put(&mut out, at_us - last_us);
            last_us = *at_us;
            for small in [u64::from(event.kind), event.memory.into(), event.flags.into(), event.device.into()] {
                put(&mut out, small);
            }
            put(&mut out, event.context.into());
            let delta = event.id.wrapping_sub(last_id[*process]) as i64;
            put(&mut out, (delta << 1 ^ delta >> 63) as u64);
            last_id[*process] = event.id;
            for large in [event.address, event.size, event.footprint] {
                put(&mut out, large);
            }
        }
        out
    }

    /// From bytes.
    ///
    /// # Errors
    /// `InvalidData` when they are no trace.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| bad("not a trace of this version"))?;
        let rest = &mut rest;
        let mut trace = Self::default();
        for _ in 0..take(rest)?.min(MOST) {
            let (name, command_line) = (take_text(rest)?, take_text(rest)?);
            let end = if take(rest)? == 0 { End::Clean } else { End::Killed };
            trace.processes.push(Process { name, command_line, end });
        }
        let mut at_us = 0_u64;
        let mut last_id = vec![0_u64; trace.processes.len()];
        for _ in 0..take(rest)? {
            let process = usize::try_from(take(rest)?).map_err(|_| bad("process"))?;
            let last = last_id.get_mut(process).ok_or_else(|| bad("an event of an unknown process"))?;
            at_us = at_us.checked_add(take(rest)?).ok_or_else(|| bad("time"))?;
            let mut event = Event { kind: narrow(rest)?, memory: narrow(rest)?, ..Event::default() };
            Kind::from_u8(event.kind).ok_or_else(|| bad("an event of an unknown kind"))?;
            event.flags = narrow(rest)?;
            event.device = narrow(rest)?;
            event.context = narrow(rest)?;
            let zigzag = take(rest)?;
            *last = last.wrapping_add((zigzag >> 1 ^ (zigzag & 1).wrapping_neg()) as i64 as u64);
            event.id = *last;
            (event.address, event.size, event.footprint) = (take(rest)?, take(rest)?, take(rest)?);
            trace.steps.push(Step { process, at_us, event });
        }
        Ok(trace)
    }

    /// The steps of one process.
    pub fn of(&self, process: usize) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.process == process)
    }

    /// µs from begin to end.
    pub fn length_us(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.at_us)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("trace: {what}"))
}

/// LEB128.
fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take(rest: &mut &[u8]) -> io::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or_else(|| bad("cut off"))?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(bad("a number that is too long"))
}

fn narrow<T: TryFrom<u64>>(rest: &mut &[u8]) -> io::Result<T> {
    T::try_from(take(rest)?).map_err(|_| bad("a number that is too large"))
}

fn take_text(rest: &mut &[u8]) -> io::Result<String> {
    let len = usize::try_from(take(rest)?.min(MOST)).map_err(|_| bad("length"))?;
    let (text, tail) = rest.split_at_checked(len).ok_or_else(|| bad("cut off"))?;
    *rest = tail;
    Ok(text::clean(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_layout::event::Memory;

    fn sample() -> Trace {
        let event = |id, size| Event { id, size, footprint: size * 2, ..Event::new(Kind::Alloc, Memory::L1, 3) };
        let process = |name: &str, end| Process { name: name.into(), command_line: format!("python {name}.py"), end };
        Trace {
            processes: vec![process("train", End::Clean), process("serve", End::Killed)],
            steps: vec![
                Step { process: 0, at_us: 5, event: event(u64::MAX, 1) },
                Step { process: 1, at_us: 5, event: event(7, u64::MAX / 2) },
                Step { process: 0, at_us: 900_000, event: event(3, 300) },
            ],
        }
    }

    #[test]
    fn a_trace_comes_back() {
        let trace = sample();
        assert_eq!(Trace::decode(&trace.encode()).expect("our own bytes"), trace);
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = sample().encode();
        for len in 0..bytes.len() {
            assert!(Trace::decode(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn the_bundled_trace_has_what_it_promises() {
        let trace = Trace::bundled().expect("the bundled trace");
        assert!(trace.processes.len() >= 3, "several processes");
        assert!(trace.processes.iter().any(|p| p.end == End::Killed), "a crash");
        let devices: std::collections::HashSet<u32> = trace.steps.iter().map(|s| s.event.device).collect();
        assert!(devices.len() >= 4, "a mesh");
        assert!(trace.steps.iter().any(|s| s.event.kind == Kind::ProgramResident as u8), "a program cache");
    }
}
