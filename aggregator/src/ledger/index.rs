//! Where is the entry with this key: a hash index of numbers that grows a little at a time.
//!
//! ```text
//!   hash, 32 bits:   [ top bits: which segment | … | bits for two of its buckets ]
//!   directory        by the top bits, segment numbers (extendible hashing)
//!   segment          64 buckets, one page; a full one is split in two, nothing else moves
//!   bucket           one cache line: the hashes of eight values, and the values
//! ```
//!
//! A table that doubles as a whole stands still for 51 ms at a million entries; a segment splits in a few microseconds.
//! A value lies in one of two buckets, the emptier one when it came: so both are simply looked at, nothing is ever
//! further away, and a removal leaves nothing to be tidied up. (With one bucket and its neighbours every third would have
//! overflowed at the same load, and every overflow is a branch that no processor foresees.)

use super::hash::Mark;
use super::processor::{equal, prefetch};

/// Slots of a bucket.
const SLOTS: usize = 8;
/// Buckets of a segment: one page, so that both buckets of a mark take one look at the page tables.
const BUCKETS: usize = 64;
/// Values from which on a segment is rather split than tidied up: 7 of 8 slots.
const MANY: u32 = (BUCKETS * SLOTS * 7 / 8) as u32;
/// Top bits by which segments are told apart, at most.
const MOST_DEPTH: u32 = 20;

#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// 0 = vacant.
    marks: [u32; SLOTS],
    values: [u32; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    const EMPTY: Self = Self { marks: [0; SLOTS], values: [0; SLOTS] };
}

#[derive(Debug)]
struct Segment {
    buckets: Box<[Bucket; BUCKETS]>,
    used: u32,
    /// Top bits that all its marks have in common.
    depth: u32,
}

/// Both buckets of a mark.
type Homes = (usize, usize);

impl Segment {
    fn new(depth: u32) -> Self {
        Self { buckets: Box::new([Bucket::EMPTY; BUCKETS]), used: 0, depth }
    }

    /// What leads from one bucket of a mark to the other; odd, so that they are never the same.
    #[inline(always)]
    const fn apart(mark: u32) -> usize {
        (mark >> 6 | 1) as usize
    }

    #[inline(always)]
    const fn homes(mark: u32) -> Homes {
        (mark as usize % BUCKETS, (mark as usize ^ Self::apart(mark)) % BUCKETS)
    }

    /// One bit for each slot of both buckets with this mark.
    #[inline(always)]
    fn matching(&self, homes: Homes, mark: u32) -> u32 {
        equal(&self.buckets[homes.0].marks, &self.buckets[homes.1].marks, mark)
    }

    /// The bucket and slot of the lowest of these bits.
    #[inline(always)]
    fn lowest(homes: Homes, bits: u32) -> (usize, usize) {
        let at = bits.trailing_zeros() as usize;
        (if at < SLOTS { homes.0 } else { homes.1 }, at % SLOTS)
    }

    /// A vacant slot of the emptier bucket; none if both are full.
    #[inline(always)]
    fn vacant(&self, homes: Homes) -> Option<(usize, usize)> {
        let bits = self.matching(homes, 0);
        // The ones of each byte. (`count_ones` twice is twice as long where processors may be old.)
        let pairs = bits - (bits >> 1 & 0x5555);
        let fours = (pairs & 0x3333) + (pairs >> 2 & 0x3333);
        let counts = (fours + (fours >> 4)) & 0x0F0F;
        let emptier = if counts >> 8 > counts & 0xFF { bits & 0xFF00 } else { bits };
        (bits != 0).then(|| Self::lowest(homes, emptier))
    }

    /// A vacant slot of one of these two full buckets: some value there moves to its other bucket.
    fn vacate(&mut self, homes: Homes) -> Option<(usize, usize)> {
        for (bucket, slot) in
            [homes.0, homes.1].into_iter().flat_map(|bucket| (0..SLOTS).map(move |slot| (bucket, slot)))
        {
            let Bucket { marks, values } = self.buckets[bucket];
            let other = &mut self.buckets[(bucket ^ Self::apart(marks[slot])) % BUCKETS];
            if let Some(vacant) = other.marks.iter().position(|mark| *mark == 0) {
                (other.marks[vacant], other.values[vacant]) = (marks[slot], values[slot]);
                self.buckets[bucket].marks[slot] = 0;
                return Some((bucket, slot));
            }
        }
        None
    }

