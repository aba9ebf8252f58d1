//! Recordings that pass every check and hold what no aggregator tells: every view draws them, and every form prints them.

use super::*;
use crate::inventory::{Holder, Inventory};
use crate::ledger::Allocation;
use crate::ledger::fixture::alloc;
use crate::recording::allocations::{content, in_order};
use crate::recording::element::{Element, Field};
use crate::recording::frame::{self, kind};
use crate::recording::look::Look;
use crate::recording::{Move, Player};
use crate::screen::view::View;
use crate::users::Users;
use shm_layout::event::{Event, Memory};
use shm_layout::ledger::{Account, Device as Told};
use std::rc::Rc;

/// Numbers that are hard to reckon with, and some that are not.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn number(&mut self) -> u64 {
        let hard = [0, 1, 2, 3, u64::MAX, u64::MAX - 1, 1 << 62, 1 << 63, (1 << 63) - 1, (1 << 62) - 1, 1 << 32, 100];
        match self.roll() % 16 {
            at @ 0..12 => hard[at as usize],
            12 => self.roll(),
            13 => sample::NOW_NS,
            14 => sample::UNIX_NS,
            _ => self.roll() % 10_000,
        }
    }

    /// Changes some fields, but not these.
    fn spoil<T: Element>(&mut self, record: &mut T, but: &[u32]) {
        for number in T::numbers().collect::<Vec<_>>() {
            if but.contains(&number) || !self.roll().is_multiple_of(3) {
                continue;
            }
            let other = self.number();
            match record.field(number) {
                Some(Field::Long(n)) => *n = other,
                Some(Field::Signed(n)) => *n = other.cast_signed(),
                Some(Field::Short(n)) => *n = other as u32,
                Some(Field::Half(n)) => *n = other as u16,
                Some(Field::Byte(n)) => *n = other as u8,
                Some(Field::Text(text)) => text.fill(other as u8),
                None => {}
            }
        }
    }
}

/// Numbers of fields by which records find each other.
fn place<T: Element>(is: impl Fn(&mut T) -> Option<*const u32>) -> Vec<u32> {
    let mut record = T::empty();
    let wanted = is(&mut record);
    let same = |number: &u32| match record.field(*number) {
        Some(Field::Short(n)) => Some(&raw const *n) == wanted,
        _ => false,
    };
    T::numbers().collect::<Vec<_>>().into_iter().filter(same).collect()
}

fn seen(dice: &mut Dice) -> Observation {
    let mut seen = sample::observation(3);
    let snapshot = &mut seen.snapshot;
    let (process, chip) =
        (place::<Row>(|row| Some(&raw const row.process)), place::<Row>(|row| Some(&raw const row.chip)));
    let fixed = [process, chip].concat();
    assert_eq!(fixed.len(), 2);
    snapshot.chips.iter_mut().for_each(|one| dice.spoil(one, &[]));
    snapshot.processes.iter_mut().for_each(|one| dice.spoil(one, &[]));
    snapshot.rows.iter_mut().for_each(|one| dice.spoil(one, &fixed));
    snapshot.lines.iter_mut().for_each(|one| dice.spoil(one, &[]));
    snapshot.refusals = vec![Refusal::empty(); 3];
    snapshot.refusals.iter_mut().for_each(|one| dice.spoil(one, &[]));
    dice.spoil(&mut snapshot.health, &[]);
    dice.spoil(&mut seen.identity, &[]);
    for history in &mut seen.history {
        let history = Rc::make_mut(history);
        for figures in history.samples.iter_mut().chain(&mut history.spans) {
            for figure in figures {
                if dice.roll().is_multiple_of(4) {
                    *figure = dice.number();
                }
            }
        }
    }
    (seen.history_head, seen.heartbeat_ns) = (dice.number() >> 2, dice.number());
    seen
}

