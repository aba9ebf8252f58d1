#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::*;
use crate::roster::Roster;
use crate::sample;
use crate::selection::chip_labels;
use crate::totals;
use crate::users::Users;
use shm_layout::stats::{Snapshot, Source, State, incomplete};

/// PIDs of those that are meant: of 41207 python3 (root, 4 chips), 41893 vllm (root, 0 and 1), 52011 `ttnn_bench` (nobody, 3).
fn meant_in(snapshot: &Snapshot, text: &str) -> Vec<u32> {
    let mut roster = Roster::default();
    roster.update(&snapshot.processes, &Users::default());
    let filter = Filter::parse(text).unwrap();
    let labels = chip_labels(&snapshot.chips);
    let all = totals::processes(snapshot, &roster);
    all.iter().filter(|p| filter.has(p, &labels)).map(|p| p.pid).collect()
}

fn meant(text: &str) -> Vec<u32> {
    meant_in(&sample::host(4), text)
}

const ALL: [u32; 3] = [41_207, 41_893, 52_011];

#[test]
fn bare_words_look_everywhere_and_all_must_hold() {
    assert_eq!(meant(""), ALL);
    assert_eq!(meant("PYTHON"), [41_207, 41_893], "the name of one, the command line of the other");
    assert_eq!(meant("python vllm"), [41_893]);
    assert_eq!(meant("nobody"), [52_011]);
    assert_eq!(meant("52011"), [52_011]);
    assert_eq!(meant("5201"), [0; 0], "a part of a pid is none");
    assert_eq!(meant("!python"), [52_011]);
    assert_eq!(meant("\"--op matmul\""), [52_011]);
    assert_eq!(meant("\"matmul --op\""), [0; 0]);
}

#[test]
fn figures_are_compared() {
    // DRAM: 51 GB, 13.5 GB, 130 MiB.
    assert_eq!(meant("dram>1G"), [41_207, 41_893]);
    assert_eq!(meant("MEM>=1GiB user:root"), [41_207, 41_893]);
    assert_eq!(meant("mem<1G"), [52_011]);
    assert_eq!(meant("dram=130MiB"), [52_011]);
    assert_eq!((meant("dram<=130MiB"), meant("dram<130MiB"), meant("dram>130MiB").len()), (vec![52_011], vec![], 2));
    assert_eq!(meant("l1<100M"), [41_893, 52_011]);
    assert_eq!(meant("cb>0"), ALL);
    assert_eq!(meant("events>1M"), [41_207]);
    assert_eq!(meant("other>0 events<100k"), [52_011]);
    assert_eq!(meant("since>0"), [0; 0], "no baseline is set");
    assert_eq!((meant("age>1h"), meant("age>2h")), (ALL.to_vec(), vec![]), "they were started an hour and a half ago");
    assert_eq!((meant("pid:52011"), meant("pid>41500")), (vec![52_011], vec![41_893, 52_011]));
}

#[test]
fn words_about_texts_and_devices() {
    assert_eq!(meant("user:ROO"), [41_207, 41_893]);
    assert_eq!((meant("user=roo"), meant("user=Root").len()), (vec![], 2));
    assert_eq!(meant("!user:root"), [52_011]);
    assert_eq!(meant("name:py"), [41_207]);
    assert_eq!(meant("cmd:\"train.py --model\""), [41_207]);
    assert_eq!(meant("dev:1"), [41_207, 41_893]);
    assert_eq!(meant("dev:2-9 !name:python3"), [52_011]);
    assert_eq!((meant("dev:1,3"), meant("dev:7"), meant("dev:x")), (ALL.to_vec(), vec![], vec![]));
    let mut two_of_one_number = sample::host(4);
    two_of_one_number.chips[3].device = 1;
    assert_eq!(meant_in(&two_of_one_number, "dev:1b"), [41_207, 52_011]);
    assert_eq!(meant_in(&two_of_one_number, "dev:1"), ALL);
}

