//! Text in fixed-size fields: NUL-padded UTF-8 that was cleaned before it was stored and is cleaned again when read.
//!
//! Process names and command lines come from other users' processes. Whatever could move a cursor, change a colour or
//! turn the reading direction never gets further than this file.

/// Whether this character may reach a terminal: no control characters, no bidirectional overrides, nothing that is not to be seen (separators,
/// fillers, tags), no replacement noise.
fn harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'
                ..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
        )
        && !matches!(c, '\u{e0000}'..='\u{e0fff}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// The text with every harmful character replaced by `?`, invalid UTF-8 by U+FFFD.
pub fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if harmless(c) { c } else { '?' }).collect()
}

/// Stores text in a fixed field, cleaned, cut at a character's boundary, NUL-padded.
pub fn store<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut field = [0; N];
    let mut used = 0;
    for c in clean(text).chars() {
        let end = used + c.len_utf8();
        if end > N {
            break;
        }
        c.encode_utf8(&mut field[used..end]);
        used = end;
    }
    field
}

/// The text of a fixed field, up to the first NUL, cleaned.
pub fn load(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    clean(&field[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_overrides_do_not_survive() {
        let nasty = "py\x1b[31mthon\u{202e}\u{9b}2J\u{200b}";
        assert_eq!(load(&store::<32>(nasty.as_bytes())), "py?[31mthon??2J?");
    }

    #[test]
    fn a_name_that_cannot_be_seen_is_shown_as_such() {
        for unseen in ['\u{ad}', '\u{115f}', '\u{180e}', '\u{200d}', '\u{3164}', '\u{ffa0}', '\u{e0041}'] {
            assert_eq!(clean(unseen.to_string().repeat(2).as_bytes()), "??", "{unseen:?}");
        }
    }

    #[test]
    fn cuts_at_a_character() {
        assert_eq!(load(&store::<4>("aéé".as_bytes())), "aé");
        assert_eq!(load(&store::<5>("aéé".as_bytes())), "aéé");
    }

    #[test]
    fn invalid_utf8_is_shown_as_such() {
        assert_eq!(load(&[b'a', 0xff, b'b', 0, b'x']), "a\u{fffd}b");
    }
}
