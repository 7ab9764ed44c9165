//! Both attentions against a float64 evaluation of the formula, measured in the scale of attention
//! over `|v|`, with the f32 tolerance 1e-5 of that scale.

use super::super::test_values::{Source, in_pool};
use super::*;

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    head_dim: usize,
    value_dim: usize,
    mask: Mask,
    threads: usize,
}

const CASE: Case = Case {
    batch: 1,
    heads: 4,
    kv_heads: 2,
    queries: 33,
    keys: 33,
    head_dim: 16,
    value_dim: 16,
    mask: Mask::Causal,
    threads: 2,
};

/// One softmax row times the values and times their absolute values.
fn reference_row(
    scores: &[f64],
    seen: &dyn Fn(usize) -> bool,
    value: &dyn Fn(usize) -> f64,
) -> (f64, f64) {
    let max = (0..scores.len()).filter(|j| seen(*j)).map(|j| scores[j]).fold(f64::MIN, f64::max);
    let (mut sum, mut out, mut size) = (0.0, 0.0, 0.0);
    for j in (0..scores.len()).filter(|j| seen(*j)) {
        let p = (scores[j] - max).exp();
        sum += p;
        out += p * value(j);
        size += p * value(j).abs();
    }
    if sum == 0.0 { (0.0, 0.0) } else { (out / sum, size / sum) }
}

fn check(case: Case, differential: bool) {
    let Case { batch, heads, kv_heads, queries, keys, head_dim, value_dim, mask, threads } = case;
    let streams = if differential { 2 } else { 1 };
    let q_heads = heads * streams;
    let scale = 0.9 / (head_dim.max(1) as f32).sqrt();
    let mut source = Source::new(7);
    // q as [B, S, H, d] read as [B, H, S, d]; k and v rows with a gap; out rows with a gap.
    let q = source.floats(batch * queries * q_heads * head_dim, 2.0);
    let q_strides = [queries * q_heads * head_dim, head_dim, q_heads * head_dim, 1];
    let (k_row, v_row) = (head_dim + 3, value_dim + 5);
    let k = source.floats(batch * kv_heads * keys * k_row, 2.0);
    let k_strides = [kv_heads * keys * k_row, keys * k_row, k_row, 1];
    let v = source.floats(batch * kv_heads * keys * v_row, 1.0);
    let v_strides = [kv_heads * keys * v_row, keys * v_row, v_row, 1];
    let lambda = source.floats(batch * queries * heads, 6.0);
    let l_strides = [queries * heads, 1, heads, 1];
    let out_strides =
        [queries * heads * (value_dim + 1), value_dim + 1, heads * (value_dim + 1), 1];
    let mut out = vec![7.25f32; batch * queries * heads * (value_dim + 1)];
    {
        let q = StridedRef::new(&q, &[batch, q_heads, queries, head_dim], &q_strides).unwrap();
        let k = StridedRef::new(&k, &[batch, kv_heads, keys, head_dim], &k_strides).unwrap();
        let v = StridedRef::new(&v, &[batch, kv_heads, keys, value_dim], &v_strides).unwrap();
        let lambda = StridedRef::new(&lambda, &[batch, heads, queries, 1], &l_strides).unwrap();
        let shape = [batch, heads, queries, value_dim];
        let out = StridedMut::new(&mut out, &shape, &out_strides).unwrap();
        in_pool(threads, || {
            if differential {
                diff_attention(q, k, v, lambda, scale, mask, out)
            } else {
                attention(q, k, v, scale, mask, out)
            }
        })
        .unwrap();
    }
    for b in 0..batch {
        for i in 0..heads {
            let g = i / (heads / kv_heads);
            for row in 0..queries {
                let at = (row + keys) as i128 - queries as i128;
                let seen = |j: usize| match mask {
                    Mask::Full => true,
                    Mask::Causal => j as i128 <= at,
                    Mask::SlidingWindow(w) => j as i128 <= at && j as i128 > at - w as i128,
                };
                let scores: Vec<Vec<f64>> = (0..streams)
                    .map(|s| {
                        let from =
                            b * q_strides[0] + (i * streams + s) * head_dim + row * q_strides[2];
                        (0..keys)
                            .map(|j| {
                                let key = b * k_strides[0] + g * k_strides[1] + j * k_row;
                                let dot: f64 = (0..head_dim)
                                    .map(|c| f64::from(q[from + c]) * f64::from(k[key + c]))
                                    .sum();
                                dot * f64::from(scale)
                            })
                            .collect()
                    })
                    .collect();
                let logit = f64::from(lambda[b * l_strides[0] + i + row * heads]);
                let gate = 1.0 / (1.0 + (-logit).exp());
                for c in 0..value_dim {
                    let value = |j: usize| {
                        f64::from(v[b * v_strides[0] + g * v_strides[1] + j * v_row + c])
                    };
                    let (mut expected, mut size) = reference_row(&scores[0], &seen, &value);
                    if differential {
                        let (o, s) = reference_row(&scores[1], &seen, &value);
                        expected -= gate * o;
                        size += gate * s;
                    }
                    let at = b * out_strides[0] + i * out_strides[1] + row * out_strides[2] + c;
                    let error = (f64::from(out[at]) - expected).abs();
                    assert!(
                        error <= 1e-5 * size,
                        "{case:?} b {b} head {i} row {row} c {c}: {} against {expected}, size {size}",
                        out[at]
                    );
                }
            }
        }
    }
    // The gaps of the output are untouched.
    assert!(out.chunks_exact(value_dim + 1).all(|row| row[value_dim] == 7.25));
}

