use super::*;
use crate::Changed;
use crate::testing::{Ran, run};
use minuend_ir::{DType, Dim, SymbolTable, TensorType};

const SIZES: &[(&str, u64)] = &[("S", 3)];

/// `x [S, 2, 8]` and a weight of eight.
fn graph(dtype: DType) -> (Graph, ValueId, ValueId) {
    let mut symbols = SymbolTable::default();
    let s = Dim::symbol(symbols.declare("S", 1, 64).unwrap());
    let mut g = Graph::new("g", symbols);
    let x = g.argument("x", TensorType::new(dtype, [s, 2.into(), 8.into()])).unwrap();
    let weight = g.weight("norm", TensorType::fixed(dtype, &[8])).unwrap();
    (g, x, weight)
}

/// `rsqrt(mean(x * x, axis) + 1e-6)`.
fn factor(g: &mut Graph, x: ValueId, axis: usize) -> ValueId {
    let square = g.mul(x, x).unwrap();
    g.set_name(square, "square");
    let mean = g.reduce(ReduceKind::Mean, axis, square).unwrap();
    let epsilon = g.real(g.ty(x).dtype, 1e-6).unwrap();
    let sum = g.add_values(mean, epsilon).unwrap();
    let factor = g.unary(UnaryOp::Rsqrt, sum).unwrap();
    g.set_name(factor, "factor");
    factor
}

fn finish(mut g: Graph, y: ValueId) -> Ran {
    g.set_name(y, "y");
    g.set_return(&[y], &[]).unwrap();
    let ran = run(&g, &pass(), SIZES);
    let canonical = run(&g, &crate::canonicalize::pass(), SIZES).graph;
    let behind = run(&canonical, &pass(), SIZES);
    assert_eq!(behind.changed, ran.changed, "behind canonicalize: {:?}", behind.ops());
    ran
}

#[track_caller]
fn refused(ran: &Ran, reason: &str) {
    assert_eq!(ran.changed, Changed::No);
    assert_eq!(ran.remarks, [format!("fuse-rms-norm at %y: {reason}")]);
}

#[test]
fn every_order_of_the_factors_fuses() {
    for order in 0..12 {
        let (mut g, x, weight) = graph(DType::F32);
        let factor = factor(&mut g, x, 2);
        let (first, second, last) = match order % 3 {
            0 => (x, factor, weight),
            1 => (x, weight, factor),
            _ => (weight, factor, x),
        };
        let inner = if order / 3 % 2 == 0 { g.mul(first, second) } else { g.mul(second, first) };
        let inner = inner.unwrap();
        let y = if order / 6 == 0 { g.mul(inner, last) } else { g.mul(last, inner) }.unwrap();
        let ran = finish(g, y);
        assert_eq!(ran.ops(), ["rms_norm"]);
        assert_eq!(*ran.the("rms_norm"), Op::RmsNorm(RmsNorm { epsilon: 1e-6.into() }));
    }
}

#[test]
fn narrow_values_widened_for_the_norm_stay_narrow() {
    let (mut g, x, weight) = graph(DType::Bf16);
    let wide = g.cast(x, DType::F32).unwrap();
    let factor = factor(&mut g, wide, 2);
    let normed = g.mul(wide, factor).unwrap();
    let weight = g.cast(weight, DType::F32).unwrap();
    let y = g.mul(weight, normed).unwrap();
    let y = g.cast(y, DType::Bf16).unwrap();
    assert_eq!(finish(g, y).ops(), ["rms_norm"]);
}

#[test]
fn narrowing_before_the_weight_fuses() {
    let (mut g, x, weight) = graph(DType::F16);
    let wide = g.cast(x, DType::F32).unwrap();
    let factor = factor(&mut g, wide, 2);
    let normed = g.mul(wide, factor).unwrap();
    let normed = g.cast(normed, DType::F16).unwrap();
    let y = g.mul(weight, normed).unwrap();
    assert_eq!(finish(g, y).ops(), ["rms_norm"]);
}

#[test]
fn a_norm_read_in_f32_stays_in_f32() {
    let (mut g, x, weight) = graph(DType::F16);
    let wide = g.cast(x, DType::F32).unwrap();
    let factor = factor(&mut g, wide, 2);
    let normed = g.mul(wide, factor).unwrap();
    let weight = g.cast(weight, DType::F32).unwrap();
    let y = g.mul(normed, weight).unwrap();
    let ran = finish(g, y);
    assert_eq!(ran.ops(), ["cast", "rms_norm"]);
}

