//! The ring's identity, changed in every way: refused with its reason, or the geometry that it had.

mod support;

use proptest::prelude::*;
use shm_layout::ring::{
    CLOCK_MONOTONIC_NS, ENDIAN_MARK, HEADER_BYTES, Identity, IdentityError, MAGIC, RECORDS_OFFSET, VERSION, ring_bytes,
};
use support::cases::{config, filled};

const SLOTS: u64 = 1 << 16;

fn identity() -> Identity {
    Identity {
        magic: MAGIC,
        version: VERSION,
        endian: ENDIAN_MARK,
        header_bytes: HEADER_BYTES as u32,
        record_bytes: 64,
        slots: SLOTS,
        records_offset: RECORDS_OFFSET as u64,
        total_bytes: ring_bytes(SLOTS),
        clock: CLOCK_MONOTONIC_NS,
        ..filled(77)
    }
}

/// What an accepted identity may differ in: everything that is no geometry.
fn geometry(id: &Identity) -> (u64, u64, u64, u32, u32) {
    (id.slots, id.records_offset, id.total_bytes, id.header_bytes, id.record_bytes)
}

/// Bytes that `check` does not look at: who the process is. Nothing is ever addressed by them.
const UNCHECKED: [core::ops::Range<usize>; 2] = [48..88, 92..256];

#[test]
fn every_field_of_an_identity_mutated() {
    let good = identity();
    assert_eq!(good.check(ring_bytes(SLOTS)), Ok(()));
    let fields: [(usize, usize); 19] = [
        (0, 8),
        (8, 4),
        (12, 4),
        (16, 4),
        (20, 4),
        (24, 8),
        (32, 8),
        (40, 8),
        (48, 4),
        (52, 4),
        (56, 8),
        (64, 8),
        (72, 8),
        (80, 8),
        (88, 4),
        (92, 4),
        (96, 8),
        (104, 8),
        (112, 8),
    ];
    for (at, size) in fields {
        for value in [0, 1, u64::MAX, u64::MAX - 1, 0x1234_5678_9ABC_DEF1, 1 << 31, 1 << 32, 1 << 33, 1 << 63] {
            let mut id = good;
            bytemuck::bytes_of_mut(&mut id)[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
            let checked = id.check(ring_bytes(SLOTS));
            let unchecked = UNCHECKED.iter().any(|range| range.contains(&at)) || id == good;
            assert_eq!(checked.is_ok(), unchecked, "offset {at} = {value:#x}: {checked:?}");
            // A file of the size that the header tells, too: still no geometry that is not what it says.
            if id.check(id.total_bytes).is_ok() {
                assert_eq!(geometry(&id).2, ring_bytes(id.slots));
                assert!(id.slots.is_power_of_two() && id.slots <= 1 << 32);
            }
        }
    }
}

/// Every bit flipped: an error, or one of the bits that tell who the process is. (The list is the snapshot of what a
/// checksum would find and this does not.)
#[test]
fn every_bit_of_an_identity_flipped() {
    let good = identity();
    for bit in 0..256 * 8 {
        let mut id = good;
        bytemuck::bytes_of_mut(&mut id)[bit / 8] ^= 1 << (bit % 8);
        let unchecked = UNCHECKED.iter().any(|range| range.contains(&(bit / 8)));
        let checked = id.check(ring_bytes(SLOTS));
        assert_eq!(checked.is_ok(), unchecked, "bit {bit}: {checked:?}");
        // An accepted one has the geometry that it had; one whose geometry changed was refused.
        assert!(checked.is_err() || geometry(&id) == geometry(&good), "bit {bit}");
    }
}

#[test]
fn an_identity_says_what_is_wrong() {
    let good = identity();
    let bytes = ring_bytes(SLOTS);
    let check = |id: Identity| id.check(bytes);
    assert_eq!(check(Identity { magic: 0, ..good }), Err(IdentityError::NotReady));
    assert_eq!(check(Identity { magic: 1, ..good }), Err(IdentityError::Magic));
    assert_eq!(check(Identity { magic: MAGIC.swap_bytes(), ..good }), Err(IdentityError::Endian), "as it is found");
    assert_eq!(check(Identity { endian: ENDIAN_MARK.swap_bytes(), ..good }), Err(IdentityError::Endian));
    assert_eq!(check(Identity { version: VERSION + 1, ..good }), Err(IdentityError::Version { found: VERSION + 1 }));
    assert_eq!(good.check(bytes - 64), Err(IdentityError::Geometry));
    let newer = check(Identity { version: VERSION + 1, ..good }).expect_err("newer").to_string();
    assert!(newer.contains("version 3") && newer.contains("version 2"), "{newer}");
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; the mutated fields and the flipped bits instead")]
    fn any_identity_is_checked(seed in any::<u64>(), slots in any::<u64>(), log in 0..64_u32, power in any::<bool>(), total in any::<u64>()) {
        let slots = if power { 1 << log } else { slots };
        let total_bytes = if power { slots.wrapping_mul(64).wrapping_add(RECORDS_OFFSET as u64) } else { total };
        let id = Identity { slots, total_bytes, ..identity() };
        if id.check(total_bytes).is_ok() {
            prop_assert!(slots <= 1 << 32 && total_bytes == ring_bytes(slots));
        } else {
            prop_assert!(!power || log > 32);
        }
        let _any = filled::<Identity>(seed).check(total);
    }
}
