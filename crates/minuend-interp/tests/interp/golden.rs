//! The published vector: two output heads, one K/V head, head_dim 2, two tokens, causal, no RoPE.

use minuend_ir::ops::{Attention, DiffAttention, HeadPairing, Mask, Slice, UnaryOp};
use minuend_ir::{Emit, Op, Real, ValueId};

use crate::case::{Case, assert_close};

/// q, k, v and the logits of lambda, in the layout of the op: heads before tokens.
fn operands(case: &mut Case) -> [ValueId; 4] {
    let q = [
        [[1., 0.], [0.5, 0.5]],
        [[0., 1.], [-1., 0.]],
        [[1., 1.], [0., 2.]],
        [[1., -1.], [2., 0.]],
    ];
    let q = case.reals(&[1, 4, 2, 2], q.as_flattened().as_flattened());
    let k = case.reals(&[1, 1, 2, 2], &[1., 0., 0., 1.]);
    let v = case.reals(&[1, 1, 2, 2], &[1., 2., 3., -1.]);
    let lambda = case.reals(&[1, 2, 2, 1], &[0., -1., 1., 2.]);
    [q, k, v, lambda]
}

fn attention_op() -> Attention {
    Attention { mask: Mask::Causal, scale: Real::new(0.5f64.sqrt()) }
}

#[test]
fn attention_of_every_query_head() {
    let mut case = Case::new();
    let [q, k, v, _] = operands(&mut case);
    let heads = case.graph.attention(attention_op(), q, k, v).unwrap();
    let expected = [
        [1., 2., 2., 0.5],
        [1., 2., 2.3395231, -0.0092846],
        [1., 2., 2.6088594, -0.4132890],
        [1., 2., 1.3911406, 1.4132890],
    ];
    // The vector is given to seven decimals.
    assert_close(&case.real_output(heads, &[1, 4, 2, 2]), expected.as_flattened(), 5.1e-8);
}

#[test]
fn adjacent_heads_form_a_pair() {
    let mut case = Case::new();
    let operands = operands(&mut case);
    let op = DiffAttention {
        pairing: HeadPairing::Interleaved,
        mask: Mask::Causal,
        scale: attention_op().scale,
    };
    let difference = case.graph.value(Op::DiffAttention(op), &operands).unwrap();
    let expected =
        [[0.5, 1., 1.37080533, 0.50249703], [0.26894142, 0.53788284, 1.38354676, -1.65810991]];
    // The vector is given to eight decimals.
    assert_close(&case.real_output(difference, &[1, 2, 2, 2]), expected.as_flattened(), 5.1e-9);
}

#[test]
fn pairing_heads_by_halves_gives_other_values() {
    let mut case = Case::new();
    let [q, k, v, lambda] = operands(&mut case);
    let graph = &mut case.graph;
    let heads = graph.attention(attention_op(), q, k, v).unwrap();
    let first = graph.slice(heads, Slice::range(1, 0, 2)).unwrap();
    let second = graph.slice(heads, Slice::range(1, 2, 4)).unwrap();
    let gate = graph.unary(UnaryOp::Sigmoid, lambda).unwrap();
    let gated = graph.mul(gate, second).unwrap();
    let difference = graph.sub(first, gated).unwrap();
    let last_token = graph.slice(difference, Slice::range(2, 1, 2)).unwrap();
    let expected = [1.29836965, 0.61115054, 1.11421049, -1.25410551];
    assert_close(&case.real_output(last_token, &[1, 2, 1, 2]), &expected, 5.1e-9);
}
