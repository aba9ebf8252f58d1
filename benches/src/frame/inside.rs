//! One frame in this process: alloc-top's own way from the stats segment to the bytes for the terminal.

use crate::host::Host;
use anyhow::{Context, ensure};
use benches::machine::{pin, processors};
use benches::report::Report;
use benches::sample::Sample;
use nix::time::{ClockId, clock_gettime};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::cell::Cell;
use std::io::{self, BufWriter, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tui::clock::Zone;
use tui::screen;
use tui::screen::dashboard::Dashboard;
use tui::screen::theme::Theme;
use tui::selection::Selection;
use tui::source::{Connection, Source};

/// Frames before those that count: the first one is written whole.
const WARM: usize = 5;
const SIZES: [(u16, u16); 3] = [(80, 24), (160, 45), (300, 100)];

/// Takes what a terminal would, and counts it.
struct Sink(Rc<Cell<usize>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::hint::black_box(bytes);
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Measures every number of processes on every number of devices in every size.
pub fn measure(report: &mut Report, frames: usize) -> anyhow::Result<()> {
    let cpus = processors();
    pin(cpus.first().copied().unwrap_or(0));
    let publisher = cpus.last().copied().unwrap_or(0);
    let mut others = Vec::new();
    for devices in [4, 32] {
        for (width, height) in SIZES {
            let subject = format!("{devices} devices, {width}x{height}");
            for processes in [1, 10, 100, 1000] {
                let host = Host::start(devices, processes, publisher)?;
                let mut look = Look::new(&host, width, height)?;
                let at = ("processes", processes as f64);
                report.add_point("alloc-top: one frame", &subject, at, "ms", &mut look.frames(frames, true)?.times);
                others.push((subject.clone(), at, look.frames(frames, true)?, look.frames(frames, false)?));
            }
        }
    }
    type Figure = fn(&mut Frames) -> &mut Sample;
    let rows: [(&str, &str, bool, Figure); 3] = [
        ("alloc-top: one frame, processor time", "ms", true, |frames| &mut frames.cpu),
        ("alloc-top: bytes of one frame", "bytes", true, |frames| &mut frames.bytes),
        ("alloc-top: one frame, nothing new published", "ms", false, |frames| &mut frames.times),
    ];
    for (measure, unit, new, figure) in rows {
        for (subject, at, changing, same) in &mut others {
            report.add_point(measure, subject, *at, unit, figure(if new { changing } else { same }));
        }
    }
    Ok(())
}

/// What frames took.
#[derive(Default)]
struct Frames {
    /// ms each.
    times: Sample,
    /// ms each of this thread on a processor: without what others took from it.
    cpu: Sample,
    /// Bytes each.
    bytes: Sample,
}

/// alloc-top, as far as it can run here.
struct Look<'a> {
    host: &'a Host,
    source: Source,
    dashboard: Dashboard,
    terminal: Terminal<CrosstermBackend<BufWriter<Sink>>>,
    written: Rc<Cell<usize>>,
}

impl<'a> Look<'a> {
    fn new(host: &'a Host, width: u16, height: u16) -> anyhow::Result<Self> {
        let theme = Theme::new(true, false);
        let dashboard = Dashboard::new("bench".into(), Zone::system(), theme, Selection::default(), 100);
        let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
        let written = Rc::new(Cell::new(0));
        let backend = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, Sink(Rc::clone(&written))));
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport })?;
        let mut look = Self { host, source: Source::new(&host.prefix), dashboard, terminal, written };
        look.frames(WARM, true)?;
        Ok(look)
    }

    /// So many frames, of another snapshot each or of the same.
    fn frames(&mut self, count: usize, new: bool) -> anyhow::Result<Frames> {
        let mut frames = Frames::default();
        for _ in 0..count {
            if new {
                self.host.publish()?;
            } else {
                self.host.beat()?;
            }
            let before = self.written.get();
            let (begin, cpu) = (Instant::now(), cpu_time()?);
            self.dashboard.look(&mut self.source);
            tui::terminal::show(&mut self.terminal, |buffer, area| screen::draw(buffer, area, &self.dashboard))?;
            let (spent, cpu) = (begin.elapsed(), cpu_time()? - cpu);
            ensure!(matches!(self.dashboard.connection, Connection::Live), "{}", self.dashboard.connection);
            frames.times.push(spent.as_secs_f64() * 1e3);
            frames.cpu.push(cpu.as_secs_f64() * 1e3);
            frames.bytes.push((self.written.get() - before) as f64);
        }
        Ok(frames)
    }
}

fn cpu_time() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("the thread's clock")?.into())
}
