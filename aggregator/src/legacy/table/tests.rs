//! Messages in every order that threads and connections make of them, against the records they become.

use super::*;
use std::collections::BTreeMap;

fn message(kind: Said, what: u8, size: u64, id: u64, time: u64) -> Message {
    Message { kind, device: 0, size, what, pid: 1, id, time }
}

fn context(connection: u64, now: u64) -> Context {
    Context { connection, several: true, unix_ns: now, monotonic_ns: now }
}

/// What the records say is live, and how many frees were of nothing.
#[derive(Default)]
struct Books(BTreeMap<u64, Event>, u64);

impl Books {
    fn hear(&mut self, event: Event) {
        match Kind::from_u8(event.kind) {
            Some(Kind::Alloc) => assert!(self.0.insert(event.id, event).is_none(), "a number twice"),
            Some(Kind::Free) => match self.0.remove(&event.id) {
                Some(was) => assert_eq!((was.size, was.memory), (event.size, event.memory)),
                None => self.1 += 1,
            },
            _ => {}
        }
    }

    fn sizes(&self) -> Vec<u64> {
        self.0.values().map(|event| event.size).collect()
    }
}

#[test]
fn a_free_may_be_read_before_its_allocation_when_they_come_on_two_connections() {
    let (mut table, mut books) = (Table::default(), Books::default());
    let mut take = |table: &mut Table, message, connection, now| {
        table.take(&message, true, context(connection, now), |event| books.hear(event));
    };
    take(&mut table, message(Said::Free, 0, 0, 5, 0), 2, 100);
    take(&mut table, message(Said::Alloc, 0, 7, 5, 90), 1, 101);
    assert!(table.is_empty());
    // One that was made after that free is none of it.
    take(&mut table, message(Said::Free, 0, 0, 6, 0), 2, 200);
    take(&mut table, message(Said::Alloc, 0, 8, 6, 201), 1, 202);
    assert_eq!(table.len(), 1);
    // Nor is one of the same connection.
    take(&mut table, message(Said::Free, 0, 0, 9, 0), 1, 300);
    take(&mut table, message(Said::Alloc, 0, 9, 9, 299), 1, 301);
    assert_eq!((table.len(), books.sizes(), books.1), (2, vec![8, 9], 0));
    table.forget_debts(300 + DEBT_NS, |event| books.hear(event));
    assert_eq!((books.1, table.debts.len()), (2, 0), "what never came was a free of nothing");
}

#[test]
fn of_two_uses_of_an_address_the_newer_one_stays_whatever_comes_first() {
    for swapped in [false, true] {
        let (mut table, mut books) = (Table::default(), Books::default());
        let mut uses = [message(Said::Alloc, 1, 100, 5, 10), message(Said::Alloc, 1, 200, 5, 20)];
        if swapped {
            uses.reverse();
        }
        for (n, message) in uses.into_iter().chain([message(Said::Free, 0, 0, 5, 0)]).enumerate() {
            table.take(&message, true, context(n as u64, 30), |event| books.hear(event));
        }
        assert_eq!(books.sizes(), [200], "{swapped}");
    }
}

#[test]
fn what_a_ledger_lists_is_freed_as_if_it_had_been_told_here() {
    let (mut table, mut books) = (Table::default(), Books::default());
    let all = [
        message(Said::Alloc, 0, 1, 5, 1),
        message(Said::Alloc, 1, 2, 5, 1),
        message(Said::CbAlloc, 0, 3, 5, 1),
        message(Said::KernelLoad, 1, 4, 5, 1),
    ];
    for one in &all {
        table.take(one, true, context(1, 1), |event| books.hear(event));
    }
    let live: Vec<Event> = books.0.values().copied().collect();
    let mut table = Table::continued(&live);
    let frees = [(Said::Free, 0), (Said::CbFree, 0), (Said::KernelUnload, 0), (Said::Free, 0)];
    for (kind, size) in frees {
        table.take(&message(kind, 0, size, 5, 0), true, context(1, 2), |event| books.hear(event));
    }
    assert!(table.is_empty() && books.0.is_empty() && books.1 == 0);
    table.take(&message(Said::Alloc, 0, 9, 5, 3), true, context(1, 3), |event| books.hear(event));
    assert!(books.0.keys().all(|number| *number > live.len() as u64));
}

