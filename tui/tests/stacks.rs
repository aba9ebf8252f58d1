//! Call stacks from the process that takes them to what a person sees: named, summed, kept over restarts, removed with their process, and
//! harmless whoever wrote them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "stacks/ground.rs"]
mod ground;

use ground::{Ground, Part};
use serde_json::Value;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use shm_layout::stacks::{MODULES_OFFSET, STACKS_BYTES, STACKS_OFFSET};
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::os::unix::fs::symlink;

/// Says which part a process started by one of the tests plays.
const PART: &str = "TEST_STACKS_PART";
/// What no real user has.
const STRANGER: u32 = 61001;

#[inline(never)]
fn allocate_for_the_test(id: u64, size: u64) {
    let event = Event { id, size, ..Event::new(Kind::Alloc, Memory::Dram, 0) };
    producer::process::record(event);
    black_box(id);
}

#[inline(never)]
fn first_caller(id: u64) {
    allocate_for_the_test(id, 100);
    black_box(id);
}

#[inline(never)]
fn second_caller(id: u64) {
    allocate_for_the_test(id, 1000);
    black_box(id);
}

/// What the processes that the tests start do: each line that they are told is answered.
#[test]
fn part() {
    let Ok(part) = std::env::var(PART) else { return };
    let prefix = Prefix::from_environment().unwrap();
    // Not this host's devices: others may be using them.
    let nowhere = aggregator::telemetry::Root::at("/nonexistent");
    let _aggregator = (part == "aggregator").then(|| aggregator::embedded::start_in(&prefix, nowhere).unwrap());
    println!("\nready");
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().as_str() {
            "allocate" => {
                for id in 1..=5 {
                    first_caller(id);
                }
                second_caller(6);
                println!("{}", nix::unistd::gettid());
            }
            "more" => {
                second_caller(7);
                println!("done");
            }
            _ => break,
        }
        std::io::stdout().flush().unwrap();
    }
    producer::process::close();
    std::process::exit(0);
}

fn functions(row: &Value) -> Vec<&str> {
    row["stack"].as_array().unwrap().iter().map(|frame| frame["function"].as_str().unwrap_or("?")).collect()
}

/// All six rows have their stacks, by name.
fn are_named(rows: &[Value], thread: &str) {
    for row in rows {
        let names = functions(row);
        let caller = if row["id"] == 6 { "stacks::second_caller" } else { "stacks::first_caller" };
        assert!(names.contains(&"stacks::allocate_for_the_test"), "{names:?}");
        let at = names.iter().position(|name| *name == caller).unwrap_or_else(|| panic!("{caller}: {names:?}"));
        let frame = &row["stack"][at];
        assert!(frame["file"].as_str().unwrap().ends_with("tests/stacks.rs"), "{frame}");
        assert!(frame["line"].as_u64().unwrap() > 20, "{frame}");
        assert_eq!(frame["module"], std::env::current_exe().unwrap().to_str().unwrap());
        assert_eq!(row["thread"].to_string(), thread);
    }
}

#[test]
fn functions_have_names_and_stacks_have_sums() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut producer = ground.producer();
    let thread = producer.tell("allocate");
    let me = nix::unistd::geteuid().as_raw();
    are_named(&ground.rows(me, 6), &thread);

    let table = ground.text(&["buffers", "--stacks"]);
    let rows = table.lines().filter(|line| !line.starts_with("    ")).count();
    assert_eq!(rows, 1 + 6, "{table}");
    assert_eq!(table.matches("        stacks::first_caller at ").count(), 5, "{table}");
    assert_eq!(table.matches("        ...").count(), 6, "six addresses are not all:\n{table}");
    let without = ground.text(&["buffers", "--json"]);
    let without: Value = serde_json::from_str(&without).unwrap();
    assert_eq!((without["buffers"][0]["thread"].to_string(), without["buffers"][0].get("stack")), (thread, None));

    let stacks = ground.text(&["stacks", "--json"]);
    let stacks: Value = serde_json::from_str(&stacks).unwrap();
    let sums: Vec<_> =
        stacks["stacks"].as_array().unwrap().iter().map(|s| (&s["footprint_bytes"], &s["blocks"])).collect();
    assert_eq!(sums, [(&1000.into(), &1.into()), (&500.into(), &5.into())], "{stacks}");
    let folded = ground.text(&["stacks", "--folded", "--pid", &producer.child.id().to_string()]);
    let lines: Vec<&str> = folded.lines().collect();
    assert!(matches!(lines[..], [first, second] if first.ends_with(" 1000") && second.ends_with(" 500")), "{folded}");
    let parts: Vec<&str> = lines[1].rsplit_once(' ').unwrap().0.split(';').collect();
    assert!(parts[0].ends_with(&format!("-{}", producer.child.id())) && parts[1] == "[...]", "{folded}");
    let at = |name| parts.iter().position(|part| *part == name).unwrap_or_else(|| panic!("{name}: {folded}"));
    assert!(at("stacks::first_caller") < at("stacks::allocate_for_the_test"), "the outermost first: {folded}");
    assert!(ground.text(&["stacks", "-n", "1"]).starts_with("1000   B in 1 allocation of PID "));
    assert!(ground.text(&["stacks", "--device", "7"]).is_empty());
}

