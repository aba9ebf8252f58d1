//! The ring of this process: what hooks call.
//!
//! ```text
//!   record ──► enabled? ──► ready? ──────────────► push
//!                 │ no         │ no: first event, or first event in a forked child
//!                 ▼            ▼
//!               return       make the ring once; other threads wait for at most 100 ms, then their event is lost
//! ```

mod author;

pub use author::Author;
pub(crate) use author::set_tag;

use crate::environment::{Decision, ENABLED_VARIABLE, Options, STACKS_VARIABLE, decide_here, stack_depth};
use crate::fork::{PAGE, wiped};
use crate::host::{Undisturbed, Uninterrupted, gettid};
use crate::ring::{Ring, Writer};
use crate::stacks::Stacks;
use crate::warning::warn;
use author::author_here;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use shm_layout::event::{Event, Kind, flags};
use std::time::{Duration, Instant};

/// How long a thread waits while another makes the ring. Then its event is lost, and counted where there is a ring after all.
const PATIENCE: Duration = Duration::from_millis(100);

const UNDECIDED: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

/// States of the wiped page. Zero, because the kernel wipes the page in a child.
const NOT_MADE: u32 = 0;
const MAKING: u32 = 1;
const READY: u32 = 2;
const FAILED: u32 = 3;
/// This process is not tracked: told here as well, so that an event of it takes one load.
const NOT_TRACKED: u32 = 4;

static DECISION: AtomicU8 = AtomicU8::new(UNDECIDED);
/// Events that could not wait for the ring to be made.
static LOST: AtomicU64 = AtomicU64::new(0);
/// Rings made so far by this process and its ancestors: tells a thread that its cached id is of another process.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// What [`record`] needs, in one place whose address is a constant.
#[derive(Clone, Copy, Debug)]
struct Current {
    /// Borrowed from `ring`, which is never dropped.
    writer: Writer<'static>,
    ring: &'static Ring,
    generation: u32,
    /// Where call stacks are asked for.
    stacks: Option<&'static Stacks>,
}

struct CurrentCell(UnsafeCell<MaybeUninit<Current>>);

// SAFETY: written by the one thread that has brought the page from NOT_MADE to MAKING, read only after READY.
unsafe impl Sync for CurrentCell {}

/// Not on the wiped page: a frame that was pushing when a signal handler forked goes on in the child, and must find pointers. Only
/// copies are taken, so that the child's own ring, should the handler make one, changes nothing under that frame.
static CURRENT: CurrentCell = CurrentCell(UnsafeCell::new(MaybeUninit::uninit()));

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
    let _host = Undisturbed::begin();
    let decision = decide_here();
    let on = if decision == Decision::On { ON } else { OFF };
    // Relaxed: as in `enabled`. Whoever decides first speaks.
    let first = DECISION.compare_exchange(UNDECIDED, on, Relaxed, Relaxed).is_ok();
    if let (true, Decision::Unclear(value)) = (first, decision) {
        warn(|| {
            let value = shm_layout::text::clean(value.as_bytes());
            format!("{ENABLED_VARIABLE}={value:?} means nothing: tracking is off; set it to 1 to turn it on")
        });
    }
    on == ON
}

/// Writes one event into this process's ring, with the time of now, this thread's id and its [tag](crate::tag). Never panics, and waits for nobody but
/// another thread of this process that makes the ring, or room in it: at most 100 ms. An event that cannot be written is counted,
/// or lost where there is no ring to count in.
#[inline(always)]
pub fn record(event: Event) {
    // The record is not handed to what is out of line, nor is the ring taken from there: they would lie in memory then, on
    // every way.
    if !ready() {
        return;
    }
    // SAFETY: the ring is made.
    let current = unsafe { current() };
    let mut author = author_here(current.generation);
    if current.stacks.is_some() && event.kind == Kind::Alloc as u8 {
        author = with_stack(author);
    }
    current.writer.record(by(event, author));
}

/// As [`record`], told by another thread: who has it from [`author`].
#[inline(always)]
pub fn record_by(author: Author, event: Event) {
    if ready() {
        // SAFETY: the ring is made.
        unsafe { current() }.writer.record(by(event, author));
    }
}

/// What this thread's events carry, for one that another thread will [`record_by`] it. While there is a ring: after [`ready`].
#[inline(always)]
pub fn author() -> Author {
    if !is_made() {
        return Author::default();
    }
    // SAFETY: the ring is made.
    author_here(unsafe { current() }.generation)
}

