//! Who the tracked processes are, as text: cleaned, cut and looked up once a process, not once a look.

use crate::users::Users;
use crate::{container, lineage};
use shm_layout::procfs;
use shm_layout::stats::Process;
use shm_layout::text;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Tells a process from every other one, also from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    pid: u32,
    start_ticks: u64,
    nonce: u64,
}

impl From<&Process> for ProcessKey {
    fn from(process: &Process) -> Self {
        Self { pid: process.pid, start_ticks: process.start_ticks, nonce: process.nonce }
    }
}

/// What a process is called. Safe for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Its identity.
    pub key: ProcessKey,
    /// User name, else the uid.
    pub user: String,
    /// Its name.
    pub name: String,
    /// Its command line without the folder of the program; its name where that is not known.
    pub command_line: String,
    /// What /proc tells of it, once somebody asks: most views do not.
    told_here: OnceCell<Told>,
    is_here: bool,
    // As the aggregator tells it: a process may rename itself, and becomes another program by exec.
    uid: u32,
    told_name: [u8; 32],
    told_command: [u8; 200],
}

/// What /proc of this host tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    container: String,
    ancestors: Vec<u32>,
}

impl Told {
    fn of(key: ProcessKey) -> Self {
        let of = |pid: u32| procfs::stat(&pid.to_string()).map(|stat| stat.start_ticks);
        // Another process may have the pid by now, or in the namespace of this viewer.
        if of(key.pid) != Some(key.start_ticks) {
            return Self::default();
        }
        Self { container: container::of(key.pid), ancestors: lineage::ancestors(key.pid) }
    }
}

impl Who {
    /// The container or job that it runs in; empty where none is known.
    pub fn container(&self) -> &str {
        &self.told_here().container
    }

    /// Its parent, its parent's parent, and so on, as far as it can be seen from here.
    pub fn ancestors(&self) -> &[u32] {
        &self.told_here().ancestors
    }

    fn told_here(&self) -> &Told {
        // Those of a recording were elsewhere.
        self.told_here.get_or_init(|| if self.is_here { Told::of(self.key) } else { Told::default() })
    }

    fn new(process: &Process, users: &Users) -> Self {
        let name = text::load(&process.name);
        let command_line = Some(without_folder(&text::load(&process.command_line))).filter(|line| !line.is_empty());
        Self {
            key: process.into(),
            told_here: OnceCell::new(),
            is_here: users.are_here(),
            user: users.label(process.uid),
            command_line: command_line.unwrap_or_else(|| name.clone()),
            name,
            uid: process.uid,
            told_name: process.name,
            told_command: process.command_line,
        }
    }

    fn is_told_of(&self, process: &Process) -> bool {
        self.uid == process.uid && self.told_name == process.name && self.told_command == process.command_line
    }
}

/// The processes of the last snapshot, in its order.
#[derive(Debug, Default)]
pub struct Roster(Vec<Rc<Who>>);

impl Roster {
    /// Takes these processes for the last snapshot's. False: nobody came, nobody left.
    pub fn update(&mut self, processes: &[Process], users: &Users) -> bool {
        let before = std::mem::take(&mut self.0);
        // Made only when somebody came or left: a snapshot has its processes in one order.
        let mut places: Option<HashMap<ProcessKey, usize>> = None;
        let mut moved = before.len() != processes.len();
        let who = |(at, process): (usize, &Process)| {
            let key = ProcessKey::from(process);
            let same = before.get(at).filter(|who| who.key == key).or_else(|| {
                moved = true;
                let places =
                    places.get_or_insert_with(|| before.iter().enumerate().map(|(at, who)| (who.key, at)).collect());
                places.get(&key).and_then(|at| before.get(*at))
            });
            match same.filter(|who| who.is_told_of(process)) {
                Some(who) => Rc::clone(who),
                None => Rc::new(Who::new(process, users)),
            }
        };
        self.0 = processes.iter().enumerate().map(who).collect();
        moved
    }

    /// The processes, in the snapshot's order.
    pub fn all(&self) -> &[Rc<Who>] {
        &self.0
    }
}

/// The command line without the folder of its program: `python train.py` tells more than half a path.
fn without_folder(command_line: &str) -> String {
    let (program, rest) = command_line.split_once(' ').unwrap_or((command_line, ""));
    let program = program.rsplit('/').next().unwrap_or(program);
    format!("{program} {rest}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn names(roster: &Roster) -> Vec<&str> {
        roster.all().iter().map(|who| who.name.as_str()).collect()
    }

    #[test]
    fn texts_are_made_once_and_follow_their_process() {
        let users = Users::default();
        let mut roster = Roster::default();
        let mut processes = sample::host(1).processes;
        assert!(roster.update(&processes, &users));
        let first = roster.all().to_vec();
        assert!(!roster.update(&processes, &users));
        assert!(first.iter().zip(roster.all()).all(|(a, b)| Rc::ptr_eq(a, b)), "the same texts, not equal ones");
        // One leaves: the others move up and keep theirs.
        processes.remove(0);
        assert!(roster.update(&processes, &users));
        assert!(first[1..].iter().zip(roster.all()).all(|(a, b)| Rc::ptr_eq(a, b)));
        processes.swap(0, 1);
        assert!(roster.update(&processes, &users));
        assert_eq!(names(&roster), ["ttnn_bench", "vllm"]);
    }

    #[test]
    fn a_new_name_is_shown() {
        let users = Users::default();
        let mut roster = Roster::default();
        let mut processes = sample::host(1).processes;
        roster.update(&processes, &users);
        processes[1].name = text::store(b"worker\x1b[2J");
        processes[2].command_line = text::store(b"/opt/bin/other --flag");
        assert!(!roster.update(&processes, &users), "it is the same process");
        assert_eq!(names(&roster), ["python3", "worker?[2J", "ttnn_bench"]);
        assert_eq!(roster.all()[2].command_line, "other --flag");
        // The same pid, another process.
        processes[0].start_ticks += 1;
        assert!(roster.update(&processes, &users));
    }
}
