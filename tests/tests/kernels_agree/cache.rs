//! States that grow over several runs of one session.

use minuend::ir::ops::{Attention, KvAppend, Mask};
use minuend::ir::{Emit, Op, Real};
use minuend_tests::agreement::assert_agree;
use minuend_tests::problem::{ProblemBuilder, Sizes};

/// Runs of one session: a prompt, single tokens, a few at once.
const RUNS: [Sizes<'static>; 6] = [
    &[("B", 2), ("S", 5)],
    &[("B", 2), ("S", 1)],
    &[("B", 2), ("S", 1)],
    &[("B", 2), ("S", 63)],
    &[("B", 2), ("S", 1)],
    &[("B", 2), ("S", 2)],
];

#[test]
fn caches_along_every_axis_but_the_last_of_batch() {
    for (axis, cache, new) in
        [(1, "B P 3 4", "B S 3 4"), (2, "B 3 P 4", "B 3 S 4"), (3, "B 3 4 P", "B 3 4 S")]
    {
        let mut b = ProblemBuilder::with_past(&format!("cache along axis {axis}"));
        let cache = b.state("cache", cache);
        let new = b.reals("new", new);
        let all = b.graph.value(Op::KvAppend(KvAppend { axis }), &[cache, new]).unwrap();
        b.exact(all);
        let doubled = b.graph.add_values(all, all).unwrap();
        b.exact(doubled);
        b.next_state(all);
        assert_agree(&b.finish(&RUNS));
    }
}

#[test]
fn attention_over_a_cache() {
    for mask in [Mask::Causal, Mask::SlidingWindow { window: 6 }] {
        let mut b = ProblemBuilder::with_past(&format!("attention over a cache, {mask}"));
        let keys = b.state("keys", "B 2 P 8");
        let values = b.state("values", "B 2 P 8");
        let mut tokens = Vec::new();
        for (name, heads) in [("q", 4), ("k", 2), ("v", 2)] {
            let x = b.reals(name, &format!("B S {heads} 8"));
            tokens.push(b.graph.transpose(x, &[0, 2, 1, 3]).unwrap());
        }
        let append = Op::KvAppend(KvAppend { axis: 2 });
        let k = b.graph.value(append.clone(), &[keys, tokens[1]]).unwrap();
        let v = b.graph.value(append, &[values, tokens[2]]).unwrap();
        let op = Attention { mask, scale: Real::new(8f64.powf(-0.5)) };
        let y = b.graph.attention(op, tokens[0], k, v).unwrap();
        let abs = b.abs(v);
        let magnitude = b.graph.attention(op, tokens[0], k, abs).unwrap();
        b.within(y, 1e-5 * f64::from(1 << 24), magnitude);
        b.next_state(k);
        b.next_state(v);
        b.launches("attention", 1);
        assert_agree(&b.finish(&RUNS));
    }
}

#[test]
fn a_state_that_is_replaced() {
    // The sum of all runs so far, read before it is written.
    let mut b = ProblemBuilder::new("running sum");
    let total = b.state("total", "3 4");
    let x = b.reals("x", "B S 3 4");
    let old = b.graph.transpose(total, &[1, 0]).unwrap();
    b.relative(old, 8.0);
    let sum = b.graph.reduce(minuend::ir::ops::ReduceKind::Max, 0, x).unwrap();
    let sum = b.graph.reduce(minuend::ir::ops::ReduceKind::Max, 1, sum).unwrap();
    let sum = b.graph.reshape(sum, &b.shape("3 4")).unwrap();
    let next = b.graph.binary(minuend::ir::ops::BinaryOp::Max, total, sum).unwrap();
    b.next_state(next);
    assert_agree(&b.finish(&RUNS));
}