/// As [`author`], for an allocation: with the call stack that this thread is in, if stacks are taken.
#[inline(always)]
pub fn author_of_allocation() -> Author {
    if !is_made() {
        return Author::default();
    }
    // SAFETY: the ring is made.
    let current = unsafe { current() };
    let author = author_here(current.generation);
    if current.stacks.is_some() { with_stack(author) } else { author }
}

/// With the call stack of whoever has called what is in line around this: the one function of ours between that caller and the unwinder.
#[cold]
#[inline(never)]
fn with_stack(author: Author) -> Author {
    // SAFETY: the ring is made: whoever calls this has seen it.
    let current = unsafe { current() };
    // No closure around `take`: unoptimised, it would be a frame of its own.
    if let Some(stacks) = current.stacks {
        let number = stacks.take(author.thread);
        if number != 0 {
            return Author { thread: number, flags: author.flags | flags::STACK };
        }
    }
    author
}

#[inline(always)]
fn by(mut event: Event, author: Author) -> Event {
    event.thread = author.thread;
    event.flags = event.flags & !(flags::TAG | flags::STACK) | author.flags;
    event
}

/// For the first event of a process, or of a forked child: whether there is a ring now. Never in one that is not tracked.
#[inline(always)]
fn first() -> bool {
    // Relaxed: nothing is read through it.
    PAGE.state.load(Relaxed) != NOT_TRACKED && first_of_all()
}

#[cold]
#[inline(never)]
fn first_of_all() -> bool {
    let _host = Undisturbed::begin();
    if !enabled() {
        // Relaxed, Relaxed: as in `first`. A forked child may inherit it: it is as little tracked as its parent.
        let _told = PAGE.state.compare_exchange(NOT_MADE, NOT_TRACKED, Relaxed, Relaxed);
        return false;
    }
    let made = make_or_wait();
    if !made {
        lose();
    }
    made
}

/// Whether this process has a ring, for a source that keeps something of its own for what it tells: asked before each event that is then
/// [`record`]ed. At the first event the ring is made; where that fails, the event is counted as lost, and is not to be recorded.
#[inline(always)]
pub fn ready() -> bool {
    is_made() || first()
}

/// Counts one event that its source could not tell: what it was is not known, and the process's single allocations are incomplete.
#[cold]
pub fn lose() {
    // SYNC(process.lost): if the maker has counted already, its READY is seen; pairs with the AcqRel in `count_lost_events`.
    LOST.fetch_add(1, Acquire);
    if let Some(current) = made() {
        count_lost_events(current.ring);
    }
}

/// Whether this process's ring is made.
#[inline(always)]
fn is_made() -> bool {
    // SYNC(process.ready): the ring is made; pairs with the Release of READY in `make`.
    PAGE.state.load(Acquire) == READY
}

/// A copy of what this process writes through.
///
/// # Safety
/// [`is_made`] was true, or `make_or_wait` was: `make` has written it then, and writes it again only in a child, which begins at
/// NOT_MADE.
#[inline(always)]
unsafe fn current() -> Current {
    // SAFETY: written, as the caller promises.
    unsafe { CURRENT.0.get().read().assume_init() }
}

/// What this process writes through, if its ring is made.
fn made() -> Option<Current> {
    // SAFETY: it is made.
    is_made().then(|| unsafe { current() })
}

