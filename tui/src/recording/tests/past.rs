//! The past behind the charts: what a recording has of it, and how it goes on.

use super::*;

/// What a sample tells.
fn sampled(number: u64) -> u64 {
    number.pow(2) % 977
}

/// Up to this head.
pub fn past(head: u64) -> Rc<History> {
    let span = |number: u64| (20 * number..(20 * number + 20).min(head)).map(sampled).max().unwrap();
    let times =
        |memory: usize, figures: &mut dyn Iterator<Item = u64>| figures.map(|one| one * memory as u64).collect();
    Rc::new(History {
        samples: std::array::from_fn(|memory| times(memory, &mut (head - 300..head).map(sampled))),
        spans: std::array::from_fn(|memory| times(memory, &mut (0..head.div_ceil(20)).map(span))),
    })
}

/// Of the recording of format 1: from its last whole look on.
pub fn with_spans_of_samples(second: u64) -> History {
    let mut history = History::clone(&past(300 + second));
    let first = second / 60 * 60;
    let known = (first..300 + second).map(sampled).collect::<Vec<_>>();
    for (memory, spans) in history.spans.iter_mut().enumerate() {
        let of_span = |number: u64| {
            let numbers = (20 * number).max(first)..(20 * number + 20).min(300 + second);
            numbers.map(|n| known[(n - first) as usize] * memory as u64).max().unwrap()
        };
        *spans = (first / 20..(300 + second).div_ceil(20)).map(of_span).collect();
    }
    history
}

/// The numbers of the sections in a delta.
fn sections(delta: &[u8]) -> Vec<u64> {
    let mut wire = super::super::wire::Wire::new(delta);
    wire.number().unwrap();
    std::iter::from_fn(|| wire.section().unwrap().map(|(number, _)| number)).collect()
}

#[test]
fn four_hours_are_written_once_and_go_on_with_the_samples() {
    let far = |second: u64| {
        let mut seen = seen(0);
        seen.history_head = 20_000 + second;
        let past = past(seen.history_head);
        let mut spans = past.spans.clone();
        spans.iter_mut().for_each(|spans| drop(spans.drain(..spans.len() - 720)));
        let history = Rc::new(History { spans, ..History::clone(&past) });
        seen.history = vec![Rc::clone(&history), history];
        Look::new(&Connection::Live, seen, Vec::new()).unwrap()
    };
    let mut read = Look::of_key(&far(0).whole(), 1, 1).unwrap();
    assert_eq!(read.seen.history, far(0).seen.history);
    for second in 1..70 {
        let delta = far(second).since(&far(second - 1), second);
        assert_eq!(sections(&delta), [10], "{second}");
        read = read.of_delta(&delta, second, 1, 1).unwrap();
        assert_eq!(read.seen.history, far(second).seen.history, "{second}");
    }
    // Nobody looked for a while, and something else: what does not follow is written.
    let mut other = far(71);
    let mut history = History::clone(&other.seen.history[0]);
    (history.samples[0][298], history.spans[0][3]) = (shm_layout::stats::UNKNOWN, 77);
    other.seen.history[0] = Rc::new(history);
    let delta = other.since(&far(69), 70);
    assert_eq!(sections(&delta), [10, 13]);
    read = read.of_delta(&delta, 70, 1, 1).unwrap();
    assert_eq!(read.seen.history, other.seen.history);
    // Of another length of spans: those of the samples stay.
    let mut foreign = far(0).whole();
    let mut spans = Vec::new();
    for number in [30, 2] {
        super::super::wire::put_number(&mut spans, number);
    }
    put_section(&mut foreign, 13, &spans);
    assert_eq!(Look::of_key(&foreign, 1, 1).unwrap().seen.history, far(0).seen.history);
}
