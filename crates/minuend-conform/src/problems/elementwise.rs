//! Elementwise ops of every element type.

use crate::problem::{Built, Problem};
use crate::problem_builder::ProblemBuilder;
use crate::random_values::Values;
use half::{bf16, f16};
use minuend::ir::ops::{BinaryOp, CompareOp, Slice, UnaryOp};
use minuend::ir::{DType, Emit, Op, ValueId};

use super::{Problems, SIZES};

/// A function of one element in f32 is off by a few roundings of its own value: those of the function
/// of the standard library, and of `1 + e^-x` and the quotient in the sigmoid.
const FUNCTION: f64 = 8.0;

pub(super) fn list(problems: &mut Problems) {
    let t = problems.activations;
    problems.add(true, "unary random", move |name| {
        unary(name, t, Values::Within(6.0), Values::Between(0.01, 9.0))
    });
    problems
        .add(true, "unary special", move |name| unary(name, t, special_reals(t), special_reals(t)));
    problems.add(true, "strided operands", move |name| strided_operands(name, t));
    problems.add(true, "binary random", move |name| binary(name, t, Values::Within(6.0)));
    problems.add(true, "binary special", move |name| binary(name, t, special_reals(t)));
    problems.add(true, "literals, sizes and counts", move |name| literals(name, t));
    if t != DType::F32 {
        problems.add(true, "casts", move |name| half_casts(name, t));
        return;
    }
    for dtype in [DType::I64, DType::I32] {
        problems.add(true, format!("integers {dtype}"), move |name| integers(name, dtype));
    }
    problems.add(true, "truth values", truth_values);
    problems.add(true, "casts", casts);
}

/// Reals at the ends of f32 and of the type, and where functions have their limits.
fn special_reals(dtype: DType) -> Values {
    let infinity = f64::INFINITY;
    let tiny = f64::from(f32::MIN_POSITIVE);
    let large = match dtype {
        DType::F16 => f16::MAX.to_f64(),
        DType::Bf16 => bf16::MAX.to_f64(),
        _ => f64::from(f32::MAX),
    };
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

fn unary(name: &str, t: DType, values: Values, positive: Values) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.argument("x", t, "B S 5", values)?;
    let y = b.argument("y", t, "B S 5", positive)?;
    for op in UnaryOp::ALL.into_iter().filter(|op| *op != UnaryOp::Not) {
        let operand = if is_positive_only(op) { y } else { x };
        let units = if matches!(op, UnaryOp::Neg | UnaryOp::Abs) { 0.0 } else { FUNCTION };
        b.function(op, operand, units)?;
    }
    b.finish(&SIZES)
}

/// The operand seen through strides: axes swapped, every other element, an offset.
fn strided(b: &mut ProblemBuilder, x: ValueId) -> Built<ValueId> {
    let x = b.graph.transpose(x, &[1, 0, 2])?;
    let x = b.graph.slice(x, Slice::strided(2, 1, 2))?;
    Ok(b.graph.transpose(x, &[2, 1, 0])?)
}

fn strided_operands(name: &str, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.reals("x", "B S 7")?;
    let y = b.reals("y", "B S 7")?;
    let (x, y) = (strided(&mut b, x)?, strided(&mut b, y)?);
    b.function(UnaryOp::Sigmoid, x, FUNCTION)?;
    let sum = b.graph.add_values(x, y)?;
    b.relative(sum, 1.0);
    let less = b.graph.compare(CompareOp::Lt, x, y)?;
    b.exact(less);
    let chosen = b.graph.select(less, y, x)?;
    b.exact(chosen);
    let halved = b.graph.cast(x, DType::I32)?;
    b.exact(halved);
    // [3, B, S] with [S], [B, 1], [1, 1, 1], [3, 1, S] and a scalar.
    let scalar = b.graph.real(t, 1.5)?;
    let mut others = vec![scalar];
    for (name, shape) in [("a", "S"), ("b", "B 1"), ("c", "1 1 1"), ("d", "3 1 S")] {
        others.push(b.reals(name, shape)?);
    }
    for other in others {
        let forward = b.graph.sub(x, other)?;
        b.relative(forward, 1.0);
        b.quotient(other, x, 2.0)?;
        let chosen = b.graph.select(less, other, x)?;
        b.exact(chosen);
    }
    b.finish(&SIZES)
}

fn binary(name: &str, t: DType, values: Values) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.argument("x", t, "B S 1 9", values.clone())?;
    let y = b.argument("y", t, "B S 13 1", values)?;
    let base = b.argument("base", t, "B S 1 9", Values::Between(0.1, 3.0))?;
    let exponent = b.argument("exponent", t, "B S 13 1", Values::Within(6.0))?;
    for op in BinaryOp::ALL {
        // Each is one correctly rounded operation, or none.
        let units = match op {
            BinaryOp::And | BinaryOp::Or => continue,
            BinaryOp::Pow => {
                b.power(base, exponent, FUNCTION)?;
                continue;
            }
            BinaryOp::Div => {
                b.quotient(x, y, 1.0)?;
                continue;
            }
            BinaryOp::Max | BinaryOp::Min => 0.0,
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => 1.0,
        };
        let value = b.graph.binary(op, x, y)?;
        b.relative(value, units);
    }
    for op in CompareOp::ALL {
        let value = b.graph.compare(op, x, y)?;
        b.exact(value);
    }
    b.finish(&SIZES)
}