#[cold]
fn make_or_wait() -> bool {
    if !wiped() {
        return false;
    }
    // SYNC(process.ready): as in `is_made`. First, for a process without a ring comes here at every event.
    match PAGE.state.load(Acquire) {
        READY => return true,
        FAILED => return false,
        _ => {}
    }
    let (me, begin) = (gettid(), Instant::now());
    loop {
        // A handler that jumps out of the making would leave it to nobody for ever, and every event of the others would wait.
        let signals = Uninterrupted::begin();
        // SYNC(process.ready): the pointer is there; pairs with the Release in `make`. On success nothing was published before.
        match PAGE.state.compare_exchange(NOT_MADE, MAKING, Acquire, Acquire) {
            Ok(_) => return make(me, signals),
            Err(READY) => return true,
            Err(FAILED) => return false,
            // Relaxed: only this thread could have stored its own id. Whatever interrupts the making nevertheless (a fault's
            // handler) must not wait for it.
            Err(_) if PAGE.maker.load(Relaxed) == me => return false,
            // By the clock: on a busy machine a sleep takes longer than it says.
            Err(_) if begin.elapsed() >= PATIENCE => return false,
            Err(_) => {}
        }
        drop(signals);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn make(me: u32, signals: Uninterrupted) -> bool {
    // Relaxed: see `make_or_wait`.
    PAGE.maker.store(me, Relaxed);
    let outcome = std::panic::catch_unwind(|| {
        let options = Options::from_environment().map_err(|error| error.to_string())?;
        Ring::create(&options).map_err(|error| error.to_string())
    });
    let ring = match outcome {
        Ok(Ok(ring)) => ring,
        Ok(Err(reason)) => {
            // SYNC(process.ready): nothing to publish; pairs with the Acquire in `make_or_wait`.
            PAGE.state.store(FAILED, Release);
            drop(signals);
            warn(|| format!("tracking is off in this process: {reason}"));
            return false;
        }
        Err(_) => {
            // SYNC(process.ready): as above.
            PAGE.state.store(FAILED, Release);
            return false;
        }
    };
    // Leaked on purpose: threads push until the process is gone, exit handlers included. In a forked child the
    // parent's ring stays mapped, unused: a frame that was pushing when the process forked must not fault.
    let ring: &'static Ring = Box::leak(Box::new(ring));
    // Before anybody can push the free of what was lost.
    count_lost_events(ring);
    // Relaxed: a number of its own for each ring.
    let generation = GENERATION.fetch_add(1, Relaxed).wrapping_add(1);
    let (stacks, complaint) = stacks_of(ring);
    let current = Current { writer: ring.writer(), ring, generation, stacks };
    // SAFETY: this thread alone is MAKING, and nobody reads before READY.
    unsafe { CURRENT.0.get().write(MaybeUninit::new(current)) };
    // SYNC(process.ready): publishes the ring; pairs with the Acquire in `is_made` and in `make_or_wait`.
    PAGE.state.store(READY, Release);
    // Those of threads that gave up meanwhile; one that gives up later does this itself.
    count_lost_events(ring);
    drop(signals);
    if let Some(complaint) = complaint {
        warn(|| complaint);
    }
    true
}

/// What takes call stacks, if it is asked for; and what is to be said, if that cannot be.
fn stacks_of(ring: &Ring) -> (Option<&'static Stacks>, Option<String>) {
    let value = std::env::var_os(STACKS_VARIABLE).map(|value| value.to_string_lossy().into_owned());
    let made = match stack_depth(value.as_deref()) {
        Ok(0) => return (None, None),
        Ok(depth) => std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| Stacks::create(ring, depth))),
        Err(value) => {
            let value = shm_layout::text::clean(value.as_bytes());
            let most = shm_layout::stacks::MOST_ADDRESSES;
            let text = format!(
                "{STACKS_VARIABLE}={value:?} means nothing: no call stacks; set it to 1, or to a depth from 2 to {most}"
            );
            return (None, Some(text));
        }
    };
    match made {
        Ok(Ok(stacks)) => (Some(Box::leak(Box::new(stacks))), None),
        Ok(Err(reason)) => (None, Some(format!("no call stacks of this process: {reason}"))),
        Err(_) => (None, None),
    }
}

/// Counts in the ring what could not wait for it.
fn count_lost_events(ring: &Ring) {
    // SYNC(process.lost): after READY; pairs with the Acquire in `lose`.
    ring.count_lost_before(LOST.swap(0, AcqRel));
}

/// Ends the ring in good order; later events are still written, for whoever is attached. For exit handlers.
pub fn close() {
    // A child that never had an event has no ring to close.
    if let Some(current) = made() {
        current.ring.close();
    }
}

/// Name of this process's ring in /dev/shm, if it has one.
pub fn ring_name() -> Option<&'static str> {
    Some(made()?.ring.name())
}

/// A panic of ours: what was to be told is not, so the figures say that they are not complete. For the panic hook; never panics.
pub fn fault(panic: &std::panic::PanicHookInfo<'_>) {
    lose();
    warn(|| {
        let at = panic.location().map(|at| format!(" at {at}")).unwrap_or_default();
        let what = panic.payload();
        let text = what.downcast_ref::<&str>().copied().or(what.downcast_ref::<String>().map(String::as_str));
        let what = shm_layout::text::clean(text.unwrap_or_default().as_bytes());
        format!(
            "a fault of tt-alloc{at} ({what}): this process's figures are not complete, or it is not tracked; please report it"
        )
    });
}
