//! A filter cut into its words: at blanks, unless they are quoted.

/// One word, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// It began with `!`.
    pub negated: bool,
    /// What was written, without the `!` and without quotes.
    pub text: String,
    /// Where in `text` the first operator outside quotes begins, and where it ends.
    pub operator: Option<(usize, usize)>,
}

/// The words, from the left. A quote that is not closed reaches to the end: it is being typed.
pub fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, behind) = word(rest);
        words.push(word);
        rest = behind.trim_start();
    }
    words
}

/// The first word, and what is behind it.
fn word(text: &str) -> (Word, &str) {
    let negated = text.starts_with('!');
    let mut word = Word { negated, text: String::new(), operator: None };
    let mut rest = if negated { &text[1..] } else { text };
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        // Only where a value begins: the quote in "don't" is one of its letters.
        let value_begins = word.text.len() == word.operator.map_or(0, |(_, end)| end);
        match c {
            c if c.is_whitespace() => break,
            '"' | '\'' if value_begins => {
                let end = behind.find(c).unwrap_or(behind.len());
                word.text.push_str(&behind[..end]);
                rest = behind[end..].strip_prefix(c).unwrap_or("");
                // A quoted word is taken as it is.
                if word.operator.is_none() {
                    return (word, rest);
                }
                continue;
            }
            ':' | '=' | '<' | '>' if word.operator.is_none() => {
                let at = word.text.len();
                word.text.push(c);
                rest = behind;
                if let Some(equal) = rest.strip_prefix('=').filter(|_| matches!(c, '<' | '>')) {
                    word.text.push('=');
                    rest = equal;
                }
                word.operator = Some((at, word.text.len()));
                continue;
            }
            c => word.text.push(c),
        }
        rest = behind;
    }
    (word, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word as `!text|operator`.
    fn cut(text: &str) -> Vec<String> {
        let told = |word: Word| {
            let operator = word.operator.map_or("", |(from, to)| &word.text[from..to]);
            format!("{}{}|{operator}", if word.negated { "!" } else { "" }, word.text)
        };
        words(text).into_iter().map(told).collect()
    }

    #[test]
    fn words_end_at_blanks_outside_quotes() {
        assert_eq!(cut("  mem>1G   user:ann py"), ["mem>1G|>", "user:ann|:", "py|"]);
        assert_eq!(cut("name:\"my job\" 'a b'"), ["name:my job|:", "a b|"]);
        assert_eq!(cut("!user:root !\"x y\""), ["!user:root|:", "!x y|"]);
        assert_eq!(cut("mem>=1G mem<=2G a=b=c"), ["mem>=1G|>=", "mem<=2G|<=", "a=b=c|="]);
        assert_eq!(cut("don't \"user:ann\""), ["don't|", "user:ann|"]);
        assert_eq!(cut("name:\"being typed"), ["name:being typed|:"]);
        assert_eq!(cut("! "), ["!|"]);
        assert_eq!(cut("漢字:\u{3000}x"), ["漢字:|:", "x|"]);
        assert_eq!(cut(""), [""; 0]);
    }
}
