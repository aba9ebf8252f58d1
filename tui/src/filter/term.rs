//! One word of a filter, understood: what it asks of a process, and of an event line.

use super::words::Word;
use crate::amounts;
use crate::totals::ProcessTotals;
use shm_layout::stats::Line;
use shm_layout::text::clean;

/// What would be understood, in one line.
const UNDERSTOOD: &str = "use mem dram l1 cb other since events age (> >= < <= =), user name cmd pid dev is (:)";

/// A number in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Total,
    Dram,
    L1,
    Cb,
    Other,
    Since,
    Events,
    Age,
    Pid,
}

/// How a number stands to the one that was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    More,
    AtLeast,
    Equal,
    AtMost,
    Less,
}

impl Comparison {
    fn holds(self, figure: i128, asked: i128) -> bool {
        match self {
            Self::More => figure > asked,
            Self::AtLeast => figure >= asked,
            Self::Equal => figure == asked,
            Self::AtMost => figure <= asked,
            Self::Less => figure < asked,
        }
    }
}

/// A text in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    User,
    Name,
    Command,
}

/// What a process is called, in lower case: made once for all words, and only where one of them looks at it.
#[derive(Debug)]
pub struct Folded {
    user: String,
    name: String,
    command_line: String,
}

impl Folded {
    /// Of this process.
    pub fn of(process: &ProcessTotals) -> Self {
        let who = &process.who;
        Self {
            user: who.user.to_lowercase(),
            name: who.name.to_lowercase(),
            command_line: who.command_line.to_lowercase(),
        }
    }
}

/// A state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Incomplete,
    Tracked,
    Untracked,
    Running,
    Gone,
    /// Of an event line, by its number.
    Severity(u32),
}

/// What one word asks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// Anywhere, in lower case.
    Anywhere(String),
    Compared(Figure, Comparison, u64),
    /// In lower case; the whole of it, or a part.
    Told(Field, String, bool),
    /// Logical numbers, from and to, or a label as it is.
    Device(Vec<(u32, u32)>, Vec<String>),
    Is(State),
}

/// One word, and whether it is turned round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    negated: bool,
    asked: Asked,
}

impl Term {
    /// Understands a word.
    ///
    /// # Errors
    /// Which word, and what would be understood.
    pub fn new(word: &Word) -> Result<Self, String> {
        let asked = match word.operator {
            None if word.text.is_empty() => Err("a word is missing".to_owned()),
            None => Ok(Asked::Anywhere(word.text.to_lowercase())),
            Some((from, to)) => asked(&word.text[..from].to_lowercase(), &word.text[from..to], &word.text[to..]),
        };
        match asked {
            Ok(asked) => Ok(Self { negated: word.negated, asked }),
            Err(why) => Err(format!("{}: {why}", clean(word.text.as_bytes()))),
        }
    }

    /// Whether the process is as asked. What is not known of it is not as asked, whichever way round.
    pub fn has<'a>(&self, process: &ProcessTotals, labels: &[String], folded: &impl Fn() -> &'a Folded) -> bool {
        self.asked.of_process(process, labels, folded).is_some_and(|is| is != self.negated)
    }

    /// Whether the event line is as asked by itself. What a line does not tell is not as asked, whichever way round.
    pub fn has_line<'a>(&self, line: &Line, folded: &impl Fn() -> &'a str) -> bool {
        self.asked.of_line(line, folded).is_some_and(|is| is != self.negated)
    }
}

fn asked(key: &str, operator: &str, value: &str) -> Result<Asked, String> {
    let comparison = match operator {
        ">" => Some(Comparison::More),
        ">=" => Some(Comparison::AtLeast),
        "=" => Some(Comparison::Equal),
        "<=" => Some(Comparison::AtMost),
        "<" => Some(Comparison::Less),
        _ => None,
    };
    let figure = match key {
        "mem" | "total" => Some(Figure::Total),
        "dram" => Some(Figure::Dram),
        "l1" => Some(Figure::L1),
        "cb" => Some(Figure::Cb),
        "other" => Some(Figure::Other),
        "since" => Some(Figure::Since),
        "events" => Some(Figure::Events),
        "age" => Some(Figure::Age),
        "pid" => Some(Figure::Pid),
        _ => None,
    };
    if let Some(figure) = figure {
        // "pid:7" is how people write it; "mem:1G" could be either way.
        let by = comparison.or((figure == Figure::Pid).then_some(Comparison::Equal));
        let by = by.ok_or_else(|| format!("use {key}> {key}>= {key}< {key}<= or {key}="))?;
        let amount = match figure {
            Figure::Events => amounts::count(value),
            Figure::Age => amounts::duration(value).map(amounts::ns),
            Figure::Pid => {
                let digits = value.bytes().all(|b| b.is_ascii_digit());
                value.parse().ok().filter(|_| digits).ok_or_else(|| "a process id is a number".to_owned())
            }
            _ => amounts::bytes(value),
        };
        return Ok(Asked::Compared(figure, by, amount?));
    }
    let field = match key {
        "user" => Some(Field::User),
        "name" => Some(Field::Name),
        "cmd" | "command" => Some(Field::Command),
        _ => None,
    };
    let by_words = matches!(operator, ":" | "=");
    if value.is_empty() && by_words && (field.is_some() || matches!(key, "dev" | "device" | "is")) {
        return Err(format!("what {key}?"));
    }
    match (key, field) {
        (_, Some(field)) if by_words => Ok(Asked::Told(field, value.to_lowercase(), operator == "=")),
        ("dev" | "device", _) if by_words => Ok(devices(value)),
        ("is", _) if by_words => state(value).map(Asked::Is),
        ("dev" | "device" | "is", _) | (_, Some(_)) => Err(format!("use {key}:")),
        ("tag", _) => Err("tags are of single allocations: tt-alloc buffers --tag lists them".to_owned()),
        _ => Err(format!("{UNDERSTOOD}; or put it in quotes")),
    }
}

