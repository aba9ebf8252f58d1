//! What one event costs: the bare ring on heap memory, and the whole path through the process's own ring.
//!
//!     cargo bench -p benches --bench push
//!
//! The consumer runs on the same thread, between two measurements, so that slots are free and the ring never fills: this is
//! the warm cost. The cost with a consumer on another core is the next thing to measure here.
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use producer::Ring;
use producer::environment::Options;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use shm_layout::ring::{Consumer, Producer, Push, RECORDS_OFFSET, RingHeader, Slot};
use shm_layout::segment;
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

const SLOTS: usize = 1 << 12;
const BURST: u64 = 1 << 10;

fn heap_ring() -> Vec<Slot<AtomicU64>> {
    (0..SLOTS).map(|_| Slot(std::array::from_fn(|_| AtomicU64::new(0)))).collect()
}

/// A real ring in /dev/shm, and a second mapping of it to drain it through.
struct FileRing {
    ring: Ring,
    opened: segment::Opened,
    read: Cell<u64>,
}

impl FileRing {
    fn create() -> Option<Self> {
        let prefix = Prefix::new(&format!("bench_{}", std::process::id())).ok()?;
        let ring = Ring::create(&Options { prefix, slots: SLOTS as u64, ..Options::default() }).ok()?;
        let expect = segment::Expect { owners: &[], least: 1, most: u64::MAX };
        let opened = segment::open(ring.name(), segment::Access::ReadWrite, expect).ok()?;
        Some(Self { ring, opened, read: Cell::new(0) })
    }

    /// What a consumer does, its clock included.
    fn drain(&self) {
        let mapping = &self.opened.mapping;
        let header = mapping.one::<RingHeader<AtomicU64>>(0);
        let slots = mapping.array::<Slot<AtomicU64>>(RECORDS_OFFSET, SLOTS);
        let (Some(header), Some(consumer)) = (header, slots.and_then(Consumer::new)) else { return };
        let claim = header.sections[0].claim.load(Relaxed);
        consumer.release(self.read.get(), claim);
        self.read.set(claim);
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
            .map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64);
        header.clock.store(now, Relaxed);
    }
}

fn bench(criterion: &mut Criterion) {
    let event = Event { id: 1, size: 4096, ..Event::new(Kind::Alloc, Memory::Dram, 0) };
    let mut group = criterion.benchmark_group("event");
    group.throughput(criterion::Throughput::Elements(BURST));

    let (claim, slots) = (AtomicU64::new(0), heap_ring());
    let (producer, consumer) = (Producer::new(&claim, &slots), Consumer::new(&slots));
    if let (Some(producer), Some(consumer)) = (producer, consumer) {
        let mut read = 0;
        group.bench_function("ring/warm", |bencher| {
            bencher.iter_batched(
                || {
                    consumer.release(read, producer.next());
                    read = producer.next();
                },
                |()| {
                    for _ in 0..BURST {
                        assert!(
                            !matches!(producer.push(black_box(&event)), Push::Full),
                            "the ring is drained between bursts"
                        );
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
    if let Some(file) = FileRing::create() {
        let writer = file.ring.writer();
        group.bench_function("file/record", |bencher| {
            bencher.iter_batched(
                || file.drain(),
                |()| {
                    for _ in 0..BURST {
                        writer.record(black_box(event));
                    }
                },
                BatchSize::PerIteration,
            );
        });
        file.ring.close();
    }
    group.bench_function("process/disabled", |bencher| {
        bencher.iter(|| {
            for _ in 0..BURST {
                producer::process::record(black_box(event));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
