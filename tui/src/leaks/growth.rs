//! What grew at every one of several looks, never shrank, and consists of allocations that stay.
//!
//! A steady job goes up and down: it does not rise at every look. That it does so by accident is excluded by the second
//! condition: what came between the looks is still there at the end, at least half of it. Parts (size class, program, tag) that
//! grow while others shrink are what a job replaces: a part is suspect only if its whole ended larger by at least half as much.

use super::{Class, Finding, Held, Kind, Look, Seen, Sum};
use crate::buffers::group_key::{SizeClass, tag_of};
use crate::ledger::Allocation;
use crate::units;
use aggregator::bytes_text;
use shm_layout::event::Memory;
use std::collections::{BTreeMap, BTreeSet};

/// Fewer looks tell nothing.
pub const LEAST_LOOKS: usize = 3;
/// Times of allocations may be so much too early: the clock that most of them are stamped with stands still that long, ns.
pub const CLOCK_STEP_NS: u64 = 100_000_000;

/// What is watched. Without a part, everything of its process, device, memory kind and class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    nonce: u64,
    device: u32,
    memory: Memory,
    class: Class,
    part: Option<(SizeClass, u32, Option<String>)>,
}

impl Place {
    fn of(held: &Held, allocation: &Allocation, whole: bool) -> Self {
        let part = || (SizeClass::of(allocation), allocation.event.context, tag_of(allocation));
        Self {
            nonce: held.nonce,
            device: allocation.event.device,
            memory: allocation.memory,
            class: Class::of(allocation),
            part: (!whole).then(part),
        }
    }

    fn whole(&self) -> Self {
        Self { part: None, ..self.clone() }
    }
}

/// The looks so far.
#[derive(Debug, Default)]
pub struct Watch {
    looks: Vec<(u64, BTreeMap<Place, Sum>)>,
}

impl Watch {
    /// One more look.
    pub fn see(&mut self, look: &Look) {
        let mut sums: BTreeMap<Place, Sum> = BTreeMap::new();
        for held in &look.processes {
            for allocation in &held.allocations {
                for whole in [false, true] {
                    sums.entry(Place::of(held, allocation, whole)).or_default().add(allocation);
                }
            }
        }
        self.looks.push((look.at_ns, sums));
    }

    /// What grew; `last` is the look that was seen last.
    pub fn findings(&self, last: &Look) -> Vec<Finding> {
        let Some((_, now)) = self.looks.last() else { return Vec::new() };
        let mut found = Vec::new();
        let mut told = BTreeSet::new();
        // Parts first: where some of them grew, their whole is nothing new.
        let (parts, wholes): (Vec<&Place>, Vec<&Place>) = now.keys().partition(|place| place.part.is_some());
        for place in parts.into_iter().chain(wholes) {
            if place.part.is_none() && told.contains(place) {
                continue;
            }
            if let Some(finding) = self.finding(place, last) {
                // One whose growth another part made up for says nothing about all of them.
                if finding.suspect || place.class.excuse().is_some() {
                    told.insert(place.whole());
                }
                found.push(finding);
            }
        }
        found
    }

    fn sums(&self, place: &Place) -> Vec<Sum> {
        self.looks.iter().map(|(_, sums)| sums.get(place).copied().unwrap_or_default()).collect()
    }