    #[inline(always)]
    fn put(&mut self, (bucket, slot): (usize, usize), mark: u32, value: u32) {
        let bucket = &mut self.buckets[bucket % BUCKETS];
        bucket.marks[slot % SLOTS] = mark;
        bucket.values[slot % SLOTS] = value;
        self.used += 1;
    }

    fn each(&self, mut f: impl FnMut(u32, u32)) {
        for bucket in self.buckets.iter() {
            for (mark, value) in bucket.marks.iter().zip(&bucket.values).filter(|(mark, _)| **mark != 0) {
                f(*mark, *value);
            }
        }
    }
}

/// Where a value is, or will be; good until anything else is put or taken: segment, bucket and slot, or the place among
/// the spilled.
#[derive(Clone, Copy, Debug)]
pub struct Place(u32);

impl Place {
    const SPILLED: u32 = 1 << 31;
    /// Nowhere yet.
    pub const NONE: Self = Self(u32::MAX);

    #[inline(always)]
    const fn new(segment: u32, (bucket, slot): (usize, usize)) -> Self {
        Self(segment << 9 | (bucket as u32) << 3 | slot as u32)
    }

    /// Beyond all segments for what is not in one.
    #[inline(always)]
    const fn segment(self) -> usize {
        (self.0 >> 9) as usize
    }

    #[inline(always)]
    const fn bucket_and_slot(self) -> (usize, usize) {
        (self.0 as usize >> 3 & (BUCKETS - 1), self.0 as usize & (SLOTS - 1))
    }
}

const _: () = assert!(BUCKETS == 1 << 6 && SLOTS == 1 << 3 && MOST_DEPTH < 31 - 9);

/// The index.
#[derive(Debug)]
pub struct Index {
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
    /// Values for which there is no room in their buckets although their segment has some. With a good hash there are
    /// none.
    spilled: Vec<(u32, u32)>,
}

impl Default for Index {
    fn default() -> Self {
        Self { directory: vec![0], depth: 0, segments: vec![Segment::new(0)], spilled: Vec::new() }
    }
}

impl Index {
    #[inline(always)]
    fn segment_of(&self, mark: u32) -> u32 {
        self.directory[(u64::from(mark) << self.depth >> 32) as usize]
    }

    /// Asks for the lines in which this mark is looked for.
    #[inline(always)]
    pub fn prefetch(&self, mark: Mark) {
        let segment = &self.segments[self.segment_of(mark.get()) as usize];
        let homes = Segment::homes(mark.get());
        prefetch(&segment.buckets[homes.0]);
        prefetch(&segment.buckets[homes.1]);
    }

    /// The first value with this mark and its place: most likely the one that will be looked for. A hint.
    #[inline(always)]
    pub fn likely(&self, mark: Mark) -> Option<(Place, u32)> {
        let number = self.segment_of(mark.get());
        let segment = &self.segments[number as usize];
        let homes = Segment::homes(mark.get());
        let bits = segment.matching(homes, mark.get());
        let (bucket, slot) = Segment::lowest(homes, bits);
        (bits != 0).then(|| (Place::new(number, (bucket, slot)), segment.buckets[bucket].values[slot]))
    }

    /// The value that lies at a place which was a hint, if the mark is still there.
    #[inline(always)]
    pub fn still(&self, place: Place, mark: Mark) -> Option<u32> {
        let (bucket, slot) = place.bucket_and_slot();
        let bucket = &self.segments.get(place.segment())?.buckets[bucket];
        (bucket.marks[slot] == mark.get()).then_some(bucket.values[slot])
    }

