//! The producers, as the supervisor knows them: started, heard, stopped, killed.
//!
//! A producer says that it is there by connecting. It writes nothing before it is told to go, so none writes that is not
//! known here; forked children connect as well.

use crate::producer::{self, Part};
use crate::stuck::stuck;
use crate::tally::Tally;
use crate::truth::{Said, Truth};
use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use shm_layout::names::Prefix;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A producer that lives.
#[derive(Debug)]
pub struct Member {
    /// Its process id.
    pub pid: u32,
    pidfd: OwnedFd,
    stream: UnixStream,
    inbox: Vec<u8>,
    /// It was stopped by a signal.
    pub stopped: bool,
    /// It was told to go, ever.
    started: bool,
    /// It is quiet, and this is its truth.
    pub truth: Option<Truth>,
    /// Its live allocations, once they were asked for.
    pub blocks: Option<Vec<[u64; 8]>>,
    /// It is on its way out.
    leaving: bool,
    /// What it had told of itself when it was last asked.
    told: (u64, u64),
}

/// All of them.
#[derive(Debug)]
pub struct Cast {
    listener: UnixListener,
    socket: String,
    prefix: Prefix,
    /// Those that live and are known.
    pub members: Vec<Member>,
    /// Started, and not heard of yet.
    coming: Vec<Child>,
    /// Started and heard of; kept only so that each is waited for.
    children: Vec<Child>,
    /// Newcomers are told to go at once.
    pub storming: bool,
}

