#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::*;
use shm_layout::stats::HISTORY_SAMPLES;

const PER_SPAN: usize = HISTORY_SAMPLES_PER_SPAN as usize;

fn window(seconds: u64) -> Window {
    Window::ALL.into_iter().find(|window| window.seconds == seconds).unwrap()
}

/// What a viewer has of these samples, the first of which had this number.
fn history(first: u64, all: &[u64]) -> History {
    let samples = all[all.len().saturating_sub(HISTORY_SAMPLES)..].to_vec();
    // Spans begin at multiples of their length.
    let begun = (first % HISTORY_SAMPLES_PER_SPAN) as usize;
    let padded: Vec<u64> = vec![UNKNOWN; begun].into_iter().chain(all.iter().copied()).collect();
    let spans: Vec<u64> = padded.chunks(PER_SPAN).map(|span| largest(span.iter().copied())).collect();
    let spans = spans[spans.len().saturating_sub(HISTORY_SPANS)..].to_vec();
    History {
        samples: std::array::from_fn(|memory| if memory == 0 { samples.clone() } else { Vec::new() }),
        spans: std::array::from_fn(|memory| if memory == 0 { spans.clone() } else { Vec::new() }),
    }
}

fn columns(all: &[u64], seconds: u64, count: usize) -> Vec<u64> {
    history(0, all).columns(Memory::Dram, all.len() as u64, window(seconds), count)
}

fn grown(all: &[u64], seconds: u64) -> Option<(i64, u64)> {
    let growth = history(0, all).growth(Memory::Dram, all.len() as u64, window(seconds));
    growth.map(|growth| (growth.bytes, growth.seconds))
}

#[test]
fn windows_are_stepped_through_both_ways() {
    let names = Window::ALL.map(Window::name);
    assert_eq!(names, ["30s", "1m", "2m", "5m", "10m", "15m", "30m", "1h", "4h"]);
    for (at, one) in Window::ALL.into_iter().enumerate() {
        assert_eq!(one.longer(), Window::ALL[(at + 1) % 9]);
        assert_eq!(one.longer().shorter(), one);
    }
    assert_eq!((round_time(0), round_time(90), round_time(7200)), ("0s".into(), "90s".into(), "2h".into()));
}

#[test]
fn each_column_is_the_largest_of_its_part_of_the_window() {
    let all: Vec<u64> = (0..300).collect();
    assert_eq!(columns(&all, 30, 3), [279, 289, 299]);
    assert_eq!(columns(&all, 300, 5), [59, 119, 179, 239, 299]);
    // Several columns for one sample.
    assert_eq!(columns(&all, 30, 60)[56..], [298, 298, 299, 299]);
    assert_eq!(columns(&all[..4], 30, 45)[36..], [UNKNOWN, UNKNOWN, UNKNOWN, 0, 1, 1, 2, 3, 3]);
    // Less of a past than the window, and none.
    assert_eq!(columns(&all[..30], 60, 4), [UNKNOWN, UNKNOWN, 14, 29]);
    assert_eq!(columns(&[], 60, 3), [UNKNOWN; 3]);
    assert!(columns(&all, 60, 0).is_empty());
    // Falling: none leaks into its neighbour.
    let falling: Vec<u64> = (0..300).rev().collect();
    assert_eq!(columns(&falling, 300, 3), [299, 199, 99]);
}

#[test]
fn a_spike_is_seen_in_every_window_that_reaches_it_and_once() {
    let total = 14_400;
    for ago in [5, 50, 290, 299, 310, 599, 1000, 3000, 14_000] {
        let mut all = vec![10; total];
        all[total - ago] = 1000;
        for one in Window::ALL {
            for count in [1, 7, 40, 146, 300, 719, 1000] {
                let found = history(0, &all).columns(Memory::Dram, total as u64, one, count);
                assert_eq!(found.len(), count);
                let at: Vec<usize> = (0..count).filter(|at| found[*at] == 1000).collect();
                if ago as u64 > one.seconds {
                    // The span in which it was may reach into the window.
                    assert!(at.is_empty() || ago as u64 - one.seconds < 20, "{ago} {one:?} {count}");
                    continue;
                }
                let (Some(first), Some(last)) = (at.first(), at.last()) else { panic!("{ago} {one:?} {count}: lost") };
                // No further from its place than a span, or a column; and no wider.
                let column = one.seconds as f64 / count as f64;
                let exact = (one.seconds - ago as u64) as f64 / column;
                let wide = if ago > HISTORY_SAMPLES { 20.0 } else { 1.0 };
                let reach = wide / column + 1.0;
                assert!((exact - *first as f64).abs() <= reach, "{ago} {one:?} {count}: {at:?}, not {exact}");
                assert!((*last - *first) as f64 <= reach, "{ago} {one:?} {count}: {at:?}");
            }
        }
    }
}

