//! The real alloc-top on a real terminal, with a real aggregator and real producers: what a person does, and what the screen shows then.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "screen/jobs.rs"]
mod jobs;
#[path = "screen/shell.rs"]
mod shell;

use jobs::{Ground, Job};
use shell::Shell;

/// Plays a job, in processes that tests start.
#[test]
fn job() {
    jobs::play();
}

const GIB: u64 = 1 << 30;

/// Two jobs on three devices: "serve" has most of device 2, "train" has its one large buffer on device 0.
fn two_jobs(ground: &Ground) -> (Job, Job) {
    let mut serve = Job::start(ground, "serve", &[0, 1, 2]);
    let mut train = Job::start(ground, "train", &[0, 2]);
    serve.does(&format!("alloc 1 2 DRAM {}", 9 * GIB));
    serve.does(&format!("alloc 2 2 DRAM {}", 2 * GIB));
    serve.does(&format!("alloc 3 0 DRAM {GIB}"));
    train.does(&format!("alloc 1 0 DRAM {}", 5 * GIB));
    train.does(&format!("alloc 2 2 DRAM {}", 3 * GIB));
    (serve, train)
}

#[test]
fn a_newcomer_finds_who_holds_what_since_when_and_what_a_crash_left() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let (serve, mut train) = two_jobs(&ground);
    let shell = Shell::start(&ground.0.to_string(), (120, 40));
    shell.types("alloc-top -r 50 --no-mouse\n");
    // Who holds most of device 2? The details of the devices say who holds them, the largest first.
    shell.shows("Processes 2");
    shell.types("3");
    shell.shows("Device 0");
    shell.types("\x1b[C\x1b[C");
    let device = shell.shows("Device 2");
    let (first, second) = (device.find("serve").unwrap(), device.find("train").unwrap());
    assert!(first < second, "{device}");
    assert!(device.contains("11.0 GiB") && device.contains("3.00 GiB"), "{device}");
    // Its biggest buffer, and when it was allocated: the first one of its details.
    shell.types("1g\r");
    let of_serve = shell.shows("Largest allocations");
    assert!(of_serve.contains(&format!("PID {} serve", serve.pid())), "{of_serve}");
    let largest = of_serve.split("Largest allocations").nth(1).unwrap().lines().nth(1).unwrap();
    assert!(largest.contains("9.00 GiB") && largest.contains("device 2") && largest.contains(" old"), "{largest}");
    // What did the last crash leave? Its line stays, and says it; after a while the row is gone, and its bytes at once.
    shell.types("4");
    shell.shows("8.00 GiB");
    train.kill();
    shell.shows("gone: 2 buffers (8.00 GiB)");
    shell.types("8");
    let events = shell.shows("died: removed 2 buffers (8.00 GiB)");
    assert!(events.contains(&format!("PID {} (train)", train.pid())), "{events}");
    shell.types("q");
    shell.shows("ready>");
}

#[test]
fn every_view_is_a_key_away_and_escape_leads_back() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let _jobs = two_jobs(&ground);
    let shell = Shell::start(&ground.0.to_string(), (110, 34));
    shell.types("alloc-top -r 50\n");
    let titles = [
        ('2', "0 DRAM"),
        ('3', "Device 0"),
        ('4', "by device"),
        ('8', "Events "),
        ('9', "Health "),
        ('1', "Processes 2"),
    ];
    for (key, title) in titles {
        shell.types(&key.to_string());
        shell.shows(title);
    }
    shell.types("9");
    shell.shows("figures are complete");
    shell.types("\x1b");
    shell.shows("Processes 2");
    shell.types("?");
    shell.shows("this help");
    shell.types("?/train\r");
    let filtered = shell.shows("Processes 1 of 2");
    assert!(!filtered.contains("this help"), "{filtered}");
    shell.types("/");
    shell.types("\x1b");
    shell.shows("Processes 2");
    shell.types("q");
    shell.shows("ready>");
}

