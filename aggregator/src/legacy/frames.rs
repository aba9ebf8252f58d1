//! One connection's bytes, cut into messages.
//!
//! Nothing in the stream tells which of the three sizes its sender was built with. It is told by where the next message begins:
//! a type is never 0, and everything behind the first 40 bytes of what a client sends is. So a byte other than 0 at 72 means 72
//! bytes, one at 112 means 112, and a 0 there means 144. Only a lone first message that ends exactly at 72 or 112 leaves it open:
//! after a moment of silence ([`Frames::quiet`]) it is taken for a whole one, and taken back if zeros follow.

use super::message::{HEAD, Message, Size};

/// So many times in a row it may be lost; then nothing more is believed.
const MOST_LOST: u32 = 10;
/// Bytes passed over that count as being lost once more.
const LOST_BYTES: usize = 4096;
/// Messages understood after which nothing is held against a connection any more.
const FORGIVEN: u32 = 64;

/// The cutter.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    size: Option<Size>,
    /// The size was concluded from silence: of the last message, so many bytes have come.
    supposed: Option<usize>,
    /// Looking for the next message.
    lost: bool,
    times_lost: u32,
    passed_over: usize,
    understood: u32,
    deaf: bool,
    /// Bytes that were no message, since the beginning.
    pub skipped: u64,
}

impl Frames {
    /// The size of its messages, if it is known.
    pub const fn size(&self) -> Option<Size> {
        self.size
    }

    /// Whether it has given up.
    pub const fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// Whether what is there is a message if nothing follows.
    pub fn waits_for_silence(&self) -> bool {
        self.size.is_none() && Size::ALL[..2].iter().any(|size| self.bytes.len() == size.bytes())
    }

    /// Bytes that are not a message yet.
    pub fn rest(&self) -> usize {
        self.bytes.len()
    }

