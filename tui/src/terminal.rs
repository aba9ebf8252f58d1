//! The terminal: raw mode and the alternate screen, and the way back from them however the program ends.

use crate::keyboard::Keyboard;
use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{execute, queue};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::io::{self, BufWriter, Stdout, Write};
use std::mem::ManuallyDrop;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

/// Whether the terminal is ours; the panic hook has to know.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether it tells of the mouse.
static MOUSE: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();
/// Whose screen it is. A panic in another thread takes it from nobody.
static OWNER: Mutex<Option<ThreadId>> = Mutex::new(None);
/// What became of such threads: told once the terminal is a shell's again.
static BESIDE: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nobody is left to tell that it did not work.
        if MOUSE.load(Ordering::SeqCst) {
            let _ = execute!(io::stdout(), DisableMouseCapture);
        }
        let _ = execute!(io::stdout(), EndSynchronizedUpdate, DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        for told in std::mem::take(&mut *BESIDE.lock().unwrap_or_else(PoisonError::into_inner)) {
            crate::output::complain(told);
        }
    }
}

/// The screen goes on, if it is not its own thread that panics: what that one did is missing, and is told at the end.
fn goes_on(panic: &PanicHookInfo<'_>) -> bool {
    let owner = *OWNER.lock().unwrap_or_else(PoisonError::into_inner);
    let goes_on = TAKEN.load(Ordering::SeqCst) && owner != Some(std::thread::current().id());
    if goes_on {
        let told = shm_layout::text::clean(panic.to_string().replace('\n', " ").as_bytes());
        BESIDE.lock().unwrap_or_else(PoisonError::into_inner).push(format!("a thread beside the screen ended: {told}"));
    }
    goes_on
}

/// Draws one frame and writes it: only what changed, between the marks of a synchronized update. Where it goes is the
/// backend's business, so that a benchmark can write it to no terminal at all.
///
/// # Errors
/// When the backend cannot be written.
pub fn show<W: Write>(
    terminal: &mut Terminal<CrosstermBackend<W>>,
    draw: impl FnOnce(&mut Buffer, Rect),
) -> io::Result<()> {
    queue!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
    terminal.draw(|frame| {
        let area = frame.area();
        draw(frame.buffer_mut(), area);
    })?;
    queue!(terminal.backend_mut(), EndSynchronizedUpdate)?;
    Write::flush(terminal.backend_mut())
}

/// The terminal while it shows the dashboard; dropping it gives it back.
#[derive(Debug)]
pub struct Screen {
    // One write a frame: standard output alone would write line by line. Never dropped: ratatui would show the cursor again, which
    // `give_back` does, and panic where the terminal has hung up and its complaint has nowhere to go either.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<BufWriter<Stdout>>>>,
    keyboard: Keyboard,
}

impl Screen {
    /// Takes the terminal on standard output. `mouse`: it is to tell of the mouse, and then selects no text by itself.
    ///
    /// # Errors
    /// When it cannot be put into raw mode or written.
    pub fn enter(mouse: bool) -> io::Result<Self> {
        MOUSE.store(mouse, Ordering::SeqCst);
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if !goes_on(panic) {
                    give_back();
                    before(panic);
                }
            }));
        });
        *OWNER.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current().id());
        Self::take()?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout())));
        terminal
            .and_then(|terminal| Ok(Self { terminal: ManuallyDrop::new(terminal), keyboard: Keyboard::open()? }))
            .inspect_err(|_| give_back())
    }

    fn take() -> io::Result<()> {
        TAKEN.store(true, Ordering::SeqCst);
        let taken =
            enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, Hide));
        let taken = taken.and_then(|()| {
            if MOUSE.load(Ordering::SeqCst) { execute!(io::stdout(), EnableMouseCapture) } else { Ok(()) }
        });
        taken.inspect_err(|_| give_back())
    }

    /// Draws one frame: only what changed is written, and shown at once by terminals that can.
    ///
    /// # Errors
    /// When the terminal cannot be written.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Buffer, Rect)) -> io::Result<()> {
        show(&mut self.terminal, draw)
    }

    /// The next frame is written whole.
    ///
    /// # Errors
    /// When the terminal cannot be written.
    pub fn redraw(&mut self) -> io::Result<()> {
        // Not `clear`, which asks the terminal where its cursor is, and would wait for the answer in what is typed.
        let area = self.terminal.size()?;
        self.terminal.resize(Rect::new(0, 0, area.width, area.height))
    }

    /// Gives the terminal back, stops as a shell's job, and takes it again when the job continues.
    ///
    /// # Errors
    /// When it cannot be taken again.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        // The whole group, as the terminal's own Ctrl-Z does: a wrapper that waits for us stops, too.
        kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        self.resume()
    }

    /// Takes the terminal again after somebody stopped and continued this process.
    ///
    /// # Errors
    /// When it cannot be taken.
    pub fn resume(&mut self) -> io::Result<()> {
        // Who was stopped by SIGSTOP did not give it back: the shell has made it its own meanwhile, and crossterm takes it for raw.
        if TAKEN.load(Ordering::SeqCst) {
            disable_raw_mode()?;
        }
        Self::take()?;
        self.redraw()
    }

    /// What was typed within this time, some thousand keys at most; returns at the first of it.
    ///
    /// # Errors
    /// When the terminal has hung up, or cannot be read.
    pub fn typed(&mut self, within: Duration) -> io::Result<Vec<Event>> {
        self.keyboard.typed(within)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}
