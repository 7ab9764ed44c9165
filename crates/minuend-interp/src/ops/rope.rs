//! Rotary position embedding.

use minuend_ir::ops::{Rope, RopeLayout};

use crate::ops::{Computed, ints, reals, sizes};
use crate::tensor::{Data, Tensor};

/// Rotates pair `i` of every token's `d` features by `position * theta^(-2i/d)`:
/// `(a, b)` becomes `(a cos - b sin, a sin + b cos)`.
pub(crate) fn rope(op: Rope, x: &Tensor, positions: &Tensor) -> Computed {
    let [batches, heads, tokens, features] = sizes(x)?;
    let mut rotated = reals(x)?.to_vec();
    let position_of = ints(positions)?;
    // Positions [S] are the same for every batch.
    let per_batch = positions.shape().len() == 2;
    for batch in 0..batches {
        for head in 0..heads {
            for token in 0..tokens {
                let row = if per_batch { batch * tokens + token } else { token };
                let start = ((batch * heads + head) * tokens + token) * features;
                rotate(op, position_of[row], &mut rotated[start..start + features]);
            }
        }
    }
    Ok(Data::Reals(rotated))
}

fn rotate(op: Rope, position: i64, features: &mut [f64]) {
    let d = features.len();
    for pair in 0..d / 2 {
        let (first, second) = match op.layout {
            RopeLayout::Interleaved => (2 * pair, 2 * pair + 1),
            RopeLayout::HalfSplit => (pair, pair + d / 2),
        };
        let frequency = op.theta.get().powf(-2.0 * pair as f64 / d as f64);
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let (a, b) = (features[first], features[second]);
        features[first] = a * cos - b * sin;
        features[second] = a * sin + b * cos;
    }
}
