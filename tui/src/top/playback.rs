//! `alloc-top --replay`: a recording on the screen, or one look of it.

use super::{Mode, Origin, TopOptions, begin, leave, watch};
use crate::amounts;
use crate::clock::{Zone, moment};
use crate::exit::Exit;
use crate::recording::Player;
use anyhow::Context;
use std::path::Path;

/// Opens a recording at this moment: a duration behind its beginning, or a moment as people write it.
pub(super) fn open(path: &Path, at: Option<&str>) -> anyhow::Result<Player> {
    let mut player = Player::open(path)?;
    let Some(at) = at else { return Ok(player) };
    if let Ok(behind) = amounts::duration(at) {
        player.seek(amounts::ns(behind))?;
        return Ok(player);
    }
    // The last 17:30 that the recording has.
    player.seek(u64::MAX)?;
    let end = player.unix_ns();
    let wanted = moment(at, &Zone::system(), end).with_context(|| format!("{at:?} is no moment of this recording"))?;
    if !player.seek_unix(wanted)? {
        crate::output::complain("alloc-top: the recording begins later: this is its first look");
    }
    Ok(player)
}

/// Shows it as asked for.
pub(super) fn run(mut player: Player, options: TopOptions) -> anyhow::Result<Exit> {
    if let Mode::Once(once) = &options.mode {
        let exit = once.play("alloc-top", &mut player)?;
        if let Some(damage) = player.damage() {
            crate::output::complain(format_args!("alloc-top: the recording is {damage}"));
        }
        return Ok(exit);
    }
    let mut dashboard = begin(&options);
    let stop = options.stop.unwrap_or_default();
    let mouse = dashboard.keeping.mouse.unwrap_or(true);
    let watched = watch(&mut dashboard, &mut Origin::Recorded(Box::new(player)), &stop, mouse);
    let exit = leave(&mut dashboard);
    watched.context("the recording or the terminal")?;
    Ok(exit)
}
