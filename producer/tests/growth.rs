//! What a full ring does at its bound.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use producer::Ring;
use producer::environment::Options;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;

const SLOTS: u64 = 1024;

#[test]
fn what_a_compaction_frees_is_used_however_little_it_is() {
    let prefix = Prefix::new(&format!("tt_test_growth_{}", std::process::id())).unwrap();
    let ring = Ring::create(&Options { prefix, slots: SLOTS, most_slots: SLOTS, ..Options::default() }).unwrap();
    let tell = |kind, id| ring.record(Event { id, size: 64, ..Event::new(kind, Memory::Dram, 0) });
    // Five pairs, and the rest alive: less goes than is worth the next try.
    for id in 0..5 {
        tell(Kind::Alloc, id);
        tell(Kind::Free, id);
    }
    (10..SLOTS).for_each(|id| tell(Kind::Alloc, id));
    assert_eq!(ring.dropped(), 0);
    for id in 0..10 {
        tell(Kind::Alloc, SLOTS + id);
        assert_eq!(ring.dropped(), 0, "the {id}th event into ten slots");
    }
    tell(Kind::Alloc, 2 * SLOTS);
    assert_eq!(ring.dropped(), 1);
    ring.close();
}