#[test]
fn what_means_nothing_is_not_taken() {
    let mut table = Table::default();
    let mut take = |message: Message, room| table.take(&message, room, context(1, 1), |event| panic!("{event:?}"));
    let sound = message(Said::Alloc, 0, 1, 1, 1);
    for device in [-1, 1024, i32::MAX, i32::MIN] {
        assert_eq!(take(Message { device, ..sound }, true), Taken::Meaningless);
    }
    for (what, size) in [(5, 1), (255, 1), (0, 0), (0, u64::MAX)] {
        assert_eq!(take(Message { what, size, ..sound }, true), Taken::Meaningless);
    }
    assert_eq!(take(message(Said::KernelLoad, 3, 1, 1, 1), true), Taken::Meaningless);
    assert_eq!(take(sound, false), Taken::NoRoom);
}

/// Memory kinds that share addresses, each of which has a block at most, whose frees come late and in any order: when all are told, an account
/// that is not marked has what the allocator has.
#[test]
fn what_is_not_marked_as_a_guess_is_right_when_every_free_was_told() {
    const KINDS: u64 = 3;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let (mut marked, mut compared) = (0, 0);
    for round in 0..400 {
        let (mut table, mut books) = (Table::default(), Books::default());
        let mut doubtful = BTreeMap::<u8, u64>::new();
        let mut truth = BTreeMap::<(u64, u8), u64>::new();
        let mut late = Vec::new();
        for now in 1..200 {
            let (address, kind) = (1 + below(2), below(KINDS) as u8);
            let mut take = |message: &Message| {
                table.take(message, true, Context { several: false, ..context(1, now) }, |event| {
                    match Kind::from_u8(event.kind) {
                        Some(Kind::Doubt) => drop(doubtful.insert(event.memory, event.size)),
                        _ => books.hear(event),
                    }
                })
            };
            // The allocator first, its free later; an allocation is told at once.
            match truth.remove(&(address, kind)) {
                Some(_) => late.push(address),
                None => {
                    let size = 1 + below(4);
                    truth.insert((address, kind), size);
                    take(&message(Said::Alloc, kind, size, address, now));
                }
            }
            // In half of the rounds none is late.
            while !late.is_empty() && (round % 2 == 0 || below(3) > 0 || now % 10 == 0) {
                let address = late.swap_remove(below(late.len() as u64) as usize);
                take(&message(Said::Free, 0, 0, address, 0));
            }
            for kind in (0..KINDS as u8).filter(|_| late.is_empty()) {
                let of_truth = truth.iter().filter(|(of, _)| of.1 == kind).map(|(_, size)| *size);
                let shown = books.0.values().filter(|event| event.memory == kind).map(|event| event.size);
                let is_marked = doubtful.get(&kind).is_some_and(|size| *size == 1);
                marked += usize::from(is_marked);
                compared += usize::from(!is_marked);
                let (truth, shown): (u64, u64) = (of_truth.sum(), shown.sum());
                assert!(is_marked || truth == shown, "round {round}, {now}: kind {kind} has {truth}, not {shown}");
            }
        }
        assert_eq!(books.1, 0, "every free found something");
    }
    assert!(marked > 1000 && compared > 1000, "{marked} {compared}");
}

#[test]
fn however_often_an_unknown_address_is_freed_little_is_owed_and_the_rest_is_told_at_once() {
    let (mut table, mut books) = (Table::default(), Books::default());
    for now in 1..=100_000 {
        table.take(&message(Said::Free, 0, 0, 5, 0), true, context(2, now), |event| books.hear(event));
    }
    let of_one = u64::from(MOST_DEBTS_OF_ONE);
    assert_eq!((table.owed as u64, books.1), (of_one, 100_000 - of_one));
    for address in 0..100_000 {
        table.take(&message(Said::Free, 0, 0, 1000 + address, 0), true, context(2, 1), |event| books.hear(event));
    }
    assert_eq!((table.owed, books.1), (MOST_DEBTS, 200_000 - MOST_DEBTS as u64));
    // What comes after all is paid with what is owed.
    table.take(&message(Said::Alloc, 0, 7, 5, 1), true, context(1, 100_001), |event| books.hear(event));
    assert_eq!((table.owed, table.len()), (MOST_DEBTS - 1, 0));
    table.forget_debts(100_001 + DEBT_NS, |event| books.hear(event));
    assert_eq!((table.owed, table.debts.len(), books.1), (0, 0, 200_000 - 1));
}

