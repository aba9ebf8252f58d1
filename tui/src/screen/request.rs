//! What the keys ask of the aggregator: whom it is about, the question before it, and the answer, for which the screen does not wait.

use super::dashboard::Dashboard;
use super::prompt::Prompt;
use super::view::{Subject, View};
use crate::control::{ask_one, observe};
use crate::roster::ProcessKey;
use crate::source::Connection;
use shm_layout::control::{Action, Request};
use shm_layout::names::Prefix;
use shm_layout::stats::Identity;
use shm_layout::text;
use std::sync::mpsc::{TryRecvError, channel};

/// Whom a question is about, beyond what a request tells: a pid may be another process's before somebody answers.
#[derive(Clone, Copy, Debug)]
pub struct About {
    aggregator: Identity,
    process: Option<ProcessKey>,
}

impl About {
    /// Whether that is still there, as far as somebody publishes now.
    fn look(&self, prefix: &Prefix) -> Result<(), String> {
        // Where nobody can be seen nobody can be told from another either.
        let now = observe(prefix).map_err(|error| format!("nothing was asked: {error}"))?;
        if now.identity != self.aggregator {
            return Err("nothing was asked: another aggregator has taken over since the question".to_owned());
        }
        let is_there = |key: ProcessKey| now.snapshot.processes.iter().any(|process| key == process.into());
        match self.process {
            Some(key) if !is_there(key) => Err("nothing was asked: that process is not there any more".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Dashboard {
    /// Asks whether this is meant: of the selected process, of what details are shown of, or of everything that one may act on.
    pub fn confirm(&mut self, action: Action) {
        if self.replay.is_some() {
            return self.say("this is a recording: nothing can be asked of it", true);
        }
        let everything = Request { action, pid: None, chip: None };
        if !matches!(self.connection, Connection::Live) {
            return self.say("no aggregator lives that could be asked", true);
        }
        if self.asked.is_some() {
            return self.say("the answer to the last question has not come yet", true);
        }
        // Only what is to be seen is meant.
        let subject = match self.view {
            View::Detail => self.shown_subject().map(|(_, subject)| subject),
            View::Overview | View::Processes => self.selected.map(Subject::Process),
            _ => None,
        };
        let (request, whom) = match subject {
            Some(Subject::Device(id, logical)) => {
                let chips = self.seen.iter().flat_map(|seen| &seen.snapshot.chips);
                let at = chips.into_iter().position(|chip| (chip.chip_id, chip.id_is_logical) == (id, logical));
                let label = at.and_then(|at| self.labels.get(at)).map_or("?", String::as_str);
                let chip = Some((id, logical != 0));
                (Request { chip, ..everything }, format!("device {label}, all processes that you may act on"))
            }
            Some(Subject::Process(key)) => {
                let processes = self.seen.iter().flat_map(|seen| &seen.snapshot.processes);
                let Some(process) = processes.into_iter().find(|process| key == (*process).into()) else {
                    return self.say("it is not there any more", true);
                };
                let pid = Some(process.pid);
                (Request { pid, ..everything }, format!("PID {} ({})", process.pid, text::load(&process.name)))
            }
            None => (everything, "all processes that you may act on, on all devices".to_owned()),
        };
        let process = if let Some(Subject::Process(key)) = subject { Some(key) } else { None };
        self.about = self.seen.as_ref().map(|seen| About { aggregator: seen.identity, process });
        self.prompt = Some(Prompt::Confirm(request, whom));
    }

    /// Asks the aggregator, beside the screen.
    pub fn ask(&mut self, request: Request) {
        let Some(seen) = &self.seen else { return };
        let prefix = seen.prefix.clone();
        let Some(about) = self.about.take() else { return };
        let (tell, answer) = channel();
        let ask = move || {
            let asked = about.look(&prefix).map(|()| ask_one(&prefix, about.aggregator.pid, request));
            let words = match asked {
                Ok(Ok(Ok(done))) => (done, false),
                Ok(Ok(Err(refused))) => (format!("refused: {refused}"), true),
                Ok(Err(error)) => (error.to_string(), true),
                Err(gone) => (gone, true),
            };
            // Nobody waits any more: the screen has been left.
            let _left = tell.send(words);
        };
        match std::thread::Builder::new().name("control".into()).spawn(ask) {
            Ok(_) => self.asked = Some(answer),
            Err(error) => self.say(&format!("nothing was asked: {error}"), true),
        }
    }

    /// Takes what was done beside the screen, if it is there, and lets old words go; also while the figures are held. True: the last line is another one.
    pub fn hear(&mut self) -> bool {
        let gone = self.drop_old_message() | self.views.hear() | self.hear_of_disks();
        let answer = self.asked.as_ref().map(std::sync::mpsc::Receiver::try_recv);
        let (words, failed) = match answer {
            Some(Ok(words)) => words,
            Some(Err(TryRecvError::Disconnected)) => ("no answer came".to_owned(), true),
            Some(Err(TryRecvError::Empty)) | None => return gone,
        };
        self.asked = None;
        self.say(&words, failed);
        true
    }
}
