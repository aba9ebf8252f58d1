//! docs/failure-modes.md, docs/security-model.md and docs/original.md name tests as `file.rs::function`: each of them is there, and is a test.
//! No row of the fault matrix is missing.
//!
//! Text, not syntax: it may be fooled, but not by forgetting.

use std::fs;
use std::path::{Path, PathBuf};

const PAGES: [&str; 3] = ["docs/failure-modes.md", "docs/security-model.md", "docs/original.md"];
/// Lines above a function within which its attributes stand.
const REACH: usize = 6;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust file of the workspace: name from its root on, and text.
fn sources() -> Vec<(String, String)> {
    fn walk(root: &Path, directory: &Path, into: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let hidden = name.to_string_lossy().starts_with('.');
            if path.is_dir() && !hidden && name != "target" {
                walk(root, &path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                into.push((name, fs::read_to_string(&path).unwrap_or_default()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &root(), &mut found);
    found
}

/// Every `file.rs::function` of a page, between backticks on one line.
fn names(page: &str) -> Vec<(&str, &str)> {
    let spans = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter_map(|span| span.split_once("::").filter(|(file, _)| file.ends_with(".rs"))).collect()
}

/// Whether this text has a function of this name that is run as a test or a benchmark. Macros of the ttnn suite make tests of
/// functions, and of lines such as `name: "workload" on "cluster";`.
fn has_test(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let workload = format!("{function}: \"");
    if text.contains("\nworkloads! {") && lines.iter().any(|line| line.trim_start().starts_with(&workload)) {
        return true;
    }
    let declaration = format!("fn {function}(");
    let by_macro = text.contains("with_ttnn! {");
    lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with(&declaration)).any(|(at, _)| {
        let above = lines[at.saturating_sub(REACH)..at].iter().rev();
        let mut attributes = above.map(|line| line.trim()).take_while(|line| !line.is_empty() && *line != "}");
        by_macro || attributes.any(|line| line == "#[test]" || line.starts_with("#[library_benchmark"))
    })
}

/// What is wrong with such a name; nothing if it is that of one test.
fn fault(sources: &[(String, String)], file: &str, function: &str) -> Option<String> {
    let of_name = |name: &str| name == file || name.ends_with(&format!("/{file}"));
    let files: Vec<_> = sources.iter().filter(|(name, _)| of_name(name)).collect();
    let with_it: Vec<_> = files.iter().filter(|(_, text)| has_test(text, function)).map(|(name, _)| name).collect();
    match with_it[..] {
        [_] => None,
        [] if files.is_empty() => Some(format!("no file is called {file}")),
        [] => Some(format!("{file} has no test {function}")),
        _ => Some(format!("{file}::{function} may be in any of {with_it:?}")),
    }
}

#[test]
#[cfg_attr(miri, ignore = "reads the sources; nothing for miri to see")]
fn every_test_that_is_named_is_there() {
    let sources = sources();
    let mut faults = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).expect("the page");
        let names = names(&text);
        assert!(names.len() > 20, "{page} names {} tests only: is it read as it is written?", names.len());
        let found = names.into_iter().filter_map(|(file, function)| fault(&sources, file, function));
        faults.extend(found.map(|fault| format!("{page}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
#[cfg_attr(miri, ignore = "reads the sources; nothing for miri to see")]
fn the_matrix_has_every_row() {
    let text = fs::read_to_string(root().join(PAGES[0])).expect("the page");
    let numbered = |letter: char, last: u32| (1..=last).map(move |n| format!("{letter}{n:02}"));
    let rows = numbered('R', 63).chain(numbered('T', 7)).chain(numbered('A', 2)).chain(numbered('O', 3));
    for row in rows.chain(["R57b".to_owned()]) {
        let lines = text.lines().filter(|line| line.starts_with(&format!("| {row} |"))).count();
        assert_eq!(lines, 1, "rows called {row}");
    }
}

#[test]
fn the_rules_can_be_broken() {
    let test = "#[test]\n#[ignore]\nfn one() {}\n\nfn two() {}\n".to_owned();
    let sources = [("a/tests/x.rs".to_owned(), test.clone()), ("b/tests/x.rs".to_owned(), test)];
    assert!(fault(&sources[..1], "x.rs", "one").is_none());
    assert!(fault(&sources, "b/tests/x.rs", "one").is_none());
    assert!(fault(&sources, "x.rs", "one").is_some(), "two of them");
    assert!(fault(&sources, "a/tests/x.rs", "two").is_some(), "not a test");
    assert!(fault(&sources, "a/tests/x.rs", "three").is_some(), "gone");
    assert!(fault(&sources, "y.rs", "one").is_some(), "its file is gone");
    assert_eq!(names("| R01 | `x.rs::one`, `A::b` |\n`c` and `a/y.rs::two`"), [("x.rs", "one"), ("a/y.rs", "two")]);
}
