//! The one line that a tracked process may print, where nobody takes it: it ends nobody, and nobody waits for it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use producer::environment::{ENABLED_VARIABLE, STACKS_VARIABLE};
use producer::process;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::PREFIX_VARIABLE;
use std::io::Write;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;
use support::{end_of, once_more};

/// Says that this process is the one that warns.
const PART: &str = "TEST_WARNING_PART";

/// Plays the one that warns, if this process is that one: as a C program is started, which a broken pipe ends.
fn warns_if_asked() -> bool {
    if std::env::var_os(PART).is_none() {
        return false;
    }
    // SAFETY: the default action is no handler.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
    assert!(!process::enabled());
    true
}

fn start(test: &str, stderr: std::io::PipeWriter) -> Child {
    let mut command = once_more(test);
    command.envs([(PART, "1"), (ENABLED_VARIABLE, "perhaps")]).stdout(Stdio::null()).stderr(stderr);
    command.spawn().unwrap()
}

fn end(mut child: Child) -> ExitStatus {
    end_of(&mut child, Duration::from_secs(30), "it waits for somebody to read its line")
}

#[test]
fn a_reader_of_standard_error_that_is_gone_ends_nobody() {
    if warns_if_asked() {
        return;
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = end(start("a_reader_of_standard_error_that_is_gone_ends_nobody", writer));
    assert!(status.success(), "{status}");
}

#[test]
fn a_reader_of_standard_error_that_stands_still_holds_up_nobody() {
    if warns_if_asked() {
        return;
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    // As much as is in a pipe that nobody reads.
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
    while writer.write_all(&[b'x'; 4096]).is_ok() {}
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    let status = end(start("a_reader_of_standard_error_that_stands_still_holds_up_nobody", writer));
    assert!(status.success(), "{status}");
    drop(reader);
}

#[test]
fn whoever_reads_standard_error_gets_one_line() {
    if warns_if_asked() {
        return;
    }
    let (reader, writer) = std::io::pipe().unwrap();
    let child = start("whoever_reads_standard_error_gets_one_line", writer);
    let said = std::io::read_to_string(reader).unwrap();
    assert!(end(child).success());
    assert_eq!(said.lines().filter(|line| line.starts_with("tt-alloc: ")).count(), 1, "{said}");
}

/// Too many tags, a depth that means nothing, and children that inherit all of it.
#[test]
fn a_process_and_its_children_say_one_line_whatever_there_is_to_say() {
    if std::env::var_os(PART).is_some() {
        let event = || Event { size: 1, ..Event::new(Kind::Alloc, Memory::Dram, 0) };
        process::record(event());
        for name in 0..300 {
            producer::tag::push(&name.to_string());
        }
        for _ in 0..2 {
            // SAFETY: the child only records, closes its ring and ends.
            match unsafe { fork() }.unwrap() {
                ForkResult::Parent { child } => drop(waitpid(child, None).unwrap()),
                ForkResult::Child => {
                    process::record(event());
                    process::close();
                    // SAFETY: ends this process.
                    unsafe { libc::_exit(0) };
                }
            }
        }
        process::close();
        return;
    }
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = once_more("a_process_and_its_children_say_one_line_whatever_there_is_to_say");
    command.envs([(PART, "1"), (ENABLED_VARIABLE, "1"), (STACKS_VARIABLE, "bogus")]);
    command.env(PREFIX_VARIABLE, format!("tt_test_warning_{}", std::process::id()));
    let child = command.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    drop(command);
    let said = std::io::read_to_string(reader).unwrap();
    assert!(end(child).success(), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("tt-alloc: ")).count(), 1, "{said}");
    assert!(said.contains("TT_ALLOC_STACKS"), "the first: {said}");
}