fn check_both(case: Case) {
    check(case, true);
    check(case, false);
}

#[test]
fn head_dims() {
    for head_dim in [1, 2, 7, 16, 32, 64, 80, 128, 256] {
        check_both(Case { head_dim, value_dim: head_dim, heads: 2, ..CASE });
    }
    check_both(Case { head_dim: 32, value_dim: 48, ..CASE });
    check_both(Case { head_dim: 24, value_dim: 9, ..CASE });
}

#[test]
fn masks_and_lengths() {
    for mask in [
        Mask::Full,
        Mask::Causal,
        Mask::SlidingWindow(1),
        Mask::SlidingWindow(5),
        Mask::SlidingWindow(70),
        Mask::SlidingWindow(usize::MAX),
    ] {
        for (queries, keys) in
            [(1, 1), (1, 77), (65, 65), (130, 130), (3, 200), (67, 131), (64, 128)]
        {
            check_both(Case { mask, queries, keys, heads: 2, kv_heads: 1, ..CASE });
        }
    }
}

#[test]
fn rows_that_see_no_key_are_zero() {
    check_both(Case { mask: Mask::SlidingWindow(0), ..CASE });
    // Fewer keys than queries: the first rows stand before every key.
    check_both(Case { mask: Mask::Causal, queries: 75, keys: 9, ..CASE });
    check_both(Case { mask: Mask::SlidingWindow(3), queries: 75, keys: 9, ..CASE });
    check_both(Case { mask: Mask::Full, queries: 5, keys: 0, ..CASE });
}

#[test]
fn group_sizes_and_batches() {
    for (heads, kv_heads) in [(1, 1), (4, 4), (8, 2), (6, 2), (8, 1), (9, 3)] {
        for queries in [1, 3, 20] {
            check_both(Case { batch: 2, heads, kv_heads, queries, keys: 90, ..CASE });
        }
    }
}

#[test]
fn decoding_split_over_keys() {
    for threads in [1, 3, 8] {
        for mask in [Mask::Full, Mask::Causal, Mask::SlidingWindow(700)] {
            let case =
                Case { mask, heads: 2, kv_heads: 1, queries: 2, keys: 1100, threads, ..CASE };
            check_both(case);
            check_both(Case { heads: 8, queries: 1, head_dim: 20, value_dim: 20, ..case });
        }
    }
}

#[test]
fn empty_axes_write_nothing() {
    for (batch, heads, queries, value_dim) in
        [(0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0)]
    {
        check_both(Case { batch, heads, kv_heads: 1, queries, value_dim, ..CASE });
    }
    check_both(Case { head_dim: 0, ..CASE });
}

#[test]
fn keys_without_elements_average_the_values() {
    for queries in [1, 6] {
        let v = [1.0f32, 2.0, 6.0];
        let mut out = vec![0.0f32; queries];
        attention(
            StridedRef::dense(&[], &[1, 1, queries, 0]).unwrap(),
            StridedRef::dense(&[], &[1, 1, 3, 0]).unwrap(),
            StridedRef::dense(&v, &[1, 1, 3, 1]).unwrap(),
            1.0,
            Mask::Full,
            StridedMut::dense(&mut out, &[1, 1, queries, 1]).unwrap(),
        )
        .unwrap();
        assert!(out.iter().all(|v| (v - 3.0).abs() < 1e-6), "{out:?}");
    }
}

