//! include/tt_alloc.h is what cbindgen makes of the code.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::path::Path;

/// Set to write the header again.
const WRITE: &str = "TT_ALLOC_WRITE_HEADER";

fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let made = cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("src/types.rs"))
        .with_src(root.join("src/api.rs"))
        .generate()
        .unwrap();
    let mut bytes = Vec::new();
    made.write(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_header_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/tt_alloc.h");
    let generated = generated();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(generated.lines()).position(|(there, made)| there != made);
    assert!(
        there == generated,
        "include/tt_alloc.h differs from the code, first in line {:?}; {WRITE}=1 cargo test -p capi --test header writes it",
        differs.map(|at| at + 1)
    );
}

/// Every function of the code is in the header, whatever cbindgen may have left out, and none besides.
#[test]
fn every_function_is_in_the_header() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = std::fs::read_to_string(root.join("src/api.rs")).unwrap();
    let header = std::fs::read_to_string(root.join("include/tt_alloc.h")).unwrap();
    let names = |text: &str, before: &str| {
        let mut names: Vec<String> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .filter_map(|line| line.split(before).nth(1)?.split('(').next().map(str::to_owned))
            .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            .collect();
        names.sort();
        names
    };
    let of_code = names(&code, "extern \"C\" fn tt_alloc_");
    let of_header: Vec<String> = {
        let with_parenthesis: String =
            header.lines().filter(|line| line.contains('(')).fold(String::new(), |all, line| all + line + "\n");
        names(&with_parenthesis, "tt_alloc_")
    };
    assert!(of_code.len() >= 15, "{of_code:?}");
    assert_eq!(of_code, of_header);
}
