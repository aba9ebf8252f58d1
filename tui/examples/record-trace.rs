//! Records the demo's trace: drains every ring of a prefix into a file, until the last of its processes has ended.
//!
//!     TT_ALLOC_PREFIX=record cargo run -p tui --example record-trace -- tui/demo/llm-serving.trace
//!
//! and in another terminal, with the same prefix, the scripts of `tui/demo/record/` under `tt-alloc run`. No aggregator may
//! run with that prefix: a ring has one consumer.

use anyhow::Context;
use core::sync::atomic::AtomicU64;
use shm_layout::locks::{self, Lock};
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::procfs;
use shm_layout::ring::{CLOSED_CLEAN, Consumer, RECORDS_OFFSET, RingHeader, Slot};
use shm_layout::segment::{self, Access, Expect, Opened};
use shm_layout::text;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;
use tui::demo::trace::{End, Process, Step, Trace};

struct Source {
    opened: Opened,
    cursor: u64,
    begin_ns: u64,
    process: usize,
    done: bool,
}

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("usage: record-trace FILE")?;
    let prefix = Prefix::from_environment()?;
    let mut trace = Trace::default();
    let mut sources: HashMap<ProcessFile, Source> = HashMap::new();
    let mut steps: Vec<(u64, Step)> = Vec::new();
    while sources.is_empty() || sources.values().any(|source| !source.done) {
        std::thread::sleep(Duration::from_millis(5));
        for file in procfs::process_files(&prefix) {
            if file.role == Role::Ring
                && !sources.contains_key(&file)
                && let Some(source) = attach(&prefix, &file, &mut trace)
            {
                eprintln!("recording {}", trace.processes[source.process].command_line);
                sources.insert(file, source);
            }
        }
        for source in sources.values_mut().filter(|source| !source.done) {
            drain(source, &mut steps, &mut trace);
        }
    }
    steps.sort_by_key(|(ns, _)| *ns);
    let begin = steps.first().map_or(0, |(ns, _)| *ns);
    trace.steps = steps.into_iter().map(|(ns, step)| Step { at_us: (ns - begin) / 1000, ..step }).collect();
    let bytes = trace.encode();
    std::fs::write(&path, &bytes).with_context(|| path.clone())?;
    eprintln!("{path}: {} processes, {} events, {} bytes", trace.processes.len(), trace.steps.len(), bytes.len());
    Ok(())
}

fn attach(prefix: &Prefix, file: &ProcessFile, trace: &mut Trace) -> Option<Source> {
    let expect = Expect { owners: &[file.uid], least: RECORDS_OFFSET as u64 + 64, most: 1 << 30 };
    let opened = segment::open(&file.name(prefix), Access::ReadWrite, expect).ok()?;
    let identity = opened.mapping.one::<RingHeader<AtomicU64>>(0)?.identity();
    identity.check(opened.mapping.len() as u64).ok()?;
    locks::try_take(&opened.file, Lock::Consumer).ok().filter(|taken| *taken)?;
    let command = procfs::read_bounded(&format!("/proc/{}/cmdline", file.pid), 512).unwrap_or_default();
    // Without the directories: the trace is not about one machine.
    let words = command.split(|b| *b == 0).map(|word| text::clean(word.rsplit(|b| *b == b'/').next().unwrap_or(word)));
    let command_line = words.collect::<Vec<_>>().join(" ").trim().to_owned();
    let name = text::load(&identity.name);
    trace.processes.push(Process { name, command_line, end: End::Killed });
    let begin_ns = identity.created_monotonic_ns;
    Some(Source { opened, cursor: 0, begin_ns, process: trace.processes.len() - 1, done: false })
}

fn drain(source: &mut Source, steps: &mut Vec<(u64, Step)>, trace: &mut Trace) {
    let mapping = &source.opened.mapping;
    let ended = matches!(locks::holder(&source.opened.file, Lock::Owner), Ok(None));
    let Some(header) = mapping.one::<RingHeader<AtomicU64>>(0) else { return };
    let slots = usize::try_from(header.identity().slots).unwrap_or(0);
    let Some(consumer) = mapping.array::<Slot<AtomicU64>>(RECORDS_OFFSET, slots).and_then(Consumer::new) else {
        return;
    };
    let (from, process) = (source.cursor, source.process);
    let begin_ns = source.begin_ns;
    source.cursor = consumer.read(from, slots, |event| {
        steps.push((
            event.time.max(begin_ns),
            Step { process, at_us: 0, event: shm_layout::event::Event { stamp: 0, time: 0, thread: 0, ..event } },
        ));
    });
    consumer.release(from, source.cursor);
    if ended && source.cursor == from {
        // SYNC(ring.closed): pairs with the Release in the producer's ring.rs `close`.
        let closed = header.closed.load(Acquire) == CLOSED_CLEAN;
        trace.processes[process].end = if closed { End::Clean } else { End::Killed };
        source.done = true;
        segment::remove_if_same(&source.opened.name, source.opened.inode);
    }
}
