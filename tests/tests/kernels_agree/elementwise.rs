//! Elementwise ops of every element type.

use minuend::ir::ops::{BinaryOp, CompareOp, Slice, UnaryOp};
use minuend::ir::{DType, Emit, Op, ValueId};
use minuend_tests::agreement::assert_agree;
use minuend_tests::problem::ProblemBuilder;
use minuend_tests::random_values::Values;

use super::SIZES;

/// A function of one element in f32 is off by a few roundings of its own value: those of the function
/// of the standard library, and of `1 + e^-x` and the quotient in the sigmoid.
const FUNCTION: f64 = 8.0;

/// Reals at the ends of f32, and where functions have their limits.
fn special_reals() -> Values {
    let infinity = f64::INFINITY;
    let tiny = f64::from(f32::MIN_POSITIVE);
    let large = f64::from(f32::MAX);
    let (a, b) = ([0.0, -0.0, 1.0, -1.0, 0.5, tiny, -tiny], [large, -large, infinity, -infinity]);
    Values::Reals([&a[..], &b, &[f64::NAN, 1e-6, -1e-6, 88.0, -80.0, 1e4]].concat())
}

fn special_ints(dtype: DType) -> Values {
    let (low, high) = match dtype {
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    Values::Ints(vec![0, 1, -1, 2, -3, 7, low, high, low + 1, high / 3, -8, 100])
}

fn is_positive_only(op: UnaryOp) -> bool {
    matches!(op, UnaryOp::Log | UnaryOp::Sqrt | UnaryOp::Rsqrt)
}

#[test]
fn unary_functions_of_reals() {
    for (name, values, positive) in [
        ("random", Values::Within(6.0), Values::Between(0.01, 9.0)),
        ("special", special_reals(), special_reals()),
    ] {
        let mut b = ProblemBuilder::new(&format!("unary {name}"));
        let x = b.argument("x", DType::F32, "B S 5", values);
        let y = b.argument("y", DType::F32, "B S 5", positive);
        for op in UnaryOp::ALL.into_iter().filter(|op| *op != UnaryOp::Not) {
            let operand = if is_positive_only(op) { y } else { x };
            let value = b.graph.unary(op, operand).unwrap();
            let units = if matches!(op, UnaryOp::Neg | UnaryOp::Abs) { 0.0 } else { FUNCTION };
            b.relative(value, units);
        }
        assert_agree(&b.finish(&SIZES));
    }
}

/// The operand seen through strides: axes swapped, every other element, an offset.
fn strided(b: &mut ProblemBuilder, x: ValueId) -> ValueId {
    let x = b.graph.transpose(x, &[1, 0, 2]).unwrap();
    let x = b.graph.slice(x, Slice::strided(2, 1, 2)).unwrap();
    b.graph.transpose(x, &[2, 1, 0]).unwrap()
}

#[test]
fn strided_and_broadcast_operands() {
    let mut b = ProblemBuilder::new("strided elementwise");
    let x = b.reals("x", "B S 7");
    let y = b.reals("y", "B S 7");
    let (x, y) = (strided(&mut b, x), strided(&mut b, y));
    let sigmoid = b.graph.unary(UnaryOp::Sigmoid, x).unwrap();
    b.relative(sigmoid, FUNCTION);
    let sum = b.graph.add_values(x, y).unwrap();
    b.relative(sum, 1.0);
    let less = b.graph.compare(CompareOp::Lt, x, y).unwrap();
    b.exact(less);
    let chosen = b.graph.select(less, y, x).unwrap();
    b.exact(chosen);
    let halved = b.graph.cast(x, DType::I32).unwrap();
    b.exact(halved);
    // [3, B, S] with [S], [B, 1], [1, 1, 1], [3, 1, S] and a scalar.
    let scalar = b.graph.real(DType::F32, 1.5).unwrap();
    let mut others = vec![scalar];
    for (name, shape) in [("a", "S"), ("b", "B 1"), ("c", "1 1 1"), ("d", "3 1 S")] {
        others.push(b.reals(name, shape));
    }
    for other in others {
        let forward = b.graph.sub(x, other).unwrap();
        b.relative(forward, 1.0);
        let backward = b.graph.binary(BinaryOp::Div, other, x).unwrap();
        b.relative(backward, 2.0);
        let chosen = b.graph.select(less, other, x).unwrap();
        b.exact(chosen);
    }
    assert_agree(&b.finish(&SIZES));
}

#[test]
fn binary_functions_of_reals() {
    for (name, values) in [("random", Values::Within(6.0)), ("special", special_reals())] {
        let mut b = ProblemBuilder::new(&format!("binary {name}"));
        let x = b.argument("x", DType::F32, "B S 1 9", values.clone());
        let y = b.argument("y", DType::F32, "B S 13 1", values);
        let base = b.argument("base", DType::F32, "B S 1 9", Values::Between(0.1, 3.0));
        let exponent = b.argument("exponent", DType::F32, "B S 13 1", Values::Within(6.0));
        for op in BinaryOp::ALL {
            let (operands, units) = match op {
                BinaryOp::And | BinaryOp::Or => continue,
                BinaryOp::Pow => ([base, exponent], FUNCTION),
                BinaryOp::Max | BinaryOp::Min => ([x, y], 0.0),
                // Each is one correctly rounded operation.
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div => ([x, y], 1.0),
            };
            let value = b.graph.binary(op, operands[0], operands[1]).unwrap();
            b.relative(value, units);
        }
        for op in CompareOp::ALL {
            let value = b.graph.compare(op, x, y).unwrap();
            b.exact(value);
        }
        assert_agree(&b.finish(&SIZES));
    }
}

#[test]
fn integers_wrap() {
    for dtype in [DType::I64, DType::I32] {
        let mut b = ProblemBuilder::new(&format!("integers {dtype}"));
        let x = b.argument("x", dtype, "B S 12 1", special_ints(dtype));
        let y = b.argument("y", dtype, "1 12", special_ints(dtype));
        for op in [UnaryOp::Neg, UnaryOp::Abs] {
            let value = b.graph.unary(op, x).unwrap();
            b.exact(value);
        }
        for op in BinaryOp::ALL {
            if !matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Pow) {
                let value = b.graph.binary(op, x, y).unwrap();
                b.exact(value);
            }
        }
        for op in CompareOp::ALL {
            let condition = b.graph.compare(op, x, y).unwrap();
            b.exact(condition);
            let value = b.graph.select(condition, x, y).unwrap();
            b.exact(value);
        }
        assert_agree(&b.finish(&SIZES));
    }
}

