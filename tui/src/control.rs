//! Asking the aggregator for something: `tt-alloc baseline`, `tt-alloc reset`.

use crate::selection::Selection;
use crate::source::{Connection, Observation, Source};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt, socket, sockopt::PeerCredentials,
    sockopt::SendTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};
use shm_layout::control::{Action, Answer, ChipKey, MOST_BYTES, Request, answer_of, socket_name};
use shm_layout::names::Prefix;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long an aggregator may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why nothing could be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody publishes.
    #[error("{0}; start it, then ask again")]
    NoAggregator(Connection),
    /// Nobody answers.
    #[error(
        "the aggregator (process {pid}) does not answer at @{name}: {error}; from a container, ask on the host: the socket is in its network namespace"
    )]
    Unreachable {
        /// The aggregator.
        pid: u32,
        /// Of the socket.
        name: String,
        /// The system's answer.
        error: std::io::Error,
    },
    /// It has turned us away.
    #[error("the aggregator (process {pid}) has no room for another request now; ask again in a few seconds")]
    Crowded {
        /// The aggregator.
        pid: u32,
    },
    /// Somebody else has the name.
    #[error(
        "@{name} belongs to process {pid} of uid {uid}, which is not the aggregator that publishes (process {expected}): nothing was asked"
    )]
    Impostor {
        /// Of the socket.
        name: String,
        /// Who has it.
        pid: i32,
        /// Its user.
        uid: u32,
        /// Who should.
        expected: u32,
    },
    /// An answer that is none.
    #[error("the aggregator's answer is not one that this version knows: use the tt-alloc of its release")]
    Answer,
    /// No such device.
    #[error("none of the {known} known devices has that number or chip id; `tt-alloc stats` lists them")]
    NoDevice {
        /// Devices that are there.
        known: usize,
    },
}

/// The figures as of now, of an aggregator that lives.
///
/// # Errors
/// When none does.
pub fn observe(prefix: &Prefix) -> Result<Observation, ControlError> {
    let feed = Source::new(prefix).poll();
    match (feed.seen, feed.connection) {
        (Some(seen), Connection::Live) => Ok(seen),
        (_, connection) => Err(ControlError::NoAggregator(connection)),
    }
}

/// Asks for this on every device of the selection, one after the other; once, on all devices, where none is selected. The answers.
///
/// # Errors
/// When nobody could be asked.
pub fn ask(
    prefix: &Prefix,
    action: Action,
    pid: Option<u32>,
    selection: &Selection,
) -> Result<Vec<Answer>, ControlError> {
    let seen = observe(prefix)?;
    let chips: Vec<Option<ChipKey>> = if selection.0.is_empty() {
        vec![None]
    } else {
        let chips = seen.snapshot.chips.iter().filter(|chip| selection.has_chip(chip));
        chips.map(|chip| Some((chip.chip_id, chip.id_is_logical != 0))).collect()
    };
    if chips.is_empty() {
        return Err(ControlError::NoDevice { known: seen.snapshot.chips.len() });
    }
    chips.into_iter().map(|chip| ask_one(prefix, seen.identity.pid, Request { action, pid, chip })).collect()
}

/// Asks this aggregator for this, once.
///
/// # Errors
/// When it could not be asked.
pub fn ask_one(prefix: &Prefix, aggregator: u32, request: Request) -> Result<Answer, ControlError> {
    let name = socket_name(prefix);
    let unreachable = |error| ControlError::Unreachable { pid: aggregator, name: name.clone(), error };
    let connected = || {
        let stream = reach(&name)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let peer = getsockopt(&stream, PeerCredentials)?;
        Ok::<_, std::io::Error>((stream, peer))
    };
    let (mut stream, peer) = connected().map_err(unreachable)?;
    if u32::try_from(peer.pid()) != Ok(aggregator) {
        return Err(ControlError::Impostor { name, pid: peer.pid(), uid: peer.uid(), expected: aggregator });
    }
    let mut line = String::new();
    // Who is turned away is told by nothing but the end of the connection.
    let turned_away = |error: std::io::Error| match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ControlError::Crowded { pid: aggregator },
        _ => unreachable(error),
    };
    stream.write_all(format!("{request}\n").as_bytes()).map_err(turned_away)?;
    stream.take(MOST_BYTES as u64).read_to_string(&mut line).map_err(turned_away)?;
    if line.is_empty() {
        return Err(ControlError::Crowded { pid: aggregator });
    }
    answer_of(&line).ok_or(ControlError::Answer)
}

/// Connects, and writes, within [`PATIENCE`]: whoever has the name may let nobody in.
fn reach(name: &str) -> std::io::Result<UnixStream> {
    let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Before it connects: that waits as long, too.
    setsockopt(&stream, SendTimeout, &TimeVal::seconds(PATIENCE.as_secs().cast_signed()))?;
    match connect(stream.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?) {
        Err(nix::errno::Errno::EAGAIN) => Err(ErrorKind::TimedOut.into()),
        connected => connected.map(|()| stream.into()).map_err(Into::into),
    }
}
