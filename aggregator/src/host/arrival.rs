//! Processes that come: their rings are met when it is their turn, tracked or turned away with a reason.

use super::{Host, Now};
use crate::attach::{AttachError, AttachedRing};
use crate::descriptors::Places;
use crate::ration::Telling;
use crate::refused::Why;
use crate::tracked::{Met, Tracked};
use crate::wake::Wake;
use nix::sys::stat::lstat;
use shm_layout::leftover::{self, Fate};
use shm_layout::names::{DIRECTORY, ProcessFile};
use shm_layout::ring::SOURCE_PROXY;
use shm_layout::segment::{SegmentError, remove_if_same};
use shm_layout::stats::Severity;
use std::time::{Duration, Instant};

impl Host {
    /// These rings are there. Those that are not tracked yet will be met by [`welcome`](Self::welcome).
    pub fn announce(&mut self, files: impl IntoIterator<Item = ProcessFile>) {
        for file in files {
            // Root reads everybody's rings, others their own.
            let ours = self.uid == 0 || file.uid == self.uid;
            if ours && !self.seats.contains(&file) && !self.graves.iter().any(|grave| grave.file == file) {
                self.arrivals.announce(file);
            }
        }
    }

    /// Attaches to rings whose turn it is; no further one after this time. Rings attached.
    pub fn welcome(&mut self, wake: &Wake, at_most: Duration, now: Now) -> usize {
        let (begin, before) = (Instant::now(), self.seats.len());
        while let Some(file) = self.arrivals.next(begin) {
            match self.meet(file) {
                Ok(met) => self.take_in(met, wake, now),
                Err(error) => self.turn_away(file, &error, now),
            }
            if begin.elapsed() > at_most {
                break;
            }
        }
        self.seats.len().saturating_sub(before)
    }

    /// When the next ring is to be met; `None` if none waits.
    pub fn welcome_due(&self) -> Option<Instant> {
        self.arrivals.due()
    }

    fn meet(&mut self, file: ProcessFile) -> Result<Met, AttachError> {
        if self.is_full_for(file.uid) {
            return Err(AttachError::Full { name: file.name(&self.prefix), uid: file.uid });
        }
        self.refuse_second_name(&file)?;
        let ring = AttachedRing::attach(&self.prefix, &file)?;
        // Of one that speaks to the socket only the ring tells whose process it is.
        let uid = ring.client_uid();
        if uid != file.uid && self.is_full_for(uid) {
            return Err(AttachError::Full { name: file.name(&self.prefix), uid });
        }
        Tracked::meet(&self.prefix, file, ring, &mut self.chips)
    }

    /// Whether there is no room for a further process of this user.
    fn is_full_for(&self, uid: u32) -> bool {
        let limit = if self.uid == 0 && uid != 0 { self.places.of_one_user } else { self.places.all };
        self.seats.len() + self.graves.len() >= self.places.all || self.seats.len_of(uid) >= limit
    }

    /// A ring that is read under one name is not so much as opened under another: whoever closes any descriptor of a file loses all
    /// locks on it, and its process would move records under the reader.
    fn refuse_second_name(&self, file: &ProcessFile) -> Result<(), AttachError> {
        let name = file.name(&self.prefix);
        let Ok(stat) = lstat(format!("{DIRECTORY}/{name}").as_str()) else { return Ok(()) };
        #[allow(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
        let (inode, found) = ((stat.st_dev as u64, stat.st_ino as u64), stat.st_nlink as u64);
        if self.seats.has_inode(inode) { Err(SegmentError::Linked { name, found }.into()) } else { Ok(()) }
    }

