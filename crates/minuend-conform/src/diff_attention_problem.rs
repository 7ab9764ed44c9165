//! Problems of attention and of differential attention.

use std::fmt;

use minuend::ir::ops::{Attention, DiffAttention, HeadPairing, Mask, Slice, UnaryOp};
use minuend::ir::{DType, Emit, Op, Real, ValueId};

use crate::accuracy::HALF_PRODUCT;
use crate::problem::{Built, Problem, ProblemBuilder};
use crate::random_values::Values;

/// Tolerance of attention in f32, in the scale of attention over `|v|`: 1e-5, in roundings of f32.
/// Plain relative error is no measure, for the difference cancels.
pub const ATTENTION: f64 = 1e-5 * (1 << 24) as f64;

/// The slack of attention whose products take operands in f16. A score is off by 2^-10 of the sum of its
/// `head_dim` magnitudes, each about 1, times the scale; numerator and denominator of a softmax feel it
/// once each, and the product with the values adds its own.
pub fn half_products(head_dim: usize) -> f64 {
    HALF_PRODUCT * (2.0 * (head_dim as f64).sqrt() + 1.0)
}

/// The dimensions of an attention.
#[derive(Clone, Debug)]
pub struct AttentionShape {
    /// Sequences.
    pub batch: u64,
    /// Output heads; a differential attention has twice as many query heads.
    pub heads: usize,
    /// Output heads to each key/value head.
    pub group: usize,
    /// Query tokens `S`.
    pub tokens: u64,
    /// Keys before them: `T = P + S`.
    pub past: u64,
    /// Features of queries and keys.
    pub head_dim: usize,
    /// Features of values.
    pub value_dim: usize,
    /// Which keys a query sees.
    pub mask: Mask,
    /// Largest magnitude of the gate's logits.
    pub lambda_reach: u32,
}

/// `b2 h4 g2 s7 p5 d16 v16 causal`: batch, heads, group, tokens, past, features, and the mask.
impl fmt::Display for AttentionShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AttentionShape { batch, heads, group, tokens, past, head_dim, value_dim, mask, .. } =
            self;
        write!(f, "b{batch} h{heads} g{group} s{tokens} p{past} d{head_dim} v{value_dim} {mask}")
    }
}

impl AttentionShape {
    /// `softmax(scale q k^T + mask) v`.
    ///
    /// # Errors
    /// Dimensions that do not fit each other.
    pub fn attention(&self, name: &str) -> Built<Problem> {
        let mut b = ProblemBuilder::with_past(name)?;
        let [q, k, v] = self.operands(&mut b, self.heads)?;
        let op = Op::Attention(self.op());
        let y = b.graph.value(op.clone(), &[q, k, v])?;
        let abs = b.abs(v)?;
        let magnitude = b.graph.value(op, &[q, k, abs])?;
        b.within(y, ATTENTION, magnitude);
        b.half_products_slack(half_products(self.head_dim));
        b.launches("attention", 1);
        b.finish(&[&self.sizes()])
    }

    /// The difference of two attentions, gated by lambda.
    ///
    /// # Errors
    /// Dimensions that do not fit each other.
    pub fn differential(&self, name: &str) -> Built<Problem> {
        let mut b = ProblemBuilder::with_past(name)?;
        let [q, k, v] = self.operands(&mut b, 2 * self.heads)?;
        let values = Values::Within(f64::from(self.lambda_reach));
        // As a projection gives it: [B, S, heads].
        let lambda = b.argument("lambda", DType::F32, &format!("B S {}", self.heads), values)?;
        let lambda = b.graph.transpose(lambda, &[0, 2, 1])?;
        let column = b.shape(&format!("B {} S 1", self.heads))?;
        let lambda = b.graph.reshape(lambda, &column)?;
        let Attention { mask, scale } = self.op();
        let op = DiffAttention { pairing: HeadPairing::Interleaved, mask, scale };
        let y = b.graph.value(Op::DiffAttention(op), &[q, k, v, lambda])?;
        let magnitude = self.differential_magnitude(&mut b, [q, k, v, lambda])?;
        b.within(y, ATTENTION, magnitude);
        b.half_products_slack(half_products(self.head_dim));
        b.launches("diff_attention", 1);
        b.launches("attention", 0);
        b.launches("softmax", 0);
        b.finish(&[&self.sizes()])
    }

    /// `sum_j p1_j |v_j| + sigmoid(lambda) sum_j p2_j |v_j|`.
    fn differential_magnitude(
        &self,
        b: &mut ProblemBuilder,
        operands: [ValueId; 4],
    ) -> Built<ValueId> {
        let [q, k, v, lambda] = operands;
        let abs = b.abs(v)?;
        let both = b.graph.value(Op::Attention(self.op()), &[q, k, abs])?;
        let first = b.graph.slice(both, Slice::strided(1, 0, 2))?;
        let second = b.graph.slice(both, Slice::strided(1, 1, 2))?;
        let gate = b.graph.unary(UnaryOp::Sigmoid, lambda)?;
        let gated = b.graph.mul(gate, second)?;
        Ok(b.graph.add_values(first, gated)?)
    }

    fn op(&self) -> Attention {
        let scale = Real::new((self.head_dim as f64).powf(-0.5));
        Attention { mask: self.mask, scale }
    }

    fn kv_heads(&self) -> usize {
        self.heads.checked_div(self.group).unwrap_or(0)
    }

    fn sizes(&self) -> [(&'static str, u64); 3] {
        [("B", self.batch), ("S", self.tokens), ("P", self.past)]
    }

    /// Queries and values as projections give them, `[B, S, heads, d]` with the axes of heads and tokens
    /// swapped; keys and values as a cache holds them.
    fn operands(&self, b: &mut ProblemBuilder, query_heads: usize) -> Built<[ValueId; 3]> {
        // A symbol is bound by an axis that is it alone.
        b.argument("past", DType::F32, "P", Values::Within(1.0))?;
        let (groups, d, d_v) = (self.kv_heads(), self.head_dim, self.value_dim);
        let q = b.reals("q", &format!("B S {query_heads} {d}"))?;
        let q = b.graph.transpose(q, &[0, 2, 1, 3])?;
        let k = b.reals("k", &format!("B {groups} T {d}"))?;
        let v = b.reals("v", &format!("B T {groups} {d_v}"))?;
        let v = b.graph.transpose(v, &[0, 2, 1, 3])?;
        Ok([q, k, v])
    }
}
