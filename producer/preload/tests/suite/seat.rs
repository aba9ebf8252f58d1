//! How many tests run at a time.

use std::sync::{Condvar, Mutex};

/// A ttnn process takes some hundred megabytes: no more tests at a time than there are cores.
pub struct Seat;

static SEATS: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

impl Seat {
    pub fn take() -> Self {
        let most = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        let mut taken = SEATS.lock().unwrap();
        while *taken >= most {
            taken = LEFT.wait(taken).unwrap();
        }
        *taken += 1;
        Self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *SEATS.lock().unwrap_or_else(std::sync::PoisonError::into_inner) -= 1;
        LEFT.notify_one();
    }
}
