//! Which processes and event lines are meant: a few words, as typed after `/` or given with `--filter`.
//!
//! ```text
//!   filter   = { word }                            every word must hold
//!   word     = [ "!" ] ( text | key operator value )
//!   text     = part of the name, the command line or the user, or the whole process id
//!   operator = ":" | "=" | ">" | ">=" | "<" | "<="
//! ```
//!
//! | key | operators | value |
//! |---|---|---|
//! | `mem` (`total`), `dram`, `l1`, `cb`, `other`, `since` | `>` `>=` `<` `<=` `=` | a size: `4096`, `64K`, `1.5GiB` (powers of 1024), `2MB` (of ten) |
//! | `events` | the same | a count: `500`, `20k`, `1.5M` |
//! | `age` | the same | time since the process was started: `90s`, `10m`, `1h30m`, `2d` |
//! | `pid` | the same, and `:` as `=` | a number |
//! | `user`, `name`, `cmd` | `:` a part of it, `=` the whole of it | text |
//! | `dev` | `:` `=` | devices that it uses, any of them: `0`, `0-3`, `0,2`; `0a` where several are called 0 |
//! | `is` | `:` `=` | `incomplete`, `tracked`, `untracked`, `running`, `gone`; of event lines `info`, `warning`, `error` |
//!
//! Capitals are as good as small letters. Quotes keep blanks together and take a word as it is: `name:"my job"`, `"a=b"`. The figures are
//! those of the process table: `cb` is what is registered, `mem` what TOTAL sums. What is not known (the memory of a process that only the driver tells of) is neither more
//! nor less than anything: no word about it holds, nor does its opposite.
//!
//! Of event lines, words look at the text, `name` as well; `pid` and `is` at what the line tells. The other words say nothing about a line by itself; the
//! screen also shows the lines of the processes that it shows.

mod term;
mod words;

use crate::totals::ProcessTotals;
use shm_layout::stats::Line;
use std::cell::OnceCell;
use term::{Folded, Term};

/// Words of a filter, at most: each is asked of every process at every look.
const MOST_WORDS: usize = 64;

/// What has to be true of what is shown. Empty: everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

impl Filter {
    /// Understands what was typed.
    ///
    /// # Errors
    /// Which word is not understood, and what would be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let words = words::words(text);
        if words.len() > MOST_WORDS {
            return Err(format!("{} words are more than the {MOST_WORDS} that a filter may have", words.len()));
        }
        let terms = words.iter().map(Term::new).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), terms })
    }

    /// As it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether everything is shown.
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether this process is meant. `labels`: of the chips of its snapshot.
    pub fn has(&self, process: &ProcessTotals, labels: &[String]) -> bool {
        let folded = OnceCell::new();
        let folded = || folded.get_or_init(|| Folded::of(process));
        self.terms.iter().all(|term| term.has(process, labels, &folded))
    }

    /// Whether this event line is meant by what it tells itself.
    pub fn has_line(&self, line: &Line) -> bool {
        let folded = OnceCell::new();
        let folded = || folded.get_or_init(|| crate::table::line_text(line).to_lowercase()).as_str();
        self.terms.iter().all(|term| term.has_line(line, &folded))
    }
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
