//! Rotary position embedding (Su et al., 2021).

use crate::dtype::DType;
use crate::error::{Infer, TypeErrorKind, bad_attribute};
use crate::ops::operands::Operands;
use crate::real::Real;
use crate::tensor_type::TensorType;

/// Which features form the pairs that are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RopeLayout {
    /// Features `2i` and `2i + 1`.
    Interleaved,
    /// Features `i` and `i + d/2`.
    HalfSplit,
}

impl RopeLayout {
    /// The word used in the text format.
    pub fn name(self) -> &'static str {
        match self {
            RopeLayout::Interleaved => "interleaved",
            RopeLayout::HalfSplit => "half_split",
        }
    }
}

/// Rotates pair `i` of a token's features by the angle `position * theta^(-2i/d)`.
///
/// Operands: `x [B, heads, S, d]`, `positions i64 [S]` or `i64 [B, S]`. Result: as `x`.
/// `(a, b)` becomes `(a cos - b sin, a sin + b cos)`; angles are taken in f64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rope {
    /// The pairs.
    pub layout: RopeLayout,
    /// Base of the frequencies, positive.
    pub theta: Real,
}

impl Rope {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [x, positions] = operands.exactly()?;
        operands.float(0)?;
        operands.rank(0, 4)?;
        operands.dtype(1, DType::I64)?;
        match positions.rank() {
            1 => operands.dim(1, 0, &x.shape[2])?,
            2 => {
                operands.dim(1, 0, &x.shape[0])?;
                operands.dim(1, 1, &x.shape[2])?;
            }
            found => {
                let expected = "1 or 2".to_string();
                return Err(TypeErrorKind::Rank { operand: 1, found, expected });
            }
        }
        if x.shape[3].as_const().is_none_or(|features| features % 2 != 0) {
            return Err(TypeErrorKind::Dim {
                operand: 0,
                axis: 3,
                found: x.shape[3].display(operands.symbols).to_string(),
                expected: "an even number".into(),
            });
        }
        if self.theta.get() > 0.0 && self.theta.get().is_finite() {
            return Ok(x.clone());
        }
        Err(bad_attribute("theta", self.theta, "a positive number"))
    }
}