    /// Takes what has come. `is_sender` tells whether a pid may be the sender's own.
    pub fn take(&mut self, new: &[u8], is_sender: impl Fn(i32) -> bool, mut each: impl FnMut(Message)) {
        if self.deaf {
            self.skipped += new.len() as u64;
            return;
        }
        self.bytes.extend_from_slice(new);
        let mut at = 0;
        while !self.deaf {
            let before = (at, self.lost, self.size);
            self.step(&mut at, &is_sender, &mut each);
            if before == (at, self.lost, self.size) {
                break;
            }
        }
        if self.deaf {
            self.skipped += (self.bytes.len() - at) as u64;
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..at);
        }
    }

    /// Nothing has come for a moment: what is there is a message, if it has the length of one.
    pub fn quiet(&mut self, mut each: impl FnMut(Message)) {
        if !self.waits_for_silence() {
            return;
        }
        let Some(size) = Size::ALL.into_iter().find(|size| size.bytes() == self.bytes.len()) else { return };
        let zeros = self.bytes[HEAD..].iter().all(|byte| *byte == 0);
        // One that has no message of this type is still being sent.
        if let Some(message) = Message::read(&self.bytes).filter(|message| zeros && size.knows(message.kind)) {
            self.size = Some(size);
            self.supposed = Some(size.bytes());
            self.bytes.clear();
            each(message);
        }
    }

    fn step(&mut self, at: &mut usize, is_sender: &impl Fn(i32) -> bool, each: &mut impl FnMut(Message)) {
        if self.lost {
            return self.search(at, is_sender);
        }
        if self.supposed.is_some() && self.bytes.len() > *at && !self.settle_size(at) {
            return;
        }
        let here = &self.bytes[*at..];
        if here.len() < Size::First.bytes() {
            // Garbage need not fill a message to be known for it.
            if here.len() >= HEAD && Message::read(here).is_none() || here.first().is_some_and(|kind| *kind > 12) {
                self.lose();
            }
            return;
        }
        let Some(message) = Message::read(here) else { return self.lose() };
        let Some(size) = self.size.or_else(|| size_of(here)) else {
            if here[HEAD..].iter().any(|byte| *byte != 0) {
                self.lose();
            }
            return;
        };
        if here.len() < size.bytes() {
            return;
        }
        if !size.knows(message.kind) || here[HEAD..size.bytes()].iter().any(|byte| *byte != 0) {
            return self.lose();
        }
        self.size = Some(size);
        self.understood += 1;
        if self.understood >= FORGIVEN {
            (self.times_lost, self.passed_over) = (0, 0);
        }
        *at += size.bytes();
        each(message);
    }

    /// More has come after a message whose size was concluded from silence. False if it is not known yet what it is.
    fn settle_size(&mut self, at: &mut usize) -> bool {
        let Some(mut have) = self.supposed else { return true };
        let most = Size::Third.bytes();
        while have < most && self.bytes.get(*at) == Some(&0) {
            have += 1;
            *at += 1;
        }
        self.supposed = Some(have);
        let size = Size::ALL.into_iter().find(|size| size.bytes() == have);
        self.size = size.or(self.size);
        if have < most && self.bytes.len() == *at {
            return false;
        }
        self.supposed = None;
        if size.is_none() {
            self.lose();
        }
        size.is_some()
    }

    fn lose(&mut self) {
        self.lost = true;
        self.understood = 0;
        self.supposed = None;
        self.times_lost += 1;
        self.deaf = self.times_lost > MOST_LOST;
    }

    /// Passes bytes over until something can be a message.
    fn search(&mut self, at: &mut usize, is_sender: &impl Fn(i32) -> bool) {
        let whole = self.size.map_or(Size::First.bytes(), Size::bytes);
        let begin = *at;
        // Whatever stands at the first place was not understood.
        let mut next = if self.passed_over == 0 { begin + 1 } else { begin };
        while next + whole <= self.bytes.len() {
            // The cheapest first: most places are none by their first byte.
            let zeros = || self.bytes[next + HEAD..next + whole].iter().all(|byte| *byte == 0);
            if (1..=12).contains(&self.bytes[next])
                && zeros()
                && Message::find(&self.bytes[next..next + whole], is_sender).is_some()
            {
                self.pass_over(next - begin);
                self.passed_over = 0;
                self.lost = false;
                *at = next;
                return;
            }
            next += 1;
        }
        if next > begin {
            self.pass_over(next - begin);
            *at = next.min(self.bytes.len());
        }
    }

    fn pass_over(&mut self, bytes: usize) {
        self.skipped += bytes as u64;
        let before = self.passed_over / LOST_BYTES;
        self.passed_over += bytes;
        self.times_lost += u32::try_from(self.passed_over / LOST_BYTES - before).unwrap_or(MOST_LOST);
        self.deaf = self.times_lost > MOST_LOST;
    }
}

/// The size of the message here, by where the next one begins; `None` if that has not come yet.
fn size_of(here: &[u8]) -> Option<Size> {
    if *here.get(Size::First.bytes())? != 0 {
        return Some(Size::First);
    }
    Some(if *here.get(Size::Second.bytes())? != 0 { Size::Second } else { Size::Third })
}

#[cfg(test)]
mod tests {
    use super::super::message::Kind;
    use super::*;
    use proptest::prelude::*;

    const PID: i32 = 4242;

    fn bytes_of(size: Size, kind: Kind, id: u64) -> Vec<u8> {
        let mut bytes = vec![0; size.bytes()];
        bytes[0] = kind as u8;
        bytes[8..16].copy_from_slice(&4096_u64.to_le_bytes());
        bytes[20..24].copy_from_slice(&PID.to_le_bytes());
        bytes[24..32].copy_from_slice(&id.to_le_bytes());
        bytes
    }

    fn cut(frames: &mut Frames, bytes: &[u8]) -> Vec<u64> {
        let mut ids = Vec::new();
        frames.take(bytes, |pid| pid == PID, |message| ids.push(message.id));
        ids
    }

    fn stream(size: Size, ids: core::ops::Range<u64>) -> Vec<u8> {
        ids.flat_map(|id| bytes_of(size, if id % 3 == 2 { Kind::Free } else { Kind::Alloc }, id)).collect()
    }