#[test]
fn the_picture_moves_to_the_left_and_does_not_shimmer() {
    let all: Vec<u64> = (0..15_000).map(|n| (n * 7919) % 1009).collect();
    for (one, count) in Window::ALL.into_iter().flat_map(|one| [33, 40, 146].map(|count| (one, count))) {
        let mut before: Vec<u64> = Vec::new();
        for head in 14_600..14_640 {
            let now = history(0, &all[..head]).columns(Memory::Dram, head as u64, one, count);
            // What neither has just come nor stood where samples became spans, nor at the left edge.
            let inner = |columns: &[u64], moved: usize| columns[2..count - 2 - count.div_ceil(10)][moved..].to_vec();
            if one.seconds <= 300 && !before.is_empty() {
                let most = count / one.seconds as usize + 1;
                let same = (0..=most).any(|moved| {
                    let (then, now) = (inner(&before, moved), inner(&now, 0));
                    now[..then.len()] == then
                });
                assert!(same, "{one:?} {count} {head}\n{before:?}\n{now:?}");
            }
            before = now;
        }
    }
}

#[test]
fn what_nobody_looked_at_is_not_known() {
    let mut all = vec![50; 7200];
    all[3600..7000].fill(UNKNOWN);
    let hours = columns(&all, 14_400, 144);
    assert_eq!(hours[..72], [UNKNOWN; 72], "before the first sample");
    assert_eq!(hours[72..108], [50; 36]);
    assert_eq!(hours[108..142], [UNKNOWN; 34]);
    assert_eq!(hours[142..], [50; 2]);
    assert_eq!(columns(&all, 300, 3), [UNKNOWN, 50, 50]);
}

#[test]
fn growth_is_told_for_the_time_that_is_known() {
    let all: Vec<u64> = (0..14_400).map(|second| second * 100).collect();
    for one in Window::ALL {
        // The largest of a step at either end.
        assert_eq!(grown(&all, one.seconds), Some(((one.seconds - one.step()) as i64 * 100, one.seconds)), "{one:?}");
    }
    let growth =
        |all: &[u64], seconds| history(0, all).growth(Memory::Dram, all.len() as u64, window(seconds)).unwrap();
    assert_eq!(growth(&all, 600).words(window(600)), "+56.6 KiB in 10m");
    assert_eq!(growth(&all[..200], 600).words(window(600)), "+17.6 KiB in 3m20s");
    assert_eq!(growth(&all[..200], 600).short(window(600)), "+17.6K 3m20s");
    let falling: Vec<u64> = all.iter().rev().copied().collect();
    assert_eq!(grown(&falling, 3600), Some((-358_000, 3600)));
    // A hole at the beginning of the window: since it ended.
    let mut hole = all.clone();
    hole[13_000..14_000].fill(UNKNOWN);
    assert_eq!(grown(&hole, 900).unwrap().1, 400);
    // Nothing, or too little.
    assert_eq!((grown(&[], 30), grown(&[5], 30), grown(&[UNKNOWN; 90], 60)), (None, None, None));
    assert_eq!(grown(&[5, 9], 30), Some((4, 2)));
    assert_eq!(grown(&all[..30], 600), None, "its ends would be one");
    // No more than there can be.
    assert_eq!(grown(&[0, u64::MAX - 1], 30), Some((i64::MAX, 2)));
}

#[test]
fn a_job_that_takes_and_gives_at_each_step_has_not_grown() {
    for total in 1200..1230 {
        let all: Vec<u64> = (0..total).map(|second: u64| 1000 + if second % 4 == 1 { 500 } else { 0 }).collect();
        for one in [window(300), window(600), window(900)] {
            let growth = history(0, &all).growth(Memory::Dram, total, one).unwrap();
            assert_eq!(growth.words(one), format!("+0 B in {}", one.name()), "{total}");
        }
    }
}

#[test]
fn rings_that_lie_are_only_wrong() {
    for (samples, spans) in [(0, 0), (300, 720), (300, 1), (2, 720), (0, 720)] {
        let ring = |length: usize| std::array::from_fn(|_| vec![u64::MAX - 1; length]);
        let history = History { samples: ring(samples), spans: ring(spans) };
        for head in [0, 1, 5, 299, 14_401, u64::MAX - 1, u64::MAX] {
            for one in Window::ALL {
                for count in [0, 1, 3, 30, 1000] {
                    assert_eq!(history.columns(Memory::L1, head, one, count).len(), count);
                }
                history.growth(Memory::L1, head, one);
            }
        }
    }
}
