//! The softmax of a row, of blocks of scores that come one after the other, in f32.

/// Powers of two by which a maximum may grow before weights are taken relative to it.
const LARGEST_GROWTH: f32 = 8.0;

#[derive(Clone, Copy, Debug)]
pub(crate) struct RowState {
    /// The score that weights are relative to.
    relative_to: f32,
    pub(crate) sum: f32,
}

/// How a block changed the state.
pub(crate) struct Block {
    pub(crate) weights: Vec<f32>,
    /// Factor of what has been summed before.
    pub(crate) shrink: f32,
    /// The maximum grew, but not by enough.
    pub(crate) is_kept: bool,
}

impl RowState {
    pub(crate) fn new() -> RowState {
        RowState { relative_to: f32::NEG_INFINITY, sum: 0.0 }
    }

    fn base(&self, scale: f32) -> f32 {
        if self.relative_to == f32::NEG_INFINITY { 0.0 } else { self.relative_to * scale }
    }

    /// Takes in a block; hidden scores are minus infinity. `scale`: of scores, to powers of two.
    pub(crate) fn take(&mut self, scores: &[f32], scale: f32) -> Block {
        let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let higher = self.relative_to.max(top);
        let grow = (higher - self.relative_to) * scale;
        let mut shrink = 1.0;
        // Not a number without a visible key.
        if grow > LARGEST_GROWTH {
            shrink = (-grow).exp2();
            self.relative_to = higher;
        }
        let base = self.base(scale);
        let weights: Vec<f32> =
            scores.iter().map(|score| score.mul_add(scale, -base).exp2()).collect();
        self.sum = self.sum * shrink + weights.iter().sum::<f32>();
        Block { weights, shrink, is_kept: shrink == 1.0 && grow > 0.0 }
    }

    /// The logarithm of the sum of exponentials.
    pub(crate) fn logsumexp(&self, scale: f32) -> f32 {
        (self.sum.log2() + self.base(scale)) * std::f32::consts::LN_2
    }

    pub(crate) fn factor(sum: f32) -> f32 {
        if sum == 0.0 { 0.0 } else { 1.0 / sum }
    }
}
