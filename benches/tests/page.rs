//! docs/performance.md says what the JSON beside it says, and nothing else.

use benches::curves::bars::{BARS, Verdict};
use benches::curves::kept::{All, Kept};
use benches::curves::page;
use benches::machine::Distance;
use benches::report::Report;
use benches::sample::Sample;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("performance")
}

#[test]
fn the_page_in_the_tree_is_what_its_json_makes() {
    page::verify(&docs()).expect("docs/performance.md");
}

#[test]
fn what_is_written_by_hand_has_no_figures() {
    let text = std::fs::read_to_string(page::path(&docs())).expect("the page");
    for line in page::by_hand(&text).expect("its markers").lines() {
        // Code and the targets of links are names.
        let plain: String = line.split('`').step_by(2).collect();
        let plain: String = plain.split("](").map(|part| part.split_once(')').map_or(part, |(_, rest)| rest)).collect();
        assert!(!plain.contains(|c: char| c.is_ascii_digit()), "a figure that nobody measured: {line}");
    }
}

fn one(value: f64) -> Sample {
    Sample::from_iter([value])
}

fn peers(ours: f64) -> Report {
    let mut report = Report::new("peers");
    for distance in [Distance::Near, Distance::Far] {
        report.add("push, returned", "tt-alloc", Some(distance), "ns/event", &mut one(ours));
        report.add("push, returned", "rtrb", Some(distance), "ns/event", &mut one(18.5));
    }
    report
}

fn scale() -> Report {
    let mut report = Report::new("scale");
    for (processes, ns) in [(1.0, 123.4), (10.0, 57.9), (100.0, 61.3)] {
        let measure = "scale: aggregator's CPU, allocate only";
        report.add_point(measure, "100,000 live", ("processes", processes), "ns/event", &mut one(ns));
    }
    report
}

/// A folder with JSON, pictures and a page.
fn made() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path().join("performance");
    std::fs::create_dir(&folder).expect("a folder in it");
    for report in [peers(5.25), scale()] {
        Kept { quick: false, report }.write(&folder).expect("the JSON");
    }
    page::write(&folder).expect("the page");
    page::verify(&folder).expect("what was just made");
    (temporary, folder)
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("the file");
    assert!(text.contains(from), "{} has no {from}", path.display());
    std::fs::write(path, text.replacen(from, to, 1)).expect("to write it");
}

#[test]
fn a_figure_edited_by_hand_is_found() {
    let (_kept, folder) = made();
    replace(&page::path(&folder), "5.25", "4.25");
    let error = page::verify(&folder).expect_err("a figure was edited").to_string();
    assert!(error.contains("4.25") && error.contains("5.25"), "{error}");
}

#[test]
fn a_row_added_by_hand_is_found() {
    let (_kept, folder) = made();
    replace(&page::path(&folder), "<!-- end generated -->", "| ours | 1 |\n<!-- end generated -->");
    page::verify(&folder).expect_err("a row was added");
}

#[test]
fn json_that_the_page_does_not_show_is_found() {
    let (_kept, folder) = made();
    replace(&folder.join("peers.json"), "5.25", "6.25");
    page::verify(&folder).expect_err("the JSON is another");
}

#[test]
fn a_picture_edited_by_hand_or_missing_is_found() {
    let (_kept, folder) = made();
    let picture = folder.join("cpu-over-processes-light.svg");
    replace(&picture, "<circle cx=\"", "<circle cx=\"1");
    page::verify(&folder).expect_err("a dot was moved");
    std::fs::remove_file(picture).expect("to remove it");
    page::verify(&folder).expect_err("a picture is gone");
}

#[test]
fn what_is_written_by_hand_stays_when_the_page_is_made_anew() {
    let (_kept, folder) = made();
    let path = page::path(&folder);
    replace(&path, "<!-- begin generated: bars -->", "## Was it reached?\n\n<!-- begin generated: bars -->");
    page::write(&folder).expect("the page");
    let text = std::fs::read_to_string(&path).expect("the page");
    assert_eq!(text.matches("## Was it reached?\n\n<!-- begin generated: bars -->").count(), 1);
    page::verify(&folder).expect("the page");
}

#[test]
fn a_bar_is_met_not_met_met_in_part_or_not_measured() {
    let verdict = |reports: Vec<Report>, measure: &str| {
        let all = All(reports.into_iter().map(|report| Kept { quick: false, report }).collect());
        let bar = BARS.iter().find(|bar| bar.measure.contains(measure)).expect("a bar");
        bar.judge(&all).expect("units that fit").1
    };
    assert_eq!(verdict(vec![peers(9.2)], "against rtrb"), Verdict::Met);
    assert_eq!(verdict(vec![peers(9.4)], "against rtrb"), Verdict::NotMet);
    assert_eq!(verdict(vec![peers(5.0)], "slots returned"), Verdict::MetInPart, "the exact clock is missing");
    assert_eq!(verdict(vec![peers(7.0)], "slots returned"), Verdict::NotMet);
    assert_eq!(verdict(vec![scale()], "slots returned"), Verdict::NotMeasured);
}

#[test]
fn a_row_that_measures_something_else_is_no_figure() {
    let judged = |unit| {
        let mut report = Report::new("peers");
        report.add("disabled", "tt-alloc", None, unit, &mut one(0.002));
        report.add("disabled", "an empty call", None, unit, &mut one(0.001));
        BARS[0].judge(&All(vec![Kept { quick: false, report }])).map(|judged| judged.1)
    };
    assert_eq!(judged("µs").expect("a time"), Verdict::Met);
    assert_eq!(judged("ms").expect("a time"), Verdict::NotMet);
    assert!(judged("%").is_err());
}
