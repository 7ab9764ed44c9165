//! Reductions and softmax on hand-computed values.

use minuend_ir::Emit;
use minuend_ir::ops::ReduceKind;

use crate::case::{Case, assert_close};

const INF: f64 = f64::INFINITY;

fn reduce(kind: ReduceKind, axis: usize, shape: &[usize], values: &[f64]) -> Vec<f64> {
    let mut case = Case::new();
    let x = case.reals(shape, values);
    let y = case.graph.reduce(kind, axis, x).unwrap();
    let mut expected = shape.to_vec();
    expected[axis] = 1;
    case.real_output(y, &expected)
}

fn softmax(axis: usize, shape: &[usize], values: &[f64]) -> Vec<f64> {
    let mut case = Case::new();
    let x = case.reals(shape, values);
    let y = case.graph.softmax(axis, x).unwrap();
    case.real_output(y, shape)
}

#[test]
fn along_inner_and_outer_axes() {
    let x = [1., -2., 6., 4., 8., 0.];
    assert_eq!(reduce(ReduceKind::Sum, 1, &[2, 3], &x), [5., 12.]);
    assert_eq!(reduce(ReduceKind::Sum, 0, &[2, 3], &x), [5., 6., 6.]);
    assert_eq!(reduce(ReduceKind::Mean, 1, &[2, 3], &x), [5. / 3., 4.]);
    assert_eq!(reduce(ReduceKind::Mean, 0, &[2, 3], &x), [2.5, 3., 3.]);
    assert_eq!(reduce(ReduceKind::Max, 1, &[2, 3], &x), [6., 8.]);
    assert_eq!(reduce(ReduceKind::Max, 1, &[1, 3, 2], &x), [8., 4.]);
}

#[test]
fn empty_axes_and_nan() {
    assert_eq!(reduce(ReduceKind::Sum, 1, &[2, 0], &[]), [0., 0.]);
    assert_eq!(reduce(ReduceKind::Max, 1, &[2, 0], &[]), [-INF, -INF]);
    assert!(reduce(ReduceKind::Mean, 1, &[1, 0], &[])[0].is_nan());
    assert!(reduce(ReduceKind::Sum, 0, &[0, 0], &[]).is_empty());
    assert!(reduce(ReduceKind::Max, 0, &[3], &[1., f64::NAN, 2.])[0].is_nan());
    assert_eq!(reduce(ReduceKind::Max, 0, &[2], &[-INF, -INF]), [-INF]);
}

fn arg_max(axis: usize, shape: &[usize], values: &[f64]) -> Vec<i64> {
    let mut case = Case::new();
    let x = case.reals(shape, values);
    let y = case.graph.arg_max(axis, x).unwrap();
    let mut expected = shape.to_vec();
    expected.remove(axis);
    let outputs = case.outputs(&[y]);
    assert_eq!(outputs[0].shape(), expected);
    outputs[0].ints().unwrap().to_vec()
}

#[test]
fn index_of_the_largest() {
    let x = [1., -2., 6., 4., 8., 0.];
    assert_eq!(arg_max(1, &[2, 3], &x), [2, 1]);
    assert_eq!(arg_max(0, &[2, 3], &x), [1, 1, 0]);
    assert_eq!(arg_max(1, &[1, 3, 2], &x), [2, 1]);
    assert_eq!(arg_max(0, &[6], &x), [4]);
}

#[test]
fn index_of_the_largest_among_equals_and_what_is_not_finite() {
    assert_eq!(arg_max(0, &[5], &[1., 3., 2., 3., 3.]), [1]);
    assert_eq!(arg_max(0, &[2], &[-0.0, 0.0]), [0]);
    assert_eq!(arg_max(0, &[5], &[f64::NAN, INF, -5., -INF, -5.]), [2]);
    assert_eq!(arg_max(0, &[3], &[f64::NAN, INF, -INF]), [-1]);
    assert_eq!(arg_max(1, &[2, 0], &[]), [-1, -1]);
    assert!(arg_max(1, &[0, 3], &[]).is_empty());
}

#[test]
fn softmax_along_each_axis() {
    let [ln_2, ln_3] = [2.0f64.ln(), 3.0f64.ln()];
    let x = [0., ln_3, ln_2, ln_2];
    assert_close(&softmax(1, &[2, 2], &x), &[0.25, 0.75, 0.5, 0.5], 1e-15);
    assert_close(&softmax(0, &[2, 2], &x), &[1. / 3., 0.6, 2. / 3., 0.4], 1e-15);
}

#[test]
fn softmax_of_extremes() {
    assert_eq!(softmax(0, &[3], &[1e300, -1e300, -INF]), [1., 0., 0.]);
    assert!(softmax(0, &[2], &[-INF, -INF]).iter().all(|value| value.is_nan()));
    assert!(softmax(0, &[2], &[f64::NAN, 0.]).iter().all(|value| value.is_nan()));
    assert!(softmax(1, &[2, 0], &[]).is_empty());
}
