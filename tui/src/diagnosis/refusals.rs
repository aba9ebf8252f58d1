//! Rings that the aggregator does not read, and why: what each reason asks for.

use super::{Finding, TOLD, Verdict, user};
use crate::degraded;
use crate::source::Observation;
use crate::units::{age, count};
use crate::users::Users;
use shm_layout::names::DIRECTORY;
use shm_layout::stats::{Reason, Refusal};

/// Each of them, as far as it is one of those that are told one by one.
pub(super) fn findings(seen: &Observation, users: &Users) -> Vec<Finding> {
    let (what, health) = ("rings", &seen.snapshot.health);
    let refusals = &seen.snapshot.refusals;
    if health.refused_rings == 0 && refusals.is_empty() {
        let before = health.rejected_rings_total;
        let before = if before > 0 { format!("; {} were, so far", count(before)) } else { String::new() };
        return vec![Finding::new(what, Verdict::Good, format!("none is refused{before}"))];
    }
    let mut found: Vec<Finding> = refusals.iter().take(TOLD).map(|refusal| one_refused(refusal, seen, users)).collect();
    let more = health.refused_rings.max(refusals.len() as u64) - found.len() as u64;
    if more > 0 {
        let text = format!("{} more are refused", count(more));
        found.push(Finding::new(what, Verdict::Note, text).next(
            "`tt-alloc stats --json` lists the first 64; many from one user may be an attack on the list, not on the figures",
        ));
    }
    found
}

fn one_refused(refusal: &Refusal, seen: &Observation, users: &Users) -> Finding {
    let name = refusal.file().name(&seen.prefix);
    let since = age(seen.unix_ns.saturating_sub(refusal.since_unix_ns));
    let owner = user(refusal.owner, users);
    let text = format!("{DIRECTORY}/{} (of user {owner}, for {since})", degraded::refused(refusal, seen));
    let pid = refusal.pid;
    let (verdict, next) = match Reason::of(refusal.reason) {
        Reason::Permission => (Verdict::Bad, format!("user {owner} or root: `chmod u+rw {DIRECTORY}/{name}`")),
        Reason::NotRegular | Reason::Owner | Reason::Linked | Reason::NotARing | Reason::Impostor => (
            Verdict::Note,
            format!(
                "the tracking library makes no such file; ask user {owner} about it, then remove {DIRECTORY}/{name}"
            ),
        ),
        Reason::Size | Reason::Sparse | Reason::Geometry => (
            Verdict::Bad,
            format!("it is damaged or no ring: start process {pid} again if it is one of yours, then remove the file"),
        ),
        Reason::NotReady => (
            Verdict::Bad,
            format!(
                "process {pid} has begun and not ended making it: look whether it hangs; `tt-alloc gc` if it is dead"
            ),
        ),
        Reason::Compacting => (
            Verdict::Bad,
            format!("process {pid} stands still while it makes room: `kill -CONT {pid}` if it was stopped"),
        ),
        Reason::Version => (
            Verdict::Bad,
            format!(
                "start process {pid} again with the tracking library of this aggregator's release (`tt-alloc run`), or run \
                 the aggregator of its release"
            ),
        ),
        Reason::Busy => (Verdict::Bad, "stop the other aggregator; this one tries again every few seconds".to_owned()),
        Reason::NoRoom => (
            Verdict::Bad,
            "raise the limit on open files for the aggregator (ulimit -n, LimitNOFILE= of its unit) and start it again"
                .to_owned(),
        ),
        Reason::System => (
            Verdict::Bad,
            "the system lacks what is named here (descriptors, memory, locks); it is tried again every few seconds"
                .to_owned(),
        ),
        Reason::Shrunk => {
            (Verdict::Bad, format!("user {owner} or process {pid} cut it short: start that process again to track it"))
        }
        Reason::Other => {
            (Verdict::Bad, "use the doctor of the aggregator's release, which knows this reason".to_owned())
        }
    };
    Finding::new("ring refused", verdict, text).next(next)
}
