#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::*;
use crate::sample;
use shm_layout::segment::{Created, create};
use shm_layout::stats::{MAGIC, VERSION};
use std::sync::atomic::Ordering::Relaxed;

/// A stats segment of its own name, removed at the end.
struct Published {
    prefix: Prefix,
    created: Created,
}

impl Published {
    fn new(test: &str, bytes: usize) -> Self {
        let prefix = Prefix::new(&format!("tt_test_tui_{}_{test}", std::process::id())).unwrap();
        let created = create(&prefix.stats(), bytes).unwrap();
        Self { prefix, created }
    }

    fn announced(test: &str) -> Self {
        let published = Self::new(test, stats_bytes());
        published.announce();
        published
    }

    fn view(&self) -> StatsView<'_, AtomicU64> {
        let behind = size_of::<StatsHeader<AtomicU64>>();
        let mapping = &self.created.mapping;
        let words = mapping.array(behind, (mapping.len() - behind) / 8).unwrap();
        StatsView::new(mapping.one(0).unwrap(), words).unwrap()
    }

    fn announce(&self) {
        let start_ticks = procfs::stat("self").unwrap().start_ticks;
        self.view().announce(Identity { pid: std::process::id(), start_ticks, ..sample::identity() });
    }

    fn publish(&self, snapshot: &Snapshot) {
        let mut words = Vec::new();
        snapshot.encode(&mut words);
        self.view().snapshots().publish(&words);
        self.view().header.heartbeat.store(clock::monotonic_ns(), Relaxed);
    }

    fn source(&self) -> Source {
        Source::new(&self.prefix)
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.created.remove();
    }
}

fn error(feed: Feed) -> SourceError {
    match feed.connection {
        Connection::Unavailable(error) => error,
        other => panic!("expected an error, found: {other}"),
    }
}

#[test]
fn follows_the_aggregator_from_absent_to_replaced() {
    let published = Published::new("life", stats_bytes());
    let mut source = published.source();
    assert!(matches!(error(source.poll()), SourceError::NotReady { .. }));
    published.announce();
    assert!(matches!(error(source.poll()), SourceError::NotReady { .. }), "announced, nothing published");
    published.publish(&sample::host(2));
    published.view().record_sample(1, 0, 0, 77);
    published.view().advance_history(0);
    let feed = source.poll();
    assert!(matches!(feed.connection, Connection::Live));
    let seen = feed.seen.unwrap();
    assert_eq!(seen.snapshot, sample::host(2));
    assert_eq!(seen.history[1].spans[0], [77]);
    assert_eq!((&seen.history[1].samples[0][..], seen.history_head), ([77].as_slice(), 1));

    published.created.remove();
    assert!(matches!(error(source.poll()), SourceError::NoAggregator { .. }));
    let next = Published::announced("life");
    next.publish(&sample::host(3));
    assert_eq!(source.poll().seen.unwrap().snapshot.chips.len(), 3);
    // Replaced without being absent at any poll.
    next.created.remove();
    let last = Published::announced("life");
    last.publish(&sample::host(1));
    assert_eq!(source.poll().seen.unwrap().snapshot.chips.len(), 1);
}

#[test]
fn a_successor_in_the_same_segment_is_told_by_its_own_name() {
    let published = Published::announced("adopted");
    let mut source = published.source();
    published.publish(&sample::host(2));
    let seen = source.poll().seen.unwrap();
    assert_eq!(seen.identity.pid, std::process::id());
    let started_unix_ns = seen.identity.started_unix_ns + 5;
    published.view().announce(Identity { pid: 1, started_unix_ns, ..seen.identity });
    let seen = source.poll().seen.unwrap();
    assert_eq!((seen.identity.pid, seen.identity.started_unix_ns), (1, started_unix_ns));
    assert_eq!(seen.snapshot, sample::host(2));
}

#[test]
fn figures_published_once_are_copied_once() {
    let published = Published::announced("edition");
    let mut source = published.source();
    let publish = |generation| {
        let mut snapshot = sample::host(2);
        snapshot.health.generation = generation;
        published.publish(&snapshot);
    };
    // The generation of what was copied; `None` where nothing was.
    let generation = |news: News| match news {
        News::Feed(feed) => Some(feed.seen.unwrap().snapshot.health.generation),
        News::Same { .. } => None,
    };
    publish(1);
    assert_eq!(source.poll().seen.unwrap().snapshot.health.generation, 1);
    assert_eq!(generation(source.poll_again()), Some(1), "that poll was not this one's");
    assert_eq!(generation(source.poll_again()), None);
    published.view().record_sample(0, 0, 0, 77);
    published.view().advance_history(0);
    published.view().header.heartbeat.store(0, Relaxed);
    let News::Same { connection: Connection::Ended, pulse } = source.poll_again() else { panic!("not the same") };
    assert_eq!((&pulse.history[0].samples[0][..], pulse.history_head), ([77].as_slice(), 1), "time goes on");
    // One and two snapshots later: another buffer, the same buffer.
    publish(2);
    assert_eq!(generation(source.poll_again()), Some(2));
    publish(3);
    publish(4);
    assert_eq!(generation(source.poll_again()), Some(4));
    publish(5);
    publish(6);
    assert_eq!(generation(source.poll_again()), Some(6));
    assert_eq!(generation(source.poll_again()), None);
    // A poll in full is one in any case.
    assert!(source.poll().seen.is_some());
    // Another segment of the same name begins with the same sequence words.
    published.created.remove();
    let next = Published::announced("edition");
    for _ in 0..6 {
        next.publish(&sample::host(3));
    }
    let News::Feed(feed) = source.poll_again() else { panic!("it is another one") };
    assert_eq!(feed.seen.unwrap().snapshot.chips.len(), 3);
}