    fn finding(&self, place: &Place, last: &Look) -> Option<Finding> {
        let sums = self.sums(place);
        let by = grown(&sums)?;
        let held = last.processes.iter().find(|held| held.nonce == place.nonce)?;
        let is_here = |allocation: &&Allocation| Place::of(held, allocation, place.part.is_none()) == *place;
        let (first_ns, before_last_ns) = (self.looks.first()?.0, self.looks.get(self.looks.len().checked_sub(2)?)?.0);
        let came = first_ns.saturating_sub(CLOCK_STEP_NS)..=before_last_ns;
        // What came after the look before the last may be work in progress.
        let stayed: Vec<&Allocation> = held
            .allocations
            .iter()
            .filter(is_here)
            .filter(|allocation| came.contains(&allocation.event.time))
            .collect();
        let (begin, before_last, end) = (*sums.first()?, *sums.get(sums.len() - 2)?, *sums.last()?);
        let stay = Sum::of(stayed.iter().copied());
        if by(&stay).saturating_mul(2) < by(&before_last) - by(&begin) || stayed.len() < sums.len() - 2 {
            return None;
        }
        let came_since =
            Sum { count: end.count.saturating_sub(begin.count), bytes: end.bytes.saturating_sub(begin.bytes) };
        let finding = Finding::of(Kind::Grew, held, place.device, place.memory, place.class, came_since);
        let (mut finding, oldest) = finding.with_oldest(stayed.iter().copied(), last.at_ns);
        finding.looks = self
            .looks
            .iter()
            .zip(&sums)
            .map(|((at, _), sum)| Seen {
                seconds: at.saturating_sub(first_ns) as f64 / 1e9,
                count: sum.count,
                footprint_bytes: sum.bytes,
            })
            .collect();
        if let Some((size_class, program, tag)) = &place.part {
            finding.size_class = Some(*size_class);
            // Of a buffer it is the number of an allocator, which tells nobody anything.
            let of_program = matches!(place.memory, Memory::Cb | Memory::Kernel) && *program != 0;
            finding.program = of_program.then_some(*program);
            finding.tag.clone_from(tag);
            finding.text += &format!(", size {}", size_class.text());
            finding.text += &finding.program.map_or_else(String::new, |program| format!(", program {program}"));
            finding.text += &tag.as_ref().map_or_else(String::new, |tag| format!(", tag {tag}"));
        }
        let counts: Vec<String> = sums.iter().map(|sum| sum.count.to_string()).collect();
        let counts = if counts.len() > 8 {
            format!("{} .. {}", counts[..3].join(", "), counts[counts.len() - 3..].join(", "))
        } else {
            counts.join(", ")
        };
        let span = units::age(last.at_ns.saturating_sub(first_ns));
        finding.text += &format!(
            ": grew at every one of {} looks in {span}: {counts} allocations, {} to {}; {} that came before the last look are still there, the oldest for {}",
            sums.len(),
            bytes_text(begin.bytes),
            bytes_text(end.bytes),
            stayed.len(),
            units::age(oldest),
        );
        finding.next = match place.class.excuse() {
            Some(excuse) => excuse.to_owned(),
            None => format!(
                "see them: `tt-alloc buffers --pid {} --memory {} --sort age`; a job that is still loading grows as well: then watch it later",
                held.pid,
                place.memory.name()
            ),
        };
        // What a job replaces by something of another size, program or tag is none the more for it.
        let whole = self.sums(&place.whole());
        let (all_begin, all_end) = (*whole.first()?, *whole.last()?);
        if finding.suspect && by(&all_end).saturating_sub(by(&all_begin)).saturating_mul(2) < by(&end) - by(&begin) {
            finding.suspect = false;
            finding.next = format!(
                "no leak by itself: other {} of the process became less meanwhile; all of it together went from {} to {} allocations, {} to {}",
                place.memory.name(),
                all_begin.count,
                all_end.count,
                bytes_text(all_begin.bytes),
                bytes_text(all_end.bytes),
            );
        }
        Some(finding)
    }
}

/// By what it grew at every look; `None`: it did not, or its number or bytes shrank once.
fn grown(sums: &[Sum]) -> Option<fn(&Sum) -> u64> {
    let every =
        |holds: fn(u64, u64) -> bool, by: fn(&Sum) -> u64| sums.windows(2).all(|two| holds(by(&two[0]), by(&two[1])));
    let [count, bytes]: [fn(&Sum) -> u64; 2] = [|sum| sum.count, |sum| sum.bytes];
    let never_shrank = every(|a, b| a <= b, count) && every(|a, b| a <= b, bytes);
    let enough = sums.len() >= LEAST_LOOKS && never_shrank;
    [bytes, count].into_iter().find(|by| enough && every(|a, b| a < b, *by))
}

#[cfg(test)]
mod tests {
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
        assert!(
            watch(5, |at| (at - 20..at).map(|second| buffer(second, Memory::Dram, KIB, second)).collect()).is_empty()
        );
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

    #[test]
    fn many_sizes_that_grow_together_are_one_finding() {
        // Each look has one more of a size class that was not there before.
        let found = watch(5, |at| (0..=(at - 100) / 10).map(|n| buffer(n, Memory::L1, 64 << n, 99 + n * 10)).collect());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((found[0].size_class, found[0].count, found[0].suspect), (None, 4, true));
    }
}
