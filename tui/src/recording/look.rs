//! One look: everything that was seen at one moment, written whole in a key frame and by its differences in the frames between.
//!
//! ```text
//!   key      { section } ...
//!   delta    number behind its key frame   { section } ...
//!   section  number  length  content
//! ```
//!
//! | section | content |
//! |---|---|
//! | 1 | the aggregator's state and heartbeat |
//! | 2 | who publishes |
//! | 3 | health |
//! | 4 to 9 | lists: chips, processes, rows, event lines, refused rings, differences |
//! | 10 | [samples](super::history) |
//! | 11 | prefix of the files' names |
//! | 12 | names of users, by uid |
//! | 13 | [spans](super::history) of samples, where they do not follow from those before |
//!
//! A section that is not in a delta is as it was.

use super::element::{Element, Field, put_list, put_record, shift, take_list, take_record};
use super::history;
use super::wire::{Malformed, Wire, put_number, put_section, put_text};
use crate::source::{Connection, Observation};
use shm_layout::names::Prefix;
use shm_layout::stats::{
    Difference, Identity, MAX_CHIPS, MAX_DIFFERENCES, MAX_LINES, MAX_PROCESSES, MAX_REFUSALS, MAX_ROWS, Row, Snapshot,
};
use shm_layout::text;

/// Names of users in one look, at most.
const MOST_NAMES: usize = MAX_PROCESSES;

const LIVE: u32 = 0;
const STALE: u32 = 1;
const GONE: u32 = 2;
const ENDED: u32 = 3;

/// What the aggregator was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pulse {
    heartbeat_ns: u64,
    state: u32,
}

impl Element for Pulse {
    fn empty() -> Self {
        Self::default()
    }

    fn numbers() -> impl Iterator<Item = u32> {
        0..2
    }

    fn field(&mut self, number: u32) -> Option<Field<'_>> {
        match number {
            0 => Some(Field::Long(&mut self.heartbeat_ns)),
            1 => Some(Field::Short(&mut self.state)),
            _ => None,
        }
    }
}

/// One look.
#[derive(Clone, Debug)]
pub struct Look {
    /// What was seen; its moments are those of the frame.
    pub seen: Observation,
    /// Names of the users of its processes.
    pub names: Vec<(u32, String)>,
    state: u32,
}

impl Look {
    /// Of what was seen; `None` where nothing was.
    pub fn new(connection: &Connection, seen: Observation, names: Vec<(u32, String)>) -> Option<Self> {
        let state = match connection {
            Connection::Live => LIVE,
            Connection::Stale { gone: false, .. } => STALE,
            Connection::Stale { gone: true, .. } => GONE,
            Connection::Ended => ENDED,
            Connection::Unavailable(_) => return None,
        };
        Some(Self { seen, names, state })
    }

    /// Nothing yet, at this moment.
    fn empty(now_ns: u64, unix_ns: u64) -> Self {
        let seen = Observation {
            prefix: Prefix::default(),
            snapshot: Snapshot::default(),
            history: Vec::new(),
            history_head: 0,
            identity: Identity::unannounced(),
            heartbeat_ns: 0,
            now_ns,
            unix_ns,
        };
        Self { seen, names: Vec::new(), state: LIVE }
    }

    /// The aggregator's state, then.
    pub const fn connection(&self) -> Connection {
        let age_ns = self.seen.now_ns.saturating_sub(self.seen.heartbeat_ns);
        match self.state {
            LIVE => Connection::Live,
            ENDED => Connection::Ended,
            state => Connection::Stale { age_ns, gone: state == GONE },
        }
    }

    const fn pulse(&self) -> Pulse {
        Pulse { heartbeat_ns: self.seen.heartbeat_ns, state: self.state }
    }

    /// Content of a key frame.
    pub fn whole(&self) -> Vec<u8> {
        let mut content = Vec::new();
        self.put(&mut content, &Self::empty(0, 0), true);
        content
    }

    /// Content of the delta that is number `number` behind its key frame (from 1 on), after this look.
    pub fn since(&self, before: &Self, number: u64) -> Vec<u8> {
        let mut content = Vec::new();
        put_number(&mut content, number);
        self.put(&mut content, before, false);
        content
    }

