//! The real program: alloc-top in a pseudo-terminal, an aggregator, and a thousand tracked processes.

use anyhow::{Context, bail, ensure};
use benches::report::Report;
use benches::sample::Sample;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use producer::Ring;
use producer::environment::{Options, slots_for};
use shm_layout::event::{Arch, Event, Kind, Memory};
use shm_layout::names::{PREFIX_VARIABLE, Prefix};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tui::source::Source;

const PROCESSES: u32 = 1000;
const DEVICES: u32 = 4;
/// Ring of each tracked process, bytes.
const RING_BYTES: u64 = 64 << 10;
/// How often a tracked process allocates or frees.
const STEP: Duration = Duration::from_millis(500);
/// What the first frame with figures has, and no other.
const CONTENT: &[u8] = b"Processes";
const PATIENCE: Duration = Duration::from_secs(30);
/// Columns and lines of the pseudo-terminal.
const SIZE: (u16, u16) = (160, 45);

/// Measures the share of a core, and the time to the first content.
///
/// # Errors
/// When a program is missing or does not start.
pub fn measure(report: &mut Report, quick: bool) -> anyhow::Result<()> {
    let stage = Stage::set()?;
    let subject = format!("1000 real processes, {}x{}", SIZE.0, SIZE.1);
    let at = ("processes", f64::from(PROCESSES));
    let (mut shares, mut written) = (Sample::default(), Sample::default());
    let (looks, each) = if quick { (1, Duration::from_secs(3)) } else { (3, Duration::from_secs(10)) };
    for _ in 0..looks {
        let top = Top::start(&stage, PATIENCE)?;
        // The start is another row.
        std::thread::sleep(Duration::from_secs(1));
        let (begin, ticks, bytes) = (Instant::now(), cpu_ticks(top.child.id())?, top.bytes.load(Relaxed));
        std::thread::sleep(each);
        let (spent, ticks) = (begin.elapsed().as_secs_f64(), cpu_ticks(top.child.id())? - ticks);
        shares.push(ticks as f64 / ticks_per_second()? / spent * 100.0);
        written.push((top.bytes.load(Relaxed) - bytes) as f64 / spent);
    }
    report.add_point("alloc-top: CPU at 10 Hz", &subject, at, "% of a core", &mut shares);
    report.add_point("alloc-top: bytes at 10 Hz", &subject, at, "bytes/s", &mut written);
    let mut starts = Sample::default();
    for _ in 0..if quick { 5 } else { 20 } {
        starts.push(Top::start(&stage, PATIENCE)?.first_content.as_secs_f64() * 1e3);
    }
    report.add_point("alloc-top: start to first content", &subject, at, "ms", &mut starts);
    Ok(())
}

/// The aggregator and the tracked processes.
struct Stage {
    built: PathBuf,
    prefix: Prefix,
    children: Vec<Ended>,
    aggregator: Option<Ended>,
}

impl Stage {
    fn set() -> anyhow::Result<Self> {
        let me = std::env::current_exe().context("where this program lies")?;
        let built = me.parent().context("where this program lies")?.to_owned();
        for file in ["alloc-top", "aggregator"] {
            ensure!(built.join(file).exists(), "{file} is not built; `cargo build --release` makes it");
        }
        let prefix = Prefix::new(&format!("tt_bench_frame_{}", std::process::id()))?;
        let mut stage = Self { built, prefix, children: Vec::new(), aggregator: None };
        let mut aggregator = stage.command("aggregator");
        stage.aggregator = Some(Ended(aggregator.stdout(Stdio::null()).spawn().context("start the aggregator")?));
        for number in 0..PROCESSES {
            let mut child = Command::new(&me);
            child.args(["tracked", &number.to_string()]).env(PREFIX_VARIABLE, stage.prefix.to_string());
            child.stdin(Stdio::null()).stdout(Stdio::null());
            stage.children.push(Ended(child.spawn().context("start a tracked process")?));
        }
        let mut source = Source::new(&stage.prefix);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let feed = source.poll();
            let there = feed.seen.map_or(0, |seen| seen.snapshot.processes.len());
            if there == PROCESSES as usize {
                // What the start stirred up has settled.
                std::thread::sleep(Duration::from_secs(1));
                return Ok(stage);
            }
            ensure!(Instant::now() < deadline, "{there} of {PROCESSES} processes came; {}", feed.connection);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.built.join(program));
        command.env(PREFIX_VARIABLE, self.prefix.to_string()).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in &self.children {
            child.ask();
        }
        self.children.clear();
        // The aggregator sees that they ended, and removes their files.
        let deadline = Instant::now() + PATIENCE;
        while !shm_layout::procfs::process_files(&self.prefix).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.aggregator = None;
        for name in [self.prefix.stats(), format!("{}.lock", self.prefix)] {
            let _gone = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }
}