impl Cast {
    /// Nobody yet.
    ///
    /// # Errors
    /// When there can be no socket.
    pub fn new(prefix: &Prefix) -> anyhow::Result<Self> {
        let socket = format!("{prefix}.torture");
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&socket)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            socket,
            prefix: prefix.clone(),
            members: Vec::new(),
            coming: Vec::new(),
            children: Vec::new(),
            storming: false,
        })
    }

    /// Producers there are or will be in a moment.
    pub fn len(&self) -> usize {
        self.members.len() + self.coming.len()
    }

    /// Starts one, with a ring of this many bytes.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn start(&mut self, part: &Part, ring_bytes: u64) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([producer::ARGUMENT, "--socket", &part.socket, "--seed", &part.seed.to_string()])
            .args(["--threads", &part.threads.to_string(), "--devices", &part.devices.to_string()])
            .args(part.wild.then_some("--wild"))
            .args(part.blind.then_some("--blind"))
            .args(part.budget.map(|budget| format!("--budget={budget}")))
            .env("TT_ALLOC_TRACKING_ENABLED", "1")
            .env("TT_ALLOC_PREFIX", self.prefix.to_string())
            .env("TT_ALLOC_RING_BYTES", ring_bytes.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        self.coming.push(command.spawn().context("a producer")?);
        Ok(())
    }

    /// Name of the socket on which producers are heard.
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// Hears whoever speaks within this time, and sees who came and who died.
    ///
    /// # Errors
    /// When one says nonsense, or ends before it was there.
    pub fn hear(&mut self, within: Duration, tally: &mut Tally) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let heard = {
                let mut fds = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
                for member in &self.members {
                    fds.push(PollFd::new(member.pidfd.as_fd(), PollFlags::POLLIN));
                    fds.push(PollFd::new(member.stream.as_fd(), PollFlags::POLLIN));
                }
                match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)) {
                    Err(nix::errno::Errno::EINTR) => 0,
                    other => other?,
                }
            };
            if heard > 0 {
                self.accept()?;
                self.listen(tally)?;
                self.mourn();
            }
            if Instant::now() >= deadline {
                return self.look_after_coming();
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            let pid = getsockopt(&stream, sockopt::PeerCredentials)?.pid();
            if let Some(at) = self.coming.iter().position(|child| child.id() == pid as u32) {
                self.children.push(self.coming.swap_remove(at));
            }
            let Some(raw) = Pid::from_raw(pid) else { continue };
            // It may be dead already, and is nobody then.
            let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) else { continue };
            let mut member = Member {
                pid: pid as u32,
                pidfd,
                stream,
                inbox: Vec::new(),
                stopped: false,
                started: false,
                truth: Some(Truth::default()),
                blocks: None,
                leaving: false,
                told: (0, 0),
            };
            if self.storming {
                member.go();
            }
            self.members.push(member);
        }
    }

    fn listen(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.read();
            while let Some(end) = member.inbox.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = member.inbox.drain(..=end).collect();
                match serde_json::from_slice(&line).context("a producer's line")? {
                    Said::Quiet(truth) => {
                        tally.events += truth.events - member.told.0;
                        tally.forks += truth.forks - member.told.1;
                        member.told = (truth.events, truth.forks);
                        member.truth = Some(truth);
                    }
                    Said::Blocks(blocks) => member.blocks = Some(blocks),
                }
            }
        }
        Ok(())
    }

    /// Forgets the dead.
    fn mourn(&mut self) {
        self.members.retain(|member| {
            let mut fds = [PollFd::new(member.pidfd.as_fd(), PollFlags::POLLIN)];
            let dead = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
            if dead {
                if let Some(at) = self.children.iter().position(|child| child.id() == member.pid) {
                    let _reaped = self.children.swap_remove(at).wait();
                } else {
                    // An orphan that has become ours, or somebody else's child.
                    let _reaped = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(member.pid as i32), None);
                }
            }
            !dead
        });
    }

    fn look_after_coming(&mut self) -> anyhow::Result<()> {
        for child in &mut self.coming {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("a producer ended before it was there: {status}");
            }
        }
        Ok(())
    }

    /// Has everybody continue, be quiet, and tell the truth.
    ///
    /// # Errors
    /// When one does not, until the deadline.
    pub fn quiet(&mut self, deadline: Instant, tally: &mut Tally) -> anyhow::Result<()> {
        self.storming = false;
        self.members.iter_mut().for_each(Member::hush);
        loop {
            self.hear(Duration::from_millis(1), tally)?;
            let loud: Vec<u32> = self.members.iter().filter(|m| m.truth.is_none()).map(|m| m.pid).collect();
            if loud.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let where_they_are: String = loud.iter().map(|pid| stuck(*pid)).collect();
                anyhow::bail!("producers {loud:?} do not become quiet: {where_they_are}");
            }
        }
    }

    /// Everybody goes on.
    pub fn go(&mut self) {
        self.storming = true;
        self.members.iter_mut().for_each(Member::go);
    }

    /// Kills everybody, and waits until all are dead.
    ///
    /// # Errors
    /// When one does not die.
    pub fn kill_all(&mut self, patience: Duration, tally: &mut Tally) -> anyhow::Result<()> {
        self.storming = false;
        let deadline = Instant::now() + patience;
        loop {
            for member in &mut self.members {
                if !member.leaving {
                    member.kill();
                    tally.producer_kills += 1;
                }
            }
            if self.len() == 0 {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{} producers do not die", self.len());
            self.hear(Duration::from_millis(2), tally)?;
        }
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
        for child in &mut self.coming {
            let _killed = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Member {
    fn read(&mut self) {
        let mut bytes = [0; 1 << 14];
        // At the end of the stream, or if it is reset, its pidfd tells.
        while let Ok(got @ 1..) = self.stream.read(&mut bytes) {
            self.inbox.extend_from_slice(&bytes[..got]);
        }
    }

    /// Says this to it. Whether it lives to hear it is another matter.
    pub fn tell(&mut self, what: u8) {
        let _said = self.stream.write_all(&[what]);
    }

    fn signal(&self, signal: Signal) {
        // Whoever is dead is out of reach of signals.
        let _sent = pidfd_send_signal(&self.pidfd, signal);
    }

    fn go(&mut self) {
        self.started = true;
        self.truth = None;
        self.tell(producer::GO);
    }

    fn hush(&mut self) {
        self.go_on();
        if self.started && self.truth.is_none() {
            self.tell(producer::QUIET);
        }
    }

    /// Whether it can be told to do something.
    pub fn is_here(&self) -> bool {
        !self.leaving && !self.stopped
    }

    /// It is gone or will be in a moment; not to be counted twice.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.leaving = true;
        self.signal(Signal::KILL);
    }

    /// Tells it to end, in its own way.
    pub fn leave(&mut self, how: u8) {
        self.leaving = true;
        self.tell(how);
    }

    /// SIGSTOP.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn go_on(&mut self) {
        if self.stopped {
            self.stopped = false;
            self.signal(Signal::CONT);
        }
    }
}