#[test]
fn golden_vector() {
    let q = [1., 0., 0., 1., 1., 1., 1., -1., 0.5, 0.5, -1., 0., 0., 2., 2., 0.];
    let (k, v) = ([1.0f32, 0., 0., 1.], [1.0f32, 2., 3., -1.]);
    let lambda = [0.0f32, 1., -1., 2.];
    let mut out = [0.0f32; 8];
    diff_attention(
        StridedRef::new(&q, &[1, 4, 2, 2], &[16, 2, 8, 1]).unwrap(),
        StridedRef::dense(&k, &[1, 1, 2, 2]).unwrap(),
        StridedRef::dense(&v, &[1, 1, 2, 2]).unwrap(),
        StridedRef::new(&lambda, &[1, 2, 2, 1], &[4, 1, 2, 1]).unwrap(),
        std::f32::consts::FRAC_1_SQRT_2,
        Mask::Causal,
        StridedMut::new(&mut out, &[1, 2, 2, 2], &[8, 2, 4, 1]).unwrap(),
    )
    .unwrap();
    let expected =
        [0.5, 1.0, 0.268_941_4, 0.537_882_8, 1.370_805, 0.502_497, 1.383_547, -1.658_11f64];
    for (found, expected) in out.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() <= 2e-6, "{out:?}");
    }
}

#[test]
fn large_scores_and_nan() {
    let run = |q: [f32; 2], k: [f32; 2], v: [f32; 2]| {
        let mut out = [0.0f32; 1];
        attention(
            StridedRef::dense(&q, &[1, 1, 1, 2]).unwrap(),
            StridedRef::new(&k, &[1, 1, 2, 2], &[0, 0, 1, 0]).unwrap_or_else(|e| panic!("{e}")),
            StridedRef::dense(&v, &[1, 1, 2, 1]).unwrap(),
            1.0,
            Mask::Full,
            StridedMut::dense(&mut out, &[1, 1, 1, 1]).unwrap(),
        )
        .map(|()| out[0])
    };
    // A last axis of stride 0 is refused.
    assert!(matches!(run([1., 1.], [1., 2.], [1., 2.]), Err(KernelError::LastAxis { .. })));
    let one = |q: f32, k: [f32; 2], v: [f32; 2]| {
        let mut out = [0.0f32; 1];
        attention(
            StridedRef::dense(&[q], &[1, 1, 1, 1]).unwrap(),
            StridedRef::dense(&k, &[1, 1, 2, 1]).unwrap(),
            StridedRef::dense(&v, &[1, 1, 2, 1]).unwrap(),
            1.0,
            Mask::Full,
            StridedMut::dense(&mut out, &[1, 1, 1, 1]).unwrap(),
        )
        .unwrap();
        out[0]
    };
    assert_eq!(one(1e4, [1e4, -1e4], [3.0, 5.0]), 3.0);
    assert_eq!(one(-1e4, [1e4, -1e4], [3.0, 5.0]), 5.0);
    assert_eq!(one(1.0, [f32::NEG_INFINITY, 0.0], [3.0, 5.0]), 5.0);
    assert!(one(f32::NAN, [1.0, 1.0], [3.0, 5.0]).is_nan());
    assert!(one(1.0, [1.0, f32::NAN], [3.0, 5.0]).is_nan());
}

#[test]
fn shapes_are_checked() {
    let data = [0.0f32; 64];
    let view = |shape: &[usize]| StridedRef::dense(&data, shape).unwrap();
    let mut out = [0.0f32; 24];
    let mut run = |q: &[usize], k: &[usize], v: &[usize], lambda: &[usize]| {
        let out = StridedMut::dense(&mut out, &[1, 3, 2, 4]).unwrap();
        diff_attention(view(q), view(k), view(v), view(lambda), 1.0, Mask::Full, out)
    };
    let (q, k, lambda) = ([1, 6, 2, 4], [1, 1, 2, 4], [1, 3, 2, 1]);
    assert_eq!(run(&q, &k, &k, &lambda), Ok(()));
    assert!(matches!(run(&[1, 3, 2, 4], &k, &k, &lambda), Err(KernelError::Shape { .. })));
    assert!(matches!(run(&q, &[1, 1, 2, 3], &k, &lambda), Err(KernelError::Shape { .. })));
    assert!(matches!(run(&q, &k, &[1, 1, 3, 4], &lambda), Err(KernelError::Shape { .. })));
    assert!(matches!(run(&q, &k, &k, &[1, 3, 2]), Err(KernelError::Shape { .. })));
    assert!(matches!(run(&q, &[4, 2], &k, &lambda), Err(KernelError::Rank { .. })));
    let two = [1, 2, 2, 4];
    assert!(matches!(run(&q, &two, &two, &lambda), Err(KernelError::Multiple { .. })));
}
