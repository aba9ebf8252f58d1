//! The ring of this process: what hooks call.
//!
//! ```text
//!   record ──► enabled? ──► ready? ──────────────► push
//!                 │ no         │ no: first event, or first event in a forked child
//!                 ▼            ▼
//!               return       make the ring once; other threads wait for at most 100 ms, then their event is lost
//! ```

use crate::environment::{Decision, ENABLED_VARIABLE, Options, decide_here};
use crate::fork::{WipedPage, wiped_page};
use crate::ring::{Ring, Writer};
use core::cell::Cell;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64};
use shm_layout::event::Event;
use std::time::Duration;

const UNDECIDED: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

/// States of [`WipedPage::state`]. Zero, because the kernel wipes the page in a child.
const NOT_MADE: u32 = 0;
const MAKING: u32 = 1;
const READY: u32 = 2;
const FAILED: u32 = 3;

static DECISION: AtomicU8 = AtomicU8::new(UNDECIDED);
static CURRENT: AtomicPtr<Current> = AtomicPtr::new(core::ptr::null_mut());
/// Events that could not wait for the ring to be made.
static LOST: AtomicU64 = AtomicU64::new(0);
/// Rings made so far by this process and its ancestors: tells a thread that its cached id is of another process.
static GENERATION: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// (generation, thread id) of the last event of this thread.
    static THREAD: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

struct Current {
    /// Borrowed from `ring`, which is never dropped while this is reachable.
    writer: Writer<'static>,
    ring: &'static Ring,
    generation: u32,
}

/// Whether this process is tracked. Decided once, from the environment.
#[inline(always)]
pub fn enabled() -> bool {
    // Relaxed: the decision is the same whoever makes it.
    match DECISION.load(Relaxed) {
        ON => true,
        OFF => false,
        _ => decide(),
    }
}

#[cold]
fn decide() -> bool {
    let decision = decide_here();
    let on = if decision == Decision::On { ON } else { OFF };
    // Relaxed: as in `enabled`. Whoever decides first speaks.
    let first = DECISION.compare_exchange(UNDECIDED, on, Relaxed, Relaxed).is_ok();
    if let (true, Decision::Unclear(value)) = (first, decision) {
        let value = shm_layout::text::clean(value.as_bytes());
        warn(&format!("{ENABLED_VARIABLE}={value:?} means nothing: tracking is off; set it to 1 to turn it on"));
    }
    on == ON
}

/// Writes one event into this process's ring, with the time of now and this thread's id. Never blocks, never panics; an
/// event that cannot be written is counted, or lost where there is no ring to count in.
#[inline(always)]
pub fn record(mut event: Event) {
    if !enabled() {
        return;
    }
    let Some(current) = current() else {
        // Relaxed: a counter.
        LOST.fetch_add(1, Relaxed);
        return;
    };
    event.thread = thread_id(current.generation);
    current.writer.record(event);
}

#[inline(always)]
fn current() -> Option<&'static Current> {
    let page = wiped_page()?;
    // SYNC(process.ready): the ring is made; pairs with the Release in `make`.
    if page.state.load(Acquire) == READY {
        // Relaxed: ordered by the state.
        let current = CURRENT.load(Relaxed);
        // SAFETY: stored before READY and never freed.
        return Some(unsafe { &*current });
    }
    make_or_wait(page)
}

#[cold]
fn make_or_wait(page: &'static WipedPage) -> Option<&'static Current> {
    let me = gettid();
    for _ in 0..100 {
        // SYNC(process.ready): as in `current`; on success nothing was published before.
        match page.state.compare_exchange(NOT_MADE, MAKING, Acquire, Acquire) {
            Ok(_) => return make(page, me),
            Err(READY) => {
                // SAFETY: as in `current`.
                return Some(unsafe { &*CURRENT.load(Relaxed) });
            }
            Err(FAILED) => return None,
            // Relaxed: only this thread could have stored its own id. A signal handler that interrupts the making must
            // not wait for it.
            Err(_) if page.maker.load(Relaxed) == me => return None,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    None
}

fn make(page: &'static WipedPage, me: u32) -> Option<&'static Current> {
    // Relaxed: see `make_or_wait`.
    page.maker.store(me, Relaxed);
    let made = std::panic::catch_unwind(|| {
        let options = Options::from_environment().map_err(|error| error.to_string())?;
        Ring::create(&options).map_err(|error| error.to_string())
    });
    let ring = match made {
        Ok(Ok(ring)) => ring,
        Ok(Err(reason)) => {
            // SYNC(process.ready): nothing to publish; pairs with the Acquire in `make_or_wait`.
            page.state.store(FAILED, Release);
            warn(&format!("tracking is off in this process: {reason}"));
            return None;
        }
        Err(_) => {
            // SYNC(process.ready): as above.
            page.state.store(FAILED, Release);
            return None;
        }
    };
    // Leaked on purpose: threads push until the process is gone, exit handlers included. In a forked child the
    // parent's ring stays mapped, unused: a frame that was pushing when the process forked must not fault.
    let ring: &'static Ring = Box::leak(Box::new(ring));
    // Relaxed: a number of its own for each ring.
    let generation = GENERATION.fetch_add(1, Relaxed).wrapping_add(1);
    let current = Box::into_raw(Box::new(Current { writer: ring.writer(), ring, generation }));
    // Relaxed: published by the state.
    CURRENT.store(current, Relaxed);
    // SYNC(process.ready): publishes the ring; pairs with the Acquire in `current`.
    page.state.store(READY, Release);
    // Relaxed: a counter.
    ring.count_lost_before(LOST.swap(0, Relaxed));
    // SAFETY: just made, never freed.
    Some(unsafe { &*current })
}

/// Ends the ring in good order; later events are still written, for whoever is attached. For exit handlers.
pub fn close() {
    let Some(page) = (if enabled() { wiped_page() } else { None }) else { return };
    // SYNC(process.ready): as in `current`. A child that never had an event has no ring to close.
    if page.state.load(Acquire) == READY {
        // SAFETY: as in `current`.
        unsafe { &*CURRENT.load(Relaxed) }.ring.close();
    }
}

/// Name of this process's ring in /dev/shm, if it has one.
pub fn ring_name() -> Option<&'static str> {
    let page = wiped_page()?;
    // SYNC(process.ready): as in `current`.
    // SAFETY: as in `current`.
    (page.state.load(Acquire) == READY).then(|| unsafe { &*CURRENT.load(Relaxed) }.ring.name())
}

#[inline(always)]
fn thread_id(generation: u32) -> u32 {
    // The thread-local may be gone in a thread that ends: 0 is "not told".
    THREAD
        .try_with(|cached| {
            let (of, tid) = cached.get();
            if of == generation {
                return tid;
            }
            let tid = gettid();
            cached.set((generation, tid));
            tid
        })
        .unwrap_or(0)
}

fn gettid() -> u32 {
    // SAFETY: gettid has no arguments and cannot fail.
    u32::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// One line on standard error, in one write.
fn warn(text: &str) {
    let line = format!("tt-alloc: {text}\n");
    // SAFETY: the buffer is valid for its length; a failed or short write is nobody's concern.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}
