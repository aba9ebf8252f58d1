//! The past behind the charts: all of it in a key frame, the new samples in the frames between.
//!
//! ```text
//! samples
//!   all      0  head  chips  { samples  { change  repeated } ... } x chips x 8 memory kinds
//!   new      1  head  kept  new  { change of each new sample from the one before it } x chips x 8 memory kinds
//! spans
//!   samples per span  chips  { spans  { change  repeated } ... } x chips x 8 memory kinds
//! ```
//!
//! Spans of many samples go on as samples are added, and are written only where that would not lead to those that there are. In
//! recordings that have none they are made of the samples that there are.

use super::wire::{Malformed, Wire, put_change, put_number};
use crate::source::History;
use shm_layout::stats::{HISTORY_SAMPLES_PER_SPAN, HISTORY_SPANS, MAX_CHIPS, UNKNOWN};
use std::rc::Rc;

/// Samples of one memory kind of one chip that are read, at most; today's aggregator keeps 300.
const MOST_SAMPLES: usize = 4096;

/// Spans of one memory kind of one chip that are read, at most.
const MOST_SPANS: usize = HISTORY_SPANS;

/// Number of a sample, at most: at one a second nobody comes this far, and there is room to reckon with it.
const MOST_HEAD: u64 = 1 << 62;

const ALL: u64 = 0;
const NEW: u64 = 1;

/// Samples of every chip, and the number of the newest.
pub type Samples<'a> = (&'a [Rc<History>], u64);

/// Writes all of it.
pub fn put_all(to: &mut Vec<u8>, (history, head): Samples<'_>) {
    put_number(to, ALL);
    put_number(to, head);
    put_number(to, history.len() as u64);
    for samples in history.iter().flat_map(|chip| &chip.samples) {
        put_runs(to, samples);
    }
}

/// Writes all spans.
pub fn put_spans(to: &mut Vec<u8>, history: &[Rc<History>]) {
    put_number(to, HISTORY_SAMPLES_PER_SPAN);
    put_number(to, history.len() as u64);
    for spans in history.iter().flat_map(|chip| &chip.spans) {
        put_runs(to, spans);
    }
}

fn put_runs(to: &mut Vec<u8>, figures: &[u64]) {
    put_number(to, figures.len() as u64);
    let mut before = 0;
    for run in figures.chunk_by(|a, b| a == b) {
        put_change(to, before, run[0]);
        put_number(to, run.len() as u64);
        before = run[0];
    }
}

/// Writes what has come to it; all of it where it is no continuation.
pub fn put_new(to: &mut Vec<u8>, before: Samples<'_>, now: Samples<'_>) {
    let added = usize::try_from(now.1.saturating_sub(before.1)).unwrap_or(usize::MAX);
    let kept = now.0.first().map_or(0, |chip| chip.samples[0].len());
    let continues = added <= kept && before.0.len() == now.0.len() && {
        let goes_on = |old: &Vec<u64>, new: &Vec<u64>| {
            new.len() == kept
                && new.len().checked_sub(added).is_some_and(|shared| old.ends_with(&new[..shared]) && !old.is_empty())
        };
        before
            .0
            .iter()
            .zip(now.0)
            .all(|(old, new)| old.samples.iter().zip(&new.samples).all(|(old, new)| goes_on(old, new)))
    };
    if !continues {
        return put_all(to, now);
    }
    put_number(to, NEW);
    put_number(to, now.1);
    put_number(to, kept as u64);
    put_number(to, added as u64);
    for samples in now.0.iter().flat_map(|chip| &chip.samples) {
        let (shared, new) = samples.split_at(kept - added);
        let mut last = shared.last().copied().unwrap_or(0);
        for sample in new {
            put_change(to, last, *sample);
            last = *sample;
        }
    }
}