    #[test]
    fn a_lone_message_waits_for_silence_and_zeros_behind_it_correct_the_size() {
        for (size, told) in [(Size::Second, 72), (Size::Third, 72), (Size::Third, 112)] {
            let mut frames = Frames::default();
            let bytes = stream(size, 0..4);
            assert!(cut(&mut frames, &bytes[..told]).is_empty() && frames.waits_for_silence());
            let mut quiet = Vec::new();
            frames.quiet(|message| quiet.push(message.id));
            assert_eq!(quiet, [0]);
            // The rest comes late, and by pieces.
            let mut ids = cut(&mut frames, &bytes[told..told + 7]);
            ids.extend(cut(&mut frames, &bytes[told + 7..]));
            assert_eq!((ids, frames.size(), frames.skipped), (vec![1, 2, 3], Some(size), 0), "{size:?} {told}");
        }
    }

    #[test]
    fn a_first_question_for_a_device_is_no_72_bytes() {
        let mut frames = Frames::default();
        let mut question = [0; 112];
        (question[0], question[4]) = (Kind::DeviceInfoQuery as u8, 1);
        assert!(cut(&mut frames, &question[..72]).is_empty());
        frames.quiet(|_| panic!("still being sent"));
        cut(&mut frames, &question[72..]);
        let mut quiet = 0;
        frames.quiet(|_| quiet += 1);
        assert_eq!((quiet, frames.size()), (1, Some(Size::Second)));
    }

    #[test]
    fn it_gives_up_after_ten_times_and_not_before() {
        let mut frames = Frames::default();
        for round in 0..u64::from(MOST_LOST) {
            let mut bytes = vec![0xEE; 33];
            bytes.extend(stream(Size::Third, round..round + 1));
            bytes.extend([0]);
            bytes.truncate(33 + 144);
            assert_eq!(cut(&mut frames, &bytes), if round == 0 { vec![0] } else { vec![round] });
        }
        cut(&mut frames, &[0xEE; 33]);
        assert!(frames.is_deaf());
        assert!(cut(&mut frames, &stream(Size::Third, 0..3)).is_empty());
        // A flood of garbage as well.
        let mut frames = Frames::default();
        (0..100).for_each(|_| drop(cut(&mut frames, &[0xEE; 4096])));
        assert!(frames.is_deaf() && frames.bytes.capacity() == 0);
    }

    #[test]
    fn text_is_no_message() {
        let mut frames = Frames::default();
        assert!(cut(&mut frames, b"\n").is_empty());
        assert!(cut(&mut frames, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_empty());
        assert_eq!(cut(&mut frames, &stream(Size::Third, 5..7)), [5, 6]);
    }

    proptest! {
        #[test]
        fn every_size_in_any_pieces(size in 0_usize..3, cuts in proptest::collection::vec(1_usize..200, 1..40)) {
            let (size, mut frames) = (Size::ALL[size], Frames::default());
            let bytes = stream(size, 0..20);
            let (mut ids, mut at) = (Vec::new(), 0);
            for piece in cuts.iter().cycle() {
                let end = (at + piece).min(bytes.len());
                ids.extend(cut(&mut frames, &bytes[at..end]));
                // A silence at any place changes nothing.
                frames.quiet(|message| ids.push(message.id));
                at = end;
                if at == bytes.len() {
                    break;
                }
            }
            prop_assert_eq!(ids, (0..20).collect::<Vec<_>>());
            prop_assert_eq!((frames.size(), frames.skipped), (Some(size), 0));
        }

        #[test]
        fn garbage_costs_itself_only(
            size in 0_usize..3, garbage in proptest::collection::vec(any::<u8>(), 1..300), at in 1_u64..19,
        ) {
            let (size, mut frames) = (Size::ALL[size], Frames::default());
            let mut bytes = stream(size, 0..at);
            bytes.extend(&garbage);
            bytes.extend(stream(size, at..30));
            let ids = cut(&mut frames, &bytes);
            prop_assert!(!frames.is_deaf());
            // Garbage may end in a way that swallows the message behind it, not more.
            let lost: Vec<u64> = (0..30).filter(|id| !ids.contains(id)).collect();
            prop_assert!(lost.is_empty() || lost == [at] || lost == [at - 1], "{:?}", lost);
        }
    }
}
