//! Many threads of one process push at once, a consumer reads at the same time: what an event costs then, and whether all of
//! them arrive, each thread's in its order.

use super::{Drain, Push};
use std::sync::Barrier;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Bits of an event's number that count within its thread.
const COUNT_BITS: u32 = 40;

/// What came of one run.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// From the first push of any thread to the last, by events of all, ns.
    pub ns_per_event: f64,
    /// The longest that 64 pushes of a thread took, ns, its waits for a processor included.
    pub worst_ns: f64,
}

/// Every one of `pushers` pushes `each` events while `drain` reads. One lap of all of it comes before, by one thread: pages are
/// touched for the first time there.
///
/// # Errors
/// What went wrong, when an event is missing or out of its thread's order.
pub fn run(mut pushers: Vec<impl Push>, mut drain: impl Drain, each: u64) -> Result<Crowd, String> {
    let threads = pushers.len();
    for n in 0..threads as u64 * each {
        if !pushers[0].push(n) {
            return Err(format!("event {n} of the first lap did not fit"));
        }
    }
    drain.drain(|_| {});
    let (barrier, left) = (Barrier::new(threads + 1), AtomicU64::new(threads as u64));
    std::thread::scope(|scope| {
        let workers: Vec<_> = pushers
            .into_iter()
            .enumerate()
            .map(|(thread, mut push)| {
                let (barrier, left) = (&barrier, &left);
                scope.spawn(move || {
                    barrier.wait();
                    let (mut worst, mut refused) = (0, 0);
                    let begin = Instant::now();
                    let mut before = begin;
                    for n in 0..each {
                        refused += u64::from(!push.push((thread as u64) << COUNT_BITS | n));
                        if n % 64 == 63 {
                            let now = Instant::now();
                            worst = worst.max(now.duration_since(before).as_nanos());
                            before = now;
                        }
                    }
                    left.fetch_sub(1, Relaxed);
                    (worst, refused, begin, Instant::now())
                })
            })
            .collect();
        let mut next = vec![0; threads];
        let mut wrong = None;
        barrier.wait();
        let mut read = 0;
        loop {
            // Asked before the last look: what is there then is all.
            let over = left.load(Relaxed) == 0;
            let got = drain.drain(|n| {
                let (thread, count) = ((n >> COUNT_BITS) as usize, n & ((1 << COUNT_BITS) - 1));
                if next.get(thread) != Some(&count) {
                    wrong = Some(format!("thread {thread}: event {count} where {:?} is due", next.get(thread)));
                }
                if let Some(next) = next.get_mut(thread) {
                    *next = count + 1;
                }
            });
            read += got;
            if over && got == 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        let (mut worst, mut refused) = (0, 0);
        let (mut begins, mut ends) = (Vec::new(), Vec::new());
        for worker in workers {
            let (slowest, no, begin, end) = worker.join().map_err(|_| "a thread panicked")?;
            (worst, refused) = (worst.max(slowest), refused + no);
            begins.push(begin);
            ends.push(end);
        }
        let expected = threads as u64 * each;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        if read != expected || refused != 0 {
            return Err(format!("{read} of {expected} events arrived, {refused} were refused"));
        }
        let begin = begins.into_iter().min().ok_or("no threads")?;
        let elapsed = ends.into_iter().max().map_or(0.0, |end| end.duration_since(begin).as_nanos() as f64);
        Ok(Crowd { ns_per_event: elapsed / expected as f64, worst_ns: worst as f64 })
    })
}