fn integers(name: &str, dtype: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let x = b.argument("x", dtype, "B S 12 1", special_ints(dtype))?;
    let y = b.argument("y", dtype, "1 12", special_ints(dtype))?;
    for op in [UnaryOp::Neg, UnaryOp::Abs] {
        let value = b.graph.unary(op, x)?;
        b.exact(value);
    }
    for op in BinaryOp::ALL {
        if !matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Pow) {
            let value = b.graph.binary(op, x, y)?;
            b.exact(value);
        }
    }
    for op in CompareOp::ALL {
        let condition = b.graph.compare(op, x, y)?;
        b.exact(condition);
        let value = b.graph.select(condition, x, y)?;
        b.exact(value);
    }
    b.finish(&SIZES)
}

fn truth_values(name: &str) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let x = b.argument("x", DType::Bool, "B S 9", Values::Truth)?;
    let y = b.argument("y", DType::Bool, "S 9", Values::Truth)?;
    let condition = b.argument("c", DType::Bool, "B 1 9", Values::Truth)?;
    for op in [BinaryOp::And, BinaryOp::Or] {
        let value = b.graph.binary(op, x, y)?;
        b.exact(value);
    }
    let not = b.graph.unary(UnaryOp::Not, x)?;
    b.exact(not);
    let chosen = b.graph.select(condition, x, y)?;
    b.exact(chosen);
    b.finish(&SIZES)
}

fn casts(name: &str) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?;
    let types = [DType::F32, DType::I64, DType::I32, DType::Bool];
    let mut operands = vec![
        b.argument("reals", DType::F32, "B S 7", Values::Within(300.0))?,
        b.argument("special", DType::F32, "B S 17", special_reals(DType::F32))?,
        b.argument("i64", DType::I64, "B S 12", special_ints(DType::I64))?,
        b.argument("i32", DType::I32, "B S 12", special_ints(DType::I32))?,
        b.argument("bool", DType::Bool, "B S 5", Values::Truth)?,
    ];
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        operands.push(b.weight(&format!("w.{dtype}"), dtype, &[5, 9])?);
    }
    for operand in operands {
        for to in types {
            if b.graph.ty(operand).dtype != to {
                let value = b.graph.value(Op::Cast(minuend::ir::ops::Cast { to }), &[operand]);
                // An integer beyond 2^24 is rounded to the nearest f32.
                b.relative(value?, if to == DType::F32 { 1.0 } else { 0.0 });
            }
        }
    }
    b.finish(&SIZES)
}

/// Casts from a 16-bit type and to it: the nearest value, infinities and subnormal numbers included.
fn half_casts(name: &str, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let (reals, special) = (Values::Within(300.0), special_reals(t));
    let from_t = [
        b.argument("reals", t, "B S 7", reals.clone())?,
        b.argument("special", t, "B S 17", special.clone())?,
    ];
    for x in from_t {
        for to in [DType::F32, DType::I64, DType::I32, DType::Bool] {
            let value = b.graph.cast(x, to)?;
            b.exact(value);
        }
    }
    let other = if t == DType::F16 { DType::Bf16 } else { DType::F16 };
    for dtype in [DType::F32, other] {
        for (kind, values) in [("reals", reals.clone()), ("special", special.clone())] {
            let x = b.argument(&format!("{kind}.{dtype}"), dtype, "B S 17", values)?;
            let value = b.graph.cast(x, t)?;
            b.exact(value);
        }
    }
    let truth = b.argument("bool", DType::Bool, "B S 5", Values::Truth)?;
    let value = b.graph.cast(truth, t)?;
    b.exact(value);
    for dtype in [DType::I64, DType::I32] {
        let x = b.argument(&format!("{dtype}"), dtype, "B S 12", special_ints(dtype))?;
        let value = b.graph.cast(x, t)?;
        // On the way it may be rounded to f32.
        b.relative(value, 1.0);
    }
    b.finish(&SIZES)
}

fn literals(name: &str, t: DType) -> Built<Problem> {
    let mut b = ProblemBuilder::new(name)?.in_type(t);
    let x = b.reals("x", "B S 3")?;
    let size = b.graph.dim(&b.size("S")? + 3)?;
    b.exact(size);
    let count = b.graph.iota(b.size("S")?)?;
    b.exact(count);
    let row = b.graph.reals(t, &[0.25, -3.5, 1e-3])?;
    let sum = b.graph.add_values(x, row)?;
    // The literal 1e-3 is rounded to the type, and so is the sum.
    let (abs, literals) = (b.abs(x)?, b.abs(row)?);
    let magnitude = b.graph.add_values(abs, literals)?;
    b.within(sum, 2.0, magnitude);
    b.narrowed(1.0, 1.0);
    b.finish(&SIZES)
}
