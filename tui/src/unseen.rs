//! What a list of single allocations does not show, in words: rings and ledgers that are not read, allocations whose records were
//! lost, processes that are not tracked.

use crate::buffers::Query;
use crate::degraded;
use crate::ledger::{Ledger, LedgerError};
use crate::source::{Connection, Feed, Observation};
use crate::users::Users;
use serde::Serialize;
use shm_layout::procfs;
use shm_layout::stats::{Process, Source};

/// Things that are named one by one; of more it is said how many.
const NAMED: usize = 5;

/// One thing that is not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// Of this process; `None`: of several, or nobody knows of which.
    pub pid: Option<u32>,
    /// What, and why.
    pub text: String,
}

impl Unseen {
    fn new(pid: impl Into<Option<u32>>, text: impl Into<String>) -> Self {
        Self { pid: pid.into(), text: text.into() }
    }
}

/// What is missing in a list of what these ledgers hold. `feed` was read before them.
pub fn unseen(feed: &Feed, ledgers: &[Ledger], refused: &[LedgerError], query: &Query, users: &Users) -> Vec<Unseen> {
    let mut all = Vec::new();
    if !matches!(feed.connection, Connection::Live) {
        // Ledgers outlive their aggregator: they show how it was.
        all.push(Unseen::new(None, format!("{}; the list may be old", feed.connection)));
    }
    all.extend(refused.iter().map(|error| Unseen::new(None, error.to_string())));
    for ledger in ledgers.iter().filter(|ledger| ledger.was_cut_short() && query.means(ledger)) {
        let pid = ledger.identity().pid;
        all.push(Unseen::new(
            pid,
            format!("the ledger of process {pid} was cut short while it was read: its list is not all"),
        ));
    }
    if let Some(seen) = &feed.seen {
        all.extend(of_snapshot(seen, ledgers, query, users));
    }
    all
}

fn of_snapshot(seen: &Observation, ledgers: &[Ledger], query: &Query, users: &Users) -> Vec<Unseen> {
    let mut all = Vec::new();
    let is_meant = |process: &&Process| {
        query.pid.is_none_or(|pid| pid == process.pid) && query.filter.uid.is_none_or(|uid| uid == process.uid)
    };
    let (tracked, others): (Vec<&Process>, Vec<&Process>) =
        seen.snapshot.processes.iter().filter(is_meant).partition(|process| Source::is_tracked(process.source));
    for process in tracked {
        let who = degraded::who(process);
        if let Some(why) = degraded::why_incomplete(process.incomplete) {
            all.push(Unseen::new(process.pid, format!("{who}: {why}")));
        } else if !ledgers.iter().any(|ledger| ledger.identity().nonce == process.nonce)
            // It may have ended since the snapshot.
            && !procfs::is_gone(process.pid)
        {
            let user = users.label(process.uid);
            let text = format!("{who} of user {user}: its single allocations cannot be read from here");
            all.push(Unseen::new(process.pid, text));
        }
    }
    let of_whom = |processes: &[&Process]| {
        let names = processes.iter().take(NAMED).map(|process| degraded::who(process)).collect::<Vec<_>>().join(", ");
        if processes.len() > NAMED { format!("{names} and {} more", processes.len() - NAMED) } else { names }
    };
    match others[..] {
        [] => {}
        [one] => all.push(Unseen::new(
            one.pid,
            format!("{} uses a device and is not tracked: its single allocations are not known", of_whom(&others)),
        )),
        _ => all.push(Unseen::new(
            None,
            format!("{} use devices and are not tracked: their single allocations are not known", of_whom(&others)),
        )),
    }
    let health = &seen.snapshot.health;
    let refusals = &seen.snapshot.refusals;
    all.extend(refusals.iter().take(NAMED).map(|refusal| Unseen::new(refusal.pid, degraded::refused(refusal, seen))));
    let unnamed = health.refused_rings.saturating_sub(refusals.len().min(NAMED) as u64);
    if unnamed > 0 {
        all.push(Unseen::new(None, format!("{unnamed} more rings are not read; `tt-alloc doctor` tells why")));
    }
    if health.hidden_processes > 0 {
        let text = format!(
            "{} processes did not fit into the snapshot: whether single allocations of theirs are missing is not known",
            health.hidden_processes
        );
        all.push(Unseen::new(None, text));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::filter::Filter;
    use crate::sample;
    use shm_layout::stats::incomplete;

    fn of(seen: &Observation, query: &Query) -> Vec<String> {
        of_snapshot(seen, &[], query, &Users::default()).into_iter().map(|unseen| unseen.text).collect()
    }

    #[test]
    fn whatever_is_missing_is_said_of_those_who_were_asked_about() {
        let mut seen = sample::observation(2);
        let me = std::process::id();
        // Somebody who lives, and whose ledger is not there; somebody who is not tracked.
        seen.snapshot.processes.truncate(2);
        seen.snapshot.processes[0].pid = me;
        seen.snapshot.processes[1].source = Source::Driver as u32;
        let all = Query::default();
        let said = of(&seen, &all);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("cannot be read from here") && said[1].contains("is not tracked"), "{said:?}");
        let mine = Query { pid: Some(me), ..Query::default() };
        assert_eq!(of(&seen, &mine).len(), 1);
        let nobody = Query { filter: Filter { uid: Some(4_123_456_789), ..Filter::default() }, ..Query::default() };
        assert!(of(&seen, &nobody).is_empty());

        seen.snapshot.processes[0].incomplete = incomplete::DROPPED;
        assert!(of(&seen, &mine)[0].contains("its ring was full"));
        seen.snapshot.health.hidden_processes = 3;
        seen.snapshot.health.refused_rings = 2;
        let said = of(&seen, &mine);
        assert!(said.iter().any(|text| text.starts_with("2 more rings are not read")), "{said:?}");
        assert!(said.iter().any(|text| text.starts_with("3 processes did not fit")), "{said:?}");
    }
}