    fn put(&self, to: &mut Vec<u8>, before: &Self, whole: bool) {
        let mut content = Vec::new();
        let mut section = |number: u64, put: &mut dyn FnMut(&mut Vec<u8>)| {
            content.clear();
            put(&mut content);
            put_section(to, number, &content);
        };
        let (now, was) = (&self.seen.snapshot, &before.seen.snapshot);
        if whole || self.pulse() != before.pulse() {
            section(1, &mut |to| put_record(to, &before.pulse(), &self.pulse()));
        }
        if whole || self.seen.identity != before.seen.identity {
            section(2, &mut |to| put_record(to, &before.seen.identity, &self.seen.identity));
        }
        if whole || now.health != was.health {
            section(3, &mut |to| put_record(to, &was.health, &now.health));
        }
        if whole || now.chips != was.chips {
            section(4, &mut |to| put_list(to, &was.chips, 0, &now.chips));
        }
        if whole || now.processes != was.processes {
            section(5, &mut |to| put_list(to, &was.processes, 0, &now.processes));
        }
        if whole || now.rows != was.rows {
            section(6, &mut |to| put_list(to, &was.rows, 0, &now.rows));
        }
        if whole || now.lines != was.lines {
            // Each new line pushes the oldest out at the front.
            section(7, &mut |to| put_list(to, &was.lines, shift(&was.lines, &now.lines), &now.lines));
        }
        if whole || now.refusals != was.refusals {
            section(8, &mut |to| put_list(to, &was.refusals, 0, &now.refusals));
        }
        if whole || now.differences != was.differences {
            section(9, &mut |to| put_list(to, &was.differences, 0, &now.differences));
        }
        let (samples, sampled) =
            ((&self.seen.history[..], self.seen.history_head), (&before.seen.history[..], before.seen.history_head));
        if whole {
            section(10, &mut |to| history::put_all(to, samples));
            section(13, &mut |to| history::put_spans(to, samples.0));
        } else if samples != sampled {
            let mut led_to = Vec::new();
            section(10, &mut |to| {
                history::put_new(to, sampled, samples);
                led_to = history::take(&mut Wire::new(to), sampled.0).map(|(history, _)| history).unwrap_or_default();
            });
            if led_to != samples.0 {
                section(13, &mut |to| history::put_spans(to, samples.0));
            }
        }
        if whole || self.seen.prefix != before.seen.prefix {
            section(11, &mut |to| put_text(to, self.seen.prefix.to_string().as_bytes()));
        }
        if whole || self.names != before.names {
            section(12, &mut |to| {
                put_number(to, self.names.len().min(MOST_NAMES) as u64);
                for (uid, name) in self.names.iter().take(MOST_NAMES) {
                    put_number(to, u64::from(*uid));
                    put_text(to, name.as_bytes());
                }
            });
        }
    }

    /// The look of a key frame of this moment.
    ///
    /// # Errors
    /// When its content contradicts itself.
    pub fn of_key(content: &[u8], now_ns: u64, unix_ns: u64) -> Result<Self, Malformed> {
        let mut look = Self::empty(now_ns, unix_ns);
        look.take(Wire::new(content))?;
        Ok(look)
    }

    /// The look of a delta of this moment that follows this one as number `number` behind the key frame.
    ///
    /// # Errors
    /// When its content contradicts itself, or it follows another.
    pub fn of_delta(mut self, content: &[u8], number: u64, now_ns: u64, unix_ns: u64) -> Result<Self, Malformed> {
        let mut wire = Wire::new(content);
        if wire.number()? != number {
            return Err(Malformed);
        }
        (self.seen.now_ns, self.seen.unix_ns) = (now_ns, unix_ns);
        self.take(wire)?;
        Ok(self)
    }

    fn take(&mut self, mut wire: Wire<'_>) -> Result<(), Malformed> {
        let seen = &mut self.seen;
        let snapshot = &mut seen.snapshot;
        while let Some((number, mut content)) = wire.section()? {
            let content = &mut content;
            match number {
                1 => {
                    let mut pulse = Pulse { heartbeat_ns: seen.heartbeat_ns, state: self.state };
                    take_record(content, &mut pulse)?;
                    (seen.heartbeat_ns, self.state) = (pulse.heartbeat_ns, pulse.state);
                }
                2 => take_record(content, &mut seen.identity)?,
                3 => take_record(content, &mut snapshot.health)?,
                4 => snapshot.chips = take_list(content, &snapshot.chips, MAX_CHIPS)?,
                5 => snapshot.processes = take_list(content, &snapshot.processes, MAX_PROCESSES)?,
                6 => snapshot.rows = take_list(content, &snapshot.rows, MAX_ROWS)?,
                7 => snapshot.lines = take_list(content, &snapshot.lines, MAX_LINES)?,
                8 => snapshot.refusals = take_list(content, &snapshot.refusals, MAX_REFUSALS)?,
                9 => snapshot.differences = take_list(content, &snapshot.differences, MAX_DIFFERENCES)?,
                10 => (seen.history, seen.history_head) = history::take(content, &seen.history)?,
                11 => {
                    let told = std::str::from_utf8(content.text()?).map_err(|_| Malformed)?;
                    seen.prefix = Prefix::new(told).map_err(|_| Malformed)?;
                }
                12 => self.names = take_names(content)?,
                13 => history::take_spans(content, &mut seen.history)?,
                _ => {}
            }
        }
        let (processes, chips) = (snapshot.processes.len(), snapshot.chips.len());
        let inside = |row: &Row| (row.process as usize) < processes && (row.chip as usize) < chips;
        let known = |difference: &Difference| (difference.chip as usize) < chips;
        let fits = snapshot.rows.iter().all(inside) && snapshot.differences.iter().all(known);
        if fits { Ok(()) } else { Err(Malformed) }
    }
}

fn take_names(wire: &mut Wire<'_>) -> Result<Vec<(u32, String)>, Malformed> {
    let count = wire.count(MOST_NAMES)?;
    let name = |_| {
        let uid = u32::try_from(wire.number()?).map_err(|_| Malformed)?;
        let name = wire.text()?;
        Ok((uid, text::clean(&name[..name.len().min(256)])))
    };
    (0..count).map(name).collect()
}
