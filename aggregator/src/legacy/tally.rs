//! What the listener did not take, counted; and lines about it, so many a minute.

use core::fmt::Display;
use shm_layout::stats::Severity;
use std::sync::mpsc::SyncSender;

/// Lines a minute.
const LINES: u32 = 20;
const MINUTE_NS: u64 = 60_000_000_000;

/// A line for the aggregator's event log.
#[derive(Clone, Debug)]
pub struct News {
    /// How much attention it wants.
    pub severity: Severity,
    /// The process it is about; 0 none.
    pub pid: u32,
    /// The line.
    pub text: String,
}

/// What was not taken, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that claimed another process than their sender.
    pub lies: u64,
    /// Messages that mean nothing: impossible kinds, devices, sizes; or beyond what one process or user may hold.
    pub invalid: u64,
    /// Bytes that were no message.
    pub skipped_bytes: u64,
    /// Connections that are not listened to any more.
    pub deaf: u64,
    /// Connections beyond the limits: closed at once, or closed for the sake of another though they had told nothing.
    pub turned_away: u64,
    /// Messages of processes that are dead, cannot be seen from here, or are beyond the limits; pieces whose sender hides.
    pub nobody: u64,
    /// Questions that were not answered: their sender does not read, or asked for too much printing.
    pub unanswered: u64,
}

/// Counts, and what of them was told.
#[derive(Debug)]
pub struct Tally {
    /// The counts.
    pub counts: Counts,
    logged: Counts,
    logged_ns: u64,
    news: SyncSender<News>,
    minute_ns: u64,
    lines: u32,
}

impl Tally {
    /// Nothing yet.
    pub fn new(news: SyncSender<News>) -> Self {
        let (counts, logged) = Default::default();
        Self { counts, logged, logged_ns: 0, news, minute_ns: 0, lines: 0 }
    }

    /// Tells of something, unless too much was told in this minute: then it is not even put into words. Never waits.
    pub fn tell(&mut self, now_ns: u64, severity: Severity, pid: u32, text: impl Display) {
        if now_ns.saturating_sub(self.minute_ns) > MINUTE_NS {
            (self.minute_ns, self.lines) = (now_ns, 0);
        }
        self.lines += 1;
        if self.lines <= LINES {
            // Full, or nobody listens any more: the counts tell.
            let _told = self.news.try_send(News { severity, pid, text: format!("socket: {text}") });
        }
    }

    /// Tells the counts where they have changed, once a minute.
    pub fn sum_up(&mut self, now_ns: u64, at_once: bool) {
        if self.counts == self.logged || !at_once && now_ns.saturating_sub(self.logged_ns) < MINUTE_NS {
            return;
        }
        (self.logged, self.logged_ns) = (self.counts, now_ns);
        let Counts { lies, invalid, skipped_bytes, deaf, turned_away, nobody, unanswered } = self.counts;
        let text = format!(
            "socket: so far {lies} messages with another's pid, {invalid} that mean nothing, {skipped_bytes} bytes that were no message, {deaf} connections given up, {turned_away} turned away, {nobody} messages of nobody known, {unanswered} questions unanswered"
        );
        let _told = self.news.try_send(News { severity: Severity::Warning, pid: 0, text });
    }
}
