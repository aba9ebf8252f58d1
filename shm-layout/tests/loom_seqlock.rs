//! The stats segment's double buffer under every interleaving, weak memory included.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p shm-layout --release --test loom_seqlock`
#![cfg(loom)]

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;
use shm_layout::seqlock::{BUFFER_HEADER_WORDS, Snapshots};

const PAYLOAD: usize = 2;

struct Segment {
    active: AtomicU64,
    buffers: [Vec<AtomicU64>; 2],
}

impl Segment {
    fn new() -> Arc<Self> {
        let buffer = || (0..BUFFER_HEADER_WORDS + PAYLOAD).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { active: AtomicU64::new(0), buffers: [buffer(), buffer()] })
    }

    fn snapshots(&self) -> Snapshots<'_, AtomicU64> {
        Snapshots::new(&self.active, [&self.buffers[0], &self.buffers[1]]).expect("two buffers of one length")
    }

    fn publish(&self, version: u64) {
        // Lengths differ as well, so that a length of one version with the words of another shows.
        let words = [version, version * 3];
        self.snapshots().publish(if version.is_multiple_of(2) { &words } else { &words[..1] });
    }

    /// The version read, if the read succeeded; panics if it is not one version, whole.
    #[track_caller]
    fn version(&self) -> Option<u64> {
        let mut words = Vec::new();
        if !self.snapshots().read(&mut words) {
            return None;
        }
        let version = words[0];
        let whole = if version.is_multiple_of(2) { words == [version, version * 3] } else { words == [version] };
        assert!(whole && version != 0, "torn: {words:?}");
        Some(version)
    }

    /// Begins to publish as `publish` does, and dies after `words` words.
    fn die_in_publish(&self, words: usize) {
        let next = 1 - (self.active.load(Relaxed) & 1) as usize;
        let sequence = &self.buffers[next][0];
        sequence.store(sequence.load(Relaxed) | 1, Relaxed);
        fence(Release);
        for word in self.buffers[next].iter().skip(1).take(words) {
            word.store(0xDEAD, Relaxed);
        }
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(f);
}

#[test]
fn every_read_is_one_version() {
    model(|| {
        let segment = Segment::new();
        let readers = [(); 2].map(|()| {
            let segment = segment.clone();
            thread::spawn(move || segment.version())
        });
        for version in 1..=3 {
            segment.publish(version);
        }
        for reader in readers {
            let seen = reader.join().expect("no panic");
            assert!(seen.is_none_or(|version| version <= 3));
        }
        assert_eq!(segment.version(), Some(3), "nobody writes any more");
    });
}

/// One publish goes into the buffer that is not shown: a reader meanwhile gets the old or the new, never nothing.
#[test]
fn one_publish_disturbs_no_reader() {
    model(|| {
        let segment = Segment::new();
        segment.publish(1);
        let reader = {
            let segment = segment.clone();
            thread::spawn(move || segment.version())
        };
        segment.publish(2);
        assert!(matches!(reader.join().expect("no panic"), Some(1 | 2)));
    });
}

/// The lapped reader: the buffer that it copies is written again meanwhile.
#[test]
fn a_reader_who_is_lapped_notices() {
    model(|| {
        let segment = Segment::new();
        segment.publish(2);
        let reader = {
            let segment = segment.clone();
            thread::spawn(move || (segment.version(), segment.version()))
        };
        segment.publish(4);
        segment.publish(6);
        segment.publish(8);
        reader.join().expect("no panic");
    });
}

/// A writer that dies in mid-write stops nobody: neither the readers nor the next writer.
#[test]
fn a_dead_writer_stops_nobody() {
    for words in 0..=PAYLOAD + 1 {
        model(move || {
            let segment = Segment::new();
            segment.publish(1);
            segment.publish(2);
            let dying = {
                let segment = segment.clone();
                thread::spawn(move || segment.die_in_publish(words))
            };
            let reader = {
                let segment = segment.clone();
                thread::spawn(move || assert_eq!(segment.version(), Some(2)))
            };
            assert_eq!(segment.version(), Some(2));
            dying.join().expect("no panic");
            reader.join().expect("no panic");
            assert_eq!(segment.version(), Some(2), "the shown buffer is whole");
            segment.publish(3);
            assert_eq!(segment.version(), Some(3), "the next writer goes on");
            segment.publish(4);
            assert_eq!(segment.version(), Some(4));
        });
    }
}

/// The reader that already copies the buffer in which the next writer goes on.
#[test]
fn a_successor_of_a_dead_writer_is_not_mistaken() {
    model(|| {
        let segment = Segment::new();
        segment.publish(2);
        segment.publish(4);
        segment.die_in_publish(1);
        let reader = {
            let segment = segment.clone();
            thread::spawn(move || segment.version())
        };
        segment.publish(6);
        segment.publish(8);
        reader.join().expect("no panic");
        assert_eq!(segment.version(), Some(8));
        assert_eq!(segment.buffers.iter().filter(|buffer| buffer[0].load(Acquire) % 2 == 1).count(), 0);
    });
}
