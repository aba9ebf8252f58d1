//! One connection: what has come of it, and what it is still to be told.

use super::frames::Frames;
use super::message::{Answer, Message, Size};
use super::peer::{self, Sender};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};

/// Questions that wait for their answer.
const MOST_QUESTIONS: usize = 64;
/// Bytes of answers that their reader has not read.
const MOST_UNSENT: usize = 16 << 10;

/// A question that waits until what was told before it is in the figures.
#[derive(Clone, Debug)]
pub struct Question {
    /// The question.
    pub message: Message,
    /// The moment that it waits for, see [`Waits`](super::waits::Waits).
    pub moment: u64,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    /// Who connected.
    pub peer: Sender,
    /// When, clock ticks after boot.
    pub since_ticks: u64,
    /// Who sent the last piece.
    pub sender: Sender,
    /// Its bytes.
    pub frames: Frames,
    /// When the last piece came, `CLOCK_MONOTONIC` ns.
    pub heard_ns: u64,
    /// It was told of once that it lied, and that it is given up.
    pub told: (bool, bool),
    /// The client that it counts for.
    pub client: Option<u32>,
    /// It has told something that was believed.
    pub sound: bool,
    questions: VecDeque<Question>,
    unsent: Vec<u8>,
}

/// What one look at a connection found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// So many bytes.
    Bytes(usize),
    /// So many bytes of nobody known, to be thrown away.
    OfNobody(usize),
    /// Nothing now.
    Nothing,
    /// Its end.
    End,
}

impl Connection {
    /// A new one.
    pub fn new(socket: OwnedFd, peer: Sender, now_ns: u64) -> Self {
        Self {
            socket,
            peer,
            since_ticks: peer::ticks_now(),
            sender: peer,
            frames: Frames::default(),
            heard_ns: now_ns,
            told: (false, false),
            client: None,
            sound: false,
            questions: VecDeque::new(),
            unsent: Vec::new(),
        }
    }

    /// Reads one piece of one sender.
    pub fn hear(&mut self, into: &mut [u8], now_ns: u64) -> Heard {
        match peer::receive(&self.socket, into) {
            Ok(Some((bytes, Some(sender)))) => {
                self.sender = sender;
                self.heard_ns = now_ns;
                Heard::Bytes(bytes)
            }
            Ok(Some((bytes, None))) => Heard::OfNobody(bytes),
            Err(Errno::EAGAIN | Errno::EINTR) => Heard::Nothing,
            Ok(None) | Err(_) => Heard::End,
        }
    }

    /// Whether there is room for a question.
    pub fn has_room(&self) -> bool {
        self.questions.len() < MOST_QUESTIONS && self.unsent.len() < MOST_UNSENT
    }

    /// Takes a question, for which there is room.
    pub fn ask(&mut self, question: Question) {
        self.questions.push_back(question);
    }

    /// Whether it waits for answers.
    pub fn is_waiting(&self) -> bool {
        !self.questions.is_empty() || !self.unsent.is_empty()
    }

    /// Questions that are not answered.
    pub fn questions(&self) -> usize {
        self.questions.len()
    }

    /// Answers in their order, as far as `answer` can; sends what can be sent.
    pub fn answer(&mut self, mut answer: impl FnMut(&Question) -> Option<Answer>) {
        while self.unsent.len() < MOST_UNSENT
            && let Some(found) = self.questions.front().and_then(&mut answer)
        {
            self.questions.pop_front();
            self.unsent.extend(found.encode(self.frames.size().unwrap_or(Size::Third)));
        }
        while !self.unsent.is_empty() {
            match send(self.socket.as_raw_fd(), &self.unsent, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(bytes) => drop(self.unsent.drain(..bytes)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => {
                    self.unsent.clear();
                    self.questions.clear();
                }
            }
        }
    }

    /// Nothing more can be sent by it; what it has sent is still to be read.
    pub fn refuse(&self) {
        let _refused = shutdown(self.socket.as_raw_fd(), Shutdown::Read);
    }

    /// Nothing more is said to it: whoever waits for an answer gets the end of the stream. What it says is still read.
    pub fn fall_silent(&mut self) {
        self.questions.clear();
        self.unsent.clear();
        let _done = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
    }
}