#[test]
fn what_is_not_known_is_neither_more_nor_less() {
    let mut snapshot = sample::host(4);
    snapshot.processes[2].source = Source::Driver as u32;
    snapshot.processes[1].state = State::Running as u32 + 1;
    snapshot.processes[0].dropped_events_total = 3;
    snapshot.processes[0].incomplete = incomplete::DROPPED;
    snapshot.processes[0].start_unix_ns = 0;
    let meant = |text| meant_in(&snapshot, text);
    for text in ["mem<1G", "mem>=0", "!mem>1G", "events>=0", "!events>0"] {
        assert!(!meant(text).contains(&52_011), "{text}");
    }
    for text in ["age>0s", "!age>0s"] {
        assert!(!meant(text).contains(&41_207), "{text}");
    }
    assert_eq!((meant("is:untracked"), meant("is:tracked")), (vec![52_011], vec![41_207, 41_893]));
    assert_eq!((meant("is:incomplete"), meant("IS:Gone")), (vec![41_207], vec![41_893]));
    assert_eq!(meant("is:error"), [0; 0], "processes are no lines");
}

#[test]
fn lines_are_meant_by_what_they_tell() {
    let snapshot = sample::host(4);
    let lines = |text: &str| {
        let filter = Filter::parse(text).unwrap();
        let places = snapshot.lines.iter().enumerate().filter(|(_, line)| filter.has_line(line));
        places.map(|(at, _)| at).collect::<Vec<_>>()
    };
    assert_eq!(lines(""), [0, 1, 2, 3, 4, 5]);
    assert_eq!(lines("attached"), [0, 1, 5]);
    assert_eq!(lines("!attached"), [2, 3, 4]);
    assert_eq!(lines("pid:41893"), [1, 2]);
    assert_eq!(lines("!pid:41893"), [0, 3, 5], "the line of no process is not one of another process");
    assert_eq!((lines("name:vllm"), lines("name=vll")), (vec![1], vec![]));
    assert_eq!((lines("is:warning"), lines("is:error"), lines("!is:info")), (vec![2], vec![4], vec![2, 4]));
    for other in ["mem>1G", "!mem>1G", "user:root", "!user:root", "dev:0", "age>1s", "cmd:train", "is:tracked"] {
        assert_eq!(lines(other), [0; 0], "{other} is nothing that a line tells");
    }
}

#[test]
fn errors_name_the_word_and_what_would_do() {
    for (text, word, help) in [
        ("python mom>1G", "mom>1G:", "mem dram"),
        ("mem>", "mem>:", "1.5GiB"),
        ("mem>much", "mem>much:", "1.5GiB"),
        ("mem:1G", "mem:1G:", "mem>="),
        ("events>1MiB", "events>1MiB:", "1.5M"),
        ("age>10", "age>10:", "90s"),
        ("pid:x", "pid:x:", "number"),
        ("pid:+1", "pid:+1:", "number"),
        ("pid:", "pid::", "number"),
        ("user>ann", "user>ann:", "user:"),
        ("user:", "user::", "what user?"),
        ("dev:", "dev::", "what dev?"),
        ("is:odd", "is:odd:", "is:incomplete"),
        ("tag:kv", "tag:kv:", "tt-alloc buffers"),
        (">1G", ">1G:", "quotes"),
        ("x !", ":", "missing"),
    ] {
        let why = Filter::parse(text).unwrap_err();
        assert!(why.starts_with(word) && why.contains(help), "{text:?}: {why}");
    }
    let why = Filter::parse("\u{1b}[2J:x").unwrap_err();
    assert!(!why.contains('\u{1b}'), "{why:?}");
    assert_eq!(Filter::parse("  mem>1G  ").unwrap().text(), "mem>1G");
    assert_eq!(meant("\"mom>1G\""), [0; 0], "quoted: to be looked for as it is");
}

#[test]
fn a_filter_has_so_many_words_and_no_more() {
    let words = |count: usize| Filter::parse(&"a ".repeat(count));
    assert!(words(64).is_ok());
    assert_eq!(words(65).unwrap_err(), "65 words are more than the 64 that a filter may have");
}
