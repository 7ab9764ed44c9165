//! Operands that no kernel can profit from.

/// `count` numbers in -1..1 from a linear congruential generator.
pub(crate) fn random_values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(next).collect()
}
