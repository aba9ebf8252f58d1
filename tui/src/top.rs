//! The dashboard's run loop: look, draw, wait for a key.

mod playback;

use crate::beside::Beside;
use crate::clock::Zone;
use crate::configuration::{Settings, file};
use crate::exit::Exit;
use crate::once::Once;
use crate::recording::recorder::MOMENT;
use crate::recording::{Begin, Move, Player, Recorder, Session};
use crate::screen;
use crate::screen::dashboard::{Dashboard, Request};
use crate::screen::keys::{Action, action};
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
use std::path::{Path, PathBuf};
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
    /// Nothing is shown; a recording is made until somebody ends it.
    Record,
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
    /// Record into this file.
    pub record: Option<PathBuf>,
    /// Play this recording instead of looking at the host.
    pub replay: Option<PathBuf>,
    /// Begin there in it: a duration behind its beginning, or a moment.
    pub at: Option<String>,
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
            record: None,
            replay: None,
            at: None,
            stop: None,
        }
    }
}

/// Runs until the user leaves; in one-shot modes, once.
///
/// # Errors
/// When the embedded aggregator does not start, or the terminal cannot be read or written.
pub fn run(options: TopOptions) -> anyhow::Result<ExitCode> {
    if let Some(path) = &options.replay {
        let player = playback::open(path, options.at.as_deref())?;
        return playback::run(player, options).map(Into::into);
    }
    let mut source = Source::new(&options.prefix);
    // An aggregator that runs already is as good, and there is one per host.
    let embed = options.embedded && !matches!(source.poll().connection, Connection::Live);
    let aggregator = if embed { Some(crate::embedded::start(&options.prefix, options.auto_baseline)?) } else { None };
    let exit = match options.mode.clone() {
        Mode::Once(mut once) => {
            once.patience = if embed { PATIENCE } else { Duration::ZERO };
            once.show("alloc-top", &mut source)?
        }
        Mode::Record => record_alone(&options)?,
        Mode::Screen => {
            let mut dashboard = begin(&options);
            dashboard.embedded = embed;
            if let Some(path) = &options.record {
                // Before the screen is taken: somebody who asks for a recording does not want none.
                dashboard.recorder = Some(record(path, &options.prefix, dashboard.refresh_ms)?);
            }
            let stop = options.stop.clone().unwrap_or_default();
            let mouse = dashboard.keeping.mouse.unwrap_or(true);
            let watched = watch(&mut dashboard, &mut Origin::Live(&mut source), &stop, mouse);
            let exit = leave(&mut dashboard);
            watched.context("the terminal")?;
            exit
        }
    };
    drop(aggregator);
    Ok(exit.into())
}

/// The dashboard as the command line and the configuration file want it.
fn begin(options: &TopOptions) -> Dashboard {
    let path = if options.configured { file::path(|name| std::env::var_os(name)) } else { None };
    let (kept, wrong) = path.as_deref().map(file::read).unwrap_or_default();
    // Also behind the dashboard, when it has gone.
    for wrong in &wrong {
        crate::output::complain(format_args!("alloc-top: {wrong}"));
    }
    let settings = options.settings.clone().or(kept);
    let (ascii, color) = (settings.ascii, settings.color);
    let theme = Theme::from_environment(color.unwrap_or_default(), ascii.unwrap_or(false));
    let selection = options.selection.clone();
    let mut dashboard = Dashboard::new(host_name(), Zone::system(), theme, selection, DEFAULT_REFRESH_MS);
    dashboard.prefix = options.prefix.clone();
    dashboard.keeping = Kept { path, mouse: settings.mouse, ascii, color };
    dashboard.set(&settings);
    if let Some(first) = wrong.first() {
        dashboard.say(first, true);
    }
    dashboard
}

fn record(path: &Path, prefix: &Prefix, refresh_ms: u64) -> anyhow::Result<Recorder> {
    Ok(Recorder::start(path, Begin::Append, prefix, &Session::here(host_name(), refresh_ms))?)
}

/// Says what became of a recording on standard error.
fn told(ended: Result<String, String>) -> Exit {
    let exit = if ended.is_ok() { Exit::Ok } else { Exit::Failure };
    let (Ok(said) | Err(said)) = ended;
    crate::output::complain(format_args!("alloc-top: {said}"));
    exit
}

/// The screen has been left: waits a moment for what is still being written, and says what became of it on standard error.
fn leave(dashboard: &mut Dashboard) -> Exit {
    let left = dashboard.leave(MOMENT);
    for wrong in left.wrong {
        crate::output::complain(format_args!("alloc-top: {wrong}"));
    }
    left.recording.map_or(Exit::Ok, told)
}

fn record_alone(options: &TopOptions) -> anyhow::Result<Exit> {
    let signals = Signals::register()?;
    let path = options.record.clone().context("no file to record into")?;
    let refresh_ms = options.settings.refresh_ms.unwrap_or(DEFAULT_REFRESH_MS).max(LEAST_REFRESH_MS);
    let stop = options.stop.clone().unwrap_or_default();
    let is_over = || stop.load(Ordering::Relaxed) || signals.end.load(Ordering::Relaxed);
    let (name, prefix) = (path.clone(), options.prefix.clone());
    // A disk that does not let the file be made keeps no signal waiting.
    let mut begins = Beside::new("begin");
    begins.ask((), move || record(&path, &prefix, refresh_ms));
    Ok(told(match begun(begins, is_over) {
        Some(recorder) => until(recorder?, is_over),
        None => Err(format!("nothing is recorded into {}: its disk does not answer", file::shown(&name))),
    }))
}