#[test]
fn without_stacks_everything_is_as_it_was() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut producer = Part::start(&ground, "producer", "0", None);
    let thread = producer.tell("allocate");
    for row in ground.rows(nix::unistd::geteuid().as_raw(), 6) {
        assert_eq!((row["thread"].to_string(), row["stack"].as_array().map(Vec::len)), (thread.clone(), Some(0)));
    }
    assert!(ground.of_role("stacks").is_empty());
    let output = ground.tool(&["stacks", "--folded"]);
    assert!(String::from_utf8_lossy(&output.stdout).ends_with(";[no call stack] 1500\n"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("TT_ALLOC_STACKS=1"), "{output:?}");
}

#[test]
fn they_outlive_the_aggregator_and_go_with_their_process() {
    let ground = Ground::new();
    let me = nix::unistd::geteuid().as_raw();
    let mut aggregator = ground.aggregator();
    let mut producer = ground.producer();
    let thread = producer.tell("allocate");
    are_named(&ground.rows(me, 6), &thread);
    aggregator.kill();
    are_named(&ground.rows(me, 6), &thread);
    producer.tell("more");
    let mut aggregator = ground.aggregator();
    let rows = ground.rows(me, 7);
    are_named(&rows[..6], &thread);
    assert!(functions(&rows[6]).contains(&"stacks::second_caller"));
    // Dead while nobody looks: what comes next removes all.
    aggregator.kill();
    producer.kill();
    assert_eq!(ground.of_role("stacks").len(), 1);
    let _aggregator = ground.aggregator();
    ground.wait("the files' end", || ["ring", "ledger", "stacks"].iter().all(|role| ground.of_role(role).is_empty()));
    // And dead while it runs.
    let mut producer = ground.producer();
    producer.tell("allocate");
    ground.rows(me, 6);
    assert_eq!(ground.of_role("stacks").len(), 1);
    producer.kill();
    ground.wait("the files' end", || ["ring", "ledger", "stacks"].iter().all(|role| ground.of_role(role).is_empty()));
}

#[test]
fn gc_removes_those_of_the_dead_only() {
    let ground = Ground::new();
    let (mut dead, mut orphan, mut alive) = (ground.producer(), None, None);
    dead.tell("allocate");
    dead.kill();
    let removed = ground.text(&["gc"]);
    assert!(removed.contains(".ring.") && removed.contains(".stacks."), "{removed}");
    assert!(ground.files().is_empty(), "{:?}", ground.files());
    for place in [&mut orphan, &mut alive] {
        let mut producer = ground.producer();
        producer.tell("allocate");
        // As `rm /dev/shm/*ring*` does.
        std::fs::remove_file(ground.path("ring")).unwrap();
        *place = Some(producer);
    }
    ground.text(&["gc"]);
    assert_eq!(ground.of_role("stacks").len(), 2, "both live");
    orphan.unwrap().kill();
    ground.text(&["gc"]);
    let pid = alive.as_ref().unwrap().child.id();
    let left = ground.of_role("stacks");
    assert!(matches!(&left[..], [name] if name.contains(&format!(".{pid}."))), "{left:?}");
    // An aggregator that begins does as much.
    alive.unwrap().kill();
    let _aggregator = ground.aggregator();
    ground.wait("the end of the last", || ground.of_role("stacks").is_empty());
}