/// Reads what was written by either; the spans go on with what is new.
///
/// # Errors
/// When its numbers contradict each other.
pub fn take(wire: &mut Wire<'_>, before: &[Rc<History>]) -> Result<(Vec<Rc<History>>, u64), Malformed> {
    let form = wire.number()?;
    let head = Some(wire.number()?).filter(|head| *head <= MOST_HEAD).ok_or(Malformed)?;
    match form {
        ALL => {
            let chips = wire.count(MAX_CHIPS)?;
            Ok(((0..chips).map(|_| take_chip(wire, head)).collect::<Result<_, _>>()?, head))
        }
        NEW => {
            let kept = wire.count(MOST_SAMPLES)?;
            let added = wire.count(kept)?;
            let mut history = Vec::with_capacity(before.len());
            for chip in before {
                let mut now = History { spans: chip.spans.clone(), ..History::default() };
                for (now, before) in now.samples.iter_mut().zip(&chip.samples) {
                    let from = before.len().saturating_sub(kept - added);
                    now.extend_from_slice(&before[from..]);
                    for _ in 0..added {
                        now.push(wire.change(now.last().copied().unwrap_or(0))?);
                    }
                }
                go_on(&mut now, added, head);
                history.push(Rc::new(now));
            }
            Ok((history, head))
        }
        _ => Err(Malformed),
    }
}

/// The spans go on with the newest samples, so many, as the aggregator's do.
fn go_on(chip: &mut History, added: usize, head: u64) {
    for (samples, spans) in chip.samples.iter().zip(&mut chip.spans) {
        let new = &samples[samples.len().saturating_sub(added)..];
        let first = head.saturating_sub(new.len() as u64);
        for (number, sample) in (first..).zip(new) {
            match spans.last_mut() {
                Some(_) if *sample == UNKNOWN && !number.is_multiple_of(HISTORY_SAMPLES_PER_SPAN) => {}
                Some(largest) if *largest == UNKNOWN && !number.is_multiple_of(HISTORY_SAMPLES_PER_SPAN) => {
                    *largest = *sample;
                }
                Some(largest) if !number.is_multiple_of(HISTORY_SAMPLES_PER_SPAN) => *largest = (*largest).max(*sample),
                _ => spans.push(*sample),
            }
        }
        let over = spans.len().saturating_sub(MOST_SPANS);
        spans.drain(..over);
    }
}

/// Reads the spans of these chips. Those of another length are left as they are.
///
/// # Errors
/// When its numbers contradict each other.
pub fn take_spans(wire: &mut Wire<'_>, history: &mut [Rc<History>]) -> Result<(), Malformed> {
    if wire.number()? != HISTORY_SAMPLES_PER_SPAN {
        return Ok(());
    }
    if wire.count(MAX_CHIPS)? != history.len() {
        return Err(Malformed);
    }
    for spans in history.iter_mut().flat_map(|chip| &mut Rc::make_mut(chip).spans) {
        *spans = take_runs(wire, MOST_SPANS)?;
    }
    Ok(())
}

fn take_chip(wire: &mut Wire<'_>, head: u64) -> Result<Rc<History>, Malformed> {
    let mut chip = History::default();
    for samples in &mut chip.samples {
        *samples = take_runs(wire, MOST_SAMPLES)?;
    }
    go_on(&mut chip, MOST_SAMPLES, head);
    Ok(Rc::new(chip))
}

