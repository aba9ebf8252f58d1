//! The dashboard's run loop: look, draw, wait for a key.

use crate::clock::Zone;
use crate::configuration::{Settings, file};
use crate::exit::Exit;
use crate::once::Once;
use crate::screen;
use crate::screen::dashboard::{Dashboard, Request};
use crate::screen::settings::Kept;
use crate::screen::theme::Theme;
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
/// Most time between two looks, ms.
pub const MOST_REFRESH_MS: u64 = 3_600_000;
/// Time between two looks unless asked otherwise, ms.
pub const DEFAULT_REFRESH_MS: u64 = 250;
/// How soon a signal or the stop handle is noticed.
const ATTENTION: Duration = Duration::from_millis(100);
/// How long one-shot output waits for the aggregator that it started itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `alloc-top` does.
#[derive(Clone, Debug)]
pub enum Mode {
    /// The dashboard.
    Screen,
    /// Printed output.
    Once(Box<Once>),
}

/// How `alloc-top` runs.
#[derive(Clone, Debug)]
pub struct TopOptions {
    /// Prefix of the segments' names.
    pub prefix: Prefix,
    /// Dashboard or printed output.
    pub mode: Mode,
    /// The devices that the dashboard shows.
    pub selection: Selection,
    /// What the dashboard begins with. What is not set may be in the configuration file.
    pub settings: Settings,
    /// The dashboard reads the configuration file, and may write it.
    pub configured: bool,
    /// Run an aggregator in this process, if none runs on the host.
    pub embedded: bool,
    /// In that one baselines set themselves when a device has been opened.
    pub auto_baseline: bool,
    /// Ends the dashboard when it becomes true.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for TopOptions {
    fn default() -> Self {
        Self {
            prefix: Prefix::default(),
            mode: Mode::Screen,
            selection: Selection::default(),
            settings: Settings::default(),
            configured: false,
            embedded: false,
            auto_baseline: false,
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
        Mode::Once(mut once) => {
            once.patience = if embed { PATIENCE } else { Duration::ZERO };
            once.show("alloc-top", &mut source)?
        }
        Mode::Screen => {
            let mut dashboard = begin(options.selection, options.settings, options.configured);
            dashboard.embedded = embed;
            let stop = options.stop.unwrap_or_default();
            let mouse = dashboard.keeping.mouse.unwrap_or(true);
            watch(&mut dashboard, &mut source, &stop, mouse).context("the terminal")?;
            Exit::Ok
        }
    };
    drop(aggregator);
    Ok(exit.into())
}

/// The dashboard as the command line and the configuration file want it.
fn begin(selection: Selection, flags: Settings, configured: bool) -> Dashboard {
    let path = if configured { file::path(|name| std::env::var_os(name)) } else { None };
    let (kept, wrong) = path.as_deref().map(file::read).unwrap_or_default();
    // Also behind the dashboard, when it has gone.
    for wrong in &wrong {
        crate::output::complain(format_args!("alloc-top: {wrong}"));
    }
    let settings = flags.or(kept);
    let (ascii, color) = (settings.ascii, settings.color);
    let theme = Theme::from_environment(color.unwrap_or_default(), ascii.unwrap_or(false));
    let mut dashboard = Dashboard::new(host_name(), Zone::system(), theme, selection, DEFAULT_REFRESH_MS);
    dashboard.keeping = Kept { path, mouse: settings.mouse, ascii, color };
    dashboard.set(&settings);
    if let Some(first) = wrong.first() {
        dashboard.say(first, true);
    }
    dashboard
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
