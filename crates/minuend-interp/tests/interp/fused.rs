//! Every fused op against its decomposition, evaluated by the same interpreter.

use minuend_ir::decompose::decompose;
use minuend_ir::ops::{
    Attention, DiffAttention, HeadPairing, KvAppend, Mask, RmsNorm, Rope, RopeLayout,
};
use minuend_ir::{DType, Emit, Op, Real, ValueId};

use crate::case::{Case, assert_close};

/// Both sides take a few dozen f64 roundings of values of magnitude 1 to 10.
const TOLERANCE: f64 = 1e-13;

#[track_caller]
fn agrees(mut case: Case, op: Op, operands: &[ValueId]) {
    let fused = case.graph.emit(op.clone(), operands).unwrap();
    let parts = decompose(&op, operands, &mut case.graph).unwrap().unwrap();
    for (result, part) in (0..).zip(parts) {
        let outputs = case.outputs(&[fused.result(result), part]);
        assert_eq!(outputs[0].shape(), outputs[1].shape());
        assert_eq!(outputs[0].dtype(), outputs[1].dtype());
        let [found, expected] = [&outputs[0], &outputs[1]].map(|side| side.reals().unwrap());
        assert!(!found.iter().any(|value| value.is_nan()));
        assert_close(found, expected, TOLERANCE);
    }
}

/// One attention problem: `queries` new tokens behind `past` old ones.
#[derive(Clone, Copy)]
struct Problem {
    batch: usize,
    pairs: usize,
    kv_heads: usize,
    queries: usize,
    past: usize,
    head_dim: usize,
    value_dim: usize,
    mask: Mask,
}

const PROBLEM: Problem = Problem {
    batch: 2,
    pairs: 6,
    kv_heads: 3,
    queries: 5,
    past: 0,
    head_dim: 7,
    value_dim: 7,
    mask: Mask::Causal,
};

fn problems() -> Vec<Problem> {
    let window = |window| Mask::SlidingWindow { window };
    vec![
        PROBLEM,
        Problem { mask: Mask::Full, ..PROBLEM },
        Problem { mask: Mask::Full, past: 4, ..PROBLEM },
        Problem { past: 3, ..PROBLEM },
        Problem { queries: 1, ..PROBLEM },
        Problem { queries: 1, past: 9, batch: 3, ..PROBLEM },
        Problem { kv_heads: 1, ..PROBLEM },
        Problem { kv_heads: 6, ..PROBLEM },
        Problem { batch: 1, pairs: 1, kv_heads: 1, head_dim: 1, value_dim: 1, ..PROBLEM },
        Problem { value_dim: 3, ..PROBLEM },
        Problem { mask: window(1), ..PROBLEM },
        Problem { mask: window(3), past: 4, ..PROBLEM },
        Problem { mask: window(3), past: 8, queries: 1, ..PROBLEM },
        Problem { mask: window(100), past: 2, ..PROBLEM },
        Problem { mask: window(u32::MAX), ..PROBLEM },
        Problem { queries: 0, ..PROBLEM },
        Problem { queries: 0, past: 3, ..PROBLEM },
        Problem { batch: 0, ..PROBLEM },
    ]
}

fn query_key_value(case: &mut Case, problem: Problem, dtype: DType) -> [ValueId; 3] {
    let Problem { batch, pairs, kv_heads, queries, past, head_dim, value_dim, .. } = problem;
    [
        case.noise_of(dtype, &[batch, 2 * pairs, queries, head_dim]),
        case.noise_of(dtype, &[batch, kv_heads, past + queries, head_dim]),
        case.noise_of(dtype, &[batch, kv_heads, past + queries, value_dim]),
    ]
}

#[test]
fn attention() {
    for problem in problems() {
        let mut case = Case::new();
        let operands = query_key_value(&mut case, problem, DType::F32);
        let op = Attention { mask: problem.mask, scale: Real::new(0.378) };
        agrees(case, Op::Attention(op), &operands);
    }
}

#[test]
fn diff_attention() {
    for problem in problems() {
        for dtype in [DType::F32, DType::Bf16] {
            let mut case = Case::new();
            let [q, k, v] = query_key_value(&mut case, problem, dtype);
            let lambda = [problem.batch, problem.pairs, problem.queries, 1];
            let lambda = case.noise_of(dtype, &lambda);
            let op = DiffAttention {
                pairing: HeadPairing::Interleaved,
                mask: problem.mask,
                scale: Real::new(0.378),
            };
            agrees(case, Op::DiffAttention(op), &[q, k, v, lambda]);
        }
    }
}

#[test]
fn attention_without_keys_is_zero() {
    let mut case = Case::new();
    let q = case.noise(&[2, 2, 3, 4]);
    let k = case.noise(&[2, 1, 0, 4]);
    let v = case.noise(&[2, 1, 0, 5]);
    let op = Attention { mask: Mask::Full, scale: Real::new(1.0) };
    let context = case.graph.attention(op, q, k, v).unwrap();
    assert_eq!(case.real_output(context, &[2, 2, 3, 5]), [0.0; 60]);
}

