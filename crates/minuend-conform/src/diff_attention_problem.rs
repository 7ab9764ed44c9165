//! Problems of attention and of differential attention.

use std::fmt;

use minuend::ir::ops::{Attention, DiffAttention, HeadPairing, Mask, Slice, UnaryOp};
use minuend::ir::{DType, Emit, Op, Real, ValueId};

use crate::accuracy::HALF_PRODUCT;
use crate::problem::{Built, Problem};
use crate::problem_builder::ProblemBuilder;
use crate::random_values::Values;

/// Tolerance of attention in f32, in the scale of attention over `|v|`: 1e-5, in roundings of f32.
/// Plain relative error is no measure, for the difference cancels.
pub const ATTENTION: f64 = 1e-5 * (1 << 24) as f64;

/// Scaled scores of queries and keys within 2 are below this: they have a standard deviation of 4/3.
const SCORES: f64 = 7.0;

/// Roundings to 16 bits on the way to an attention, in the scale of attention over `|v|`, beside that of
/// storing it: of a kernel, and of the decomposition. Together with the store a kernel may be off 2^-7 of
/// that scale in bf16 and 2^-10 in f16.
///
/// A kernel rounds the exponentials before the product with the values, whose error is then at most one
/// rounding of the sum of `p |v|`; it keeps scores, sums and the difference of two attentions in f32. The
/// decomposition stores the scores, which moves every exponential and their sum by up to a rounding of
/// the largest scaled score, then the weights, and both attentions before they are subtracted.
pub fn attention_narrowed() -> (f64, f64) {
    (1.0, 2.0 * SCORES + 2.0)
}

/// The slack of attention whose products take operands in f16. A score is off by 2^-10 of the sum of its
/// `head_dim` magnitudes, each about 1, times the scale; numerator and denominator of a softmax feel it
/// once each, and the product with the values adds its own.
pub fn half_products(head_dim: usize) -> f64 {
    HALF_PRODUCT * (2.0 * (head_dim as f64).sqrt() + 1.0)
}

/// How the operands of an attention lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// Queries and values token by token, as projections give them; keys head by head, as a cache holds
    /// them.
    Apart,
    /// All of them side by side in each token's row of one projection. There is no past.
    Packed,
}

/// Scores that are far from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jumps {
    /// Every query has one feature that is not 0: this or its opposite, a power of two.
    pub query: u32,
    /// The factor, a power of two, of one key among the last.
    pub sink: u32,
}

/// The dimensions of an attention.
#[derive(Clone, Copy, Debug)]
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
    /// Element type of all operands.
    pub activations: DType,
    /// How they lie in memory.
    pub operands: Operands,
    /// Scores that are far from each other; `None` for queries and keys within 2. Only where the operands
    /// are apart.
    pub jumps: Option<Jumps>,
}

/// One token of one sequence that attends to itself.
pub const DECODE: AttentionShape = AttentionShape {
    batch: 1,
    heads: 1,
    group: 1,
    tokens: 1,
    past: 0,
    head_dim: 16,
    value_dim: 16,
    mask: Mask::Causal,
    lambda_reach: 4,
    activations: DType::F32,
    operands: Operands::Apart,
    jumps: None,
};

/// `b2 h4 g2 s7 p5 d16 v16 causal`: batch, heads, group, tokens, past, features, and the mask.
impl fmt::Display for AttentionShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AttentionShape { batch, heads, group, tokens, past, head_dim, value_dim, mask, .. } =
            self;
        write!(f, "b{batch} h{heads} g{group} s{tokens} p{past} d{head_dim} v{value_dim} {mask}")?;
        if self.operands == Operands::Packed {
            f.write_str(" packed")?;
        }
        if let Some(Jumps { query, sink }) = self.jumps {
            write!(f, " jumps {query} {sink}")?;
        }
        Ok(())
    }
}

