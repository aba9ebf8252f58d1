//! Recordings on the screen: what is being recorded, and where one is in one that is played.

use super::{Dashboard, Rates, Request};
use crate::inventory::study::Watcher;
use crate::inventory::{Inventories, Inventory};
use crate::recording::{Move, Player};
use crate::screen::keys::Action;
use crate::users::Users;
use std::io;
use std::sync::Arc;

/// Where one is in a recording.
#[derive(Debug, Default)]
pub struct Replay {
    /// Of the recorded time, ns.
    pub position_ns: u64,
    /// The recorded time in all, ns.
    pub length_ns: u64,
    /// Quarters of the speed at which it was recorded.
    pub speed_quarters: u64,
    /// Nothing comes any more.
    pub at_end: bool,
    /// The moment that is shown, Unix time in ns.
    pub unix_ns: u64,
    /// What is wrong with the file.
    pub damage: Option<String>,
    /// When the single allocations that are shown were read; none: there are none.
    inventory: Option<u64>,
    /// What the single allocations so far tell about leaks: those since the last jump.
    watcher: Watcher,
}

impl Dashboard {
    /// Shows what a recording has at the moment where it is. `jumped`: it is not what followed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn play(&mut self, player: &mut Player, jumped: bool) -> io::Result<()> {
        if jumped {
            self.forget_past();
        }
        if let Some(session) = player.session() {
            self.host.clone_from(&session.host);
        }
        let inventory = player.inventory()?;
        let before = self.replay.take();
        let damage = player.damage();
        if let Some(damage) =
            damage.as_ref().filter(|damage| before.as_ref().and_then(|b| b.damage.as_ref()) != Some(damage))
        {
            self.say(damage, true);
        }
        self.users = Users::fixed(player.names());
        self.update(player.feed());
        let read_ns = inventory.as_ref().map(|inventory| inventory.read_ns);
        let (known, watcher) =
            before.map_or((None, Watcher::default()), |before| (Some(before.inventory), before.watcher));
        let mut watcher = if jumped { Watcher::default() } else { watcher };
        if jumped || known != Some(read_ns) {
            let inventory = inventory.map_or_else(not_recorded, |inventory| {
                // What is told of it is told of the moment when it was read.
                let since_ns = self.seen.as_ref().map_or(0, |seen| seen.now_ns.saturating_sub(inventory.read_ns));
                let unix_ns = player.unix_ns().saturating_sub(since_ns);
                Inventory::clone(&inventory).studied(|look| watcher.see(look, unix_ns, &self.zone))
            });
            self.inventories = Inventories::fixed(inventory);
        }
        self.replay = Some(Replay {
            position_ns: player.position_ns(),
            length_ns: player.length_ns(),
            speed_quarters: player.speed_quarters(),
            at_end: player.is_at_end(),
            unix_ns: player.unix_ns(),
            damage,
            inventory: read_ns,
            watcher,
        });
        self.look_at_holdings();
        self.look_at_inventory();
        Ok(())
    }

    /// Nobody has just gone, nothing has happened since, and nobody has looked before.
    fn forget_past(&mut self) {
        self.forget();
        self.views.forget();
        self.rates = Rates::default();
    }

    /// Takes in the figures to which a recording was wound, where it goes on from there at once: of single allocations nothing is read.
    pub fn land(&mut self, player: &Player) {
        self.forget_past();
        self.users = Users::fixed(player.names());
        self.update(player.feed());
        let damage = self.replay.take().and_then(|replay| replay.damage);
        // No inventory is of that moment: those of the moment that comes are studied anew.
        self.replay = Some(Replay { damage, inventory: Some(u64::MAX), ..Replay::default() });
    }

    /// What a key means in a replay, if something else than otherwise.
    pub(super) fn act_in_replay(&mut self, action: Action) -> Option<Request> {
        let wanted = match action {
            Action::StepBack => Move::StepBack,
            Action::StepOn => Move::StepOn,
            Action::JumpBack => Move::JumpBack,
            Action::JumpOn => Move::JumpOn,
            // "Look less often" has the key `+`.
            Action::Slower => Move::Faster,
            Action::Faster => Move::Slower,
            Action::Record | Action::Baseline | Action::Reset => {
                self.say("this is a recording: nothing can be asked of it, or recorded", true);
                return Some(Request::None);
            }
            _ => return None,
        };
        if matches!(wanted, Move::StepBack | Move::StepOn) {
            self.paused = true;
        }
        Some(Request::Play(wanted))
    }
}

fn not_recorded() -> Inventory {
    Inventory { missing: vec!["single allocations: not in this recording".to_owned()], ..Inventory::default() }
}

/// The inventory that a replay shows.
pub(crate) fn recorded(dashboard: &Dashboard) -> Option<Arc<Inventory>> {
    dashboard.replay.as_ref()?.inventory?;
    dashboard.inventories.newest().map(Arc::clone)
}
