//! States that grow over several runs of one session.

use minuend::ir::ops::{Attention, BinaryOp, KvAppend, Mask, ReduceKind};
use minuend::ir::{DType, Emit, Op, Real, ValueId};

use super::Problems;
use crate::diff_attention_problem::{
    ATTENTION, AttentionShape, DECODE, attention_narrowed, half_products,
};
use crate::problem::{Built, Problem, Sizes};
use crate::problem_builder::ProblemBuilder;
use crate::random_values::Values;

/// Runs of one session: a prompt, single tokens, a few at once.
const RUNS: [Sizes<'static>; 6] = [
    &[("B", 2), ("S", 5)],
    &[("B", 2), ("S", 1)],
    &[("B", 2), ("S", 1)],
    &[("B", 2), ("S", 63)],
    &[("B", 2), ("S", 1)],
    &[("B", 2), ("S", 2)],
];

/// Runs of one session that fill a long cache and decode from it, with one query token and with several.
const LONG_RUNS: [Sizes<'static>; 6] = [
    &[("B", 1), ("S", 1), ("E", 1019)],
    &[("B", 1), ("S", 2), ("E", 1)],
    &[("B", 1), ("S", 1), ("E", 0)],
    &[("B", 1), ("S", 1), ("E", 0)],
    &[("B", 1), ("S", 8), ("E", 0)],
    &[("B", 1), ("S", 1), ("E", 3070)],
];

pub(super) fn list(problems: &mut Problems) {
    let t = problems.activations;
    for (axis, cache, new) in
        [(1, "B P 3 4", "B S 3 4"), (2, "B 3 P 4", "B 3 S 4"), (3, "B 3 4 P", "B 3 4 S")]
    {
        let make = move |name: &str| growing_state(name, t, axis, cache, new);
        problems.add(true, format!("cache along axis {axis}"), make);
    }
    for mask in [Mask::Causal, Mask::SlidingWindow { window: 6 }] {
        let make = move |name: &str| attention_over_a_cache(name, t, mask);
        problems.add(true, format!("attention over a cache, {mask}"), make);
    }
    for mask in [Mask::Causal, Mask::SlidingWindow { window: 64 }] {
        let make = move |name: &str| decode_from_a_long_cache(name, t, mask);
        problems.add(true, format!("diff_attention over a long cache, {mask}"), make);
    }
    problems.add(true, "running maximum", move |name| running_maximum(name, t));
}

fn growing_state(name: &str, t: DType, axis: usize, cache: &str, new: &str) -> Built<Problem> {
    let mut b = ProblemBuilder::with_past(name)?.in_type(t);
    let cache = b.state("cache", cache)?;
    let new = b.reals("new", new)?;
    let all = b.graph.value(Op::KvAppend(KvAppend { axis }), &[cache, new])?;
    b.exact(all);
    let doubled = b.graph.add_values(all, all)?;
    b.exact(doubled);
    b.next_state(all);
    b.finish(&RUNS)
}

fn attention_over_a_cache(name: &str, t: DType, mask: Mask) -> Built<Problem> {
    let mut b = ProblemBuilder::with_past(name)?.in_type(t);
    let keys = b.state("keys", "B 2 P 8")?;
    let values = b.state("values", "B 2 P 8")?;
    let mut tokens = |name: &str, heads: usize| -> Built<ValueId> {
        let x = b.reals(name, &format!("B S {heads} 8"))?;
        Ok(b.graph.transpose(x, &[0, 2, 1, 3])?)
    };
    let (q, k, v) = (tokens("q", 4)?, tokens("k", 2)?, tokens("v", 2)?);
    let append = Op::KvAppend(KvAppend { axis: 2 });
    let k = b.graph.value(append.clone(), &[keys, k])?;
    let v = b.graph.value(append, &[values, v])?;
    let op = Attention { mask, scale: Real::new(8f64.powf(-0.5)) };
    let y = b.graph.attention(op, q, k, v)?;
    let abs = b.abs(v)?;
    let magnitude = b.graph.attention(op, q, k, abs)?;
    b.within(y, ATTENTION, magnitude);
    let (fused, decomposed) = attention_narrowed();
    b.narrowed(fused, decomposed);
    b.half_products_slack(half_products(8));
    b.next_state(k);
    b.next_state(v);
    b.launches("attention", 1);
    b.finish(&RUNS)
}

/// The last `S` of `N` tokens attend to everything so far.
fn decode_from_a_long_cache(name: &str, t: DType, mask: Mask) -> Built<Problem> {
    let mut b = ProblemBuilder::with_past(name)?.with_earlier()?.in_type(t);
    // A symbol is bound by an axis that is it alone.
    b.argument("earlier", DType::F32, "E", Values::Within(1.0))?;
    let past = 4103;
    let shape =
        AttentionShape { heads: 4, group: 2, past, head_dim: 64, value_dim: 64, mask, ..DECODE };
    let keys = b.state("keys", "B 2 P 64")?;
    let values = b.state("values", "B 2 P 64")?;
    let mut tokens = |name: &str, shape: &str| -> Built<ValueId> {
        let x = b.reals(name, shape)?;
        Ok(b.graph.transpose(x, &[0, 2, 1, 3])?)
    };
    let q = tokens("q", "B S 8 64")?;
    let (k, v) = (tokens("k", "B N 2 64")?, tokens("v", "B N 2 64")?);
    let lambda = b.reals("lambda", "B 4 S 1")?;
    let append = Op::KvAppend(KvAppend { axis: 2 });
    let k = b.graph.value(append.clone(), &[keys, k])?;
    let v = b.graph.value(append, &[values, v])?;
    shape.difference(&mut b, [q, k, v, lambda])?;
    b.next_state(k);
    b.next_state(v);
    b.launches("diff_attention", 1);
    b.finish(&LONG_RUNS)
}

/// The largest of all runs so far, read before it is written.
fn running_maximum(name: &str, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let total = b.state("total", "3 4")?;
    let x = b.reals("x", "B S 3 4")?;
    let old = b.graph.transpose(total, &[1, 0])?;
    b.relative(old, 8.0);
    let most = b.graph.reduce(ReduceKind::Max, 0, x)?;
    let most = b.graph.reduce(ReduceKind::Max, 1, most)?;
    let most = b.graph.reshape(most, &b.shape("3 4")?)?;
    let next = b.graph.binary(BinaryOp::Max, total, most)?;
    b.next_state(next);
    b.finish(&RUNS)
}
