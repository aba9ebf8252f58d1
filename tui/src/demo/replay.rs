//! One recorded process, played again: the same events into a real ring, at the recorded pace or as fast as it goes.

use super::trace::{End, Trace};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use nix::sys::prctl;
use nix::sys::signal::{Signal, raise};
use shm_layout::event::Event;
use std::ffi::CString;
use std::time::{Duration, Instant};

/// How it is played.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Times the recorded speed; 0 = no pauses at all.
    pub speed: f64,
    /// Played so often; 0 = until stopped.
    pub rounds: u64,
}

/// Longest nap: how late a stop may be noticed.
const NAP: Duration = Duration::from_millis(50);

/// Plays one process of the trace in this process. `stop` ends it between two events.
///
/// A recorded kill is a real one, at the end of the first round. Otherwise the ring is closed in good order.
pub fn play(trace: &Trace, process: usize, pace: Pace, stop: &AtomicBool) {
    let Some(recorded) = trace.processes.get(process) else { return };
    let comm = recorded.command_line.split(' ').nth(1).unwrap_or(&recorded.name).trim_end_matches(".py");
    if let Ok(name) = CString::new(comm) {
        // Only how it looks in a process table.
        let _named = prctl::set_name(&name);
    }
    let mut round = 0;
    loop {
        let finished = play_once(trace, process, pace, round, stop);
        round += 1;
        if !finished {
            break;
        }
        if recorded.end == End::Killed {
            let _dead = raise(Signal::SIGKILL);
        }
        if round == pace.rounds {
            break;
        }
    }
    producer::process::close();
}

/// One round; false if it was stopped.
fn play_once(trace: &Trace, process: usize, pace: Pace, round: u64, stop: &AtomicBool) -> bool {
    let begin = Instant::now();
    for step in trace.of(process) {
        if pace.speed > 0.0 {
            let due = Duration::from_micros((step.at_us as f64 / pace.speed) as u64);
            while let Some(rest) = due.checked_sub(begin.elapsed()).filter(|rest| !rest.is_zero()) {
                // Relaxed: nothing but the flag itself is passed on.
                if stop.load(Relaxed) {
                    return false;
                }
                std::thread::sleep(rest.min(NAP));
            }
        }
        // Relaxed: as above.
        if stop.load(Relaxed) {
            return false;
        }
        producer::process::record(again(step.event, round));
    }
    true
}

/// The event with an id of its own in each round: ids never repeat in a process.
fn again(event: Event, round: u64) -> Event {
    use shm_layout::event::Kind;
    match Kind::from_u8(event.kind) {
        Some(Kind::Alloc | Kind::Free) => Event { id: event.id.wrapping_add(round << 48), ..event },
        _ => event,
    }
}
