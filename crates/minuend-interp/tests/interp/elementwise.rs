//! Elementwise ops on hand-computed values.

use std::f64::consts::{E, LN_2};

use minuend_interp::Tensor;
use minuend_ir::ops::{BinaryOp, CompareOp, UnaryOp};
use minuend_ir::{DType, Emit};

use crate::case::{Case, assert_close};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn unary(op: UnaryOp, values: &[f64]) -> Vec<f64> {
    let mut case = Case::new();
    let x = case.reals(&[values.len()], values);
    let y = case.graph.unary(op, x).unwrap();
    case.real_output(y, &[values.len()])
}

fn binary(op: BinaryOp, a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut case = Case::new();
    let (a, b) = (case.reals(&[a.len()], a), case.reals(&[b.len()], b));
    let y = case.graph.binary(op, a, b).unwrap();
    case.output(y).reals().unwrap().to_vec()
}

fn int_binary(dtype: DType, op: BinaryOp, a: &[i64], b: &[i64]) -> Vec<i64> {
    let mut case = Case::new();
    let [a, b] = [a, b]
        .map(|side| case.given(Tensor::from_ints(dtype, &[side.len()], side.to_vec()).unwrap()));
    let y = case.graph.binary(op, a, b).unwrap();
    case.output(y).ints().unwrap().to_vec()
}

#[test]
fn functions_of_one_real() {
    let cases: [(UnaryOp, &[f64], &[f64]); 13] = [
        (UnaryOp::Neg, &[1.5, -0.0, -INF], &[-1.5, 0.0, INF]),
        (UnaryOp::Abs, &[-1.5, 2.0, -INF], &[1.5, 2.0, INF]),
        (UnaryOp::Exp, &[0.0, 1.0, -INF, NAN], &[1.0, E, 0.0, NAN]),
        (UnaryOp::Log, &[1.0, 2.0, 0.0, -1.0], &[0.0, LN_2, -INF, NAN]),
        (UnaryOp::Sqrt, &[9.0, -1.0], &[3.0, NAN]),
        (UnaryOp::Rsqrt, &[4.0, 0.0], &[0.5, INF]),
        (UnaryOp::Reciprocal, &[4.0, 0.0, -0.0], &[0.25, INF, -INF]),
        (UnaryOp::Sin, &[0.0, 1.0], &[0.0, 0.841_470_984_807_896_5]),
        (UnaryOp::Cos, &[0.0, 1.0], &[1.0, 0.540_302_305_868_139_8]),
        (UnaryOp::Tanh, &[1.0, INF], &[0.761_594_155_955_764_9, 1.0]),
        (UnaryOp::Erf, &[1.0, -INF], &[0.842_700_792_949_714_9, -1.0]),
        (UnaryOp::Sigmoid, &[0.0, LN_2, -800.0, 800.0], &[0.5, 2.0 / 3.0, 0.0, 1.0]),
        (UnaryOp::Silu, &[0.0, LN_2, -800.0, 800.0], &[0.0, LN_2 * 2.0 / 3.0, 0.0, 800.0]),
    ];
    for (op, x, expected) in cases {
        // Library functions are exact to a unit or two in the last place.
        assert_close(&unary(op, x), expected, 4.0 * f64::EPSILON);
    }
}

#[test]
fn functions_of_one_integer_or_truth_value() {
    let mut case = Case::new();
    let x = case.ints(&[3], &[5, -7, i64::MIN]);
    let small = case.small_ints(&[2], &[-7, i64::from(i32::MIN)]);
    let truth = case.bools(&[2], &[true, false]);
    let graph = &mut case.graph;
    let neg = graph.unary(UnaryOp::Neg, x).unwrap();
    let abs = graph.unary(UnaryOp::Abs, x).unwrap();
    let small_abs = graph.unary(UnaryOp::Abs, small).unwrap();
    let not = graph.unary(UnaryOp::Not, truth).unwrap();
    let outputs = case.outputs(&[neg, abs, small_abs, not]);
    assert_eq!(outputs[0].ints().unwrap(), [-5, 7, i64::MIN]);
    assert_eq!(outputs[1].ints().unwrap(), [5, 7, i64::MIN]);
    assert_eq!(outputs[2].ints().unwrap(), [7, i64::from(i32::MIN)]);
    assert_eq!(outputs[3].bools().unwrap(), [false, true]);
}