fn inventory(dice: &mut Dice, seen: &Observation) -> Inventory {
    let holder = |process: &Process| {
        let mut devices: Vec<Told> = (0..3).map(|_| Told::empty()).collect();
        for (at, (device, chip)) in (0..).zip(devices.iter_mut().zip(&seen.snapshot.chips)) {
            dice.spoil(device, &[]);
            (device.device, device.chip_id, device.id_is_logical) = (at, chip.chip_id, chip.id_is_logical);
        }
        let one = |id: u64| {
            let mut event: Event = alloc(id, (id % 3) as u32, Memory::Dram, 64 * id, sample::NOW_NS);
            dice.spoil(&mut event, &[]);
            event.memory = (id % 7) as u8;
            event.device %= 4;
            let tag = id.is_multiple_of(5).then(|| "decode".into());
            Allocation { event, memory: Memory::from_u8(event.memory).unwrap(), chip_id: None, tag }
        };
        let allocations = (1..60).map(one).collect();
        let mut accounts = vec![Account::default(); 6];
        accounts.iter_mut().for_each(|account| dice.spoil(account, &[]));
        Holder {
            pid: process.pid,
            ring_pid: process.ring_pid,
            nonce: process.nonce,
            began_unix_ns: dice.number(),
            name: "train".into(),
            devices,
            accounts,
            allocations,
            ..Holder::default()
        }
    };
    let holders = seen.snapshot.processes.iter().map(holder).collect();
    in_order(Inventory { holders, read_ns: dice.number(), ..Inventory::default() })
}

/// A recording of three looks, with single allocations.
fn recorded(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = frame::head();
    for second in 0..3 {
        let seen = seen(dice);
        let (now_ns, unix_ns) = if second == 0 { (5, 5) } else { (second * 1_000_000_000, dice.number()) };
        let allocations = content(second, None, &inventory(dice, &seen));
        let look = Look::new(&Connection::Live, seen, vec![(dice.number() as u32, "ann".into())]).unwrap();
        bytes.extend(frame::frame(kind::KEY, now_ns, unix_ns, &look.whole()).unwrap());
        bytes.extend(frame::frame(kind::INVENTORY, now_ns, unix_ns, &allocations).unwrap());
    }
    bytes
}

#[test]
fn whatever_a_recording_holds_is_drawn_and_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forged.rec");
    let rounds = std::env::var("TT_ALLOC_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    for round in 1..=rounds {
        let mut dice = Dice(u64::wrapping_mul(round, 0x9e37_79b9_7f4a_7c15));
        std::fs::write(&path, recorded(&mut dice)).unwrap();
        let mut player = Player::open(&path).unwrap();
        let theme = Theme::new(round % 2 == 0, round % 3 == 0);
        let mut dashboard = Dashboard::new("box".into(), Zone::utc(), theme, Selection::default(), 250);
        for moved in 0..3 {
            dashboard.play(&mut player, false).unwrap();
            for view in View::ALL {
                dashboard.turn_to(view);
                for action in [Action::Down, Action::Down, Action::Last, Action::Sort, Action::Tree, Action::Window] {
                    dashboard.act(action);
                    for (width, height) in [(160, 45), (80, 24), (40, 10), (13, 3)] {
                        frame(width, height, &dashboard);
                    }
                }
                for c in "jknvdmt\t\rxgGs".chars() {
                    let code = match c {
                        '\t' => crossterm::event::KeyCode::Tab,
                        '\r' => crossterm::event::KeyCode::Enter,
                        c => crossterm::event::KeyCode::Char(c),
                    };
                    dashboard.key(crossterm::event::KeyEvent::new(code, crossterm::event::KeyModifiers::NONE));
                    frame(110, 30, &dashboard);
                }
                dashboard.turn_to(View::Overview);
            }
            let (Some(seen), users) = (player.feed().seen, Users::fixed(player.names())) else {
                panic!("round {round}")
            };
            assert!(crate::json::report_as(&seen, true, &users).unwrap().lines().count() == 1);
            assert!(!crate::csv::rows_as(&seen, true, &users).contains('\x1b'));
            assert!(!crate::table::overview(&seen, &users, Some(120), "nobody").contains('\x1b'));
            let _reasons = crate::degraded::reasons(&seen.connection(), &seen);
            player.go(Move::StepOn).unwrap();
            assert_eq!(moved < 1, player.position_ns() < player.length_ns(), "round {round}");
        }
    }
}