    fn turn_away(&mut self, file: ProcessFile, error: &AttachError, now: Now) {
        let moment = Instant::now();
        if matches!(error, AttachError::Segment(SegmentError::NotFound { .. })) {
            return self.arrivals.forget(&file);
        }
        if error.is_not_ready() {
            // Its process may have been killed while it made it: nobody else removes it while an aggregator runs.
            let fate = leftover::fate(&self.prefix, &file);
            if let Ok(Fate::Leftover { inode, .. }) = fate
                && remove_if_same(&file.name(&self.prefix), inode)
            {
                return self.arrivals.forget(&file);
            }
            if self.arrivals.wait(file, moment) {
                return;
            }
        }
        let why = Why::of(error, &file.name(&self.prefix));
        if !self.arrivals.refuse(&self.prefix, file, why, moment, now.unix_ns) {
            // Told before.
            return;
        }
        let text = format!("ring refused: {error}");
        if self.lines.has(&text) {
            // By an earlier aggregator, which counted it.
            return;
        }
        self.rejected_total += 1;
        if let AttachError::Full { uid, .. } = *error {
            if !core::mem::replace(&mut self.full_told, true) {
                let Places { all, open_files, .. } = self.places;
                let tracked = self.seats.len();
                // The dead whose files are not removed yet have places, too.
                let who = if tracked + self.graves.len() >= all {
                    format!("{tracked} processes are tracked, and there is no room for more")
                } else {
                    let of_user = self.seats.len_of(uid);
                    format!("{of_user} processes of user {uid} are tracked, and there is no room for more of one user")
                };
                let text = format!("{who}: raise the limit on open files (ulimit -n, now {open_files})");
                self.lines.add(now.unix_ns, Severity::Error, file.pid, &text);
            }
            return;
        }
        let text = match self.refusals.tell(file.uid, moment) {
            Telling::Line => text,
            Telling::Last => "further refused rings are counted only, for a minute".to_owned(),
            Telling::Nothing => return,
        };
        self.lines.add(now.unix_ns, Severity::Warning, file.pid, &text);
    }

    fn take_in(&mut self, met: Met, wake: &Wake, now: Now) {
        let Met { mut tracked, continued, without_ledger, history_lost, unreadable } = met;
        let (file, pid, owner) = (tracked.file, tracked.ring.pid, tracked.owner());
        self.arrivals.forget(&file);
        let who = format!("PID {pid} ({})", tracked.name);
        if continued && self.succession.was_counted(tracked.gone_ns()) {
            // Its end was published, and whoever did it was killed before the files were removed.
            tracked.books.accounts.iter().for_each(|live| self.succession.forget(live, &mut self.chips));
            self.graves.push_front(Box::new(tracked));
            self.graves_shown += 1;
            return;
        }
        tracked.set_gone(0);
        tracked.books.opening.wanted = self.auto_baseline;
        // A ring that the socket's listener makes is younger than its process, which may have told others before.
        let identity = &tracked.ring.identity;
        tracked.books.opening.from_the_start = !continued
            && identity.created_monotonic_ns >= self.began_ns
            && (identity.source != SOURCE_PROXY || identity.start_ticks >= self.began_ticks);
        let known =
            if continued { self.succession.meet(&file, &tracked.books.accounts, &mut self.chips) } else { None };
        tracked.last_event_unix_ns = known.unwrap_or(0);
        for live in &tracked.books.accounts {
            // So that the next allocation makes the right peak: what is live is summed up only when it is published.
            let Some(memory) = live.memory() else { continue };
            let figures = self.chips.figures(live.chip, memory);
            figures.footprint_bytes = figures.footprint_bytes.saturating_add(live.footprint());
            figures.peak_footprint_bytes = figures.peak_footprint_bytes.max(figures.footprint_bytes);
        }
        if known.is_none() {
            let what = if continued { "is tracked again: its ledger is continued" } else { "is tracked" };
            self.lines.add(now.unix_ns, Severity::Info, pid, &format!("{who} {what}"));
        }
        if !continued {
            self.give_up(&file, true, now, "is not continued: its ledger is lost");
        }
        if let Some(error) = unreadable {
            let text = format!("{who}: its ledger was begun anew, what it held before is not known: {error}");
            self.lines.add(now.unix_ns, Severity::Error, pid, &text);
        }
        if let Some(error) = without_ledger {
            let text = format!("{who} has no ledger, single allocations are not listed: {error}");
            self.lines.add(now.unix_ns, Severity::Error, pid, &text);
        }
        if history_lost > 0 {
            let text = format!("{who}: {history_lost} records were read by an aggregator that left no ledger");
            self.lines.add(now.unix_ns, Severity::Error, pid, &text);
        }
        let seat = self.seats.sit(Box::new(tracked), now.monotonic_ns);
        self.sheet.come();
        self.turns.join(owner, seat);
        self.note_change(seat);
        let token = self.seats.token(seat);
        if let Some((tracked, state)) = self.seats.get(seat)
            && let Some(pidfd) = tracked.ring.pidfd()
        {
            match wake.watch(token, pidfd) {
                Ok(()) => state.watched = true,
                Err(errno) => tracing::warn!(%errno, pid, "its death will be noticed by the sweep only"),
            }
        }
    }
}