#[test]
fn figures_not_copied_again_make_the_same_screen() {
    use crate::screen::dashboard::Dashboard;
    let published = Published::announced("screen");
    published.publish(&sample::host(4));
    let mut dashboards = [published.source(), published.source()].map(|source| {
        let theme = crate::screen::theme::Theme::new(true, false);
        let zone = crate::clock::Zone::utc();
        (Dashboard::new("box".into(), zone, theme, crate::selection::Selection::default(), 100), source)
    });
    for round in 0..3 {
        let [(looks, source), (copies, other)] = &mut dashboards;
        looks.look(source);
        copies.update(other.poll());
        published.view().record_sample(3, 0, round, 77 << round);
        published.view().advance_history(round);
    }
    let pictures = dashboards.map(|(mut dashboard, mut source)| {
        dashboard.look(&mut source);
        let seen = dashboard.seen.as_mut().unwrap();
        (seen.now_ns, seen.unix_ns) = (seen.identity.started_monotonic_ns, sample::UNIX_NS);
        let mut buffer = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, 160, 45));
        let area = buffer.area;
        crate::screen::draw(&mut buffer, area, &dashboard);
        buffer
    });
    assert_eq!(pictures[0], pictures[1]);
    assert!(pictures[0].content.iter().any(|cell| cell.symbol() == "█"), "there are figures on it");
}

#[test]
fn tells_old_figures_from_new_ones() {
    let published = Published::announced("stale");
    published.publish(&sample::host(1));
    let mut source = published.source();
    let heartbeat = |ns| published.view().header.heartbeat.store(ns, Relaxed);
    heartbeat(clock::monotonic_ns() - 3 * STALE_AFTER_NS);
    let feed = source.poll();
    assert!(matches!(feed.connection, Connection::Stale { age_ns, gone: false } if age_ns > STALE_AFTER_NS));
    assert!(feed.seen.is_some(), "the last figures are shown");
    heartbeat(0);
    assert!(matches!(source.poll().connection, Connection::Ended));
    // Its pid belongs to another process by now.
    published.view().announce(Identity { pid: std::process::id(), start_ticks: 1, ..sample::identity() });
    heartbeat(clock::monotonic_ns() - GONE_AFTER_NS - 1);
    assert!(matches!(published.source().poll().connection, Connection::Stale { gone: true, .. }));
}

#[test]
fn refuses_a_foreign_owner() {
    let published = Published::announced("owner");
    published.publish(&sample::host(1));
    let mut source = Source::trusting(&published.prefix, vec![4_123_456_789]);
    let error = error(source.poll());
    assert!(matches!(error, SourceError::Owner { .. }), "{error}");
    assert!(error.to_string().contains("refused") && !error.is_absence());
}

#[test]
fn refuses_another_version_whatever_its_size() {
    for bytes in [4096, stats_bytes(), stats_bytes() + 4096] {
        let published = Published::new(&format!("version{bytes}"), bytes);
        let words: &[AtomicU64] = published.created.mapping.array(0, 2).unwrap();
        words[1].store(u64::from(VERSION + 1) | u64::from(shm_layout::ring::ENDIAN_MARK) << 32, Relaxed);
        words[0].store(MAGIC, Relaxed);
        let error = error(published.source().poll());
        let wrong = matches!(error, SourceError::Foreign { error: IdentityError::Version { found }, .. } if found == VERSION + 1);
        assert!(wrong, "{bytes}: {error}");
    }
}

#[test]
fn refuses_what_is_no_stats_segment() {
    let published = Published::new("magic", 4096);
    published.created.mapping.one::<AtomicU64>(0).unwrap().store(5, Relaxed);
    assert!(matches!(error(published.source().poll()), SourceError::Foreign { error: IdentityError::Magic, .. }));
    let short = Published::new("short", 64);
    assert!(matches!(error(short.source().poll()), SourceError::Foreign { error: IdentityError::Geometry, .. }));
}

#[test]
fn survives_a_segment_that_shrinks_or_lies() {
    let published = Published::announced("shrink");
    published.publish(&sample::host(1));
    let mut source = published.source();
    assert!(source.poll().seen.is_some());
    published.view().snapshots().publish(&[u64::MAX; 40]);
    assert!(matches!(error(source.poll()), SourceError::Damaged { .. }));
    nix::unistd::ftruncate(&published.created.file, 8192).unwrap();
    assert!(matches!(error(source.poll()), SourceError::Foreign { error: IdentityError::Geometry, .. }));
    nix::unistd::ftruncate(&published.created.file, 0).unwrap();
    assert!(matches!(error(source.poll()), SourceError::NotReady { .. }));
}
