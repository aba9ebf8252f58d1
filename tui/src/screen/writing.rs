//! What the keys have written to a disk: the configuration file and recordings. A home on a server that hangs does not hold the screen.

use super::dashboard::Dashboard;
use crate::beside::{Beside, Broken};
use crate::configuration::file;
use crate::recording::writer::shown;
use crate::recording::{Begin, Recorder, Session};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is under way.
#[derive(Debug)]
pub struct Writing {
    /// The configuration file: what is to be said when it is done, and whether it has failed.
    settings: Beside<(String, bool)>,
    /// A recording that begins: its file has to be made.
    recording: Beside<Result<Recorder, String>>,
    /// That file.
    path: PathBuf,
    /// Since when the last of both, as long as nothing was said of it.
    since: Option<Instant>,
}

/// A leaving screen looks this often whether it is all written.
const GLANCE: Duration = Duration::from_millis(5);
/// After this time it is said that something is being written: most disks have answered by then.
const SLOW: Duration = Duration::from_millis(300);

impl Default for Writing {
    fn default() -> Self {
        Self { settings: Beside::new("settings"), recording: Beside::new("begin"), path: PathBuf::new(), since: None }
    }
}

/// What became of all that was written, when the screen has been left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// What was not written, and why.
    pub wrong: Vec<String>,
    /// What is to be said of the recording, if there was one.
    pub recording: Option<Result<String, String>>,
}

impl Dashboard {
    /// Writes what is set now into the configuration file, beside the screen.
    pub(super) fn save(&mut self) {
        let Some(path) = self.keeping.path.clone() else {
            self.say("nothing is kept: there is --no-config, or neither XDG_CONFIG_HOME nor HOME", true);
            return;
        };
        let name = file::shown(&path);
        if self.writing.settings.is_busy() {
            return self.say(&format!("{name} is still being written: the last W is not done"), true);
        }
        self.writing.since = Some(Instant::now());
        let settings = self.settings();
        self.writing.settings.ask((), move || match file::write(&path, &settings) {
            Ok(()) => (format!("kept in {name}"), false),
            Err(why) => (format!("{name} is not written: {why}"), true),
        });
    }

    /// Begins a recording, or ends it.
    pub(super) fn toggle_recording(&mut self) {
        if let Some(recorder) = &self.recorder {
            recorder.stop();
            return;
        }
        let name = format!("alloc-top-{}.rec", self.zone.stamp(crate::clock::unix_ns()));
        self.record(&PathBuf::from(name), Begin::New);
    }

    /// Begins a recording into this file, beside the screen; if that is not possible, it is said.
    pub fn record(&mut self, path: &Path, begin: Begin) {
        if self.writing.recording.is_busy() {
            return self
                .say(&format!("{} is still being made: the last w is not done", shown(&self.writing.path)), true);
        }
        self.writing.since = Some(Instant::now());
        self.writing.path = path.to_owned();
        let session = Session::here(self.host.clone(), self.refresh_ms);
        let (path, prefix) = (path.to_owned(), self.prefix.clone());
        self.writing.recording.ask((), move || {
            Recorder::start(&path, begin, &prefix, &session).map_err(|error| format!("nothing is recorded: {error}"))
        });
    }

    /// Takes what was written, and says so. True: something was.
    pub(super) fn hear_of_disks(&mut self) -> bool {
        let settings = self.writing.settings.heard();
        let recording = self.writing.recording.heard();
        let heard = settings.is_some() || recording.is_some();
        if let Some(settings) = settings {
            let (words, failed) = settings.unwrap_or_else(|broken| (self.unsaved(Some(broken)), true));
            self.say(&words, failed);
        }
        match recording.map(|recording| recording.unwrap_or_else(|broken| Err(self.unrecorded(Some(broken))))) {
            None => {}
            Some(Ok(recorder)) => {
                self.say(&format!("recording into {}; w ends it", shown(recorder.path())), false);
                self.recorder = Some(recorder);
            }
            Some(Err(why)) => self.say(&why, true),
        }
        let is_busy = self.writing.settings.is_busy() || self.writing.recording.is_busy();
        let slow = is_busy && self.writing.since.take_if(|since| since.elapsed() >= SLOW).is_some();
        if slow {
            self.say("it is being written: the disk has not answered yet", false);
        }
        heard || slow
    }

    /// Says what became of a recording that has ended. True: one has.
    pub fn tend_recorder(&mut self) -> bool {
        let Some(recorder) = self.recorder.take_if(|recorder| recorder.has_ended()) else { return false };
        let ended = recorder.end();
        let failed = ended.is_err();
        let (Ok(said) | Err(said)) = ended;
        self.say(&said, failed);
        true
    }

    /// What is to be said of the configuration file where nobody has said what became of it. It may have taken its place already: after that its folder is
    /// still to be written.
    fn unsaved(&self, broken: Option<Broken>) -> String {
        let path = self.keeping.path.as_deref().map(file::shown).unwrap_or_default();
        format!("{path} may not be written: {}", no_word(broken))
    }

    /// The same of a recording that was to begin.
    fn unrecorded(&self, broken: Option<Broken>) -> String {
        format!("nothing is recorded into {}: {}", shown(&self.writing.path), no_word(broken))
    }

    /// The screen has been left: waits at most so long for all that is still being written, side by side: a disk that hangs takes nothing from another.
    pub fn leave(&mut self, patience: Duration) -> Left {
        let until = Instant::now() + patience;
        let mut left = Left::default();
        if let Some(recorder) = &self.recorder {
            recorder.stop();
        }
        loop {
            match self.writing.settings.heard() {
                None | Some(Ok((_, false))) => {}
                Some(Ok((why, true))) => left.wrong.push(why),
                Some(Err(broken)) => left.wrong.push(self.unsaved(Some(broken))),
            }
            match self.writing.recording.heard() {
                None => {}
                Some(Ok(Ok(recorder))) => {
                    recorder.stop();
                    self.recorder = Some(recorder);
                }
                Some(Ok(Err(why))) => left.recording = Some(Err(why)),
                Some(Err(broken)) => left.recording = Some(Err(self.unrecorded(Some(broken)))),
            }
            let is_busy = self.writing.settings.is_busy() || self.writing.recording.is_busy();
            let has_ended = self.recorder.as_ref().is_none_or(Recorder::has_ended);
            if (has_ended && !is_busy) || Instant::now() >= until {
                break;
            }
            std::thread::sleep(GLANCE);
        }
        if self.writing.settings.is_busy() {
            left.wrong.push(self.unsaved(None));
        }
        if self.writing.recording.is_busy() {
            left.recording = Some(Err(self.unrecorded(None)));
        }
        if let Some(recorder) = self.recorder.take() {
            left.recording = Some(recorder.end_within(Duration::ZERO));
        }
        left
    }
}

/// Why nobody has said what became of it.
const fn no_word(broken: Option<Broken>) -> &'static str {
    match broken {
        Some(Broken) => "what wrote it has broken off",
        None => "its disk does not answer",
    }
}

#[cfg(test)]
mod tests;
