//! An aggregator in a process of its own, which can be stopped, killed and kept short, and whose log is kept.

use super::published::publisher;
use super::{Ground, Player, wait};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

pub struct Daemon {
    child: Child,
    /// Its stderr. A file in memory and without a name: there is nothing to tidy up, and unlike a pipe that nobody reads it is
    /// never full.
    log: File,
}

/// The aggregator as a command, begun by these words, if any: what sets limits or makes namespaces before it becomes the
/// aggregator.
pub fn command(ground: &Ground, by: &[&str]) -> Command {
    // Other packages' tests have this file as well, and not that program.
    let Some(program) = option_env!("CARGO_BIN_EXE_aggregator") else { panic!("no test of the aggregator") };
    let mut words = by.iter().copied().chain([program]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env("TT_ALLOC_PREFIX", ground.prefix.to_string()).env("RUST_LOG", "warn");
    command
}

/// The aggregator as this user's; only root can do that for another one.
pub fn command_as(ground: &Ground, uid: u32) -> Command {
    let mut command = command(ground, &[]);
    command.uid(uid).gid(uid);
    command
}

/// It must not start; what it says.
#[track_caller]
pub fn refused(command: Command) -> String {
    let (code, said) = Daemon::spawn_by(command).ended();
    assert_eq!(code, Some(1), "{said}");
    said
}

impl Daemon {
    /// One that has done nothing yet.
    pub fn spawn(ground: &Ground) -> Self {
        Self::spawn_by(command(ground, &[]))
    }

    pub fn spawn_by(mut command: Command) -> Self {
        let log = File::from(memfd_create(c"log", MFdFlags::MFD_CLOEXEC).unwrap());
        let child = command.stdout(Stdio::null()).stderr(log.try_clone().unwrap()).spawn().unwrap();
        Self { child, log }
    }

    /// One that publishes already.
    pub fn start(ground: &Ground) -> Self {
        Self::start_by(ground, command(ground, &[]))
    }

    /// As another user; only root can do that.
    pub fn start_as(ground: &Ground, uid: u32) -> Self {
        Self::start_by(ground, command_as(ground, uid))
    }

    /// With something that a shell does before it becomes the aggregator: what sets limits.
    pub fn start_after(ground: &Ground, before: &str) -> Self {
        Self::start_by(ground, command(ground, &["sh", "-c", &format!("{before} exec \"$0\"")]))
    }

    /// With these arguments.
    pub fn start_with(ground: &Ground, arguments: &[&str]) -> Self {
        let mut command = command(ground, &[]);
        command.args(arguments);
        Self::start_by(ground, command)
    }

    /// By a command whose process becomes the aggregator: by its pid it is known in its segment.
    pub fn start_by(ground: &Ground, command: Command) -> Self {
        let mut daemon = Self::spawn_by(command);
        let published = wait("its segment", || {
            daemon.must_live();
            (publisher(ground) == Some(daemon.pid())).then_some(())
        });
        published.unwrap();
        daemon
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    #[track_caller]
    pub fn must_live(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "the aggregator is dead: {}", self.said());
    }

    /// What it has logged until now.
    pub fn said(&self) -> String {
        let mut said = vec![0; usize::try_from(self.log.metadata().unwrap().len()).unwrap()];
        // By position: the place to write at is the child's, too.
        self.log.read_exact_at(&mut said, 0).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// SIGSTOP, and it stands still.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.pid());
        let stands = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
        wait("the aggregator to stand still", || stands().then_some(())).unwrap();
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: exit code, none if a signal killed it, and what it said.
    pub fn ended(&mut self) -> (Option<i32>, String) {
        let status = wait("the aggregator's end", || self.child.try_wait().unwrap()).unwrap();
        (status.code(), self.said())
    }

    /// SIGTERM, and its end in good order. What it said.
    pub fn end(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let (code, said) = self.ended();
        assert_eq!(code, Some(0), "{said}");
        said
    }

    /// These processes close and are shown no more, then it ends in good order, and nothing is left. What it said.
    pub fn end_after(self, ground: &Ground, players: impl IntoIterator<Item = Player>) -> String {
        players.into_iter().for_each(Player::close);
        ground.see("nobody", |s| s.processes.is_empty());
        let said = self.end();
        ground.must_be_clean();
        said
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the aggregator {} said: {}", self.pid(), self.said());
        }
    }
}