impl AttentionShape {
    /// `softmax(scale * q k^T + mask) v`.
    ///
    /// # Errors
    /// Dimensions that do not fit each other.
    pub fn attention(&self, name: &str) -> Built<Problem> {
        let mut b = ProblemBuilder::with_past(name)?.in_type(self.activations);
        let ([q, k, v], _) = self.operands(&mut b, self.heads)?;
        let op = Op::Attention(self.op());
        let y = b.graph.value(op.clone(), &[q, k, v])?;
        let abs = b.abs(v)?;
        let magnitude = b.graph.value(op, &[q, k, abs])?;
        self.output(&mut b, y, magnitude)?;
        b.launches("attention", 1);
        b.finish(&[&self.sizes()])
    }

    /// The difference of two attentions, gated by lambda.
    ///
    /// # Errors
    /// Dimensions that do not fit each other.
    pub fn differential(&self, name: &str) -> Built<Problem> {
        let mut b = ProblemBuilder::with_past(name)?.in_type(self.activations);
        let ([q, k, v], row) = self.operands(&mut b, 2 * self.heads)?;
        let lambda = self.lambda(&mut b, row)?;
        self.difference(&mut b, [q, k, v, lambda])?;
        b.launches("diff_attention", 1);
        b.launches("attention", 0);
        b.launches("softmax", 0);
        b.finish(&[&self.sizes()])
    }

    /// Adds the differential attention of `q`, `k`, `v` and `lambda` as an output.
    ///
    /// # Errors
    /// Operands that do not fit each other.
    pub fn difference(&self, b: &mut ProblemBuilder, operands: [ValueId; 4]) -> Built<()> {
        let Attention { mask, scale } = self.op();
        let op = DiffAttention { pairing: HeadPairing::Interleaved, mask, scale };
        let y = b.graph.value(Op::DiffAttention(op), &operands)?;
        let magnitude = self.differential_magnitude(b, operands)?;
        self.output(b, y, magnitude)
    }

    fn output(&self, b: &mut ProblemBuilder, y: ValueId, magnitude: ValueId) -> Built<()> {
        // An exponential, of which the largest is 1, moves the sum by |v|, which is within 2; there may be
        // two attentions.
        let keys = (self.tokens + self.past) as f64;
        let magnitude = b.narrowed_magnitude(magnitude, 2.0 * 2.0 * keys)?;
        // An exponent, the distance to the row's largest score times the scale, is off by up to four
        // roundings of the largest; scores of the usual size are in the tolerance.
        let jumps = 4.0 * self.jumps.map_or(0.0, |jumps| self.largest_score(jumps));
        b.within(y, ATTENTION + jumps, magnitude);
        let (fused, decomposed) = attention_narrowed();
        // Scores that jump are products of one power of two: storing them rounds nothing.
        b.narrowed(fused, if self.jumps.is_some() { 2.0 } else { decomposed });
        b.built_in_slack(jumps);
        b.half_products_slack(half_products(self.head_dim) + HALF_PRODUCT * jumps);
        Ok(())
    }

