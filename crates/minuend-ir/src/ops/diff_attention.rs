//! Differential attention, second version (DIFF V2, Microsoft, January 2026).

use crate::dim::Dim;
use crate::error::Infer;
use crate::ops::attention::{Attention, Mask, group_mismatch, result_type};
use crate::ops::operands::Operands;
use crate::real::Real;
use crate::tensor_type::TensorType;

/// Which two query heads form output head `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadPairing {
    /// Heads `2i` and `2i + 1`.
    Interleaved,
}

impl HeadPairing {
    /// The word used in the text format.
    pub fn name(self) -> &'static str {
        match self {
            HeadPairing::Interleaved => "interleaved",
        }
    }
}

/// `softmax(scale * q_2i k^T + mask) v - sigmoid(lambda_i) * softmax(scale * q_2i+1 k^T + mask) v`.
///
/// Operands: `q [B, 2h, S, d]`, `k [B, kv_heads, T, d]`, `v [B, kv_heads, T, d_v]`, lambda before its
/// sigmoid `[B, h, S, 1]`. Result: `[B, h, S, d_v]`. `2h` is a multiple of `2 kv_heads`, so that both
/// heads of a pair read one K/V head. Each softmax is normalised before the difference is taken; both
/// are computed in f32 or better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DiffAttention {
    /// The pairs.
    pub pairing: HeadPairing,
    /// Which keys a query sees, the same for both heads of a pair.
    pub mask: Mask,
    /// Factor of the scores.
    pub scale: Real,
}

impl DiffAttention {
    /// The attention that both halves of the difference are.
    pub fn attention(self) -> Attention {
        Attention { mask: self.mask, scale: self.scale }
    }

    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [q, k, _, _] = operands.exactly()?;
        self.attention().check(operands)?;
        let (heads, groups) = (&q.shape[1], &k.shape[1]);
        let pairs = heads.exact_div(&Dim::from(2));
        let Some(pairs) = pairs.filter(|pairs| pairs.exact_div(groups).is_some()) else {
            return Err(group_mismatch(operands, heads, groups, "multiple of twice the"));
        };
        operands.rank(3, 4)?;
        operands.dtype(3, q.dtype)?;
        let expected = [&q.shape[0], &pairs, &q.shape[2], &Dim::one()];
        for (axis, dim) in expected.into_iter().enumerate() {
            operands.dim(3, axis, dim)?;
        }
        result_type(operands, pairs)
    }
}
