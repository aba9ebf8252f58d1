//! The control socket: who asks for what. One request a connection, one line; nobody is waited for.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use shm_layout::control::{Answer, MOST_BYTES, Request, RequestError, answer_line, socket_name};
use shm_layout::names::Prefix;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// Connections at a time, where there are descriptors for them; and of one user.
pub const MOST: usize = 32;
const MOST_OF_ONE: usize = 8;
/// A connection that has not said what it wants after this is closed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Accepted in one round.
const AT_ONCE: usize = 16;
/// Requests followed in one round, of different users: each may look at every process, and rings wait meanwhile.
const FOLLOWED: usize = 2;
/// A user other than root and our own has one followed in so much time. The last of [`MOST_OF_ONE`] waits for less than
/// [`PATIENCE`].
const PAUSE: Duration = Duration::from_millis(100);

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
    /// What it asks for, once that is there.
    request: Option<Request>,
    /// What came of it: told once everybody can see it.
    done: Option<Answer>,
}

/// What came of looking at a connection.
enum Heard {
    /// Nothing whole yet.
    Nothing,
    /// It asks for this, and waits for its turn.
    Request(Request),
    /// It asks for what this version does not know.
    Unknown(RequestError),
    /// It will never ask for anything.
    Over,
}

/// Whose requests were followed just now.
#[derive(Debug, Default)]
struct Followed(Vec<(u32, Instant)>);

impl Followed {
    /// Whether it is this user's turn, in a round in which so many were followed; it is taken then.
    fn take_turn(&mut self, uid: u32, in_this_round: usize, now: Instant) -> bool {
        // Of one user, one in a round.
        let pause = |uid: u32| if is_ours(uid) { Duration::from_nanos(1) } else { PAUSE };
        self.0.retain(|(uid, at)| now.duration_since(*at) < pause(*uid));
        let its_turn = in_this_round < FOLLOWED && !self.0.iter().any(|(other, _)| *other == uid);
        if its_turn {
            self.0.push((uid, now));
        }
        its_turn
    }
}

/// Root's or our own: whoever runs this aggregator.
fn is_ours(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

/// Whether one more of this user may come in, beside those that are there, of at most so many. A quarter of the places is for root and our
/// own user alone: however many others crowd at the door, who runs this host is heard.
fn has_room(uid: u32, there: &[u32], most: usize) -> bool {
    let of = |who: &dyn Fn(u32) -> bool| there.iter().filter(|uid| who(**uid)).count();
    if is_ours(uid) {
        return there.len() < most && of(&is_ours) < most.div_ceil(4).max(MOST_OF_ONE);
    }
    of(&|other| other == uid) < MOST_OF_ONE && of(&|other| !is_ours(other)) < most - most.div_ceil(4)
}

/// The socket, and those who are connected.
#[derive(Debug)]
pub struct Control {
    listener: Option<UnixListener>,
    /// That the name cannot be had was told.
    told: bool,
    connections: Vec<Connection>,
    /// Of these, so many at a time.
    most: usize,
    followed: Followed,
}

impl Control {
    /// Not listening yet; so many connections at a time.
    pub fn new(most: usize) -> Self {
        Self { listener: None, told: false, connections: Vec::new(), most, followed: Followed::default() }
    }

    /// Takes the name, unless it has it. What becomes readable when somebody connects, if that is new. Without the name nobody can
    /// ask for anything, and everything else goes on; it is to be tried again, since whoever has it may end.
    pub fn listen(&mut self, prefix: &Prefix) -> Option<BorrowedFd<'_>> {
        if self.listener.is_some() {
            return None;
        }
        let bind = || {
            let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(socket_name(prefix))?)?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        };
        match bind() {
            Ok(listener) => self.listener = Some(listener),
            Err(error) if !core::mem::replace(&mut self.told, true) => tracing::warn!(
                "no control socket, so `tt-alloc baseline` and `tt-alloc reset` find nobody; it is tried again each second: @{}: {error}",
                socket_name(prefix)
            ),
            Err(_) => {}
        }
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Whether somebody is connected who has no answer yet.
    pub fn is_waiting(&self) -> bool {
        !self.connections.is_empty()
    }

    /// Lets in whoever is at the door, and does what those ask for whose turn it is. Who is refused is told so; the others are answered
    /// by [`answer`](Self::answer).
    pub fn serve(&mut self, mut obey: impl FnMut(Request, Peer) -> Answer) {
        self.let_in();
        let (now, mut count) = (Instant::now(), 0);
        let Self { connections, followed, .. } = self;
        connections.retain_mut(|connection| {
            if connection.done.is_some() {
                return true;
            }
            let answer = match connection.hear() {
                Heard::Nothing => return connection.since.elapsed() < PATIENCE,
                Heard::Over => return false,
                Heard::Unknown(error) => Err(error.to_string()),
                Heard::Request(request) => {
                    if !followed.take_turn(connection.peer.uid, count, now) {
                        return true;
                    }
                    count += 1;
                    obey(request, connection.peer)
                }
            };
            if answer.is_ok() {
                connection.done = Some(answer);
                return true;
            }
            connection.tell(&answer);
            false
        });
    }

    /// Whether something was done that nobody was told of yet.
    pub fn owes_answers(&self) -> bool {
        self.connections.iter().any(|connection| connection.done.is_some())
    }

    /// Answers those for whom something was done: after it was published, so that whoever looks upon the answer sees it.
    pub fn answer(&mut self) {
        self.connections.retain_mut(|connection| {
            let Some(answer) = connection.done.take() else { return true };
            connection.tell(&answer);
            false
        });
    }

    fn let_in(&mut self) {
        let Some(listener) = &self.listener else { return };
        for _ in 0..AT_ONCE {
            let Ok((stream, _)) = listener.accept() else { return };
            let Ok(peer) = getsockopt(&stream, PeerCredentials) else { continue };
            let peer = Peer { pid: u32::try_from(peer.pid()).unwrap_or(0), uid: peer.uid() };
            let there: Vec<u32> = self.connections.iter().map(|connection| connection.peer.uid).collect();
            if !has_room(peer.uid, &there, self.most) || stream.set_nonblocking(true).is_err() {
                continue;
            }
            self.connections.push(Connection {
                stream,
                peer,
                since: Instant::now(),
                line: Vec::new(),
                request: None,
                done: None,
            });
        }
    }
}

impl Connection {
    fn tell(&mut self, answer: &Answer) {
        // A line fits into the socket's buffer; who does not read it has no answer.
        let _written = self.stream.write(answer_line(answer).as_bytes());
    }

    fn hear(&mut self) -> Heard {
        if let Some(request) = self.request {
            return Heard::Request(request);
        }
        let mut some = [0; MOST_BYTES];
        let room = MOST_BYTES - self.line.len();
        match self.stream.read(&mut some[..room]) {
            Ok(0) => return Heard::Over,
            Ok(count) => self.line.extend_from_slice(&some[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Heard::Nothing;
            }
            Err(_) => return Heard::Over,
        }
        let Some(end) = self.line.iter().position(|byte| *byte == b'\n') else {
            return if self.line.len() < MOST_BYTES { Heard::Nothing } else { Heard::Over };
        };
        let Ok(line) = str::from_utf8(&self.line[..end]) else { return Heard::Over };
        match line.parse() {
            Ok(request) => {
                self.request = Some(request);
                Heard::Request(request)
            }
            Err(error) => Heard::Unknown(error),
        }
    }
}

#[cfg(test)]
mod tests;
