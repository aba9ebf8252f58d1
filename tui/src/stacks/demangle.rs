//! Names of functions as people wrote them. A name may be made to become very long when it is taken apart: what is longer than a bound stays as it is.

use std::fmt::{self, Write};

/// Most bytes of a name.
const MOST: usize = 2048;

/// Text up to a bound.
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MOST {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// The name, taken apart if it is one of C++ or Rust, and cleaned.
pub fn demangle(name: &str) -> String {
    let mut end = name.len().min(MOST);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let known = if end == name.len() { rust(name).or_else(|| cpp(name)) } else { None };
    shm_layout::text::clean(known.unwrap_or_else(|| name[..end].to_owned()).as_bytes())
}

fn rust(name: &str) -> Option<String> {
    let symbol = rustc_demangle::try_demangle(name).ok()?;
    let mut text = Bounded::default();
    write!(text, "{symbol:#}").ok()?;
    Some(text.0)
}

fn cpp(name: &str) -> Option<String> {
    let symbol = cpp_demangle::Symbol::new(name).ok()?;
    let mut text = Bounded::default();
    let options = cpp_demangle::DemangleOptions::new().no_return_type();
    symbol.structured_demangle(&mut text, &options).ok()?;
    Some(text.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_three_languages() {
        assert_eq!(demangle("_ZN2tt8tt_metal6Buffer13allocate_implEv"), "tt::tt_metal::Buffer::allocate_impl()");
        assert_eq!(demangle("_ZN8producer7process6record17h0123456789abcdefE"), "producer::process::record");
        assert_eq!(demangle("_RNvC6_123foo3bar"), "123foo::bar");
        assert_eq!(demangle("main"), "main");
    }

    #[test]
    fn hostile_names_stay_short_and_harmless() {
        // Each pair has the one before twice.
        let bomb = |levels: u8| {
            let digit = |n: u8| char::from_digit(n.into(), 36).map(|digit| digit.to_ascii_uppercase()).unwrap_or('0');
            let pairs = (1..=levels).map(|n| format!("S0_IS{0}_S{0}_E", digit(n)));
            format!("_Z1f1ASt4pairIS_S_E{}", pairs.collect::<String>())
        };
        assert!(demangle(&bomb(2)).contains("std::pair<std::pair<std::pair<A, A>"), "{}", demangle(&bomb(2)));
        assert_eq!(demangle(&bomb(9)), bomb(9), "some kilobytes");
        assert_eq!(demangle(&bomb(30)), bomb(30), "some gigabytes");
        assert_eq!(demangle("\x1b[2Jx"), "?[2Jx");
        assert!(demangle(&"é".repeat(10_000)).len() <= MOST);
    }
}