/// What has begun; none where it has not a moment after it was to be over, or breaks off.
fn begun<A: Send + 'static>(mut begins: Beside<A>, is_over: impl Fn() -> bool) -> Option<A> {
    let mut until = None;
    loop {
        match begins.heard() {
            Some(begun) => return begun.ok(),
            None if is_over() && Instant::now() >= *until.get_or_insert_with(|| Instant::now() + MOMENT) => {
                return None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Lets it record until it ends or is to be ended; what is to be said of it.
fn until(recorder: Recorder, is_over: impl Fn() -> bool) -> Result<String, String> {
    while !(recorder.has_ended() || is_over()) {
        std::thread::sleep(ATTENTION);
    }
    recorder.end_within(MOMENT)
}

/// Where the figures come from.
pub(crate) enum Origin<'a> {
    /// From this host, now.
    Live(&'a mut Source),
    /// From a recording.
    Recorded(Box<Player>),
}

impl Origin<'_> {
    /// Looks, so long after the last look.
    fn look(&mut self, dashboard: &mut Dashboard, passed: Duration) -> io::Result<()> {
        match self {
            Self::Live(source) => dashboard.look(source),
            Self::Recorded(player) => {
                player.pass(passed)?;
                dashboard.play(player, false)?;
            }
        }
        Ok(())
    }

    /// Goes through a recording, and shows where that leads.
    fn go(&mut self, dashboard: &mut Dashboard, wanted: &[Move]) -> io::Result<()> {
        let Self::Recorded(player) = self else { return Ok(()) };
        if wanted.is_empty() {
            return Ok(());
        }
        // What steps on come to has followed what was there where a jump before them led.
        let behind = wanted.iter().rposition(|wanted| wanted.is_jump()).map_or(0, |at| at + 1);
        let (jumps, steps) = wanted.split_at(behind);
        let mut jumped = player.go_all(jumps)?;
        if jumped && steps.contains(&Move::StepOn) {
            dashboard.land(player);
            jumped = false;
        }
        player.go_all(steps)?;
        dashboard.play(player, jumped)
    }
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

fn watch(dashboard: &mut Dashboard, origin: &mut Origin<'_>, stop: &AtomicBool, mouse: bool) -> io::Result<()> {
    let signals = Signals::register()?;
    let mut screen = Screen::enter(mouse)?;
    let ending = || stop.load(Ordering::Relaxed) || signals.end.load(Ordering::Relaxed);
    let mut look_at = Instant::now();
    // Of a recording no time passes while it is held.
    let mut passed_at = look_at;
    let mut changed = true;
    while !ending() {
        if signals.resumed.swap(false, Ordering::Relaxed) {
            screen.resume()?;
            changed = true;
        }
        let now = Instant::now();
        if dashboard.paused {
            passed_at = now;
        }
        changed |= dashboard.tend_recorder();
        changed |= dashboard.hear();
        if now >= look_at && !dashboard.paused {
            origin.look(dashboard, now.saturating_duration_since(passed_at))?;
            passed_at = now;
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
        let taken = take(dashboard, origin, typed, |request| match request {
            Request::Suspend => {
                screen.suspend()?;
                // That SIGCONT was for this stop.
                signals.resumed.store(false, Ordering::Relaxed);
                Ok(())
            }
            Request::Redraw => screen.redraw(),
            Request::Quit | Request::Play(_) | Request::None => Ok(()),
        })?;
        match taken {
            Taken::Nothing => {}
            Taken::Left => return Ok(()),
            Taken::Something => {
                changed = true;
                // A shorter interval counts from now on.
                look_at = look_at.min(Instant::now() + Duration::from_millis(dashboard.refresh_ms));
            }
        }
    }
    Ok(())
}

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Nothing that is seen.
    Nothing,
    /// What may have changed what is shown.
    Something,
    /// The key that leaves.
    Left,
}

/// Takes what came at once. Of several moves in a recording only the moment to which they lead is read and studied; `terminal` does what is
/// asked of the terminal.
fn take(
    dashboard: &mut Dashboard,
    origin: &mut Origin<'_>,
    typed: Vec<Event>,
    mut terminal: impl FnMut(Request) -> io::Result<()>,
) -> io::Result<Taken> {
    let mut taken = Taken::Nothing;
    let mut moves = Vec::new();
    for event in typed {
        // What is no move is about what is shown where the moves lead.
        let moves_on = matches!(event, Event::Key(key) if action(key).is_some_and(Action::is_of_replays));
        if !moves_on {
            origin.go(dashboard, &std::mem::take(&mut moves))?;
        }
        let key = match event {
            Event::Key(key) => key,
            Event::Mouse(event) if !dashboard.mouse(event) => continue,
            Event::Paste(text) => {
                dashboard.paste(&text);
                taken = Taken::Something;
                continue;
            }
            _ => {
                taken = Taken::Something;
                continue;
            }
        };
        taken = Taken::Something;
        match dashboard.key(key) {
            Request::None => {}
            Request::Quit => return Ok(Taken::Left),
            Request::Play(wanted) => moves.push(wanted),
            request => terminal(request)?,
        }
    }
    origin.go(dashboard, &moves)?;
    Ok(taken)
}

#[cfg(test)]
mod tests;
