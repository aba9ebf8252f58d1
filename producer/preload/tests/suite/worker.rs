//! A ttnn process that does what it is told.

use super::ended::wait;
use super::{NEXT, Session, WATCHDOG, read};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{SystemTime, UNIX_EPOCH};

/// `obeys.py`, tracked: does what it is told, one command at a time.
pub struct Worker {
    child: Child,
    pub pid: u32,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    errors: PathBuf,
}

impl Worker {
    pub fn start(session: &Session) -> Self {
        Self::start_by(session, session.tracked())
    }

    /// With Python alone.
    pub fn start_untracked(session: &Session) -> Self {
        Self::start_by(session, session.command(&session.bench.python))
    }

    fn start_by(session: &Session, mut command: Command) -> Self {
        let errors = session.directory.join(format!("worker-{}", NEXT.fetch_add(1, Relaxed)));
        command.arg(session.script("obeys.py"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&errors).unwrap());
        let mut child = command.spawn().unwrap();
        let (sender, answers) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            for answer in lines.filter_map(|line| line.strip_prefix("ANSWER ").map(str::to_owned)) {
                if sender.send(answer).is_err() {
                    break;
                }
            }
        });
        let mut worker = Self { pid: child.id(), commands: child.stdin.take(), child, answers, errors };
        assert_eq!(worker.answer("start"), worker.pid, "`tt-alloc run` becomes the command");
        worker
    }

    fn answer(&mut self, command: &str) -> Value {
        match self.answers.recv_timeout(WATCHDOG) {
            Ok(answer) => serde_json::from_str(&answer).unwrap(),
            Err(RecvTimeoutError::Timeout) => panic!("no answer to {command:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("{command:?} ended it:\n{}", read(&self.errors)),
        }
    }

    fn say(&mut self, command: &str) {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap_or_else(|error| {
            panic!("{command:?}: {error}\n{}", read(&self.errors));
        });
    }

    /// Has it do this, and waits until it is done.
    pub fn tell(&mut self, command: &str) -> Value {
        self.say(command);
        self.answer(command)
    }

    /// What the allocators say.
    pub fn truth(&mut self) -> Value {
        self.tell("truth")
    }

    /// Kills it with -9, and says when (Unix seconds).
    pub fn kill(&mut self) -> f64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        self.child.kill().unwrap();
        assert_eq!(wait(&mut self.child, "a killed worker").signal(), Some(9));
        now
    }

    /// Has it do something that ends it.
    pub fn abandon(&mut self, command: &str) -> ExitStatus {
        self.say(command);
        wait(&mut self.child, command)
    }

    /// Lets it end in an orderly way.
    pub fn finish(mut self) {
        let status = self.abandon("finish");
        assert!(status.success(), "{status}\n{}", read(&self.errors));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
