use super::super::fixture::{buffer, held, look};
use super::*;

const KIB: u64 = 1024;

/// Looks at seconds 0, 10, 20 …, at each of which a process holds what this says.
fn watch(looks: usize, holds: impl Fn(u64) -> Vec<Allocation>) -> Vec<Finding> {
    let mut watch = Watch::default();
    let mut last = Look::default();
    for at in (0..looks as u64).map(|n| 100 + n * 10) {
        last = look(at, vec![held(7, holds(at))]);
        watch.see(&last);
    }
    watch.findings(&last)
}

/// One more every second since second 90, all of which stay.
fn leaking(memory: Memory, bytes: u64, at: u64) -> Vec<Allocation> {
    (90..at).map(|second| buffer(second, memory, bytes, second)).collect()
}

#[test]
fn what_stays_and_grows_is_found_with_its_size_class() {
    let found = watch(4, |at| leaking(Memory::Dram, 4 * KIB, at));
    assert_eq!(found.len(), 1, "{found:#?}");
    let one = &found[0];
    assert!(one.suspect && one.kind == Kind::Grew && one.size_class == Some(SizeClass::Power(12)));
    assert_eq!((one.count, one.footprint_bytes), (30, 120 * KIB));
    assert_eq!(one.looks.iter().map(|look| look.count).collect::<Vec<_>>(), [10, 20, 30, 40]);
    assert!(one.text.contains("10, 20, 30, 40 allocations, 40.0 KiB to 160 KiB"), "{}", one.text);
    assert!(one.text.contains("device 0 (0x1c), DRAM, size 4 KiB..8 KiB"), "{}", one.text);
    assert!(one.next.contains("--pid 7 --memory DRAM"));
    assert!(watch(2, |at| leaking(Memory::Dram, 4 * KIB, at)).is_empty(), "two looks are none");
}

#[test]
fn what_is_kept_on_purpose_is_no_suspect() {
    for (memory, class) in [
        (Memory::Cb, Class::ProgramCache),
        (Memory::Kernel, Class::ProgramCache),
        (Memory::Trace, Class::Trace),
        (Memory::SystemMemory, Class::System),
    ] {
        let found = watch(4, |at| leaking(memory, KIB, at));
        assert_eq!(found.len(), 1, "{memory:?}");
        assert!(!found[0].suspect && found[0].class == Some(class) && found[0].next.contains("no leak by itself"));
    }
    let of_system = |at| {
        let mut all = leaking(Memory::Dram, KIB, at);
        all.iter_mut().for_each(|one| one.event.flags |= shm_layout::event::flags::SYSTEM);
        all
    };
    assert!(watch(4, of_system).iter().all(|one| !one.suspect && one.class == Some(Class::System)));
}

#[test]
fn churn_that_happens_to_rise_is_no_leak() {
    // 20, 23, 26, 29 live ones, none of which lives for longer than six seconds.
    let found = watch(4, |at| {
        let live = 20 + (at - 100) / 10 * 3;
        (0..live).map(|n| buffer(at * 100 + n, Memory::Dram, KIB, at - n % 6)).collect()
    });
    assert!(found.is_empty(), "{found:#?}");
    // Steady: as many at each look.
    assert!(watch(5, |at| (at - 20..at).map(|second| buffer(second, Memory::Dram, KIB, second)).collect()).is_empty());
    // Up and down, and one that shrinks in bytes while it grows in number.
    assert!(watch(5, |at| leaking(Memory::Dram, KIB, if at == 120 { 105 } else { at })).is_empty());
    let smaller = |at: u64| (0..at).map(|n| buffer(n, Memory::Dram, 1_000_000 / (at * at), 101 + n % 9)).collect();
    assert!(watch(3, smaller).is_empty());
}

