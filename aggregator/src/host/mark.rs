//! What people ask of single accounts: baselines set and cleared, figures begun anew. Whoever owns a process may, and root, and
//! the user that the aggregator runs as.

use super::{Host, Now};
use crate::chips::Chips;
use crate::control::Peer;
use crate::lines::bytes_text;
use crate::ration::Telling;
use crate::tracked::Tracked;
use shm_layout::control::{Action, Answer, Request};
use shm_layout::stats::{Chip, Severity};
use std::time::Instant;

/// What a request came to.
#[derive(Debug, Default)]
struct Done {
    /// Processes of which something was asked and done.
    processes: u64,
    /// Of a baseline set: what it is. Of a reset: what was counted and not listed. Bytes.
    bytes: u64,
    /// One who is somebody else's: pid and uid; and how many there are.
    denied: Option<(u32, u32)>,
    denied_count: u64,
}

impl Host {
    /// Does what was asked, and tells everybody that it was.
    pub fn obey(&mut self, request: Request, peer: Peer, now: Now) -> Answer {
        let done = self.mark(request, peer, now);
        let Done { processes, bytes, denied, denied_count } = done;
        let of = request.pid.map_or_else(String::new, |pid| format!(" of PID {pid}"))
            + &request.chip.map_or_else(String::new, |(id, _)| format!(" on chip {id:#x}"));
        match denied {
            _ if processes > 0 => {}
            Some((pid, uid)) => {
                return Err(format!(
                    "PID {pid} belongs to uid {uid}: only that user, root and the aggregator's own user may do this"
                ));
            }
            None => return Err(format!("nothing{of} is tracked: `tt-alloc stats` shows what is")),
        }
        let noun = if processes == 1 { "process" } else { "processes" };
        let what = match request.action {
            Action::SetBaseline => format!("baseline{of} set: {} in {processes} {noun}", bytes_text(bytes)),
            Action::ClearBaseline => format!("baseline{of} cleared in {processes} {noun}"),
            Action::Reset => {
                format!("figures{of} begun anew in {processes} {noun}: {} nobody owned up to", bytes_text(bytes))
            }
        };
        self.tell_request(&what, request.pid.unwrap_or(0), peer, now);
        let others =
            if denied_count == 0 { String::new() } else { format!("; {denied_count} of other users left alone") };
        Ok(what + &others)
    }

    /// Whether it may do this with everybody's.
    fn is_powerful(&self, peer: Peer) -> bool {
        peer.uid == 0 || peer.uid == self.uid
    }

    /// Tells everybody; of other users so many a minute, so that none of them washes away the lines about other things.
    fn tell_request(&mut self, what: &str, pid: u32, peer: Peer, now: Now) {
        let telling = if self.is_powerful(peer) { Telling::Line } else { self.requests.tell(peer.uid, Instant::now()) };
        let text = match telling {
            Telling::Line => format!("{what}, asked by PID {} (uid {})", peer.pid, peer.uid),
            Telling::Last => "what users ask for further is done without a line, for a minute".to_owned(),
            Telling::Nothing => return,
        };
        self.lines.add(now.unix_ns, Severity::Info, pid, &text);
    }

    fn mark(&mut self, request: Request, peer: Peer, now: Now) -> Done {
        let powerful = self.is_powerful(peer);
        let mut done = Done::default();
        let mut changed = Vec::new();
        for (seat, tracked) in self.seats.iter_mut() {
            let accounts = meant(request, tracked, &self.chips);
            if accounts.is_empty() {
                continue;
            }
            if !powerful && peer.uid != tracked.owner() {
                done.denied = Some((tracked.ring.pid, tracked.owner()));
                done.denied_count += 1;
                continue;
            }
            for at in accounts {
                done.bytes = done.bytes.saturating_add(act(request.action, tracked, at, &mut self.chips, now));
            }
            tracked.keep();
            done.processes += 1;
            changed.push(seat);
        }
        if powerful && request.action == Action::Reset && request.pid.is_none() {
            // What is live is the least that it will be.
            let figures = self.chips.all_mut().iter_mut().filter(|chip| is_meant(request, chip));
            figures.flat_map(|chip| &mut chip.memory).for_each(|figures| figures.peak_footprint_bytes = 0);
        }
        changed.into_iter().for_each(|seat| self.note_change(seat));
        done
    }
}

/// Whether a request is about this chip.
fn is_meant(request: Request, chip: &Chip) -> bool {
    request.chip.is_none_or(|asked| asked == (chip.chip_id, chip.id_is_logical != 0))
}

/// Accounts of a process that a request is about, by their places.
fn meant(request: Request, tracked: &Tracked, chips: &Chips) -> Vec<usize> {
    if request.pid.is_some_and(|pid| pid != tracked.ring.pid) {
        return Vec::new();
    }
    let accounts = tracked.books.accounts.iter().enumerate();
    accounts.filter(|(_, live)| is_meant(request, &chips.all()[live.chip])).map(|(at, _)| at).collect()
}

/// Does it with one account. Bytes: see [`Done`].
fn act(action: Action, tracked: &mut Tracked, at: usize, chips: &mut Chips, now: Now) -> u64 {
    let live = &mut tracked.books.accounts[at];
    match action {
        Action::SetBaseline => live.set_baseline(now.unix_ns),
        Action::ClearBaseline => {
            live.clear_baseline(now.unix_ns);
            0
        }
        Action::Reset => live.reset(chips),
    }
}
