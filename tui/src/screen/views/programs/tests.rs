#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::super::ledger_fixture::{allocation, at_every_size, device, holder, host, observation, picture, shown};
use super::rows::{self, Key, Totals};
use super::step;
use crate::inventory::Inventory;
use crate::screen::dashboard::Dashboard;
use crate::screen::keys::Action;
use crate::screen::theme::Theme;
use crate::screen::view::{Subject, View};
use crate::screen::views::ledger_fixture::pictures;
use shm_layout::event::{Memory, flags};

fn programs(theme: Theme) -> Dashboard {
    let mut seen = observation(4);
    // Less than the kernels of the second device take.
    seen.snapshot.chips[1].memory[Memory::Kernel as usize].capacity_bytes = 1 << 20;
    let inventory = host(&seen);
    shown(theme, seen, Some(inventory), View::Programs)
}

pictures! {
    programs_160x45: 160 x 45, programs(Theme::new(true, false));
    programs_80x24: 80 x 24, programs(Theme::new(true, false));
    programs_40x10: 40 x 10, programs(Theme::new(true, false));
    programs_80x24_ascii: 80 x 24, programs(Theme::new(false, true));
    programs_of_nobody_60x20: 60 x 20, shown(Theme::new(true, false), observation(1), Some(Inventory::default()), View::Programs);
}

#[test]
fn what_a_program_holds_is_told_apart() {
    let seen = observation(1);
    let of = |id, memory, program, bytes, flag| {
        let mut one = allocation(id, 0, memory, 0, bytes, id);
        (one.event.context, one.event.flags) = (program, flag);
        one
    };
    let all = vec![
        of(1, Memory::Cb, 3, 100, 0),
        of(2, Memory::Cb, 3, 1000, flags::GLOBALLY_ALLOCATED),
        of(3, Memory::Kernel, 3, 10, 0),
        of(4, Memory::Kernel, 0, 20, flags::FABRIC),
        of(5, Memory::Kernel, 0, 40, flags::DISPATCH),
        of(6, Memory::Cb, 4, 7, 0),
        of(7, Memory::Dram, 4, 1 << 30, 0),
    ];
    let inventory = Inventory {
        holders: vec![holder(&seen.snapshot.processes[0], vec![device(&seen, 0)], all)],
        ..Inventory::default()
    };
    let mut rows = rows::of(&inventory);
    rows.sort_by_key(|row| row.program);
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.program,
                row.buffers,
                row.borrowed,
                row.registered,
                row.resident,
                row.application,
                row.fabric,
                row.dispatch,
            )
        })
        .collect();
    // Of a CB in a buffer that is counted as such nothing is registered; program 3 was dispatched last.
    assert_eq!(told, [(0, 0, 0, 0, false, 0, 20, 40), (3, 2, 1, 100, true, 10, 0, 0), (4, 1, 0, 7, false, 0, 0, 0)]);
    let totals =
        Totals { programs: 2, buffers: 3, registered: 107, resident: 100, application: 10, fabric: 20, dispatch: 40 };
    assert_eq!(Totals::of(&rows), totals);
    assert_eq!(rows[1].newest_ns, crate::sample::NOW_NS - 1_000_000_000);
    // On two devices, and of another process: it is the program that counts, not the place.
    let mut more = rows.clone();
    more.extend(rows.iter().map(|row| rows::Row { device: 1, ..row.clone() }));
    assert_eq!(Totals::of(&more), Totals { programs: 2, ..doubled(totals) });
    more.iter_mut().filter(|row| row.device == 1).for_each(|row| row.nonce += 1);
    assert_eq!(Totals::of(&more).programs, 4);
}

fn doubled(of: Totals) -> Totals {
    Totals {
        programs: of.programs * 2,
        buffers: of.buffers * 2,
        registered: of.registered * 2,
        resident: of.resident * 2,
        application: of.application * 2,
        fabric: of.fabric * 2,
        dispatch: of.dispatch * 2,
    }
}

