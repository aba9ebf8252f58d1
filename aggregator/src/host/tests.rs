#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::{Host, Now};
use crate::descriptors::Places;
use crate::legacy::{About, Proxy};
use crate::wake::Wake;
use nix::sys::eventfd::EventFd;
use shm_layout::names::Prefix;
use shm_layout::{procfs, text};
use std::os::fd::AsFd;
use std::time::Duration;

/// In root's aggregator every ring of a socket process is root's file.
#[test]
fn socket_processes_have_the_places_of_their_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let prefix = Prefix::new(&format!("test_places_{}", std::process::id())).unwrap();
    let stop = EventFd::new().unwrap();
    let wake = Wake::new(stop.as_fd(), None).unwrap();
    let (pid, now) = (std::process::id(), Now::read());
    let start_ticks = procfs::stat("self").unwrap().start_ticks;
    let proxy = |uid, n| {
        let about = About { pid, uid, start_ticks };
        Proxy::create(&prefix, about, now.monotonic_ns + n, now.unix_ns).unwrap()
    };
    let proxies = [proxy(4321, 1), proxy(4321, 2), proxy(4321, 3), proxy(1234, 4), proxy(0, 5)];
    let places = Places { all: 10, of_one_user: 2, connections: 1, open_files: 99 };
    let mut host = Host::new(prefix.clone(), places);
    host.announce(proxies.iter().map(|proxy| proxy.file));
    host.welcome(&wake, Duration::from_secs(60), now);
    let of = |uid| host.seats.len_of(uid);
    assert_eq!((of(4321), of(1234), of(0)), (2, 1, 1));
    let [older, newer] = host.lines.as_slices();
    let told: Vec<String> = older.iter().chain(newer).map(|line| text::load(&line.text)).collect();
    assert!(
        told.iter().any(|line| line.starts_with("2 processes of user 4321 are tracked, and there is no room")),
        "{told:?}"
    );
    proxies.iter().for_each(Proxy::remove);
    drop(host);
    for file in procfs::process_files(&prefix) {
        std::fs::remove_file(format!("/dev/shm/{}", file.name(&prefix))).unwrap();
    }
}
