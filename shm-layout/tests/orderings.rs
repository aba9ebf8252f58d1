//! House rules that a compiler does not know: every `SYNC(label)` names two sides, every ordering says why.
//!
//! Text, not syntax: it may be fooled, but not by forgetting.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines above an ordering within which its reason stands.
const REACH: usize = 6;

/// Files that were being written while these rules were. Take one off when its orderings say why; add none.
const OWING: [&str; 7] = [
    "producer/preload/src/chips.rs",
    "producer/preload/src/next.rs",
    "producer/preload/src/registry.rs",
    "producer/preload/src/scopes.rs",
    "tui/src/source.rs",
    "tui/src/terminal.rs",
    "tui/src/top.rs",
];

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            into.push(path);
        }
    }
}

/// Every source file of the workspace: name from the workspace's root on, and text without its tests (at its end, or in a
/// `tests.rs` of its own).
fn workspace() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned();
    let mut paths = Vec::new();
    for member in ["shm-layout", "producer", "producer/preload", "producer/capi", "aggregator", "tui"] {
        sources(&root.join(member).join("src"), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        (path.strip_prefix(&root).unwrap_or(&path).display().to_string(), code)
    };
    paths.into_iter().map(read).collect()
}

fn labels(line: &str) -> impl Iterator<Item = &str> {
    line.split("SYNC(").skip(1).filter_map(|rest| rest.split(')').next())
}

/// Whether the line, its comment aside, passes an ordering to something.
fn uses_ordering(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    if code.trim_start().starts_with("use ") || code.trim_start().starts_with("pub use ") {
        return false;
    }
    let word = |name: &str| {
        code.match_indices(name).any(|(at, _)| {
            let of_word = |c: char| c.is_alphanumeric() || c == '_';
            // As an argument: `Relaxed)` or `Relaxed,`; a type or a function of that name is none.
            !code[..at].ends_with(of_word) && code[at + name.len()..].starts_with([')', ','])
        })
    };
    ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"].into_iter().any(word)
}

/// What a file breaks of the rules.
fn unexplained(name: &str, code: &str) -> Vec<String> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| uses_ordering(line)) {
        let near = &lines[at.saturating_sub(REACH)..=at];
        let comments: Vec<&str> = near.iter().filter_map(|line| line.split_once("//").map(|(_, text)| text)).collect();
        let reason = comments.iter().any(|text| {
            text.contains("SYNC(") || ["Relaxed", "Acquire", "Release"].iter().any(|word| text.contains(word))
        });
        if !reason {
            found.push(format!("{name}:{}: {}", at + 1, line.trim()));
        }
    }
    found
}

#[test]
#[cfg_attr(miri, ignore = "reads the sources; nothing for miri to see")]
fn every_label_has_two_sides() {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, code) in workspace() {
        for (at, line) in code.lines().enumerate() {
            for label in labels(line) {
                seen.entry(label.to_owned()).or_default().push(format!("{name}:{}", at + 1));
            }
        }
    }
    let alone: Vec<_> = seen.iter().filter(|(_, places)| places.len() < 2).collect();
    assert!(seen.len() >= 12, "the sources were not found: {seen:?}");
    assert!(alone.is_empty(), "labels with one side only: {alone:#?}");
}

#[test]
#[cfg_attr(miri, ignore = "reads the sources; nothing for miri to see")]
fn every_ordering_says_why() {
    // The trait of atomics.rs passes orderings on and has none of its own.
    let exempt = |name: &str| name == "shm-layout/src/atomics.rs" || OWING.contains(&name);
    let files = workspace().into_iter().filter(|(name, _)| !exempt(name));
    let bare: Vec<String> = files.flat_map(|(name, code)| unexplained(&name, &code)).collect();
    assert!(bare.is_empty(), "orderings without a reason within {REACH} lines:\n{}", bare.join("\n"));
}

#[test]
fn the_rules_can_be_broken() {
    assert_eq!(unexplained("x", "fn f() {\n    word.store(1, Relaxed);\n}").len(), 1);
    assert_eq!(unexplained("x", "// a word\n    word.load(Ordering::SeqCst)").len(), 1);
    assert_eq!(unexplained("x", "// Relaxed: a counter.\nword.store(1, Relaxed);"), [""; 0]);
    assert_eq!(unexplained("x", "// SYNC(a.b): pairs with c.\nword.load(Acquire)"), [""; 0]);
    assert_eq!(unexplained("x", "use core::sync::atomic::Ordering::{Acquire, Relaxed};"), [""; 0]);
    assert_eq!(labels("// SYNC(a.b): x SYNC(c)").collect::<Vec<_>>(), ["a.b", "c"]);
}