#[test]
fn functions_of_two_reals() {
    assert_eq!(binary(BinaryOp::Add, &[1.0, 2.0], &[0.5, -2.0]), [1.5, 0.0]);
    assert_eq!(binary(BinaryOp::Sub, &[1.0, 2.0], &[0.5, -2.0]), [0.5, 4.0]);
    assert_eq!(binary(BinaryOp::Mul, &[1.5, -2.0], &[4.0, 0.5]), [6.0, -1.0]);
    assert_eq!(binary(BinaryOp::Div, &[1.0, -1.0, 3.0], &[0.0, 0.0, 2.0]), [INF, -INF, 1.5]);
    assert_eq!(binary(BinaryOp::Pow, &[2.0, 9.0, 0.0], &[10.0, 0.5, 0.0]), [1024.0, 3.0, 1.0]);
}

#[test]
fn maximum_and_minimum_keep_nan_and_order_zeros() {
    let a = [1.0, NAN, 1.0, -0.0, 0.0, -0.0, -INF];
    let b = [2.0, 1.0, NAN, 0.0, -0.0, -0.0, INF];
    let max = binary(BinaryOp::Max, &a, &b);
    let min = binary(BinaryOp::Min, &a, &b);
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert!(max[1].is_nan() && max[2].is_nan() && min[1].is_nan() && min[2].is_nan());
    assert_eq!(bits(&max[3..6]), bits(&[0.0, 0.0, -0.0]));
    assert_eq!(bits(&min[3..6]), bits(&[-0.0, -0.0, -0.0]));
    assert_eq!((max[0], max[6], min[0], min[6]), (2.0, INF, 1.0, -INF));
}

#[test]
fn integers_truncate_wrap_and_divide_by_zero_to_zero() {
    let div = |a: &[i64], b: &[i64]| int_binary(DType::I64, BinaryOp::Div, a, b);
    assert_eq!(div(&[7, -7, 7, 5, 0], &[2, 2, -2, 0, 0]), [3, -3, -3, 0, 0]);
    assert_eq!(div(&[i64::MIN], &[-1]), [i64::MIN]);
    let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
    assert_eq!(int_binary(DType::I32, BinaryOp::Div, &[low], &[-1]), [low]);
    assert_eq!(int_binary(DType::I32, BinaryOp::Add, &[high, 1], &[1, 2]), [low, 3]);
    assert_eq!(int_binary(DType::I64, BinaryOp::Add, &[i64::MAX], &[1]), [i64::MIN]);
    assert_eq!(int_binary(DType::I64, BinaryOp::Max, &[-3, 4], &[2, 1]), [2, 4]);
    assert_eq!(int_binary(DType::I64, BinaryOp::Min, &[-3, 4], &[2, 1]), [-3, 1]);
    assert_eq!(int_binary(DType::I64, BinaryOp::Sub, &[1], &[3]), [-2]);
    assert_eq!(int_binary(DType::I64, BinaryOp::Mul, &[-4], &[3]), [-12]);
}

#[test]
fn operands_broadcast_from_the_last_axis() {
    let mut case = Case::new();
    let column = case.reals(&[2, 1], &[10.0, 20.0]);
    let row = case.reals(&[3], &[1.0, 2.0, 3.0]);
    let scalar = case.reals(&[], &[0.5]);
    let sum = case.graph.add_values(column, row).unwrap();
    let sum = case.graph.add_values(scalar, sum).unwrap();
    let found = case.real_output(sum, &[2, 3]);
    assert_eq!(found, [11.5, 12.5, 13.5, 21.5, 22.5, 23.5]);
}

#[test]
fn broadcasting_to_an_empty_axis_is_empty() {
    let mut case = Case::new();
    let (one, none) = (case.reals(&[2, 1], &[1.0, 2.0]), case.reals(&[0], &[]));
    let sum = case.graph.add_values(one, none).unwrap();
    assert!(case.real_output(sum, &[2, 0]).is_empty());
}

