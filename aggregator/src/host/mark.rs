//! What people ask of single accounts: baselines set and cleared, figures begun anew. Whoever owns a process may, and root, and
//! the user that the aggregator runs as.

use super::{Host, Now};
use crate::account::Live;
use crate::control::Peer;
use crate::lines::bytes_text;
use shm_layout::control::{Action, Answer, Request};
use shm_layout::stats::Severity;

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
        let text = format!("{what}, asked by PID {} (uid {})", peer.pid, peer.uid);
        self.lines.add(now.unix_ns, Severity::Info, request.pid.unwrap_or(0), &text);
        let others =
            if denied_count == 0 { String::new() } else { format!("; {denied_count} of other users left alone") };
        Ok(what + &others)
    }

    fn mark(&mut self, request: Request, peer: Peer, now: Now) -> Done {
        let mut done = Done::default();
        let mut changed = Vec::new();
        let powerful = peer.uid == 0 || peer.uid == self.uid;
        for (seat, tracked) in self.seats.iter_mut() {
            let chips = &self.chips;
            let is_meant = |live: &Live| {
                let chip = &chips.all()[live.chip];
                request.chip.is_none_or(|(id, is_logical)| (chip.chip_id, chip.id_is_logical != 0) == (id, is_logical))
            };
            let meant = request.pid.is_none_or(|pid| pid == tracked.ring.pid);
            if !meant || !tracked.books.accounts.iter().any(is_meant) {
                continue;
            }
            if !powerful && peer.uid != tracked.file.uid {
                done.denied = Some((tracked.ring.pid, tracked.file.uid));
                done.denied_count += 1;
                continue;
            }
            let accounts: Vec<usize> =
                (0..tracked.books.accounts.len()).filter(|at| is_meant(&tracked.books.accounts[*at])).collect();
            for at in accounts {
                let live = &mut tracked.books.accounts[at];
                done.bytes = done.bytes.saturating_add(match request.action {
                    Action::SetBaseline => live.set_baseline(now.unix_ns),
                    Action::ClearBaseline => {
                        live.clear_baseline(now.unix_ns);
                        0
                    }
                    Action::Reset => live.reset(&mut self.chips),
                });
            }
            tracked.keep();
            done.processes += 1;
            changed.push(seat);
        }
        if request.action == Action::Reset && request.pid.is_none() && powerful {
            let meant = |id, is_logical| request.chip.is_none_or(|chip| chip == (id, is_logical));
            for chip in self.chips.all_mut().iter_mut().filter(|chip| meant(chip.chip_id, chip.id_is_logical != 0)) {
                // What is live is the least that it will be.
                chip.memory.iter_mut().for_each(|figures| figures.peak_footprint_bytes = 0);
            }
        }
        changed.into_iter().for_each(|seat| self.note_change(seat));
        done
    }
}