#[test]
fn what_is_not_known_is_told_again_in_a_new_ring() {
    let mut table = Table::default();
    let uses = [
        message(Said::Alloc, 0, 1000, 5, 1),
        message(Said::Alloc, 1, 10, 5, 1),
        message(Said::Free, 0, 0, 5, 0),
        message(Said::Alloc, 0, 70, 9, 1),
    ];
    for one in &uses {
        table.take(one, true, Context { several: false, ..context(1, 2) }, |_| {});
    }
    let mut told: Vec<_> = table.again(7).map(|event| (event.kind, event.memory, event.size, event.time)).collect();
    told.sort_unstable();
    let (alloc, doubt) = (Kind::Alloc as u8, Kind::Doubt as u8);
    let expected = [(alloc, 0, 70, 7), (alloc, 0, 1000, 7), (doubt, 0, 1, 7), (doubt, 1, 1, 7)];
    assert_eq!(told, expected);
}

#[test]
fn however_many_circular_buffers_have_one_address_a_message_costs_the_same() {
    const MANY: u64 = 20_000;
    let (mut table, mut books) = (Table::default(), Books::default());
    for n in 0..MANY {
        let size = if n == 10 { 7 } else { 64 };
        table.take(&message(Said::CbAlloc, 0, size, 5, n), true, context(1, n), |event| books.hear(event));
    }
    for kind in [Said::Alloc, Said::Free, Said::KernelLoad, Said::KernelUnload] {
        table.take(&message(kind, 0, 9, 5, MANY), true, context(1, MANY), |event| books.hear(event));
    }
    assert_eq!((table.len() as u64, table.of((0, 5)).len()), (MANY, 0), "they are in no other message's way");
    // The one of this size is among the oldest; then there is none.
    for n in 1..MANY {
        table.take(&message(Said::CbFree, 0, 7, 5, 0), true, context(1, n), |event| books.hear(event));
        let kept = table.circular.values().map(VecDeque::capacity).sum::<usize>();
        assert!(kept <= (4 * table.len()).max(4 * MOST_LOOKED_AT), "{kept} for {}", table.len());
        assert!(n > 1 || !books.sizes().contains(&7), "found by its size");
    }
    assert_eq!((books.0.len(), table.len(), books.1), (1, 1, 0));
    assert!(books.0.contains_key(&MANY), "the oldest went first");
    assert!(table.looked_at <= MOST_LOOKED_AT * MANY as usize, "{} looks", table.looked_at);
}

#[test]
fn of_each_kind_of_buffer_an_address_has_one_whatever_is_told() {
    let (mut table, mut books) = (Table::default(), Books::default());
    let mut take = |table: &mut Table, message, connection, now| {
        table.take(&message, true, context(connection, now), |event| books.hear(event));
    };
    for round in 0..100 {
        let now = 1000 * (round + 1);
        take(&mut table, message(Said::Alloc, 0, 1, 5, now), 1, now);
        take(&mut table, message(Said::Alloc, 1, 2, 5, now), 1, now);
        for _ in 0..3 {
            take(&mut table, message(Said::Free, 0, 0, 5, 0), 1, now + 10);
            // An older one of the kind that was guessed comes late, and then the guess is told to be wrong.
            take(&mut table, message(Said::Alloc, 1, 2, 5, now + 1), 2, now + 11);
            take(&mut table, message(Said::Alloc, 0, 1, 5, now + 20), 1, now + 20);
        }
        let kinds: Vec<Memory> = table.of((0, 5)).iter().map(|block| block.memory).collect();
        assert!(kinds.len() <= 2, "round {round}: {kinds:?}");
    }
    assert_eq!(books.0.len(), table.len());
}
