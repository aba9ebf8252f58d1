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

/// Parts (size class, program, tag) that are watched of each class of all processes together; of a process with more than its share of
/// them only wholes are: what is remembered is bounded, whatever is allocated.
pub const MOST_PARTS: usize = 25_000;

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

    /// Whether it is a part of one of these.
    fn is_part_of(&self, classes: &BTreeSet<(u64, Class)>) -> bool {
        self.part.is_some() && classes.contains(&(self.nonce, self.class))
    }
}

/// What grew at every look so far, and what was there of everything at the first and at the last: what stood still once is no
/// leak, and need not be remembered.
#[derive(Debug, Default)]
pub struct Watch {
    /// When the looks were.
    at_ns: Vec<u64>,
    /// What it came to at each look.
    rising: BTreeMap<Place, Vec<Sum>>,
    /// Wholes at the first look.
    first: BTreeMap<Place, Sum>,
    /// Wholes at the last look.
    last: BTreeMap<Place, Sum>,
    /// Processes (by their nonce) of whose class only wholes are watched: it has too many parts.
    coarse: BTreeSet<(u64, Class)>,
}

impl Watch {
    /// One more look.
    pub fn see(&mut self, look: &Look) {
        let mut sums = self.sums(look);
        self.last =
            sums.iter().filter(|(place, _)| place.part.is_none()).map(|(one, sum)| (one.clone(), *sum)).collect();
        let looks = self.at_ns.len();
        self.at_ns.push(look.at_ns);
        if looks == 0 {
            self.first.clone_from(&self.last);
        }
        let coarse = &self.coarse;
        self.rising.retain(|place, of| {
            of.push(sums.remove(place).unwrap_or_default());
            !place.is_part_of(coarse) && rises(of).is_some()
        });
        // What was not there at the first look can have grown since then; what came later stood still before.
        if looks < 2 {
            let fresh = |(place, sum)| (place, if looks == 0 { vec![sum] } else { vec![Sum::default(), sum] });
            self.rising.extend(sums.into_iter().map(fresh));
        }
    }

    /// What everything comes to; each process has as much room for parts as any other.
    fn sums(&mut self, look: &Look) -> BTreeMap<Place, Sum> {
        let room = MOST_PARTS / look.processes.len().max(1);
        let mut sums: BTreeMap<Place, Sum> = BTreeMap::new();
        for held in &look.processes {
            let mut parts: BTreeMap<Class, usize> = BTreeMap::new();
            for allocation in &held.allocations {
                sums.entry(Place::of(held, allocation, true)).or_default().add(allocation);
                let class = Class::of(allocation);
                if self.coarse.contains(&(held.nonce, class)) {
                    continue;
                }
                let sum = sums.entry(Place::of(held, allocation, false)).or_insert_with(|| {
                    *parts.entry(class).or_default() += 1;
                    Sum::default()
                });
                sum.add(allocation);
                if parts.get(&class).is_some_and(|parts| *parts > room) {
                    self.coarse.insert((held.nonce, class));
                }
            }
        }
        sums.retain(|place, _| !place.is_part_of(&self.coarse));
        sums
    }

    /// What grew; `last` is the look that was seen last.
    pub fn findings(&self, last: &Look) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut told = BTreeSet::new();
        let stayed = self.stayed(last);
        // Parts first: where some of them grew, their whole is nothing new.
        let (parts, wholes): (Vec<&Place>, Vec<&Place>) = stayed.keys().partition(|place| place.part.is_some());
        for place in parts.into_iter().chain(wholes) {
            if place.part.is_none() && told.contains(place) {
                continue;
            }
            if let Some(finding) = self.finding(place, &stayed[place], last) {
                // One whose growth another part made up for says nothing about all of them.
                if finding.suspect || place.class.excuse().is_some() {
                    told.insert(place.whole());
                }
                found.push(finding);
            }
        }
        found
    }

    /// What came between the first look and the one before the last and is there still, of each that grew.
    fn stayed<'a>(&'a self, last: &'a Look) -> BTreeMap<&'a Place, Vec<&'a Allocation>> {
        let [first_ns, .., before_last_ns, _] = self.at_ns[..] else { return BTreeMap::new() };
        let grew = self.rising.iter().filter(|(_, sums)| grown(sums).is_some());
        let mut stayed: BTreeMap<&Place, Vec<&Allocation>> = grew.map(|(place, _)| (place, Vec::new())).collect();
        // What came after the look before the last may be work in progress.
        let came = first_ns.saturating_sub(CLOCK_STEP_NS)..=before_last_ns;
        for held in &last.processes {
            for allocation in held.allocations.iter().filter(|allocation| came.contains(&allocation.event.time)) {
                for whole in [false, true] {
                    if let Some(all) = stayed.get_mut(&Place::of(held, allocation, whole)) {
                        all.push(allocation);
                    }
                }
            }
        }
        stayed
    }

    /// Sums that are kept.
    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.rising.values().map(Vec::len).sum::<usize>() + self.first.len() + self.last.len()
    }

    fn finding(&self, place: &Place, stayed: &[&Allocation], last: &Look) -> Option<Finding> {
        let sums = self.rising.get(place)?;
        let by = grown(sums)?;
        let held = last.processes.iter().find(|held| held.nonce == place.nonce)?;
        let first_ns = *self.at_ns.first()?;
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
            .at_ns
            .iter()
            .zip(sums)
            .map(|(at, sum)| Seen {
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
        let whole = place.whole();
        let at = |look: &BTreeMap<Place, Sum>| look.get(&whole).copied().unwrap_or_default();
        let (all_begin, all_end) = (at(&self.first), at(&self.last));
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

/// By what it grew at every look, of which there were enough; `None`: it did not, or its number or bytes shrank once.
fn grown(sums: &[Sum]) -> Option<fn(&Sum) -> u64> {
    rises(sums).filter(|_| sums.len() >= LEAST_LOOKS)
}

/// The same of however many looks.
fn rises(sums: &[Sum]) -> Option<fn(&Sum) -> u64> {
    let every =
        |holds: fn(u64, u64) -> bool, by: fn(&Sum) -> u64| sums.windows(2).all(|two| holds(by(&two[0]), by(&two[1])));
    let [count, bytes]: [fn(&Sum) -> u64; 2] = [|sum| sum.count, |sum| sum.bytes];
    let never_shrank = every(|a, b| a <= b, count) && every(|a, b| a <= b, bytes);
    [bytes, count].into_iter().find(|by| never_shrank && every(|a, b| a < b, *by))
}

#[cfg(test)]
mod tests;
