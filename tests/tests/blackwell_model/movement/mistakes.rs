//! Mistakes in moving data.

use super::wiring::Wiring;

/// What is wrong, and how the wiring is then.
pub(crate) type Mistake = (&'static str, fn(&mut Wiring));

/// All show with 128 columns of bf16.
pub(crate) const ALL: [Mistake; 41] = [
    ("queries are not swizzled", |w| w.q_swizzle = 16),
    ("keys and values are not swizzled", |w| w.kv_swizzle = 16),
    ("results are stored as if not swizzled", |w| w.out_swizzle = 16),
    ("results are not staged swizzled", |w| w.stages_swizzled = false),
    ("queries' descriptor without swizzle", |w| w.q_descriptor &= !(7 << 61)),
    ("keys' descriptor with the 128-byte code of wgmma", |w| {
        w.k_descriptor = w.k_descriptor & !(7 << 61) | 1 << 62 | 1 << 61;
    }),
    ("keys' descriptor with 64-byte swizzle", |w| {
        w.k_descriptor = w.k_descriptor & !(7 << 61) | 4 << 61;
    }),
    ("values' descriptor with 32-byte swizzle", |w| {
        w.v_descriptor = w.v_descriptor & !(7 << 61) | 6 << 61;
    }),
    ("descriptor of version 0", |w| w.v_descriptor &= !(3 << 46)),
    ("descriptor with a base offset", |w| w.k_descriptor |= 1 << 49),
    ("half the stride of queries", |w| halve(&mut w.q_descriptor, 32)),
    ("half the stride of keys", |w| halve(&mut w.k_descriptor, 32)),
    ("twice the stride of keys", |w| double(&mut w.k_descriptor, 32)),
    ("half the stride of values", |w| halve(&mut w.v_descriptor, 32)),
    ("twice the stride of values", |w| double(&mut w.v_descriptor, 32)),
    ("half the leading distance of values", |w| halve(&mut w.v_descriptor, 16)),
    ("no leading distance of values", |w| w.v_descriptor &= !(0x3fff << 16)),
    ("leading distance and stride of values exchanged", |w| {
        let (leading, stride) = (w.v_descriptor >> 16 & 0x3fff, w.v_descriptor >> 32 & 0x3fff);
        w.v_descriptor &= !(0x3fff << 16 | 0x3fff << 32);
        w.v_descriptor |= stride << 16 | leading << 32;
    }),
    ("values read by rows", |w| w.sums_instruction &= !(1 << 16)),
    ("keys read by columns", |w| w.scores_instruction |= 1 << 16),
    ("queries read by columns", |w| w.scores_instruction |= 1 << 15),
    ("weights read by columns", |w| w.sums_instruction |= 1 << 15),
    ("queries are f16", |w| w.scores_instruction &= !(1 << 7)),
    ("values are f16", |w| w.sums_instruction &= !(1 << 10)),
    ("sums in f16", |w| w.sums_instruction &= !(1 << 4)),
    ("half the columns of scores", |w| w.scores_instruction ^= 0x18 << 17),
    ("half the columns of sums", |w| w.sums_instruction ^= 0x18 << 17),
    ("half the rows of scores", |w| w.scores_instruction ^= 0xc << 24),
    ("16 columns are 16 bytes", |w| w.step_bytes = 16),
    ("64 columns are half a chunk", |w| w.chunk_bytes /= 2),
    ("16 values are half as far", |w| w.v_step_bytes /= 2),
    ("16 weights take 16 columns", |w| w.weights_step = 16),
    ("halves of weights are exchanged", |w| w.even_is_high = true),
    ("scores of the second stage overlap sums", |w| w.scores_column[1] = 192),
    ("sums of both stages overlap", |w| w.sums_column[1] = w.sums_column[0] + 64),
    ("a warp reads its neighbour's lanes", |w| w.quarter = [1, 2, 3, 0]),
    ("all warps read the first lanes", |w| w.quarter = [0; 4]),
    ("scores are added to what was there", |w| w.scores_accumulate = true),
    ("sums are added to what was there", |w| w.sums_accumulate = true),
    ("a warp's results go 16 rows on", |w| w.store_rows = 16),
    ("sums are not rescaled", |w| w.rescales = false),
];

/// Mistakes that not every attention shows: only masked ones, differences, or second tiles of tokens.
pub(crate) const OF_SOME: [Mistake; 3] = [
    ("hidden keys are seen", |w| w.hides_keys = false),
    ("the second head is not weighted", |w| w.has_gate = false),
    ("the second stage has the first's tokens", |w| w.stage_tokens = 0),
];

/// Mistakes that show under a window with masked blocks of keys on both sides of unmasked ones. A block
/// that is masked without need changes nothing: each bound is wrong in one direction only.
pub(crate) const OF_WINDOWS: [Mistake; 2] = [
    ("the last masked block before the unmasked ones is not masked", |w| w.unmasked_off[0] = -1),
    ("the first masked block behind the unmasked ones is not masked", |w| w.unmasked_off[1] = 1),
];

fn halve(word: &mut u64, first: u32) {
    let field = *word >> first & 0x3fff;
    *word = *word & !(0x3fff << first) | (field / 2) << first;
}

fn double(word: &mut u64, first: u32) {
    let field = *word >> first & 0x3fff;
    *word = *word & !(0x3fff << first) | (field * 2) << first;
}