#[test]
fn comparisons() {
    let expected = [
        (CompareOp::Eq, [false, true, false, false, true]),
        (CompareOp::Ne, [true, false, true, true, false]),
        (CompareOp::Lt, [true, false, false, false, false]),
        (CompareOp::Le, [true, true, false, false, true]),
        (CompareOp::Gt, [false, false, true, false, false]),
        (CompareOp::Ge, [false, true, true, false, true]),
    ];
    for (op, expected) in expected {
        let mut case = Case::new();
        let a = case.reals(&[5], &[1.0, 2.0, 3.0, NAN, -0.0]);
        let b = case.reals(&[5], &[2.0, 2.0, 2.0, NAN, 0.0]);
        let real = case.graph.compare(op, a, b).unwrap();
        let a = case.ints(&[3], &[1, 2, 3]);
        let b = case.ints(&[], &[2]);
        let int = case.graph.compare(op, a, b).unwrap();
        let outputs = case.outputs(&[real, int]);
        assert_eq!(outputs[0].bools().unwrap(), expected);
        assert_eq!(outputs[1].bools().unwrap(), &expected[..3]);
    }
}

#[test]
fn truth_values_combine_and_select() {
    let mut case = Case::new();
    let a = case.bools(&[4], &[true, true, false, false]);
    let b = case.bools(&[4], &[true, false, true, false]);
    let x = case.reals(&[2, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let zero = case.reals(&[], &[0.0]);
    let ids = case.ints(&[], &[9]);
    let other_ids = case.ints(&[4], &[1, 2, 3, 4]);
    let graph = &mut case.graph;
    let and = graph.binary(BinaryOp::And, a, b).unwrap();
    let or = graph.binary(BinaryOp::Or, a, b).unwrap();
    let chosen = graph.select(b, x, zero).unwrap();
    let chosen_ids = graph.select(a, ids, other_ids).unwrap();
    let chosen_truth = graph.select(a, b, a).unwrap();
    let outputs = case.outputs(&[and, or, chosen, chosen_ids, chosen_truth]);
    assert_eq!(outputs[0].bools().unwrap(), [true, false, false, false]);
    assert_eq!(outputs[1].bools().unwrap(), [true, true, true, false]);
    assert_eq!(outputs[2].reals().unwrap(), [1.0, 0.0, 3.0, 0.0, 5.0, 0.0, 7.0, 0.0]);
    assert_eq!(outputs[3].ints().unwrap(), [9, 9, 3, 4]);
    assert_eq!(outputs[4].bools().unwrap(), [true, false, false, false]);
}

#[test]
fn casts() {
    let mut case = Case::new();
    let reals = case.reals(&[6], &[1.9, -1.9, 1e30, -INF, NAN, 0.1]);
    let ints = case.ints(&[3], &[0, -3, (1 << 32) + 5]);
    let truth = case.bools(&[2], &[true, false]);
    let graph = &mut case.graph;
    let mut values = Vec::new();
    for (x, to) in [
        (reals, DType::I64),
        (reals, DType::I32),
        (reals, DType::Bool),
        (reals, DType::Bf16),
        (ints, DType::I32),
        (ints, DType::F16),
        (ints, DType::Bool),
        (truth, DType::F32),
        (truth, DType::I64),
    ] {
        values.push(graph.cast(x, to).unwrap());
    }
    let outputs = case.outputs(&values);
    assert_eq!(outputs[0].ints().unwrap(), [1, -1, i64::MAX, i64::MIN, 0, 0]);
    let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
    assert_eq!(outputs[1].ints().unwrap(), [1, -1, high, low, 0, 0]);
    assert_eq!(outputs[2].bools().unwrap(), [true; 6]);
    // Not rounded: 0.1 and 1e30 are no values of bf16.
    assert_eq!(outputs[3].reals().unwrap()[2], 1e30);
    assert_eq!(outputs[3].reals().unwrap()[5], 0.1);
    assert_eq!(outputs[3].dtype(), DType::Bf16);
    assert_eq!(outputs[4].ints().unwrap(), [0, -3, 5]);
    assert_eq!(outputs[5].reals().unwrap(), [0.0, -3.0, 4_294_967_301.0]);
    assert_eq!(outputs[6].bools().unwrap(), [false, true, true]);
    assert_eq!(outputs[7].reals().unwrap(), [1.0, 0.0]);
    assert_eq!(outputs[8].ints().unwrap(), [1, 0]);
}
