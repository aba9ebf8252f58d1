//! In-process queues: they cannot leave the process, survive its death or be read by another; they are what Rust
//! programs take when speed is asked for.

use super::{Drain, Push, SLOTS, words};
use crossbeam_queue::ArrayQueue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

type Words = [u64; 8];

impl Push for rtrb::Producer<Words> {
    #[inline(always)]
    fn push(&mut self, n: u64) -> bool {
        self.push(words(n)).is_ok()
    }
}

impl Drain for rtrb::Consumer<Words> {
    fn drain(&mut self, mut each: impl FnMut(u64)) -> u64 {
        let mut read = 0;
        while let Ok(words) = self.pop() {
            each(std::hint::black_box(words)[2]);
            read += 1;
        }
        read
    }
}

/// rtrb: one producer, one consumer.
pub fn rtrb() -> (rtrb::Producer<Words>, rtrb::Consumer<Words>) {
    rtrb::RingBuffer::new(SLOTS)
}

/// crossbeam's bounded queue: many producers, many consumers.
#[derive(Clone, Debug)]
pub struct Crossbeam(Arc<ArrayQueue<Words>>);

impl Crossbeam {
    /// With this many slots.
    pub fn new(slots: usize) -> Self {
        Self(Arc::new(ArrayQueue::new(slots)))
    }
}

impl Push for Crossbeam {
    #[inline(always)]
    fn push(&mut self, n: u64) -> bool {
        self.0.push(words(n)).is_ok()
    }
}

impl Drain for Crossbeam {
    fn drain(&mut self, mut each: impl FnMut(u64)) -> u64 {
        let mut read = 0;
        while let Some(words) = self.0.pop() {
            each(std::hint::black_box(words)[2]);
            read += 1;
        }
        read
    }
}

/// What one writes first: a mutex around a queue.
#[derive(Clone, Debug)]
pub struct Locked(Arc<Mutex<VecDeque<Words>>>, usize);

impl Locked {
    /// With this many slots.
    pub fn new(slots: usize) -> Self {
        Self(Arc::new(Mutex::new(VecDeque::with_capacity(slots))), slots)
    }
}

impl Push for Locked {
    #[inline(always)]
    fn push(&mut self, n: u64) -> bool {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = queue.len() < self.1;
        if fits {
            queue.push_back(words(n));
        }
        fits
    }
}

impl Drain for Locked {
    fn drain(&mut self, mut each: impl FnMut(u64)) -> u64 {
        let mut read = 0;
        loop {
            // A few at a time: the producer is not to wait for the whole of it.
            let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let some: Vec<Words> = (0..64).map_while(|_| queue.pop_front()).collect();
            drop(queue);
            if some.is_empty() {
                return read;
            }
            read += some.len() as u64;
            some.iter().for_each(|words| each(words[2]));
        }
    }
}