/// A child that ends with this.
struct Ended(Child);

impl Ended {
    fn ask(&self) {
        // Not waited for yet: the pid is its own.
        let _told = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.ask();
        let _reaped = self.0.wait();
    }
}

/// alloc-top in a pseudo-terminal that is read all the time.
struct Top {
    child: Child,
    first_content: Duration,
    bytes: Arc<AtomicUsize>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Top {
    fn start(stage: &Stage, patience: Duration) -> anyhow::Result<Self> {
        let size = Winsize { ws_row: SIZE.1, ws_col: SIZE.0, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).context("a pseudo-terminal")?;
        for fd in [&pty.master, &pty.slave] {
            // Not for the child: it would keep its own terminal open.
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).context("a pseudo-terminal")?;
        }
        let end = |fd: &OwnedFd| anyhow::Ok(Stdio::from(fd.try_clone().context("a pseudo-terminal")?));
        let mut command = stage.command("alloc-top");
        command.args(["-r", "100"]).env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        command.stdin(end(&pty.slave)?).stdout(end(&pty.slave)?);
        let begin = Instant::now();
        let child = command.spawn().context("start alloc-top")?;
        drop(pty.slave);
        drop(command);
        let bytes = Arc::new(AtomicUsize::new(0));
        let (tell, told) = channel();
        let counted = Arc::clone(&bytes);
        let mut master = File::from(pty.master);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut first = Vec::new();
            let mut shown = false;
            // Ends with an error when the child's end is closed.
            while let Ok(n @ 1..) = master.read(&mut buffer) {
                counted.fetch_add(n, Relaxed);
                if !shown {
                    first.extend_from_slice(&buffer[..n]);
                    shown = first.windows(CONTENT.len()).any(|window| window == CONTENT);
                    if shown && tell.send(Instant::now()).is_err() {
                        return;
                    }
                }
            }
        });
        let mut top = Self { child, first_content: Duration::ZERO, bytes, reader: Some(reader) };
        let Ok(at) = told.recv_timeout(patience) else { bail!("alloc-top showed nothing") };
        top.first_content = at.duration_since(begin);
        Ok(top)
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _told = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _reaped = self.child.wait();
        let _read = self.reader.take().map(std::thread::JoinHandle::join);
    }
}

/// utime + stime of a process, clock ticks.
fn cpu_ticks(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("alloc-top ended")?;
    // The name, in parentheses, may hold anything.
    let (_, behind) = text.rsplit_once(')').context("/proc/PID/stat")?;
    let ticks = behind.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()?)
}

fn ticks_per_second() -> anyhow::Result<f64> {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("CLK_TCK")?;
    Ok(ticks as f64)
}

/// One tracked process: opens its devices, then allocates and frees until it is told to end.
///
/// # Errors
/// When its ring cannot be made.
pub fn tracked(number: u32) -> anyhow::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).context("set_pdeathsig")?;
    let ring = Ring::create(&Options { slots: slots_for(RING_BYTES), ..Options::from_environment()? })?;
    for device in 0..DEVICES {
        let capacity = |memory, size| Event { size, footprint: 8, ..Event::new(Kind::Capacity, memory, device) };
        let (arch, id) = (Arch::Blackhole as u32, 0x461_0000 + u64::from(device));
        ring.record(Event { id, context: arch, size: 140, ..Event::new(Kind::DeviceInfo, Memory::Dram, device) });
        ring.record(capacity(Memory::Dram, 32 << 30));
        ring.record(capacity(Memory::L1, 210 << 20));
    }
    let (mut id, mut step) = (0, 0u64);
    loop {
        let device = (number + step as u32) % DEVICES;
        let size = (1 + (u64::from(number) * 7 + step * 3) % 61) << 16;
        let memory = [Memory::Dram, Memory::L1][(step % 2) as usize];
        id += 1;
        ring.record(Event { id, size, ..Event::new(Kind::Alloc, memory, device) });
        if step >= 8 {
            // What was allocated eight steps ago: eight are live.
            let before = (number + (step - 8) as u32) % DEVICES;
            ring.record(Event { id: id - 8, ..Event::new(Kind::Free, memory, before) });
        }
        step += 1;
        std::thread::sleep(STEP);
    }
}
