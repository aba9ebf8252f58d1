//! Peers that are somebody else's libraries: used where they are installed, in a child of this program each, so that what goes
//! wrong there costs only their rows.
//!
//! - tt-metal's `SharedMemoryStatsProvider::record_allocation` / `record_deallocation`, called in the libtt_metal.so of the ttnn
//!   wheel. `TTNN_LIB` names it; without it the one of the project's ttnn suite is taken. Its caller also makes a getpid system
//!   call each time, which is not counted here.
//! - LTTng-UST: a tracepoint with the same 64 bytes, in flight-recorder mode (it never stops for a reader). The tracepoint is
//!   compiled when it is measured; it needs `cc`, LTTng's headers and its session daemon.

use super::rounds::Plan;
use super::words;
use crate::machine::pin;
use crate::sample::Sample;
use anyhow::{Context, bail, ensure};
use std::ffi::{CString, c_void};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const BURST: u64 = 1024;
const BURSTS: usize = 100;

/// What a child does: `foreign WHAT LIBRARY CPU`.
///
/// # Errors
/// When the library is not as it should be.
pub fn child(arguments: &[String]) -> anyhow::Result<()> {
    let [what, library, cpu] = arguments else { bail!("foreign WHAT LIBRARY CPU") };
    pin(cpu.parse()?);
    let library = Library::open(library)?;
    match what.as_str() {
        "tt-metal" => tt_metal(&library),
        "lttng" => lttng(&library),
        _ => bail!("nothing foreign is called {what}"),
    }
}

/// A library that stays open.
struct Library(*mut c_void);

impl Library {
    fn open(path: &str) -> anyhow::Result<Self> {
        let path = CString::new(path)?;
        // SAFETY: a C string; what the library does when it is loaded is what its users load it for.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        ensure!(!handle.is_null(), "the library cannot be loaded");
        Ok(Self(handle))
    }

    fn symbol(&self, name: &str) -> anyhow::Result<*mut c_void> {
        let c_name = CString::new(name)?;
        // SAFETY: an open handle and a C string.
        let symbol = unsafe { libc::dlsym(self.0, c_name.as_ptr()) };
        ensure!(!symbol.is_null(), "it has no {name}");
        Ok(symbol)
    }
}

/// Prints ns an event, burst by burst.
fn tell(mut each: impl FnMut(u64)) {
    for at in 0..BURSTS {
        let begin = Instant::now();
        for n in 0..BURST {
            each(black_box(n));
        }
        let ns = begin.elapsed().as_nanos() as f64 / BURST as f64;
        if at >= BURSTS / 4 {
            println!("{ns}");
        }
    }
}