#[test]
fn truth_values() {
    let mut b = ProblemBuilder::new("truth values");
    let x = b.argument("x", DType::Bool, "B S 9", Values::Truth);
    let y = b.argument("y", DType::Bool, "S 9", Values::Truth);
    let condition = b.argument("c", DType::Bool, "B 1 9", Values::Truth);
    for op in [BinaryOp::And, BinaryOp::Or] {
        let value = b.graph.binary(op, x, y).unwrap();
        b.exact(value);
    }
    let not = b.graph.unary(UnaryOp::Not, x).unwrap();
    b.exact(not);
    let chosen = b.graph.select(condition, x, y).unwrap();
    b.exact(chosen);
    assert_agree(&b.finish(&SIZES));
}

#[test]
fn casts_between_all_types() {
    let types = [DType::F32, DType::I64, DType::I32, DType::Bool];
    let mut b = ProblemBuilder::new("casts");
    let mut operands = vec![
        b.argument("reals", DType::F32, "B S 7", Values::Within(300.0)),
        b.argument("special", DType::F32, "B S 17", special_reals()),
        b.argument("i64", DType::I64, "B S 12", special_ints(DType::I64)),
        b.argument("i32", DType::I32, "B S 12", special_ints(DType::I32)),
        b.argument("bool", DType::Bool, "B S 5", Values::Truth),
    ];
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        operands.push(b.weight(&format!("w.{dtype}"), dtype, &[5, 9]));
    }
    for operand in operands {
        for to in types {
            if b.graph.ty(operand).dtype != to {
                let value = b.graph.value(Op::Cast(minuend::ir::ops::Cast { to }), &[operand]);
                // An integer beyond 2^24 is rounded to the nearest f32.
                b.relative(value.unwrap(), if to == DType::F32 { 1.0 } else { 0.0 });
            }
        }
    }
    assert_agree(&b.finish(&SIZES));
}

#[test]
fn literals_sizes_and_counts() {
    let mut b = ProblemBuilder::new("literals");
    let x = b.reals("x", "B S 3");
    let size = b.graph.dim(&b.shape("S")[0] + 3).unwrap();
    b.exact(size);
    let count = b.graph.iota(b.shape("S")[0].clone()).unwrap();
    b.exact(count);
    let row = b.graph.reals(DType::F32, &[0.25, -3.5, 1e-3]).unwrap();
    let sum = b.graph.add_values(x, row).unwrap();
    // The literal 1e-3 is rounded to f32, and so is the sum.
    let (abs, literals) = (b.abs(x), b.abs(row));
    let magnitude = b.graph.add_values(abs, literals).unwrap();
    b.within(sum, 2.0, magnitude);
    assert_agree(&b.finish(&SIZES));
}