/// The system's randomness: what is not found today may be tomorrow, and the seed is told.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn strange_files_harm_no_viewer() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut producer = ground.producer();
    producer.tell("allocate");
    let me = nix::unistd::geteuid().as_raw();
    ground.rows(me, 6);
    let path = ground.path("stacks");
    let sound = std::fs::read(&path).unwrap();
    assert_eq!(sound.len(), STACKS_BYTES);
    let mut seed = u64::from(std::process::id()) | 1;
    eprintln!("seed {seed}");
    let look = |what: &str| {
        for arguments in
            [&["buffers", "--stacks", "--json"][..], &["stacks", "--json"], &["stacks", "--folded"], &["stacks"]]
        {
            let output = ground.tool(arguments);
            assert!(output.status.success(), "{what}: {arguments:?}: {output:?}");
            if arguments.contains(&"--json") {
                let json: Value = serde_json::from_slice(&output.stdout).unwrap();
                let rows = json["buffers"].as_array().or(json["stacks"].as_array()).unwrap();
                let sum: u64 = rows.iter().map(|row| row["footprint_bytes"].as_u64().unwrap()).sum();
                assert_eq!(sum, 1500, "{what}: figures are the ledger's");
            }
        }
    };
    let refused = |what: &str| {
        look(what);
        let output = ground.tool(&["stacks"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("call stacks are left out"), "{what}: {output:?}");
    };
    let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    for round in 0..6 {
        let mut bytes = sound.clone();
        // A sound identity, and behind it anything; every third time, anything from the first byte on.
        let from = if round % 3 == 2 { 0 } else { [256, MODULES_OFFSET][round % 2] };
        for chunk in bytes[from..].chunks_exact_mut(8) {
            chunk.copy_from_slice(&random(&mut seed).to_ne_bytes());
        }
        write(&bytes);
        look(&format!("random words, round {round}"));
    }
    // Words that pass for states, numbers and lengths as large as can be.
    for word in [1, 2, 3, 240, 1 << 32 | 2, 32 << 32, 255 << 32, u64::MAX] {
        let mut bytes = sound.clone();
        bytes[MODULES_OFFSET..].chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&u64::to_ne_bytes(word)));
        write(&bytes);
        look(&format!("all words {word:#x}"));
    }
    // Modules that are not what was loaded: what would hang or do something when it is read, and what moves a cursor.
    let fifo = std::env::temp_dir().join(format!("{}.fifo", ground.0));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for told in
        [fifo.to_str().unwrap(), "/dev/zero", "/dev/tty", "/proc/kmsg", "/", "\x1b[2J\u{202e};x", "relative", ""]
    {
        let mut bytes = sound.clone();
        let field = &mut bytes[MODULES_OFFSET + 72..MODULES_OFFSET + 320];
        field.fill(0);
        field[0] = told.len() as u8;
        field[8..8 + told.len()].copy_from_slice(told.as_bytes());
        write(&bytes);
        look(told);
    }
    std::fs::remove_file(&fifo).unwrap();
    write(&sound[..STACKS_OFFSET]);
    refused("cut short");
    write(&[&sound[..], b"more"].concat());
    refused("too long");
    write(&[]);
    refused("empty");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(STACKS_BYTES as u64).unwrap();
    refused("all holes");
    std::fs::remove_file(&path).unwrap();
    refused("gone");
    symlink("/dev/zero", &path).unwrap();
    refused("a link");
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("a fifo");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("a directory");
    std::fs::remove_dir(&path).unwrap();
    let mut other = sound.clone();
    other[112] ^= 1;
    write(&other);
    refused("of another process");
    write(&sound);
    let rows = ground.rows(me, 6);
    assert!(functions(&rows[0]).contains(&"stacks::first_caller"), "and the sound one is read: {rows:?}");
}

#[test]
fn files_that_another_user_names_are_not_read() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED, NOT TESTED: a process of another user needs root to start it");
        return;
    }
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut producer = Part::start(&ground, "producer", "6", Some(STRANGER));
    producer.tell("allocate");
    let rows = ground.rows(0, 6);
    for frame in rows.iter().flat_map(|row| row["stack"].as_array().unwrap()) {
        assert!(frame["function"].is_null() && frame["module"].is_string() && frame["offset"].is_u64(), "{frame}");
    }
    let output = ground.tool(&["stacks"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("ask as that user"), "{output:?}");
    let rows = ground.rows(STRANGER, 6);
    assert!(functions(&rows[0]).contains(&"stacks::first_caller"), "its own user has names: {rows:?}");
    // A third one has neither.
    let output = ground.tool_as(STRANGER + 1, &["buffers", "--stacks", "--json"]);
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stderr).contains("permission denied"),
        "{output:?}"
    );
    assert_eq!(producer.tell("end"), "");
    ground.wait("the files' end", || ground.of_role("stacks").is_empty());
}