#[test]
fn a_shell_can_suspend_it_and_gets_its_terminal_back() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let _jobs = two_jobs(&ground);
    let shell = Shell::start(&ground.0.to_string(), (100, 30));
    shell.types("alloc-top -r 50\n");
    shell.shows("Processes 2");
    assert_eq!(shell.is_taken(), (true, true));
    shell.types("\x1a");
    let stopped = shell.shows("Stopped");
    assert!(!stopped.contains("Processes"), "{stopped}");
    assert_eq!(shell.is_taken(), (false, false));
    shell.types("echo is$((40+2))here\n");
    shell.shows("is42here");
    shell.types("fg\n");
    shell.shows("Processes 2");
    assert_eq!(shell.is_taken(), (true, true));
    shell.types("q");
    shell.shows_what("the shell", |screen| screen.trim_end().ends_with("ready>"));
    assert_eq!(shell.is_taken(), (false, false));
    // A program that the shell starts finds the terminal as it was.
    shell.types("cat\n");
    shell.shows_what("cat", |_| shell.is_cooked());
}

#[test]
fn what_the_aggregator_does_is_seen() {
    let ground = Ground::new();
    let shell = Shell::start(&ground.0.to_string(), (100, 30));
    shell.types("alloc-top -r 50\n");
    shell.shows("No aggregator runs on this host.");
    let aggregator = ground.aggregator();
    shell.shows("no tracked process yet");
    let _jobs = two_jobs(&ground);
    shell.shows("Processes 2");
    drop(aggregator);
    shell.shows("aggregator stopped");
    let _again = ground.aggregator();
    shell.shows("aggregator up");
    shell.types("q");
    shell.shows("ready>");
}

#[test]
fn what_somebody_recorded_is_seen_again_and_wound_to_and_fro() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let (serve, mut train) = two_jobs(&ground);
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell::start(&ground.0.to_string(), (120, 34));
    shell.types(&format!("cd {}\n", folder.path().display()));
    shell.types("alloc-top -r 50 --no-mouse\n");
    shell.shows("Processes 2");
    // Begun and ended on the screen: a file in the working directory.
    shell.types("w");
    shell.shows(" rec ");
    shell.shows("recording into");
    let files = || std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    let looks = |least: usize| {
        shell.shows_what("looks in the recording", |_| {
            let Ok(mut player) = tui::recording::Player::open(&files()[0]) else { return false };
            let mut seen = Vec::new();
            player.seek(0).unwrap();
            while !seen.contains(&player.position_ns()) {
                seen.push(player.position_ns());
                player.go(tui::recording::Move::StepOn).unwrap();
            }
            seen.len() >= least
        })
    };
    looks(1);
    train.kill();
    shell.shows("gone: 2 buffers (8.00 GiB)");
    looks(4);
    shell.types("w");
    let said = shell.shows_what("the end of the recording", |screen| screen.contains("recorded "));
    assert!(!said.lines().next().unwrap().contains(" rec "), "{said}");
    shell.types("q");
    shell.shows_what("the shell", |screen| screen.trim_end().ends_with("ready>"));
    // What is here now has nothing to do with what was then.
    drop((serve, train, aggregator));
    let name = files()[0].file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("alloc-top-20") && name.ends_with(".rec"), "{name}");
    shell.types(&format!("clear; alloc-top --replay {name} -r 50\n"));
    shell.shows(" replay 0:00:");
    // Held, and from its beginning on look after look, up to the one in which somebody has died.
    shell.types("[");
    shell.types("{");
    // Its first frame may be on the screen in part only, and is not held.
    let begin = shell
        .shows_what("the beginning", |screen| screen.contains("‖ replay 0:00:00 /") && screen.contains("Processes "));
    assert!(begin.contains("Processes 2") && !begin.contains("gone:"), "{begin}");
    let stepped = shell.shows_what("the death", |screen| {
        if screen.contains("gone: 2 buffers (8.00 GiB)") {
            return true;
        }
        shell.types("]");
        std::thread::sleep(std::time::Duration::from_millis(20));
        false
    });
    assert!(stepped.contains("serve"), "{stepped}");
    // Its event line is there, and is not any more at the beginning.
    shell.types("8");
    shell.shows("died: removed 2 buffers (8.00 GiB)");
    shell.types("{");
    shell.shows_what("a past without the future", |screen| {
        screen.contains("Events ") && screen.contains("replay 0:00:00 /") && !screen.contains("died: removed")
    });
    shell.types("b");
    shell.shows("this is a recording: nothing can be asked of it");
    shell.types("}");
    shell.shows("died: removed 2 buffers (8.00 GiB)");
    shell.types(" ");
    shell.shows(" end ");
    shell.types("q");
    shell.shows_what("the shell", |screen| screen.trim_end().ends_with("ready>"));
    assert_eq!(shell.is_taken(), (false, false));
    assert_eq!(files().len(), 1);
}
