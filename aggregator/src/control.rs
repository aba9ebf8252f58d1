//! The control socket: who asks for what. One request a connection, one line; nobody is waited for.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use shm_layout::control::{Answer, MOST_BYTES, Request, answer_line, socket_name};
use shm_layout::names::Prefix;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// Connections at a time, and of one user.
const MOST: usize = 32;
const MOST_OF_ONE: usize = 8;
/// A connection that has not said what it wants after this is closed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Accepted in one round.
const AT_ONCE: usize = 16;

/// Who asks, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process; 0 if it cannot be seen from here.
    pub pid: u32,
    /// User.
    pub uid: u32,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    peer: Peer,
    since: Instant,
    /// What was read of the line so far.
    line: Vec<u8>,
}

/// The socket, and those who are connected.
#[derive(Debug, Default)]
pub struct Control {
    listener: Option<UnixListener>,
    connections: Vec<Connection>,
}

impl Control {
    /// Takes the name. Without it nobody can ask for anything, and everything else goes on.
    pub fn listen(prefix: &Prefix) -> Self {
        let bind = || {
            let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(socket_name(prefix))?)?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        };
        let listener = bind().inspect_err(|error| {
            tracing::warn!(
                "no control socket, so `tt-alloc baseline` and `tt-alloc reset` find nobody: @{}: {error}",
                socket_name(prefix)
            );
        });
        Self { listener: listener.ok(), connections: Vec::new() }
    }

    /// What becomes readable when somebody connects.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Whether somebody is connected who has not asked yet.
    pub fn is_waiting(&self) -> bool {
        !self.connections.is_empty()
    }

    /// Lets in whoever is at the door, and answers whoever has asked.
    pub fn serve(&mut self, mut obey: impl FnMut(Request, Peer) -> Answer) {
        self.let_in();
        self.connections.retain_mut(|connection| {
            let Some(asked) = connection.read() else { return connection.since.elapsed() < PATIENCE };
            let answer = match asked {
                Ok(line) => line.parse().map_or_else(
                    |error: shm_layout::control::RequestError| Err(error.to_string()),
                    |request| obey(request, connection.peer),
                ),
                Err(()) => return false,
            };
            // A line fits into the socket's buffer; who does not read it has no answer.
            let _written = connection.stream.write(answer_line(&answer).as_bytes());
            false
        });
    }

    fn let_in(&mut self) {
        let Some(listener) = &self.listener else { return };
        for _ in 0..AT_ONCE {
            let Ok((stream, _)) = listener.accept() else { return };
            let Ok(peer) = getsockopt(&stream, PeerCredentials) else { continue };
            let peer = Peer { pid: u32::try_from(peer.pid()).unwrap_or(0), uid: peer.uid() };
            let of_one = self.connections.iter().filter(|connection| connection.peer.uid == peer.uid).count();
            if self.connections.len() >= MOST || of_one >= MOST_OF_ONE || stream.set_nonblocking(true).is_err() {
                continue;
            }
            self.connections.push(Connection { stream, peer, since: Instant::now(), line: Vec::new() });
        }
    }
}

impl Connection {
    /// The line, once it is there whole; an error if it will never be one.
    fn read(&mut self) -> Option<Result<String, ()>> {
        let mut some = [0; MOST_BYTES];
        let room = MOST_BYTES - self.line.len();
        match self.stream.read(&mut some[..room]) {
            Ok(0) => return Some(Err(())),
            Ok(count) => self.line.extend_from_slice(&some[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return None,
            Err(_) => return Some(Err(())),
        }
        match self.line.iter().position(|byte| *byte == b'\n') {
            Some(end) => Some(String::from_utf8(self.line[..end].to_vec()).map_err(|_| ())),
            None if self.line.len() >= MOST_BYTES => Some(Err(())),
            None => None,
        }
    }
}
