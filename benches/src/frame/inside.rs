//! One frame in this process: alloc-top's own way from the stats segment to the bytes for the terminal.

use crate::host::Host;
use benches::machine::{pin, processors};
use benches::report::Report;
use benches::sample::Sample;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::cell::Cell;
use std::io::{self, BufWriter, Write};
use std::rc::Rc;
use std::time::Instant;
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
    let mut written = Vec::new();
    for devices in [4, 32] {
        for (width, height) in SIZES {
            let subject = format!("{devices} devices, {width}x{height}");
            for processes in [1, 10, 100, 1000] {
                let host = Host::start(devices, processes, publisher)?;
                let (mut times, bytes) = frames_of(&host, width, height, frames)?;
                let at = ("processes", processes as f64);
                report.add_point("alloc-top: one frame", &subject, at, "ms", &mut times);
                written.push((subject.clone(), at, bytes));
            }
        }
    }
    for (subject, at, mut bytes) in written {
        report.add_point("alloc-top: bytes of one frame", &subject, at, "bytes", &mut bytes);
    }
    Ok(())
}

/// ms a frame, and bytes a frame.
fn frames_of(host: &Host, width: u16, height: u16, frames: usize) -> anyhow::Result<(Sample, Sample)> {
    let mut source = Source::new(&host.prefix);
    let theme = Theme::new(true, false);
    let mut dashboard = Dashboard::new("bench".into(), Zone::system(), theme, Selection::default(), 100);
    let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
    let written = Rc::new(Cell::new(0));
    let backend = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, Sink(Rc::clone(&written))));
    let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport })?;
    let (mut times, mut bytes) = (Sample::default(), Sample::default());
    for frame in 0..WARM + frames {
        host.publish()?;
        let before = written.get();
        let begin = Instant::now();
        dashboard.look(&mut source);
        tui::terminal::show(&mut terminal, |buffer, area| screen::draw(buffer, area, &dashboard))?;
        let spent = begin.elapsed();
        anyhow::ensure!(matches!(dashboard.connection, Connection::Live), "{}", dashboard.connection);
        if frame >= WARM {
            times.push(spent.as_secs_f64() * 1e3);
            bytes.push((written.get() - before) as f64);
        }
    }
    Ok((times, bytes))
}
