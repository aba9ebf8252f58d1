//! Damaged and forged files do no harm; any two looks follow each other.

use super::super::wire::put_number;
use super::*;
use proptest::prelude::*;

/// Plays everything there is.
fn play(path: &Path) {
    let Ok(mut player) = Player::open(path) else { return };
    player.seek(u64::MAX).unwrap();
    player.seek(0).unwrap();
    for _ in 0..200 {
        let shown = player.unix_ns();
        player.go(Move::StepOn).unwrap();
        let _inventory = player.inventory().unwrap();
        let _feed = player.feed();
        if player.unix_ns() == shown {
            break;
        }
    }
    player.go(Move::StepBack).unwrap();
    let _unix = player.seek_unix(sample::UNIX_NS).unwrap();
    let _damage = player.damage();
}

#[test]
fn no_cut_and_no_flipped_byte_does_any_harm() {
    let folder = folder();
    record_of(&file(&folder), 0..4, 3, small);
    let whole = std::fs::read(file(&folder)).unwrap();
    for at in 0..whole.len() {
        std::fs::write(file(&folder), &whole[..at]).unwrap();
        play(&file(&folder));
    }
    for at in (0..200).chain((200..whole.len()).step_by(3)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        std::fs::write(file(&folder), &bytes).unwrap();
        play(&file(&folder));
    }
}

/// Contents that pass every checksum.
pub fn forged(path: &Path, frames: &[(u16, u64, Vec<u8>)]) {
    let mut bytes = frame::head();
    for (kind, moment, content) in frames {
        bytes.extend(frame::frame(*kind, *moment, *moment, content).unwrap());
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn forged_contents_do_no_harm() {
    let folder = folder();
    let (key, delta) = (small(0).whole(), small(1).since(&small(0), 1));
    let all = allocations::content(1, None, &inventory(0));
    let change = allocations::content(1, Some(&inventory(0)), &inventory(20));
    for (at, content) in [&key, &delta, &all, &change].into_iter().enumerate() {
        for byte in (0..content.len()).step_by(1 + content.len() / 300) {
            for value in [0, 0x7f, 0xff] {
                let mut forgery = [&key, &delta, &all, &change].map(Clone::clone);
                forgery[at][byte] = value;
                let [key, delta, all, change] = forgery;
                let frames = [
                    (kind::KEY, 1, key),
                    (kind::INVENTORY, 2, all),
                    (kind::DELTA, u64::MAX, delta),
                    (kind::CHANGE, 4, change),
                ];
                forged(&file(&folder), &frames);
                play(&file(&folder));
            }
        }
    }
    let mut huge = Vec::new();
    put_number(&mut huge, u64::MAX);
    let absences = (0..50).map(|n| (kind::ABSENCE, u64::MAX - n, b"\x1b[31mred".to_vec()));
    let frames: Vec<_> = [(kind::SESSION, 0, huge.clone()), (kind::KEY, 0, huge)].into_iter().chain(absences).collect();
    forged(&file(&folder), &frames);
    let player = Player::open(&file(&folder)).unwrap();
    assert!(!player.feed().connection.to_string().contains('\x1b'));
    play(&file(&folder));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_are_no_look_that_harms(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _key = Look::of_key(&bytes, 1, 1);
        let _delta = small(0).of_delta(&bytes, 1, 1, 1);
        let _inventory = allocations::take(&bytes, Some(&inventory(0)));
        let _session = Session::of(&bytes);
    }

    #[test]
    fn any_two_looks_follow_each_other(a in 0u64..300, b in 0u64..300) {
        let content = look(b).since(&look(a), 3);
        let (now_ns, unix_ns) = (look(b).seen.now_ns, look(b).seen.unix_ns);
        let read = look(a).of_delta(&content, 3, now_ns, unix_ns).unwrap();
        let feed = Feed { connection: read.connection(), seen: Some(read.seen) };
        prop_assert!(same(&feed, b));
        prop_assert!(look(a).of_delta(&content, 4, now_ns, unix_ns).is_err(), "one was lost");
    }
}
