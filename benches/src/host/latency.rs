//! Event to visible, death to gone.

use super::Outcome;
use super::daemon::Daemon;
use super::ground::Ground;
use super::player::{Player, SMALL};
use super::watcher::{Watcher, blocks};
use crate::report::Report;
use crate::sample::Sample;
use std::path::PathBuf;
use std::time::Duration;

const MS: f64 = 1e6;

/// What else happens on the host while one event is followed.
#[derive(Clone, Copy, Debug)]
pub enum Others {
    /// Nothing at all, since a while.
    Idle,
    /// So many processes write 50 pairs of events each millisecond, and the one that is followed every few milliseconds.
    Busy(usize),
    /// The same, while the one that is followed rests for long between its events.
    BusyWhileItRests(usize),
    /// So many processes write without a pause.
    Flood(usize),
}

/// Event to visible in the stats segment.
///
/// # Errors
/// When a process does not do its part.
pub fn event_to_visible(
    program: &PathBuf,
    others: Others,
    events: u64,
    subject: &str,
    report: &mut Report,
) -> Outcome<()> {
    let ground = Ground::new()?;
    let mut player = Player::start(&ground, SMALL)?;
    player.ready()?;
    // The jitter is longer than the aggregator's own pauses: never in step with them.
    let (count, what, pause_us, jitter_us) = match others {
        Others::Idle => (0, "", 150_000, 26_000),
        Others::BusyWhileItRests(count) => (count, "pace 50", 100_000, 10_000),
        Others::Busy(count) => (count, "pace 50", 3000, 1500),
        Others::Flood(count) => (count, "flood", 3000, 1500),
    };
    let mut neighbours = Player::start_many(&ground, count, 1 << 16)?;
    let (_daemon, mut watcher) = Daemon::start(program, &ground)?;
    watcher.wait("everybody", |s| s.processes.len() == count + 1)?;
    neighbours.iter_mut().try_for_each(|neighbour| neighbour.tell(what))?;
    std::thread::sleep(Duration::from_millis(200));
    let pid = player.pid();
    let mut sample = Sample::default();
    for n in 1..=events {
        std::thread::sleep(Duration::from_micros(pause_us + n * 7919 % jitter_us));
        let stamped = player.ask("stamp")?;
        let seen = watcher.wait("the event", |s| blocks(s, pid) >= n)?;
        sample.push((seen - stamped) as f64 / MS);
    }
    report.add("event to visible", subject, None, "ms", &mut sample);
    Ok(())
}

/// Death to gone from the totals: one after the other, and all at once.
///
/// # Errors
/// When a process does not do its part.
pub fn death_to_gone(program: &PathBuf, count: usize, report: &mut Report) -> Outcome<()> {
    let ground = Ground::new()?;
    let mut players = Player::start_many(&ground, count, SMALL)?;
    let (_daemon, mut watcher) = Daemon::start(program, &ground)?;
    watcher.wait("everybody", |s| s.processes.len() == count)?;
    let subject = format!("one of {count}");
    let (mut from_kill, mut from_death) = (Sample::default(), Sample::default());
    for n in 0..count as u64 {
        std::thread::sleep(Duration::from_micros(4000 + n * 137 % 1500));
        let Some(mut player) = players.pop() else { break };
        let (killed, left) = (super::monotonic_ns(), players.len());
        player.child.kill()?;
        player.child.wait()?;
        let died = super::monotonic_ns();
        let gone = watcher.wait("its end", |s| s.processes.len() == left)?;
        from_kill.push((gone - killed) as f64 / MS);
        from_death.push(gone.saturating_sub(died) as f64 / MS);
    }
    report.add("death to gone, since kill", &subject, None, "ms", &mut from_kill);
    report.add("death to gone, since the kernel told its parent", &subject, None, "ms", &mut from_death);

    let mut players = Player::start_many(&ground, count, SMALL)?;
    watcher.wait("everybody", |s| s.processes.len() == count)?;
    std::thread::sleep(Duration::from_millis(200));
    let begin = super::monotonic_ns();
    players.iter_mut().try_for_each(|player| player.child.kill())?;
    let (mut died, mut gone) = (Vec::new(), Vec::new());
    while gone.len() < count {
        let now = super::monotonic_ns();
        let dead = players.len();
        players.retain_mut(|player| !matches!(player.child.try_wait(), Ok(Some(_))));
        died.resize(died.len() + dead - players.len(), now);
        let left = watcher.look().map_or(count, |s| s.processes.len());
        let now = super::monotonic_ns();
        gone.resize(gone.len().max(count - left), now);
        std::thread::sleep(Duration::from_micros(50));
    }
    let subject = format!("all {count} at once");
    let mut from_kill: Sample = gone.iter().map(|at| (at - begin) as f64 / MS).collect();
    let mut by_kernel: Sample = died.iter().map(|at| (at - begin) as f64 / MS).collect();
    let mut from_death: Sample =
        gone.iter().zip(&died).map(|(at, died)| at.saturating_sub(*died) as f64 / MS).collect();
    report.add("kill to the kernel telling its parent", &subject, None, "ms", &mut by_kernel);
    report.add("death to gone, since kill", &subject, None, "ms", &mut from_kill);
    report.add("death to gone, since the kernel told its parent", &subject, None, "ms", &mut from_death);
    Ok(())
}

/// Start with so many full rings: until all of it is visible.
///
/// # Errors
/// When a process does not do its part.
pub fn start_with_full_rings(program: &PathBuf, count: usize, report: &mut Report) -> Outcome<()> {
    const SLOTS: u64 = 1 << 16;
    let ground = Ground::new()?;
    let mut players = Player::start_many(&ground, count, SLOTS)?;
    for player in &mut players {
        player.ask(&format!("fill {SLOTS}"))?;
    }
    let begin = super::monotonic_ns();
    let (daemon, mut watcher) = Daemon::start(program, &ground)?;
    let ready = super::monotonic_ns();
    let events = count as u64 * SLOTS;
    let seen = watcher.wait("every event", |s| s.health.events_total == events && s.health.lag_events == 0)?;
    let subject = format!("{count} rings of 4 MiB");
    let mut one = |measure: &str, unit: &str, value: f64| {
        report.add(measure, &subject, None, unit, &mut Sample::from_iter([value]));
    };
    one("start: until the first figures", "ms", (ready - begin) as f64 / MS);
    one("start: until everything is visible", "ms", (seen - begin) as f64 / MS);
    one("start: per event", "ns", (seen - begin) as f64 / events as f64);
    drop(daemon);
    Ok(())
}

/// Waits for all of these processes to be tracked.
///
/// # Errors
/// When they are not.
pub fn all_there(watcher: &mut Watcher, count: usize) -> Outcome<u64> {
    watcher.wait("everybody", |s| s.health.rings as usize == count)
}