#[test]
fn what_grew_once_and_then_stood_still_is_no_leak() {
    // A model that was loaded between the first looks.
    let found = watch(5, |at| leaking(Memory::Dram, KIB, at.min(120)));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_few_that_stay_are_not_the_growth_of_all_the_others() {
    let young = |at: u64, count: u64| (0..count).map(move |n| buffer(at * 1000 + n, Memory::Dram, KIB, at - 1));
    // 30 more at each look, of which one stays.
    let few = |at: u64| {
        let looks = (at - 100) / 10;
        let kept = (0..looks).map(|n| buffer(n, Memory::Dram, KIB, 105 + n * 10));
        kept.chain(young(at, 20 + 30 * looks)).collect()
    };
    assert!(watch(4, few).is_empty());
    // One that is larger than all that came and went.
    let one = |at: u64| {
        let large = (at > 100).then(|| buffer(1, Memory::Dram, 1 << 20, 105));
        large.into_iter().chain(young(at, at / 10)).collect()
    };
    assert!(watch(4, one).is_empty());
}

#[test]
fn a_part_that_another_makes_up_for_is_a_note_and_hides_no_leak_of_all() {
    let tagged = |tag: &str, one: Allocation| Allocation { tag: Some(tag.into()), ..one };
    // One by one what the load has made is replaced by what training makes; `more` come besides, of a size of their own each.
    let replaced = |at: u64, more: u64| {
        let done = at - 90;
        let loaded = (done..100).map(|n| tagged("model load", buffer(n, Memory::Dram, 4 * KIB, 1)));
        let trained = (0..done).map(|n| tagged("train", buffer(1000 + n, Memory::Dram, 4 * KIB, 90 + n)));
        let more = (0..(at - 100) / 10 * more).map(|n| buffer(2000 + n, Memory::Dram, 64 << n, 101 + n * 10));
        loaded.chain(trained).chain(more).collect()
    };
    let found = watch(4, |at| replaced(at, 0));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].suspect, found[0].tag.as_deref(), found[0].count), (false, Some("train"), 30));
    assert!(found[0].next.contains("from 100 to 100 allocations, 400 KiB to 400 KiB"), "{}", found[0].next);
    let found = watch(4, |at| replaced(at, 1));
    let told: Vec<_> = found.iter().map(|one| (one.suspect, one.tag.is_some(), one.count)).collect();
    assert_eq!(told, [(false, true, 30), (true, false, 3)], "{found:#?}");
    // Half of it is made up for, no more.
    let half = |at: u64| {
        let loaded = ((at - 100) / 2..100).map(|n| tagged("model load", buffer(n, Memory::Dram, 4 * KIB, 1)));
        loaded.chain(leaking(Memory::Dram, 4 * KIB, at)).collect()
    };
    let found = watch(4, half);
    assert_eq!(found.iter().map(|one| (one.suspect, one.count)).collect::<Vec<_>>(), [(true, 30)]);
}

/// So many looks at a process whose programs are those of the look, so many at each, and at one that leaks.
fn beside_programs(looks: u64, programs: impl Fn(u64) -> Vec<(u32, u64)>) -> (Watch, Vec<Finding>) {
    let (mut watch, mut last) = (Watch::default(), Look::default());
    for n in 0..looks {
        let of = |(program, count): (u32, u64)| {
            (0..count).map(move |more| {
                let mut one = buffer(u64::from(program) << 8 | more, Memory::Cb, 64, 95 + more * 10);
                one.event.context = program;
                one
            })
        };
        let cached = programs(n).into_iter().flat_map(of).collect();
        last = look(100 + n * 10, vec![held(7, cached), held(8, leaking(Memory::Dram, KIB, 100 + n * 10))]);
        watch.see(&last);
    }
    let found = watch.findings(&last);
    (watch, found)
}

#[test]
fn what_does_not_grow_is_not_remembered() {
    let (watch, found) = beside_programs(4, |_| (1..1000).map(|program| (program, 1)).collect());
    assert_eq!(found.len(), 1, "{found:#?}");
    // The leaking part, and wholes.
    assert!(watch.remembered() < 40, "{} sums", watch.remembered());
}

#[test]
fn of_what_has_very_many_parts_only_the_whole_is_remembered() {
    let programs = MOST_PARTS as u32 / 2 + 1;
    let (watch, found) = beside_programs(4, |look| (1..=programs).map(|program| (program, look + 1)).collect());
    assert!(watch.remembered() < 40, "{} sums", watch.remembered());
    let told: Vec<_> = found.iter().map(|one| (one.pid, one.size_class, one.program, one.suspect)).collect();
    let leak = (Some(8), Some(SizeClass::Power(10)), None, true);
    assert_eq!(told, [leak, (Some(7), None, None, false)], "that of another process is still told by its size");
    // One fewer, and each part is told.
    let (_, found) = beside_programs(4, |look| (1..30).map(|program| (program, look + 1)).collect());
    assert_eq!(found.iter().filter(|one| one.program.is_some()).count(), 29);
}

#[test]
fn many_sizes_that_grow_together_are_one_finding() {
    // Each look has one more of a size class that was not there before.
    let found = watch(5, |at| (0..=(at - 100) / 10).map(|n| buffer(n, Memory::L1, 64 << n, 99 + n * 10)).collect());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].size_class, found[0].count, found[0].suspect), (None, 4, true));
}
