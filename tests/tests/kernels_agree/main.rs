//! Every op that the CPU supports, on sizes that straddle tiles, against the interpreter: as given,
//! after a text round trip, raised from primitive ops by the whole pipeline, and decomposed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attention;
mod cache;
mod elementwise;
mod layout;
mod matmul;
mod norms;
mod reductions;
mod rotations;

use minuend_tests::problem::Sizes;

/// Batches and tokens on both sides of tile edges, one token among them.
pub(crate) const SIZES: [Sizes<'static>; 6] = [
    &[("B", 2), ("S", 7)],
    &[("B", 1), ("S", 1)],
    &[("B", 3), ("S", 2)],
    &[("B", 1), ("S", 65)],
    &[("B", 2), ("S", 64)],
    &[("B", 1), ("S", 129)],
];

/// As [`SIZES`], for ops whose cost grows with the square of the tokens.
pub(crate) const SMALL_SIZES: [Sizes<'static>; 4] =
    [&[("B", 2), ("S", 7)], &[("B", 1), ("S", 1)], &[("B", 3), ("S", 2)], &[("B", 1), ("S", 17)]];