    /// Bound of the scaled scores of jumps, keys being within 2.
    fn largest_score(&self, jumps: Jumps) -> f64 {
        self.op().scale.get() * f64::from(jumps.query) * f64::from(jumps.sink) * 2.0
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

    /// `q [B, query_heads, S, d]`, `k [B, groups, T, d]`, `v [B, groups, T, d_v]`, and the rows that they
    /// are packed in.
    fn operands(
        &self,
        b: &mut ProblemBuilder,
        query_heads: usize,
    ) -> Built<([ValueId; 3], Option<ValueId>)> {
        // A symbol is bound by an axis that is it alone.
        b.argument("past", DType::F32, "P", Values::Within(1.0))?;
        match self.operands {
            Operands::Apart => Ok((self.operands_apart(b, query_heads)?, None)),
            Operands::Packed => {
                let (operands, row) = self.packed_operands(b, query_heads)?;
                Ok((operands, Some(row)))
            }
        }
    }

    /// Queries and values as projections give them, `[B, S, heads, d]` with the axes of heads and tokens
    /// swapped; keys and values as a cache holds them.
    fn operands_apart(&self, b: &mut ProblemBuilder, query_heads: usize) -> Built<[ValueId; 3]> {
        let (groups, d, d_v) = (self.kv_heads(), self.head_dim, self.value_dim);
        let values = self.jumps.map_or(Values::Within(2.0), |jumps| self.jumping_queries(jumps));
        let q = b.argument("q", self.activations, &format!("B S {query_heads} {d}"), values)?;
        let q = b.graph.transpose(q, &[0, 2, 1, 3])?;
        let mut k = b.reals("k", &format!("B {groups} T {d}"))?;
        if let Some(Jumps { sink, .. }) = self.jumps {
            let keys = usize::try_from(self.tokens + self.past).unwrap_or(usize::MAX);
            let mut factors = vec![1.0; keys];
            if let Some(factor) = factors.get_mut(keys - 1 - keys / 8) {
                *factor = f64::from(sink);
            }
            let factors = b.argument("sink", self.activations, "T 1", Values::Reals(factors))?;
            k = b.graph.mul(k, factors)?;
        }
        let v = b.reals("v", &format!("B T {groups} {d_v}"))?;
        let v = b.graph.transpose(v, &[0, 2, 1, 3])?;
        Ok([q, k, v])
    }

    /// Rows of queries, each with one feature that is not 0, not always the same.
    fn jumping_queries(&self, Jumps { query, .. }: Jumps) -> Values {
        let (d, rows) = (self.head_dim, 7);
        let mut list = vec![0.0; rows * d];
        for row in 0..rows {
            let sign = if row % 3 == 0 { -1.0 } else { 1.0 };
            if let Some(feature) = list.get_mut(row * d + (row * 5 + 1) % d) {
                *feature = sign * f64::from(query);
            }
        }
        Values::Reals(list)
    }

    /// The parts of a row of [`Operands::Packed`]: `q`, `k`, `v` and `lambda`.
    fn parts(&self, query_heads: usize) -> [usize; 4] {
        let (groups, d, d_v) = (self.kv_heads(), self.head_dim, self.value_dim);
        [query_heads * d, groups * d, groups * d_v, self.heads]
    }

    fn packed_operands(
        &self,
        b: &mut ProblemBuilder,
        query_heads: usize,
    ) -> Built<([ValueId; 3], ValueId)> {
        let (groups, d, d_v) = (self.kv_heads(), self.head_dim, self.value_dim);
        let parts = self.parts(query_heads);
        let row = b.reals("projection", &format!("B S {}", parts.iter().sum::<usize>()))?;
        let mut start = 0;
        let mut operands = Vec::new();
        for (width, (heads, d)) in
            parts.into_iter().zip([(query_heads, d), (groups, d), (groups, d_v)])
        {
            let part = b.graph.slice(row, Slice::range(2, start, start + width))?;
            let apart = b.shape(&format!("B S {heads} {d}"))?;
            let apart = b.graph.reshape(part, &apart)?;
            operands.push(b.graph.transpose(apart, &[0, 2, 1, 3])?);
            start += width;
        }
        Ok(([operands[0], operands[1], operands[2]], row))
    }

    /// The logits of the gate, as a projection gives them, `[B, S, heads]`, as `[B, heads, S, 1]`.
    fn lambda(&self, b: &mut ProblemBuilder, row: Option<ValueId>) -> Built<ValueId> {
        let lambda = match row {
            Some(row) => {
                let [q, k, v, width] = self.parts(2 * self.heads);
                let start = q + k + v;
                b.graph.slice(row, Slice::range(2, start, start + width))?
            }
            None => {
                let reach = Values::Within(f64::from(self.lambda_reach));
                b.argument("lambda", self.activations, &format!("B S {}", self.heads), reach)?
            }
        };
        let lambda = b.graph.transpose(lambda, &[0, 2, 1])?;
        let column = b.shape(&format!("B {} S 1", self.heads))?;
        Ok(b.graph.reshape(lambda, &column)?)
    }
}
