//! Random cases: how many, how long, made of which bytes.

use proptest::prelude::ProptestConfig;

/// So many cases; few under miri.
pub fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases: if cfg!(miri) { 3 } else { cases }, failure_persistence: None, ..ProptestConfig::default() }
}

/// Longest random sequence.
pub const LONG: usize = if cfg!(miri) { 24 } else { 120 };

/// A value of any bytes.
pub fn filled<T: bytemuck::Pod>(seed: u64) -> T {
    let mut value = T::zeroed();
    let mut next = seed | 1;
    for byte in bytemuck::bytes_of_mut(&mut value) {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (next >> 56) as u8;
    }
    value
}