#[test]
fn of_two_processes_on_a_chip_the_later_dispatch_is_resident() {
    let seen = observation(1);
    let of = |at: usize, dispatched_ns| {
        let mut device = device(&seen, 0);
        device.dispatched_ns = dispatched_ns;
        let mut cb = allocation(1, 0, Memory::Cb, 0, 64, 1);
        cb.event.context = 3;
        holder(&seen.snapshot.processes[at], vec![device], vec![cb])
    };
    let residents = |holders| {
        let mut rows = rows::of(&Inventory { holders, ..Inventory::default() });
        rows.sort_by_key(|row| row.pid);
        rows.iter().map(|row| row.resident).collect::<Vec<_>>()
    };
    assert_eq!(residents(vec![of(0, 5), of(1, 9)]), [false, true]);
    let mut closed = of(1, 9);
    closed.devices[0].open = 0;
    assert_eq!(residents(vec![of(0, 5), closed]), [true, false]);
}

#[test]
fn keys_sort_turn_round_and_choose_a_process() {
    let mut dashboard = programs(Theme::new(true, false));
    let state = |dashboard: &Dashboard| {
        let state = &dashboard.views.programs;
        (state.choice.key, state.table.rows.first().map(|row| (row.program, row.registered)))
    };
    let largest = state(&dashboard).1.unwrap();
    assert_eq!((state(&dashboard).0, largest.0), (Key::Registered, 23));
    dashboard.act(Action::Reverse);
    assert_eq!(state(&dashboard).1, Some((0, 0)));
    dashboard.act(Action::SortBack);
    assert_eq!((state(&dashboard).0, state(&dashboard).1.unwrap().0), (Key::Program, 0));
    dashboard.act(Action::Sort);
    assert_eq!(state(&dashboard).1, Some(largest));
    let all = dashboard.views.programs.table.rows.len();
    dashboard.act(Action::Next);
    assert_eq!((dashboard.views.programs.table.rows.len(), dashboard.views.programs.table.owners.len()), (all, 1));
    assert!(picture(100, 30, &dashboard).contains("of PID 41207 python3"));
    dashboard.act(Action::Next);
    assert_eq!(dashboard.views.programs.choice.of, None, "after the last process come all");
    dashboard.act(Action::Last);
    let text = picture(100, 30, &dashboard);
    assert!(text.contains("kernels on 1 are cumulative"), "{text}");
}

#[test]
fn one_is_stepped_to_and_from() {
    let all = [1, 2, 3];
    assert_eq!(
        (step(&all, None, true), step(&all, Some(1), true), step(&all, Some(3), true)),
        (Some(1), Some(2), None)
    );
    assert_eq!(
        (step(&all, None, false), step(&all, Some(1), false), step(&all, Some(9), true)),
        (Some(3), None, Some(1))
    );
    assert_eq!(step::<u8>(&[], None, true), None);
}

#[test]
fn no_size_panics() {
    at_every_size(&programs(Theme::new(true, false)));
    let mut ascii = programs(Theme::new(false, true));
    ascii.act(Action::Last);
    at_every_size(&ascii);
    assert!(picture(120, 40, &ascii).is_ascii());
    at_every_size(&shown(Theme::new(true, false), observation(0), None, View::Programs));
}

#[test]
fn enter_goes_to_whose_programs_are_shown() {
    for view in [View::Programs, View::Leaks] {
        let mut dashboard = programs(Theme::new(true, false));
        dashboard.act(Action::Show(view));
        let before = dashboard.subject;
        dashboard.act(Action::Show(View::Detail));
        assert_eq!(dashboard.subject, before, "of everybody it is about nobody");
        dashboard.act(Action::Show(view));
        dashboard.act(Action::Next);
        let title = picture(160, 45, &dashboard);
        dashboard.act(Action::Show(View::Detail));
        let processes = &dashboard.seen.as_ref().unwrap().snapshot.processes;
        let meant = processes.iter().find(|process| Some(Subject::from(*process)) == dashboard.subject).unwrap();
        assert!(
            title.contains(&format!("PID {} of ", meant.pid)) || title.contains(&format!("of PID {} ", meant.pid)),
            "{title}"
        );
    }
}
