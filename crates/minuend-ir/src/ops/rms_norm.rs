//! Root-mean-square normalisation (Zhang and Sennrich, 2019), alone or behind a residual sum.

use smallvec::{SmallVec, smallvec};

use crate::error::{Infer, bad_attribute};
use crate::ops::operands::Operands;
use crate::real::Real;
use crate::tensor_type::TensorType;

/// `x * weight / sqrt(mean(x^2) + epsilon)` over the last axis; statistics in f32 or better.
///
/// As `rms_norm`: operands `x [..., d]`, `weight [d]`; result `[..., d]`.
/// As `add_rms_norm`: operands `x`, `residual` of one shape, `weight [d]`; results `x + residual` and
/// its norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RmsNorm {
    /// Added to the mean square; not negative.
    pub epsilon: Real,
}

impl RmsNorm {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [x, _] = operands.exactly()?;
        self.check(operands, 1)?;
        Ok(x.clone())
    }

    pub(crate) fn infer_add(self, operands: Operands<'_>) -> Infer<SmallVec<[TensorType; 1]>> {
        let [x, _, _] = operands.exactly()?;
        operands.dtype(1, x.dtype)?;
        operands.rank(1, x.rank())?;
        for (axis, dim) in x.shape.iter().enumerate() {
            operands.dim(1, axis, dim)?;
        }
        self.check(operands, 2)?;
        Ok(smallvec![x.clone(), x.clone()])
    }

    fn check(self, operands: Operands<'_>, weight: usize) -> Infer<()> {
        operands.float(0)?;
        operands.float(weight)?;
        operands.rank_at_least(0, 1)?;
        operands.rank(weight, 1)?;
        if let Some(features) = operands.types[0].shape.last() {
            operands.dim(weight, 0, features)?;
        }
        if self.epsilon.get() >= 0.0 {
            return Ok(());
        }
        Err(bad_attribute("epsilon", self.epsilon, "a number of at least 0"))
    }
}
