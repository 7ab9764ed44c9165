//! `sample`: an index of the last axis drawn at random, as a token is by its logits.
//!
//! Operands: logits `f32 [.., vocab]`, temperature `f32 []`, top_k `i64 []`, top_p `f32 []` and uniform
//! `f32 [.., 1]`, a number in `[0, 1)` for each row. Result: `i64 [.., 1]`. Of each row:
//!
//! 1. Only finite logits count; if there is none, the result is -1. They are ordered from the largest
//!    down, of equals (0 and -0 are) the lowest index first.
//! 2. A temperature below [`LEAST_TEMPERATURE`], or NaN, chooses the first of that order, whatever the
//!    other operands are. One above [`MOST_TEMPERATURE`] counts as that. The weight of a logit is
//!    `e^((logit - largest) / temperature)`.
//! 3. A top_k above 0 keeps the first `top_k` of the order.
//! 4. A top_p below 1 keeps of these the fewest from the first one on, and at least that one, whose
//!    weights have a sum of at least `top_p` times the sum of all of these.
//! 5. In the order of their indices, the first of the kept is chosen at which the sum of their weights so
//!    far exceeds `uniform` times the sum of all of them. A uniform below 0, or NaN, counts as 0; one
//!    above [`MOST_UNIFORM`] counts as that.
//!
//! No order of the weights is needed to find the threshold of a cut by bisection, nor to walk the kept.
//! Where a sum comes within roundings of what it is compared with, a device may choose as if it were on
//! the other side.

use crate::dim::Dim;
use crate::dtype::DType;
use crate::error::Infer;
use crate::ops::operands::Operands;
use crate::tensor_type::TensorType;
use crate::value::ValueId;

/// The least temperature that is one: 2^-100. Its reciprocal is a normal f32.
pub const LEAST_TEMPERATURE: f32 = f32::from_bits((127 - 100) << 23);

/// The greatest temperature: 2^100. All logits are about equally likely at it.
pub const MOST_TEMPERATURE: f32 = f32::from_bits((127 + 100) << 23);

/// The greatest uniform: the f32 below 1.
pub const MOST_UNIFORM: f32 = 1.0 - f32::EPSILON / 2.0;

/// What decides between logits beside chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRules {
    /// `f32 []`; divides the logits.
    pub temperature: ValueId,
    /// `i64 []`; how many of the largest logits are kept, all if it is not above 0.
    pub top_k: ValueId,
    /// `f32 []`; the share of the probability that is kept, all if it is not below 1.
    pub top_p: ValueId,
}

pub(crate) fn infer(operands: Operands<'_>) -> Infer<TensorType> {
    let [logits, _, _, _, uniform] = operands.exactly()?;
    operands.dtype(0, DType::F32)?;
    operands.rank_at_least(0, 1)?;
    for (operand, dtype) in [(1, DType::F32), (2, DType::I64), (3, DType::F32)] {
        operands.dtype(operand, dtype)?;
        operands.rank(operand, 0)?;
    }
    operands.dtype(4, DType::F32)?;
    operands.rank(4, logits.rank())?;
    let (one, last) = (Dim::one(), logits.rank() - 1);
    for (axis, size) in logits.shape.iter().enumerate() {
        operands.dim(4, axis, if axis == last { &one } else { size })?;
    }
    Ok(TensorType { dtype: DType::I64, shape: uniform.shape.clone() })
}
