//! What may be asked of the aggregator: one line each way over its control socket.
//!
//! ```text
//!   client ──►  baseline-set pid=12345 chip=0x7000      who asks: SO_PEERCRED
//!          ◄──  ok baseline of PID 12345 on chip 0x7000 set: 14.2 MiB in 1 process
//!   client ──►  reset number=0x0                        a chip known by its logical number only
//!          ◄──  no PID 12345 belongs to uid 1000: only that user, root and the aggregator's own user may do this
//! ```
//!
//! Each line ends with a line break. `chip` and `number` exclude each other; without them all chips are meant, without `pid` all processes.
//! A user other than root and the aggregator's own has one request followed in 100 ms.
//!
//! The socket has an abstract name, `<prefix>.control`: no file to be left behind, squatted or removed. Both sides ask the kernel
//! who the other one is, and believe nothing else.

use crate::names::Prefix;
use core::fmt;
use core::str::FromStr;

/// Bytes of a request or an answer, at most, its line break included.
pub const MOST_BYTES: usize = 512;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// What is live now is what later figures are compared with.
    SetBaseline,
    /// There is nothing to compare with any more.
    ClearBaseline,
    /// Peaks begin anew, and what is counted without being listed goes.
    Reset,
}

impl Action {
    const ALL: [(Self, &str); 3] =
        [(Self::SetBaseline, "baseline-set"), (Self::ClearBaseline, "baseline-clear"), (Self::Reset, "reset")];

    /// Its name in a request.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, name)| name)
    }
}

/// A chip by its id, and whether that is only a logical number.
pub type ChipKey = (u64, bool);

/// One request: an action on the accounts of a process, on a chip, or both; on all where nothing is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub action: Action,
    /// Of this process, as the aggregator numbers it.
    pub pid: Option<u32>,
    /// On this chip.
    pub chip: Option<ChipKey>,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action.name())?;
        if let Some(pid) = self.pid {
            write!(f, " pid={pid}")?;
        }
        if let Some((id, is_logical)) = self.chip {
            write!(f, " {}={id:#x}", if is_logical { "number" } else { "chip" })?;
        }
        Ok(())
    }
}

/// Why a line is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a request that this version knows: use the tt-alloc of the aggregator's release")]
pub struct RequestError;

impl FromStr for Request {
    type Err = RequestError;

    fn from_str(line: &str) -> Result<Self, RequestError> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().ok_or(RequestError)?;
        let (action, _) = *Action::ALL.iter().find(|(_, known)| *known == name).ok_or(RequestError)?;
        let mut request = Self { action, pid: None, chip: None };
        for word in words {
            let (key, value) = word.split_once('=').ok_or(RequestError)?;
            let hex = || value.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            let before = match key {
                "pid" => request.pid.replace(value.parse().map_err(|_| RequestError)?).is_some(),
                "chip" | "number" => request.chip.replace((hex().ok_or(RequestError)?, key == "number")).is_some(),
                _ => true,
            };
            if before {
                return Err(RequestError);
            }
        }
        Ok(request)
    }
}

/// What was done, or why nothing was.
pub type Answer = Result<String, String>;

/// An answer as a line, its break included.
pub fn answer_line(answer: &Answer) -> String {
    let (word, text) = match answer {
        Ok(text) => ("ok", text),
        Err(text) => ("no", text),
    };
    let mut line: String = format!("{word} {text}").chars().filter(|c| !c.is_control()).collect();
    while line.len() >= MOST_BYTES {
        line.pop();
    }
    line.push('\n');
    line
}

/// A line as an answer; `None` if it is none.
pub fn answer_of(line: &str) -> Option<Answer> {
    let (word, text) = line.trim_end_matches('\n').split_once(' ')?;
    match word {
        "ok" => Some(Ok(text.to_owned())),
        "no" => Some(Err(text.to_owned())),
        _ => None,
    }
}

/// The abstract name of the socket.
pub fn socket_name(prefix: &Prefix) -> String {
    format!("{prefix}.control")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is drawn above is what both sides write.
    #[test]
    fn the_example_is_a_real_one() {
        let source = include_str!("control.rs");
        let drawn = |mark: &str| {
            let lines = source.lines().take_while(|line| line.starts_with("//!"));
            lines.filter_map(|line| Some(line.split_once(mark)?.1.trim())).collect::<Vec<_>>()
        };
        // What is said about it stands some blanks to the right.
        let requests = drawn("──►").into_iter().map(|line| line.split_once("  ").map_or(line, |(request, _)| request));
        let parsed: Vec<_> = requests.map(|line| (line, line.parse::<Request>().map(|r| r.to_string()))).collect();
        assert_eq!(parsed.len(), 2);
        parsed.into_iter().for_each(|(line, again)| assert_eq!(again.as_deref(), Ok(line)));
        let answers: Vec<_> =
            drawn("◄──").into_iter().map(|line| answer_of(line).map(|answer| answer.is_ok())).collect();
        assert_eq!(answers, [Some(true), Some(false)]);
    }

    #[test]
    fn a_request_comes_back() {
        for (action, _) in Action::ALL {
            for pid in [None, Some(1), Some(u32::MAX)] {
                for chip in [None, Some((0, true)), Some((0x7000_0000_0001, false)), Some((u64::MAX, false))] {
                    let request = Request { action, pid, chip };
                    assert_eq!(request.to_string().parse(), Ok(request));
                }
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            "",
            " ",
            "resets",
            "reset all",
            "reset pid",
            "reset pid=",
            "reset pid=-1",
            "reset pid=4294967296",
            "reset pid=1 pid=2",
            "reset chip=7",
            "reset chip=0x1 number=0x1",
            "reset chip=0x",
            "reset chip=0x10000000000000000",
            "reset uid=0",
        ] {
            assert_eq!(line.parse::<Request>(), Err(RequestError), "{line:?}");
        }
    }

    #[test]
    fn an_answer_comes_back_in_one_line() {
        let long = "x".repeat(2000);
        for answer in [Ok("done".to_owned()), Err("PID 1 is\nnot \u{1b}[31myours".to_owned()), Ok(long)] {
            let line = answer_line(&answer);
            assert!(line.len() <= MOST_BYTES && line.ends_with('\n') && line.matches('\n').count() == 1);
            let back = answer_of(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(back.is_ok(), answer.is_ok());
            assert!(!back.unwrap_or_else(|text| text).contains('\u{1b}'));
        }
        assert_eq!(answer_of("maybe x"), None);
    }
}
