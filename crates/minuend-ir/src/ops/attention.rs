//! Scaled dot-product attention with grouped keys and values.

use std::fmt;

use crate::dim::Dim;
use crate::error::{Infer, TypeErrorKind, bad_attribute};
use crate::ops::operands::Operands;
use crate::real::Real;
use crate::tensor_type::TensorType;

/// Which keys a query sees. Row `i` of `S` queries stands at position `i + (T - S)` of `T` keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mask {
    /// Every key.
    Full,
    /// Keys `j <= i + (T - S)`.
    Causal,
    /// Causal, and only the last `window` keys, the query's own position included:
    /// `i + (T - S) - window < j <= i + (T - S)`.
    SlidingWindow {
        /// Number of keys seen, at least 1.
        window: u32,
    },
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mask::Full => f.write_str("full"),
            Mask::Causal => f.write_str("causal"),
            Mask::SlidingWindow { window } => write!(f, "window({window})"),
        }
    }
}

/// `softmax(scale * q k^T + mask) v`, per head.
///
/// Operands: `q [B, heads, S, d]`, `k [B, kv_heads, T, d]`, `v [B, kv_heads, T, d_v]`.
/// Result: `[B, heads, S, d_v]`. Query head `j` reads K/V head `j / (heads / kv_heads)`. A masked
/// attention has `T >= S`, so every row sees a key; with no keys at all the result is zero. Softmax is computed in f32 or better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Which keys a query sees.
    pub mask: Mask,
    /// Factor of the scores.
    pub scale: Real,
}

impl Attention {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [q, k, _] = operands.exactly()?;
        self.check(operands)?;
        if q.shape[1].exact_div(&k.shape[1]).is_none() {
            return Err(group_mismatch(operands, &q.shape[1], &k.shape[1], "multiple of the"));
        }
        result_type(operands, q.shape[1].clone())
    }

    /// What attention and differential attention ask of q, k and v alike.
    pub(crate) fn check(self, operands: Operands<'_>) -> Infer<()> {
        let (q, k) = (operands.types[0], operands.types[1]);
        for operand in 0..3 {
            operands.rank(operand, 4)?;
            operands.float(operand)?;
            operands.dtype(operand, q.dtype)?;
            operands.dim(operand, 0, &q.shape[0])?;
        }
        operands.dim(1, 3, &q.shape[3])?;
        operands.dim(2, 1, &k.shape[1])?;
        operands.dim(2, 2, &k.shape[2])?;
        if self.mask != Mask::Full && !(&k.shape[2] - &q.shape[2]).at_least(0, operands.symbols) {
            return Err(TypeErrorKind::Dim {
                operand: 1,
                axis: 2,
                found: k.shape[2].display(operands.symbols).to_string(),
                expected: format!("at least {}", q.shape[2].display(operands.symbols)),
            });
        }
        if self.mask == (Mask::SlidingWindow { window: 0 }) {
            return Err(bad_attribute("mask", self.mask, "a window of at least 1"));
        }
        if !self.scale.get().is_finite() {
            return Err(bad_attribute("scale", self.scale, "a finite number"));
        }
        Ok(())
    }
}

pub(crate) fn result_type(operands: Operands<'_>, heads: Dim) -> Infer<TensorType> {
    let [q, v] = [operands.types[0], operands.types[2]];
    let shape = [q.shape[0].clone(), heads, q.shape[2].clone(), v.shape[3].clone()];
    Ok(TensorType::new(q.dtype, shape))
}

pub(crate) fn group_mismatch(
    operands: Operands<'_>,
    heads: &Dim,
    kv_heads: &Dim,
    rule: &str,
) -> TypeErrorKind {
    TypeErrorKind::Dim {
        operand: 0,
        axis: 1,
        found: heads.display(operands.symbols).to_string(),
        expected: format!("a {rule} {} K/V heads", kv_heads.display(operands.symbols)),
    }
}
