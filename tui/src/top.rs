//! The dashboard's run loop: look, draw, wait for a key.

use crate::clock::Zone;
use crate::exit::Exit;
use crate::once::{Format, Once};
use crate::screen;
use crate::screen::dashboard::{Dashboard, Request};
use crate::screen::theme::{Colour, Theme};
use crate::selection::Selection;
use crate::source::{Connection, Source};
use crate::terminal::Screen;
use anyhow::Context;
use crossterm::event::Event;
use shm_layout::names::Prefix;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Least time between two looks, ms.
pub const LEAST_REFRESH_MS: u64 = 50;
/// Time between two looks unless asked otherwise, ms.
pub const DEFAULT_REFRESH_MS: u64 = 250;
/// How soon a signal or the stop handle is noticed.
const ATTENTION: Duration = Duration::from_millis(100);
/// How long one-shot output waits for the aggregator that it started itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `alloc-top` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The dashboard.
    Screen,
    /// One table or one JSON object.
    Once(Format),
}

/// How `alloc-top` runs.
#[derive(Clone, Debug)]
pub struct TopOptions {
    /// Prefix of the segments' names.
    pub prefix: Prefix,
    /// Dashboard or one-shot output.
    pub mode: Mode,
    /// The devices asked for.
    pub selection: Selection,
    /// Time between two looks, ms; at least [`LEAST_REFRESH_MS`].
    pub refresh_ms: u64,
    /// Run an aggregator in this process, if none runs on the host.
    pub embedded: bool,
    /// In that one baselines set themselves when a device has been opened.
    pub auto_baseline: bool,
    /// The mouse is ours; else it selects text, as ever.
    pub mouse: bool,
    /// Only ASCII, whatever the terminal can.
    pub ascii: bool,
    /// When to use colours.
    pub colour: Colour,
    /// Old or incomplete figures are [`Exit::Degraded`] in one-shot output.
    pub strict: bool,
    /// Ends the dashboard when it becomes true.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for TopOptions {
    fn default() -> Self {
        Self {
            prefix: Prefix::default(),
            mode: Mode::Screen,
            selection: Selection::default(),
            refresh_ms: DEFAULT_REFRESH_MS,
            embedded: false,
            auto_baseline: false,
            mouse: true,
            ascii: false,
            colour: Colour::Auto,
            strict: false,
            stop: None,
        }
    }
}

/// Runs until the user leaves; in one-shot modes, once.
///
/// # Errors
/// When the embedded aggregator does not start, or the terminal cannot be read or written.
pub fn run(options: TopOptions) -> anyhow::Result<ExitCode> {
    let mut source = Source::new(&options.prefix);
    // An aggregator that runs already is as good, and there is one per host.
    let embed = options.embedded && !matches!(source.poll().connection, Connection::Live);
    let aggregator = if embed { Some(crate::embedded::start(&options.prefix, options.auto_baseline)?) } else { None };
    let exit = match options.mode {
        Mode::Once(format) => {
            let patience = if embed { PATIENCE } else { Duration::ZERO };
            let once = Once { format, selection: options.selection, strict: options.strict, patience };
            once.show("alloc-top", &mut source)?
        }
        Mode::Screen => {
            let theme = Theme::from_environment(options.colour, options.ascii);
            let refresh_ms = options.refresh_ms.max(LEAST_REFRESH_MS);
            let mut dashboard = Dashboard::new(host_name(), Zone::system(), theme, options.selection, refresh_ms);
            dashboard.embedded = embed;
            let stop = options.stop.unwrap_or_default();
            watch(&mut dashboard, &mut source, &stop, options.mouse).context("the terminal")?;
            Exit::Ok
        }
    };
    drop(aggregator);
    Ok(exit.into())
}

fn host_name() -> String {
    let name = nix::sys::utsname::uname().map(|uts| uts.nodename().to_string_lossy().into_owned());
    shm_layout::text::clean(name.unwrap_or_default().as_bytes())
}

/// Signals as flags, as long as this lives.
struct Signals {
    end: Arc<AtomicBool>,
    resumed: Arc<AtomicBool>,
    registered: Vec<signal_hook::SigId>,
}

impl Signals {
    fn register() -> io::Result<Self> {
        let mut signals = Self { end: Arc::default(), resumed: Arc::default(), registered: Vec::new() };
        for (signal, flag) in
            [(SIGTERM, &signals.end), (SIGHUP, &signals.end), (SIGINT, &signals.end), (SIGCONT, &signals.resumed)]
        {
            signals.registered.push(signal_hook::flag::register(signal, Arc::clone(flag))?);
        }
        Ok(signals)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

fn watch(dashboard: &mut Dashboard, source: &mut Source, stop: &AtomicBool, mouse: bool) -> io::Result<()> {
    let signals = Signals::register()?;
    let mut screen = Screen::enter(mouse)?;
    let ending = || stop.load(Ordering::Relaxed) || signals.end.load(Ordering::Relaxed);
    let mut look_at = Instant::now();
    let mut changed = true;
    while !ending() {
        if signals.resumed.swap(false, Ordering::Relaxed) {
            screen.resume()?;
            changed = true;
        }
        let now = Instant::now();
        if now >= look_at && !dashboard.paused {
            dashboard.look(source);
            look_at = now + Duration::from_millis(dashboard.refresh_ms);
            changed = true;
        }
        if std::mem::take(&mut changed) {
            screen.draw(|buffer, area| screen::draw(buffer, area, dashboard))?;
        }
        let wait = if dashboard.paused { ATTENTION } else { look_at.saturating_duration_since(Instant::now()) };
        let typed = match screen.typed(wait.min(ATTENTION)) {
            // The terminal went away together with us.
            Err(_) if ending() => break,
            typed => typed?,
        };
        for event in typed {
            changed = true;
            let key = match event {
                Event::Key(key) => key,
                Event::Mouse(event) => {
                    dashboard.mouse(event);
                    continue;
                }
                _ => continue,
            };
            match dashboard.key(key) {
                Request::Quit => return Ok(()),
                Request::Suspend => {
                    screen.suspend()?;
                    // That SIGCONT was for this stop.
                    signals.resumed.store(false, Ordering::Relaxed);
                }
                Request::Redraw => screen.redraw()?,
                Request::None => {}
            }
            // A shorter interval counts from now on.
            look_at = look_at.min(Instant::now() + Duration::from_millis(dashboard.refresh_ms));
        }
    }
    Ok(())
}
