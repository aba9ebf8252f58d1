//! A client of many threads, whose messages overtake each other.

use super::{ALLOC, FREE, message};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

/// Threads share an allocator that gives addresses out again at once, before their free is told; each keeps its last few blocks.
/// `connections` is one, or one for each thread. What is live in the end: `LIVE` blocks of each thread, 4096 bytes and its number each.
pub fn storm(path: &std::ffi::OsStr, threads: u64, connections: u64, rounds: u64) {
    let pool: Arc<Mutex<Vec<u64>>> =
        Arc::new(Mutex::new((1..=threads * (STORM_LIVE + 1)).map(|n| n * 0x1000).collect()));
    let pid = std::process::id() as i32;
    let streams: Vec<Arc<Mutex<UnixStream>>> =
        (0..connections).map(|_| Arc::new(Mutex::new(UnixStream::connect(path).unwrap()))).collect();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (pool, stream) = (Arc::clone(&pool), Arc::clone(&streams[(thread % connections) as usize]));
            scope.spawn(move || {
                let mut mine = std::collections::VecDeque::new();
                for round in 0..rounds {
                    let address = pool.lock().unwrap().pop().unwrap();
                    let last = round + STORM_LIVE >= rounds;
                    // Sizes differ, so that whose block an address is shows in the sums.
                    let size = if last { 4096 + thread } else { 64 + round % 97 };
                    let bytes = message(144, ALLOC, 0, size, 0, pid, address);
                    stream.lock().unwrap().write_all(&bytes).unwrap();
                    mine.push_back(address);
                    if mine.len() as u64 > STORM_LIVE {
                        let oldest = mine.pop_front().unwrap();
                        // Free for others now; told later.
                        pool.lock().unwrap().push(oldest);
                        if round % 7 == 0 {
                            std::thread::yield_now();
                        }
                        let bytes = message(144, FREE, 0, 0, 0, pid, oldest);
                        stream.lock().unwrap().write_all(&bytes).unwrap();
                    }
                }
            });
        }
    });
    // They stay connected until the process ends.
    streams.into_iter().for_each(core::mem::forget);
}

pub const STORM_LIVE: u64 = 8;

/// What [`storm`] leaves: blocks and bytes.
pub fn left_by_storm(threads: u64) -> (u64, u64) {
    (threads * STORM_LIVE, (0..threads).map(|thread| STORM_LIVE * (4096 + thread)).sum())
}