#[test]
fn a_vector_normalises_itself_with_a_power_and_a_computed_weight() {
    let mut g = Graph::new("g", SymbolTable::default());
    let x = g.argument("x", TensorType::fixed(DType::F32, &[8])).unwrap();
    let two = g.real(DType::F32, 2.0).unwrap();
    let square = g.binary(BinaryOp::Pow, x, two).unwrap();
    let mean = g.reduce(ReduceKind::Mean, 0, square).unwrap();
    let epsilon = g.real(DType::F32, 1e-5).unwrap();
    let sum = g.add_values(epsilon, mean).unwrap();
    let factor = g.unary(UnaryOp::Rsqrt, sum).unwrap();
    let normed = g.mul(x, factor).unwrap();
    let one = g.real(DType::F32, 1.0).unwrap();
    let weight = g.weight("norm", TensorType::fixed(DType::F32, &[8])).unwrap();
    let weight = g.add_values(weight, one).unwrap();
    let y = g.mul(normed, weight).unwrap();
    g.set_return(&[y], &[]).unwrap();
    assert_eq!(run(&g, &pass(), &[]).ops(), ["add", "rms_norm"]);
}

#[test]
fn a_mean_over_another_axis_stays() {
    let (mut g, x, weight) = graph(DType::F32);
    let factor = factor(&mut g, x, 1);
    let normed = g.mul(x, factor).unwrap();
    let y = g.mul(normed, weight).unwrap();
    refused(&finish(g, y), "the mean is over axis 1 of 3, not the last");
}

#[test]
fn the_square_of_another_value_stays() {
    let (mut g, x, weight) = graph(DType::F32);
    let other = g.unary(UnaryOp::Tanh, x).unwrap();
    g.set_name(other, "other");
    let factor = factor(&mut g, other, 2);
    let normed = g.mul(x, factor).unwrap();
    let y = g.mul(normed, weight).unwrap();
    refused(&finish(g, y), "the mean is of the square of %other, not of a factor");
}

#[test]
fn a_mean_of_no_square_stays() {
    let (mut g, x, weight) = graph(DType::F32);
    let magnitude = g.unary(UnaryOp::Abs, x).unwrap();
    let mean = g.reduce(ReduceKind::Mean, 2, magnitude).unwrap();
    g.set_name(mean, "mean");
    let epsilon = g.real(DType::F32, 1e-6).unwrap();
    let sum = g.add_values(mean, epsilon).unwrap();
    let factor = g.unary(UnaryOp::Rsqrt, sum).unwrap();
    let normed = g.mul(x, factor).unwrap();
    let y = g.mul(normed, weight).unwrap();
    refused(&finish(g, y), "%mean is the mean of no square");
}

#[test]
fn an_epsilon_that_is_given_or_negative_stays() {
    for negative in [false, true] {
        let (mut g, x, weight) = graph(DType::F32);
        let square = g.mul(x, x).unwrap();
        let mean = g.reduce(ReduceKind::Mean, 2, square).unwrap();
        let epsilon = if negative {
            g.real(DType::F32, -1e-6).unwrap()
        } else {
            g.argument("eps", TensorType::scalar(DType::F32)).unwrap()
        };
        let sum = g.add_values(mean, epsilon).unwrap();
        let factor = g.unary(UnaryOp::Rsqrt, sum).unwrap();
        let normed = g.mul(x, factor).unwrap();
        let y = g.mul(normed, weight).unwrap();
        let reason = if negative {
            "epsilon is -0.000001, expected a finite number of at least 0"
        } else {
            "epsilon %eps is not a constant"
        };
        refused(&finish(g, y), reason);
    }
}

#[test]
fn a_weight_that_is_no_vector_of_the_last_axis_stays() {
    let (mut g, x, _) = graph(DType::F32);
    let weight = g.weight("rows", TensorType::fixed(DType::F32, &[2, 8])).unwrap();
    g.set_name(weight, "rows");
    let factor = factor(&mut g, x, 2);
    let normed = g.mul(x, factor).unwrap();
    let y = g.mul(normed, weight).unwrap();
    refused(&finish(g, y), "weight %rows is [2, 8], not a vector of the last axis");
}

#[test]
fn an_intermediate_with_other_uses_stays() {
    for name in ["factor", "square"] {
        let (mut g, x, weight) = graph(DType::F32);
        let factor = factor(&mut g, x, 2);
        let normed = g.mul(x, factor).unwrap();
        let y = g.mul(normed, weight).unwrap();
        g.set_name(y, "y");
        let named = |id: &NodeId| g.value_name(id.result(0)).is_some_and(|found| **found == *name);
        let ids: Vec<NodeId> = g.node_ids().filter(|id| !g.node(*id).results.is_empty()).collect();
        let shared = ids.iter().find(|id| named(id)).unwrap().result(0);
        g.set_return(&[y, shared], &[]).unwrap();
        refused(&run(&g, &pass(), SIZES), &format!("%{name} has other uses"));
    }
}

#[test]
fn a_product_that_repeats_the_value_stays() {
    let (mut g, x, _) = graph(DType::F32);
    let weight = g.weight("norm", TensorType::fixed(DType::F32, &[1, 1, 1, 8])).unwrap();
    let factor = factor(&mut g, x, 2);
    let normed = g.mul(x, factor).unwrap();
    let y = g.mul(normed, weight).unwrap();
    refused(&finish(g, y), "the product repeats %x");
}
