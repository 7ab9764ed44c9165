//! Problems of attention and of differential attention, from a table or at random.

use minuend::ir::ops::{Attention, DiffAttention, HeadPairing, Mask, Slice, UnaryOp};
use minuend::ir::{DType, Emit, Op, Real, ValueId};
use proptest::arbitrary::Arbitrary;
use proptest::prelude::{BoxedStrategy, Just, Strategy};
use proptest::prop_oneof;

use crate::problem::{Problem, ProblemBuilder};
use crate::random_values::Values;

/// Tolerance of attention in f32, in the scale of attention over `|v|`: 1e-5, in roundings of f32.
/// Plain relative error is no measure, for the difference cancels.
const TOLERANCE: f64 = 1e-5 * (1 << 24) as f64;

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

impl AttentionShape {
    /// `softmax(scale q k^T + mask) v`.
    pub fn attention(&self) -> Problem {
        let mut b = ProblemBuilder::with_past(&format!("attention of {self:?}"));
        let [q, k, v] = self.operands(&mut b, self.heads);
        let op = Op::Attention(self.op());
        let y = b.graph.value(op.clone(), &[q, k, v]).unwrap();
        let abs = b.abs(v);
        let magnitude = b.graph.value(op, &[q, k, abs]).unwrap();
        b.within(y, TOLERANCE, magnitude);
        b.launches("attention", 1);
        b.finish(&[&self.sizes()])
    }

    /// The difference of two attentions, gated by lambda.
    pub fn differential(&self) -> Problem {
        let mut b = ProblemBuilder::with_past(&format!("differential attention of {self:?}"));
        let [q, k, v] = self.operands(&mut b, 2 * self.heads);
        let values = Values::Within(f64::from(self.lambda_reach));
        // As a projection gives it: [B, S, heads].
        let lambda = b.argument("lambda", DType::F32, &format!("B S {}", self.heads), values);
        let lambda = b.graph.transpose(lambda, &[0, 2, 1]).unwrap();
        let column = b.shape(&format!("B {} S 1", self.heads));
        let lambda = b.graph.reshape(lambda, &column).unwrap();
        let Attention { mask, scale } = self.op();
        let op = DiffAttention { pairing: HeadPairing::Interleaved, mask, scale };
        let y = b.graph.value(Op::DiffAttention(op), &[q, k, v, lambda]).unwrap();
        let magnitude = self.differential_magnitude(&mut b, [q, k, v, lambda]);
        b.within(y, TOLERANCE, magnitude);
        b.launches("diff_attention", 1);
        b.launches("attention", 0);
        b.launches("softmax", 0);
        b.finish(&[&self.sizes()])
    }

    /// `sum_j p1_j |v_j| + sigmoid(lambda) sum_j p2_j |v_j|`.
    fn differential_magnitude(&self, b: &mut ProblemBuilder, operands: [ValueId; 4]) -> ValueId {
        let [q, k, v, lambda] = operands;
        let abs = b.abs(v);
        let both = b.graph.value(Op::Attention(self.op()), &[q, k, abs]).unwrap();
        let first = b.graph.slice(both, Slice::strided(1, 0, 2)).unwrap();
        let second = b.graph.slice(both, Slice::strided(1, 1, 2)).unwrap();
        let gate = b.graph.unary(UnaryOp::Sigmoid, lambda).unwrap();
        let gated = b.graph.mul(gate, second).unwrap();
        b.graph.add_values(first, gated).unwrap()
    }

    fn op(&self) -> Attention {
        let scale = Real::new((self.head_dim as f64).powf(-0.5));
        Attention { mask: self.mask, scale }
    }

    fn kv_heads(&self) -> usize {
        self.heads / self.group
    }

    fn sizes(&self) -> [(&'static str, u64); 3] {
        [("B", self.batch), ("S", self.tokens), ("P", self.past)]
    }

    /// Queries and values as projections give them, `[B, S, heads, d]` with the axes of heads and tokens
    /// swapped; keys and values as a cache holds them.
    fn operands(&self, b: &mut ProblemBuilder, query_heads: usize) -> [ValueId; 3] {
        // A symbol is bound by an axis that is it alone.
        b.argument("past", DType::F32, "P", Values::Within(1.0));
        let (groups, d, d_v) = (self.kv_heads(), self.head_dim, self.value_dim);
        let q = b.reals("q", &format!("B S {query_heads} {d}"));
        let q = b.graph.transpose(q, &[0, 2, 1, 3]).unwrap();
        let k = b.reals("k", &format!("B {groups} T {d}"));
        let v = b.reals("v", &format!("B T {groups} {d_v}"));
        let v = b.graph.transpose(v, &[0, 2, 1, 3]).unwrap();
        [q, k, v]
    }
}

/// A problem of differential attention, at random within bounds that a debug build can bear. Sizes
/// straddle tiles.
#[derive(Clone, Debug)]
pub struct DiffAttentionProblem(pub AttentionShape);

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), Just(2), Just(7), Just(63), Just(64), Just(65), 1u64..80]
}

fn features() -> impl Strategy<Value = usize> {
    prop_oneof![Just(2), Just(16), Just(32), Just(64), (1usize..36).prop_map(|half| 2 * half)]
}

fn mask() -> impl Strategy<Value = Mask> {
    let window = |window| Mask::SlidingWindow { window };
    prop_oneof![Just(Mask::Full), Just(Mask::Causal), (1u32..90).prop_map(window)]
}

impl Arbitrary for DiffAttentionProblem {
    type Parameters = ();
    type Strategy = BoxedStrategy<DiffAttentionProblem>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let heads = (1usize..=3, prop_oneof![Just(1usize), Just(2), Just(4)]);
        let past = prop_oneof![Just(0), Just(1), 0u64..70];
        let reach = prop_oneof![Just(1u32), Just(8), Just(40)];
        let parts = (1u64..=3, heads, tokens(), past, features(), features(), mask(), reach);
        let shape =
            parts.prop_map(|(batch, heads, tokens, past, head_dim, value_dim, mask, reach)| {
                let (groups, group) = heads;
                DiffAttentionProblem(AttentionShape {
                    batch,
                    heads: groups * group,
                    group,
                    tokens,
                    past,
                    head_dim,
                    value_dim,
                    mask,
                    lambda_reach: reach,
                })
            });
        shape.boxed()
    }
}
