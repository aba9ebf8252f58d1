//! The samples behind the charts: all of them in a key frame, the new ones in the frames between.
//!
//! ```text
//!   all      0  head  chips  { samples  { change  repeated } ... } x chips x 8 memory kinds
//!   new      1  head  kept  new  { change of each new sample from the one before it } x chips x 8 memory kinds
//! ```

use super::wire::{Malformed, Wire, put_change, put_number};
use crate::source::History;
use shm_layout::event::MEMORY_KINDS;
use shm_layout::stats::MAX_CHIPS;
use std::rc::Rc;

/// Samples of one memory kind of one chip that are read, at most; today's aggregator keeps 300.
const MOST_SAMPLES: usize = 4096;

const ALL: u64 = 0;
const NEW: u64 = 1;

/// Samples of every chip, and the number of the newest.
pub type Samples<'a> = (&'a [Rc<History>], u64);

/// Writes all of it.
pub fn put_all(to: &mut Vec<u8>, (history, head): Samples<'_>) {
    put_number(to, ALL);
    put_number(to, head);
    put_number(to, history.len() as u64);
    for samples in history.iter().flat_map(|chip| &chip.0) {
        put_number(to, samples.len() as u64);
        let mut before = 0;
        for run in samples.chunk_by(|a, b| a == b) {
            put_change(to, before, run[0]);
            put_number(to, run.len() as u64);
            before = run[0];
        }
    }
}

/// Writes what has come to it; all of it where it is no continuation.
pub fn put_new(to: &mut Vec<u8>, before: Samples<'_>, now: Samples<'_>) {
    let added = usize::try_from(now.1.saturating_sub(before.1)).unwrap_or(usize::MAX);
    let kept = now.0.first().map_or(0, |chip| chip.0[0].len());
    let continues = added <= kept && before.0.len() == now.0.len() && {
        let goes_on = |old: &Vec<u64>, new: &Vec<u64>| {
            new.len() == kept
                && new.len().checked_sub(added).is_some_and(|shared| old.ends_with(&new[..shared]) && !old.is_empty())
        };
        before.0.iter().zip(now.0).all(|(old, new)| old.0.iter().zip(&new.0).all(|(old, new)| goes_on(old, new)))
    };
    if !continues {
        return put_all(to, now);
    }
    put_number(to, NEW);
    put_number(to, now.1);
    put_number(to, kept as u64);
    put_number(to, added as u64);
    for samples in now.0.iter().flat_map(|chip| &chip.0) {
        let (shared, new) = samples.split_at(kept - added);
        let mut last = shared.last().copied().unwrap_or(0);
        for sample in new {
            put_change(to, last, *sample);
            last = *sample;
        }
    }
}

/// Reads what was written by either.
///
/// # Errors
/// When its numbers contradict each other.
pub fn take(wire: &mut Wire<'_>, before: &[Rc<History>]) -> Result<(Vec<Rc<History>>, u64), Malformed> {
    let form = wire.number()?;
    let head = wire.number()?;
    match form {
        ALL => {
            let chips = wire.count(MAX_CHIPS)?;
            Ok(((0..chips).map(|_| take_chip(wire)).collect::<Result<_, _>>()?, head))
        }
        NEW => {
            let kept = wire.count(MOST_SAMPLES)?;
            let added = wire.count(kept)?;
            let mut history = Vec::with_capacity(before.len());
            for chip in before {
                let mut now = History::default();
                for (now, before) in now.0.iter_mut().zip(&chip.0) {
                    let from = before.len().saturating_sub(kept - added);
                    now.extend_from_slice(&before[from..]);
                    for _ in 0..added {
                        now.push(wire.change(now.last().copied().unwrap_or(0))?);
                    }
                }
                history.push(Rc::new(now));
            }
            Ok((history, head))
        }
        _ => Err(Malformed),
    }
}

fn take_chip(wire: &mut Wire<'_>) -> Result<Rc<History>, Malformed> {
    let mut chip = History::default();
    for samples in chip.0.iter_mut().take(MEMORY_KINDS) {
        let count = wire.count(MOST_SAMPLES)?;
        let mut sample = 0;
        while samples.len() < count {
            sample = wire.change(sample)?;
            let repeated = wire.count(count - samples.len())?;
            if repeated == 0 {
                return Err(Malformed);
            }
            samples.resize(samples.len() + repeated, sample);
        }
    }
    Ok(Rc::new(chip))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    fn chip(samples: impl Iterator<Item = u64>) -> Rc<History> {
        let samples: Vec<u64> = samples.collect();
        Rc::new(History(std::array::from_fn(|kind| samples.iter().map(|sample| sample * kind as u64).collect())))
    }

    #[test]
    fn samples_come_back_and_only_new_ones_are_written() {
        let first = vec![chip(0..300), chip([7; 300].into_iter())];
        let mut bytes = Vec::new();
        put_all(&mut bytes, (&first, 300));
        let (read, head) = take(&mut Wire::new(&bytes), &[]).unwrap();
        assert_eq!((&read, head), (&first, 300));
        let second = vec![chip(2..302), chip([7; 300].into_iter())];
        let mut bytes = Vec::new();
        put_new(&mut bytes, (&first, 300), (&second, 302));
        assert!(bytes.len() < 50, "{}", bytes.len());
        assert_eq!(take(&mut Wire::new(&bytes), &read).unwrap(), (second.clone(), 302));
        // While the first minutes fill up.
        let (short, longer) = (vec![chip(0..3)], vec![chip(0..5)]);
        let mut bytes = Vec::new();
        put_new(&mut bytes, (&short, 3), (&longer, 5));
        assert_eq!(take(&mut Wire::new(&bytes), &short).unwrap(), (longer, 5));
        // A chip more, or a new aggregator: all of it.
        for (now, head) in [(&first[..1], 301), (&first[..], 5)] {
            let mut bytes = Vec::new();
            put_new(&mut bytes, (&second, 302), (now, head));
            assert_eq!(take(&mut Wire::new(&bytes), &second).unwrap(), (now.to_vec(), head));
        }
        let mut endless = Vec::new();
        for number in [ALL, 1, 64] {
            put_number(&mut endless, number);
        }
        for _ in 0..64 * 8 {
            put_number(&mut endless, 4096);
            endless.extend([0, 0]);
        }
        assert_eq!(take(&mut Wire::new(&endless), &[]), Err(Malformed), "runs of nothing");
    }
}