/// `0`, `0a`, `0-3`, `0,2`.
fn devices(value: &str) -> Asked {
    let (mut ranges, mut labels) = (Vec::new(), Vec::new());
    for part in value.split(',').filter(|part| !part.is_empty()) {
        let number = |text: &str| text.parse().ok();
        let range = match part.split_once('-') {
            Some((first, last)) => number(first).zip(number(last)),
            None => number(part).map(|n| (n, n)),
        };
        match range {
            Some(range) => ranges.push(range),
            None => labels.push(part.to_lowercase()),
        }
    }
    Asked::Device(ranges, labels)
}

fn state(value: &str) -> Result<State, String> {
    match value.to_lowercase().as_str() {
        "incomplete" => Ok(State::Incomplete),
        "tracked" => Ok(State::Tracked),
        "untracked" => Ok(State::Untracked),
        "running" => Ok(State::Running),
        "gone" | "dead" => Ok(State::Gone),
        "info" => Ok(State::Severity(0)),
        "warning" => Ok(State::Severity(1)),
        "error" => Ok(State::Severity(2)),
        _ => Err("use is:incomplete tracked untracked running gone, of events is:info warning error".to_owned()),
    }
}

impl Asked {
    /// `None`: not known.
    fn of_process<'a>(&self, p: &ProcessTotals, labels: &[String], folded: &impl Fn() -> &'a Folded) -> Option<bool> {
        match self {
            Self::Anywhere(part) => {
                let Folded { user, name, command_line } = folded();
                Some([name, user, command_line].iter().any(|text| text.contains(part)) || p.pid.to_string() == *part)
            }
            Self::Compared(figure, by, asked) => figure.of(p).map(|amount| by.holds(amount, i128::from(*asked))),
            Self::Told(field, part, whole) => {
                let Folded { user, name, command_line } = folded();
                let text = match field {
                    Field::User => user,
                    Field::Name => name,
                    Field::Command => command_line,
                };
                Some(if *whole { text == part } else { text.contains(part) })
            }
            Self::Device(ranges, wanted) => {
                let has = |label: &str| wanted.iter().any(|asked| asked == label) || is_numbered(label, ranges);
                Some(p.chips.labels(labels).any(has))
            }
            Self::Is(state) => match state {
                State::Incomplete => Some(p.incomplete),
                State::Tracked => Some(p.mark().is_none()),
                State::Untracked => Some(p.mark().is_some()),
                State::Running => Some(p.running),
                State::Gone => Some(!p.running),
                State::Severity(_) => None,
            },
        }
    }

    /// `None`: a line does not tell.
    fn of_line<'a>(&self, line: &Line, folded: &impl Fn() -> &'a str) -> Option<bool> {
        match self {
            Self::Anywhere(part) => Some(folded().contains(part) || line.pid.to_string() == *part),
            Self::Compared(Figure::Pid, by, asked) if line.pid != 0 => {
                Some(by.holds(line.pid.into(), i128::from(*asked)))
            }
            // Lines tell names in brackets.
            Self::Told(Field::Name, part, false) => Some(folded().contains(part)),
            Self::Told(Field::Name, part, true) => Some(folded().contains(&format!("({part})"))),
            Self::Is(State::Severity(severity)) => Some(line.severity.min(2) == *severity),
            _ => None,
        }
    }
}

/// Whether a label's number is in one of the ranges: that of `2b` is 2.
fn is_numbered(label: &str, ranges: &[(u32, u32)]) -> bool {
    let digits = label.find(|c: char| !c.is_ascii_digit()).unwrap_or(label.len());
    let number = label[..digits].parse::<u32>();
    number.is_ok_and(|n| ranges.iter().any(|(first, last)| (*first..=*last).contains(&n)))
}

impl Figure {
    /// `None`: not known.
    fn of(self, p: &ProcessTotals) -> Option<i128> {
        let bytes = |amount: u64| p.is_known().then(|| i128::from(amount));
        match self {
            Self::Total => bytes(p.total),
            Self::Dram => bytes(p.dram),
            Self::L1 => bytes(p.l1),
            Self::Cb => bytes(p.cb),
            Self::Other => bytes(p.other),
            Self::Since => p.since.map(i128::from),
            Self::Events => p.mark().is_none().then(|| i128::from(p.events)),
            Self::Age => p.age_ns.map(i128::from),
            Self::Pid => Some(p.pid.into()),
        }
    }
}