fn take_runs(wire: &mut Wire<'_>, most: usize) -> Result<Vec<u64>, Malformed> {
    let count = wire.count(most)?;
    let (mut figures, mut figure) = (Vec::new(), 0);
    while figures.len() < count {
        figure = wire.change(figure)?;
        let repeated = wire.count(count - figures.len())?;
        if repeated == 0 {
            return Err(Malformed);
        }
        figures.resize(figures.len() + repeated, figure);
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    /// With the spans that these samples up to this head lead to.
    fn chip(samples: impl Iterator<Item = u64>, head: u64) -> Rc<History> {
        let samples: Vec<u64> = samples.collect();
        let samples = std::array::from_fn(|kind| samples.iter().map(|sample| sample * kind as u64).collect());
        let mut chip = History { samples, ..History::default() };
        go_on(&mut chip, MOST_SAMPLES, head);
        Rc::new(chip)
    }

    #[test]
    fn spans_come_back_and_go_on_as_the_aggregator_s_do() {
        let mut chip =
            History { samples: std::array::from_fn(|_| vec![5, 9, UNKNOWN, 4, UNKNOWN, 3]), ..History::default() };
        // Samples 38 to 43: two in one span, four in the next.
        go_on(&mut chip, 6, 44);
        assert_eq!(chip.spans[0], [9, 4]);
        chip.samples[0] = vec![UNKNOWN; 300];
        go_on(&mut chip, 300, 344);
        assert_eq!((chip.spans[0].len(), chip.spans[0][1], chip.spans[0][2]), (17, 4, UNKNOWN));
        for head in 345..20_000 {
            chip.samples[0] = vec![head];
            go_on(&mut chip, 1, head);
        }
        assert_eq!((chip.spans[0].len(), chip.spans[0][719]), (MOST_SPANS, 19_999));
        let chips = vec![Rc::new(chip), Rc::new(History::default())];
        let mut bytes = Vec::new();
        put_spans(&mut bytes, &chips);
        let mut read = [Rc::default(), Rc::default()];
        take_spans(&mut Wire::new(&bytes), &mut read).unwrap();
        assert!(read.iter().zip(&chips).all(|(read, chip)| read.spans == chip.spans));
        assert_eq!(take_spans(&mut Wire::new(&bytes), &mut read[..1]), Err(Malformed), "of other chips");
        for end in 0..bytes.len() {
            assert!(
                take_spans(&mut Wire::new(&bytes[..end]), &mut [Rc::default(), Rc::default()]).is_err(),
                "cut at {end}"
            );
        }
        let mut many = Vec::new();
        for number in [HISTORY_SAMPLES_PER_SPAN, 1, MOST_SPANS as u64 + 1] {
            put_number(&mut many, number);
        }
        assert_eq!(take_spans(&mut Wire::new(&many), &mut [Rc::default()]), Err(Malformed));
    }

    #[test]
    fn samples_come_back_and_only_new_ones_are_written() {
        let first = vec![chip(0..300, 300), chip([7; 300].into_iter(), 300)];
        let mut bytes = Vec::new();
        put_all(&mut bytes, (&first, 300));
        let (read, head) = take(&mut Wire::new(&bytes), &[]).unwrap();
        assert_eq!((&read, head), (&first, 300));
        let second = vec![chip(2..302, 302), chip([7; 300].into_iter(), 302)];
        // Those that are no longer in the samples are in the spans.
        let second = (first.iter().zip(second))
            .map(|(old, new)| {
                let mut chip = History { spans: old.spans.clone(), ..History::clone(&new) };
                go_on(&mut chip, 2, 302);
                Rc::new(chip)
            })
            .collect::<Vec<_>>();
        assert_eq!((second[0].spans[1].len(), second[0].spans[1][0], second[0].spans[1][15]), (16, 19, 301));
        let mut bytes = Vec::new();
        put_new(&mut bytes, (&first, 300), (&second, 302));
        assert!(bytes.len() < 50, "{}", bytes.len());
        assert_eq!(take(&mut Wire::new(&bytes), &read).unwrap(), (second.clone(), 302));
        // While the first minutes fill up.
        let (short, longer) = (vec![chip(0..3, 3)], vec![chip(0..5, 5)]);
        let mut bytes = Vec::new();
        put_new(&mut bytes, (&short, 3), (&longer, 5));
        assert_eq!(take(&mut Wire::new(&bytes), &short).unwrap(), (longer, 5));
        // A chip more, or a new aggregator: all of it.
        for (now, head) in [(&first[..1], 301), (&first[..], 5)] {
            let mut bytes = Vec::new();
            put_new(&mut bytes, (&second, 302), (now, head));
            let (read, told) = take(&mut Wire::new(&bytes), &second).unwrap();
            assert!(read.iter().zip(now).all(|(read, now)| read.samples == now.samples));
            assert_eq!((read.len(), told), (now.len(), head));
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