/// An object of a class whose size is not exported; far more room than it takes.
#[repr(align(64))]
struct Object(#[expect(dead_code, reason = "room for what tt-metal keeps there")] [u8; 1 << 14]);

/// The unique id under which tt-metal is told of a chip that does not exist.
const CHIP: u64 = 0x7474_6265_6E63_6800;

fn tt_metal(library: &Library) -> anyhow::Result<()> {
    type Construct = unsafe extern "C" fn(*mut Object, u64, i32, bool, bool);
    type Record = unsafe extern "C" fn(*mut Object, i32, u64, u32, u32);
    let construct = library.symbol("_ZN2tt8tt_metal25SharedMemoryStatsProviderC1Emibb")?;
    let class = "_ZN2tt8tt_metal25SharedMemoryStatsProvider";
    let allocate = library.symbol(&format!("{class}17record_allocationEimNS0_13ShmBufferTypeEj"))?;
    let free = library.symbol(&format!("{class}19record_deallocationEimNS0_13ShmBufferTypeEj"))?;
    // SAFETY: the mangled name says (unsigned long, int, bool, bool) of a member function, this first.
    let construct: Construct = unsafe { std::mem::transmute(construct) };
    // SAFETY: the mangled name says (int, unsigned long, an enumeration, unsigned int) of a member function.
    let allocate: Record = unsafe { std::mem::transmute(allocate) };
    // SAFETY: as above.
    let free: Record = unsafe { std::mem::transmute(free) };
    let mut object = Box::new(Object([0; 1 << 14]));
    let pid = std::process::id().cast_signed();
    // SAFETY: zeroed room for the object, which lives to the end of this process and is never destroyed.
    unsafe { construct(&raw mut *object, CHIP, 0, false, false) };
    tell(|n| {
        let record = if n & 1 == 0 { allocate } else { free };
        // SAFETY: the object was constructed above; the arguments are a size, DRAM and chip 0.
        unsafe { record(&raw mut *object, pid, 4096, 0, 0) };
    });
    Ok(())
}

fn lttng(library: &Library) -> anyhow::Result<()> {
    type Emit = unsafe extern "C" fn(*const u64);
    // SAFETY: the function is the one of the source below.
    let emit: Emit = unsafe { std::mem::transmute(library.symbol("tt_bench_emit")?) };
    tell(|n| {
        let words = words(n);
        // SAFETY: eight words, as the function expects.
        unsafe { emit(words.as_ptr()) };
    });
    Ok(())
}

fn run(what: &str, library: &Path, cpu: usize, home: &Path) -> anyhow::Result<Sample> {
    let me = std::env::current_exe().context("where this program lies")?;
    let mut command = Command::new(me);
    command.args(["child", "foreign", what]).arg(library).arg(cpu.to_string());
    command.env("TT_METAL_LOGGER_LEVEL", "ERROR").stdin(Stdio::null()).stderr(Stdio::null());
    // LTTng's library finds its daemon there, and waits for it.
    command.env("LTTNG_HOME", home).env("LTTNG_UST_REGISTER_TIMEOUT", "-1");
    let output = command.output().context("start the child")?;
    ensure!(output.status.success(), "the child failed ({})", output.status);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(!found.is_empty(), "the child told nothing");
    Ok(found.into_iter().collect())
}

/// The libtt_metal.so of a ttnn wheel, if there is one.
pub fn tt_metal_library() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("TTNN_LIB") {
        return Some(path.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("target/ttnn/venv/lib");
    let pythons = std::fs::read_dir(root).ok()?.flatten();
    let library = |python: std::fs::DirEntry| python.path().join("site-packages/ttnn/build/lib/libtt_metal.so");
    pythons.map(library).find(|path| path.exists())
}

/// ns of each call of tt-metal's own counters.
///
/// # Errors
/// Why they cannot be called here.
pub fn measure_tt_metal(plan: Plan) -> anyhow::Result<Sample> {
    let library = tt_metal_library().context("no libtt_metal.so; `just ttnn-setup` fetches one")?;
    let files = || std::fs::read_dir("/dev/shm").into_iter().flatten().flatten().map(|entry| entry.path());
    let before: Vec<PathBuf> = files().collect();
    let sample = run("tt-metal", &library, plan.here, &std::env::temp_dir());
    for path in files().filter(|path| !before.contains(path)) {
        // Its file is named after the chip that does not exist, in decimal or hexadecimal digits.
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.contains(&CHIP.to_string()) || name.contains(&format!("{CHIP:x}")) {
            let _gone = std::fs::remove_file(path);
        }
    }
    sample
}

const PROVIDER: &str = r#"
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER tt_bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./provider.h"
#if !defined(PROVIDER_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define PROVIDER_H
#include <lttng/tracepoint.h>
#include <stdint.h>
LTTNG_UST_TRACEPOINT_EVENT(tt_bench, event, LTTNG_UST_TP_ARGS(const uint64_t *, w),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(uint64_t, a, w[0]) lttng_ust_field_integer(uint64_t, b, w[1])
        lttng_ust_field_integer(uint64_t, c, w[2]) lttng_ust_field_integer(uint64_t, d, w[3])
        lttng_ust_field_integer(uint64_t, e, w[4]) lttng_ust_field_integer(uint64_t, f, w[5])
        lttng_ust_field_integer(uint64_t, g, w[6]) lttng_ust_field_integer(uint64_t, h, w[7])))
#endif
#include <lttng/tracepoint-event.h>
"#;

const EMITTER: &str = r#"
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "provider.h"
void tt_bench_emit(const uint64_t *w) { lttng_ust_tracepoint(tt_bench, event, w); }
"#;

/// ns of a tracepoint in flight-recorder mode.
///
/// # Errors
/// Why it cannot be measured here.
pub fn measure_lttng(plan: Plan) -> anyhow::Result<Sample> {
    let directory = std::env::temp_dir().join(format!("tt_bench_lttng_{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let measured = lttng_in(&directory, plan);
    let _gone = std::fs::remove_dir_all(&directory);
    measured
}

fn lttng_in(directory: &Path, plan: Plan) -> anyhow::Result<Sample> {
    std::fs::write(directory.join("provider.h"), PROVIDER)?;
    std::fs::write(directory.join("emitter.c"), EMITTER)?;
    let quiet = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory).env("LTTNG_HOME", directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let flags = ["-O2", "-shared", "-fPIC", "-I.", "emitter.c", "-o", "libemitter.so", "-llttng-ust", "-ldl"];
    ensure!(quiet("cc", &flags), "its headers or a C compiler are not installed");
    // One may run already; then this one says so and that one is taken.
    quiet("lttng-sessiond", &["--daemonize", "--no-kernel", "--pidfile=sessiond.pid"]);
    let session = format!("tt_bench_{}", std::process::id());
    let begun = quiet("lttng", &["create", &session, "--snapshot"])
        && quiet("lttng", &["enable-event", "-s", &session, "-u", "tt_bench:event"])
        && quiet("lttng", &["start", &session]);
    let measured = if begun {
        run("lttng", &directory.join("libemitter.so"), plan.here, directory)
    } else {
        Err(anyhow::anyhow!("no tracing session can be made; is lttng-sessiond installed?"))
    };
    quiet("lttng", &["destroy", &session]);
    let daemon = std::fs::read_to_string(directory.join("sessiond.pid")).ok().and_then(|pid| pid.trim().parse().ok());
    if let Some(pid) = daemon.map(nix::unistd::Pid::from_raw) {
        let _ended = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    }
    measured
}
