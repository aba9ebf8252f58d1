//! `alloc-top --replay`: a recording on the screen, or one look of it.

use super::{Mode, Origin, TopOptions, dashboard, watch};
use crate::amounts;
use crate::clock::{Zone, moment};
use crate::exit::Exit;
use crate::once::Once;
use crate::recording::Player;
use crate::users::Users;
use anyhow::Context;
use std::path::Path;
use std::time::Duration;

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
pub(super) fn run(player: Player, options: TopOptions) -> anyhow::Result<Exit> {
    if let Mode::Once(format) = options.mode {
        let TopOptions { selection, strict, .. } = options;
        if let Some(damage) = player.damage() {
            crate::output::complain(format_args!("alloc-top: the recording is {damage}"));
        }
        let once = Once { format, selection, strict, patience: Duration::ZERO };
        return once.tell("alloc-top", player.feed(), &Users::fixed(player.names()));
    }
    let mut dashboard = dashboard(&options);
    let stop = options.stop.unwrap_or_default();
    watch(&mut dashboard, &mut Origin::Recorded(Box::new(player)), &stop).context("the recording or the terminal")?;
    Ok(Exit::Ok)
}
