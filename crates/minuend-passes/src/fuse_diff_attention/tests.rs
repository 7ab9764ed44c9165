mod fuses;
mod refuses;
mod whole_pipeline;

use minuend_ir::ops::{Attention, DiffAttention, Mask, Slice, UnaryOp};
use minuend_ir::{Dim, Emit, Graph, Op, Real, ValueId};

use super::pass;
use crate::attention_graphs::{Drawing, SIZES};
use crate::testing::{Ran, run};

/// The pass leaves one differential attention and no attention.
#[track_caller]
fn assert_fused(graph: &Graph) -> Ran {
    let ran = run(graph, &pass(), &SIZES);
    assert_eq!(ran.remarks, Vec::<String>::new());
    let Op::DiffAttention(DiffAttention { mask, scale, .. }) = ran.the("diff_attention") else {
        unreachable!()
    };
    assert_eq!((*mask, scale.get()), (Mask::Causal, 0.5));
    assert!(!ran.ops().contains(&"attention") && !ran.ops().contains(&"softmax"));
    ran
}

/// The pass leaves the graph as it is and says so in these words.
#[track_caller]
fn assert_refused(graph: &Graph, words: &str) {
    let ran = run(graph, &pass(), &SIZES);
    assert!(!ran.ops().contains(&"diff_attention"));
    assert_eq!(ran.changed, crate::Changed::No);
    assert!(ran.remarks.iter().any(|remark| remark.contains(words)), "{:?}", ran.remarks);
}

/// A drawing with an attention over `heads` heads `[B, heads, S, 3]` in `groups` groups.
fn attended(heads: i64, groups: i64) -> (Drawing, ValueId) {
    let mut d = Drawing::new();
    let q = d.queries(heads);
    let (k, v) = d.keys_and_values(groups);
    let attention = attend(&mut d, q, k, v);
    (d, attention)
}

fn attend(d: &mut Drawing, q: ValueId, k: ValueId, v: ValueId) -> ValueId {
    let op = Attention { mask: Mask::Causal, scale: Real::new(0.5) };
    d.graph.attention(op, q, k, v).unwrap()
}

/// `sigmoid(lambda)` for lambda of this shape.
fn gate(d: &mut Drawing, shape: &[Dim]) -> ValueId {
    let lambda = d.input("lambda", shape);
    d.graph.unary(UnaryOp::Sigmoid, lambda).unwrap()
}

/// `sigmoid(lambda)` for lambda `[B, heads, S, 1]`.
fn head_gate(d: &mut Drawing, heads: i64) -> ValueId {
    let shape = [d.b.clone(), heads.into(), d.s.clone(), Dim::one()];
    gate(d, &shape)
}

/// `a - g b`.
fn subtract(d: &mut Drawing, a: ValueId, g: ValueId, b: ValueId) -> ValueId {
    let gated = d.graph.mul(g, b).unwrap();
    d.graph.sub(a, gated).unwrap()
}

/// Every second element of an axis, from `start`.
fn every_second(d: &mut Drawing, x: ValueId, axis: usize, start: i64) -> ValueId {
    d.graph.slice(x, Slice::strided(axis, start, 2)).unwrap()
}