    /// The place whose value is the `same`, and that value; otherwise where to [`put`](Self::put) it.
    ///
    /// # Errors
    /// The vacant place.
    #[inline(always)]
    pub fn find(&self, mark: Mark, mut same: impl FnMut(u32) -> bool) -> Result<(Place, u32), Place> {
        let mark = mark.get();
        let number = self.segment_of(mark);
        let segment = &self.segments[number as usize];
        let homes = Segment::homes(mark);
        let mut bits = segment.matching(homes, mark);
        while bits != 0 {
            let (bucket, slot) = Segment::lowest(homes, bits);
            let value = segment.buckets[bucket].values[slot];
            if same(value) {
                return Ok((Place::new(number, (bucket, slot)), value));
            }
            bits &= bits - 1;
        }
        if !self.spilled.is_empty()
            && let Some(at) = self.spilled.iter().position(|(found, value)| *found == mark && same(*value))
        {
            return Ok((Place(Place::SPILLED | at as u32), self.spilled[at].1));
        }
        Err(segment.vacant(homes).map_or(Place::NONE, |vacant| Place::new(number, vacant)))
    }

    /// Changes the value there; its mark stays.
    pub fn set(&mut self, place: Place, value: u32) {
        let (bucket, slot) = place.bucket_and_slot();
        match self.segments.get_mut(place.segment()) {
            Some(segment) => segment.buckets[bucket].values[slot] = value,
            None => self.spilled[(place.0 & !Place::SPILLED) as usize].1 = value,
        }
    }

    /// Fills a vacant place.
    #[inline(always)]
    pub fn put(&mut self, place: Place, mark: Mark, value: u32) {
        match self.segments.get_mut(place.segment()) {
            Some(segment) => segment.put(place.bucket_and_slot(), mark.get(), value),
            None => self.squeeze_in(mark.get(), value),
        }
    }

    /// Vacates a place.
    #[inline(always)]
    pub fn take(&mut self, place: Place) {
        let (bucket, slot) = place.bucket_and_slot();
        match self.segments.get_mut(place.segment()) {
            Some(segment) => {
                segment.buckets[bucket].marks[slot] = 0;
                segment.used -= 1;
            }
            None => self.take_spilled(place),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_spilled(&mut self, place: Place) {
        self.spilled.swap_remove((place.0 & !Place::SPILLED) as usize);
    }

    /// Makes room for a value both of whose buckets may be full: its segment is split, or another value moves.
    #[cold]
    #[inline(never)]
    fn squeeze_in(&mut self, mark: u32, value: u32) {
        let homes = Segment::homes(mark);
        loop {
            let number = self.segment_of(mark);
            let segment = &mut self.segments[number as usize];
            let mut vacant = segment.vacant(homes);
            if vacant.is_none() && segment.used >= MANY && segment.depth < MOST_DEPTH {
                self.split(mark);
                continue;
            }
            vacant = vacant.or_else(|| segment.vacate(homes));
            return match vacant {
                Some(vacant) => segment.put(vacant, mark, value),
                None => self.spilled.push((mark, value)),
            };
        }
    }

    /// Splits the segment of this mark in two.
    fn split(&mut self, mark: u32) {
        let number = self.segment_of(mark);
        let depth = self.segments[number as usize].depth;
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|segment| [*segment; 2]).collect();
            self.depth += 1;
        }
        let old = core::mem::replace(&mut self.segments[number as usize], Segment::new(depth + 1));
        let width = 1_usize << (self.depth - depth);
        let first = (u64::from(mark) << depth >> 32) as usize * width;
        self.directory[first + width / 2..first + width].fill(self.segments.len() as u32);
        self.segments.push(Segment::new(depth + 1));
        let spilled = core::mem::take(&mut self.spilled);
        old.each(|mark, value| self.squeeze_in(mark, value));
        spilled.into_iter().for_each(|(mark, value)| self.squeeze_in(mark, value));
    }

    /// Every value.
    #[cfg(test)]
    pub fn values(&self) -> Vec<u32> {
        let mut values: Vec<u32> = self.spilled.iter().map(|(_, value)| *value).collect();
        self.segments.iter().for_each(|segment| segment.each(|_, value| values.push(value)));
        values
    }

    /// Values that found no room in their buckets.
    #[cfg(test)]
    pub fn spilled(&self) -> usize {
        self.spilled.len()
    }
}