/// Scores beyond the range of `exp`: without the maximum taken off, the weights would be NaN.
#[test]
fn large_scores_do_not_overflow() {
    let mut case = Case::new();
    let q = case.reals(&[1, 1, 1, 1], &[1e6]);
    let k = case.reals(&[1, 1, 2, 1], &[1.0, 2.0]);
    let v = case.reals(&[1, 1, 2, 1], &[5.0, 7.0]);
    let op = Attention { mask: Mask::Full, scale: Real::new(1.0) };
    let context = case.graph.attention(op, q, k, v).unwrap();
    assert_eq!(case.real_output(context, &[1, 1, 1, 1]), [7.0]);
}

#[test]
fn rms_norm() {
    for (shape, dtype) in [
        (vec![7], DType::F32),
        (vec![2, 3, 5], DType::F32),
        (vec![3, 1], DType::F16),
        (vec![0, 4], DType::F32),
        (vec![4, 0], DType::F32),
    ] {
        let features = shape[shape.len() - 1];
        let op = RmsNorm { epsilon: Real::new(1e-5) };

        let mut case = Case::new();
        let operands = [case.noise_of(dtype, &shape), case.noise(&[features])];
        agrees(case, Op::RmsNorm(op), &operands);

        let mut case = Case::new();
        let operands =
            [case.noise_of(dtype, &shape), case.noise_of(dtype, &shape), case.noise(&[features])];
        agrees(case, Op::AddRmsNorm(op), &operands);
    }
}

#[test]
fn rms_norm_by_hand() {
    let mut case = Case::new();
    let x = case.reals(&[2, 2], &[3.0, 4.0, 0.0, 0.0]);
    let weight = case.reals(&[2], &[1.0, -2.0]);
    let op = RmsNorm { epsilon: Real::new(12.5) };
    let norm = case.graph.value(Op::RmsNorm(op), &[x, weight]).unwrap();
    // The mean square of (3, 4) is 12.5, so the divisor is 5.
    assert_close(&case.real_output(norm, &[2, 2]), &[0.6, -1.6, 0.0, 0.0], 1e-15);
}

#[test]
fn rope() {
    for layout in [RopeLayout::Interleaved, RopeLayout::HalfSplit] {
        for (batch, heads, tokens, features) in [(2, 3, 5, 6), (1, 1, 1, 2), (3, 2, 1, 10)] {
            let op = Op::Rope(Rope { layout, theta: Real::new(10_000.0) });

            let mut case = Case::new();
            let x = case.noise(&[batch, heads, tokens, features]);
            let shared: Vec<i64> = (1000..).take(tokens).collect();
            let shared = case.ints(&[tokens], &shared);
            agrees(case, op.clone(), &[x, shared]);

            let mut case = Case::new();
            let x = case.noise_of(DType::Bf16, &[batch, heads, tokens, features]);
            let own: Vec<i64> = (0..).map(|i| i * i - 3).take(batch * tokens).collect();
            let own = case.ints(&[batch, tokens], &own);
            agrees(case, op, &[x, own]);
        }
    }
}

/// Position 2, theta 16: the angles of the two pairs are 2 and 2 * 16^(-1/2) = 0.5.
#[test]
fn rope_layouts_by_hand() {
    let rotate = |a: f64, b: f64, angle: f64| {
        [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    };
    for layout in [RopeLayout::Interleaved, RopeLayout::HalfSplit] {
        let mut case = Case::new();
        let x = case.reals(&[1, 1, 1, 4], &[1.0, 2.0, 3.0, 4.0]);
        let position = case.ints(&[1], &[2]);
        let op = Rope { layout, theta: Real::new(16.0) };
        let rotated = case.graph.value(Op::Rope(op), &[x, position]).unwrap();
        let expected = match layout {
            RopeLayout::Interleaved => {
                let [a, b] = rotate(1.0, 2.0, 2.0);
                let [c, d] = rotate(3.0, 4.0, 0.5);
                [a, b, c, d]
            }
            RopeLayout::HalfSplit => {
                let [a, c] = rotate(1.0, 3.0, 2.0);
                let [b, d] = rotate(2.0, 4.0, 0.5);
                [a, b, c, d]
            }
        };
        assert_close(&case.real_output(rotated, &[1, 1, 1, 4]), &expected, 1e-15);
    }
}

#[test]
fn swiglu() {
    for shape in [vec![], vec![5], vec![2, 3, 7], vec![0]] {
        let mut case = Case::new();
        let operands = [case.noise(&shape), case.noise(&shape)];
        agrees(case, Op::Swiglu, &operands);
    }
}

#[test]
fn kv_append() {
    for (axis, new) in [(2, [2, 3, 1, 5]), (2, [2, 3, 0, 5]), (0, [4, 3, 4, 5])] {
        let mut case = Case::new();
        let operands = [case.noise(&[2, 3, 4, 5]), case.noise(&new)];
        agrees(case, Op::KvAppend(KvAppend { axis }), &operands);
    }
}
