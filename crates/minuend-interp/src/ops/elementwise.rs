//! Elementwise ops. Operands are first repeated to the result's shape, then met element by element.

use minuend_ir::DType;
use minuend_ir::ops::{BinaryOp, Cast, CompareOp, UnaryOp};

use crate::ops::erf::erf;
use crate::ops::layout::broadcast;
use crate::ops::{Computed, ResultType, no_meaning};
use crate::tensor::{Data, Tensor};

/// `f(x)`.
pub(crate) fn unary(op: UnaryOp, x: &Tensor) -> Computed {
    let dtype = x.dtype();
    let fault = || no_meaning(op.name(), dtype);
    Ok(match x.data() {
        Data::Reals(values) => {
            let f = real_function(op).ok_or_else(fault)?;
            Data::Reals(values.iter().map(|x| f(*x)).collect())
        }
        Data::Ints(values) => {
            let f = int_function(op).ok_or_else(fault)?;
            Data::Ints(values.iter().map(|x| wrap(dtype, f(*x))).collect())
        }
        Data::Bools(values) if op == UnaryOp::Not => {
            Data::Bools(values.iter().map(|x| !x).collect())
        }
        Data::Bools(_) => return Err(fault()),
    })
}

fn real_function(op: UnaryOp) -> Option<fn(f64) -> f64> {
    Some(match op {
        UnaryOp::Neg => |x| -x,
        UnaryOp::Abs => f64::abs,
        UnaryOp::Exp => f64::exp,
        UnaryOp::Log => f64::ln,
        UnaryOp::Sqrt => f64::sqrt,
        UnaryOp::Rsqrt => |x| 1.0 / x.sqrt(),
        UnaryOp::Reciprocal => f64::recip,
        UnaryOp::Sin => f64::sin,
        UnaryOp::Cos => f64::cos,
        UnaryOp::Tanh => f64::tanh,
        UnaryOp::Erf => erf,
        UnaryOp::Sigmoid => sigmoid,
        UnaryOp::Silu => silu,
        UnaryOp::Not => return None,
    })
}

fn int_function(op: UnaryOp) -> Option<fn(i64) -> i64> {
    match op {
        UnaryOp::Neg => Some(i64::wrapping_neg),
        UnaryOp::Abs => Some(i64::wrapping_abs),
        UnaryOp::Exp
        | UnaryOp::Log
        | UnaryOp::Sqrt
        | UnaryOp::Rsqrt
        | UnaryOp::Reciprocal
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Tanh
        | UnaryOp::Erf
        | UnaryOp::Sigmoid
        | UnaryOp::Silu
        | UnaryOp::Not => None,
    }
}

/// `1 / (1 + e^-x)`.
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x * sigmoid(x)`.
pub(crate) fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// `f(a, b)`.
pub(crate) fn binary(op: BinaryOp, a: &Tensor, b: &Tensor, ty: &ResultType) -> Computed {
    let fault = || no_meaning(op.name(), ty.dtype);
    match (broadcast(a, ty), broadcast(b, ty)) {
        (Data::Reals(a), Data::Reals(b)) => {
            let f = real_function_of_two(op).ok_or_else(fault)?;
            Ok(Data::Reals(pairs(&a, &b, f)))
        }
        (Data::Ints(a), Data::Ints(b)) => {
            let f = int_function_of_two(op).ok_or_else(fault)?;
            Ok(Data::Ints(pairs(&a, &b, |a, b| wrap(ty.dtype, f(a, b)))))
        }
        (Data::Bools(a), Data::Bools(b)) => {
            let f = bool_function_of_two(op).ok_or_else(fault)?;
            Ok(Data::Bools(pairs(&a, &b, f)))
        }
        _ => Err(fault()),
    }
}

fn pairs<T: Copy, U>(a: &[T], b: &[T], f: impl Fn(T, T) -> U) -> Vec<U> {
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
}

fn real_function_of_two(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Pow => f64::powf,
        BinaryOp::Max => maximum,
        BinaryOp::Min => |a, b| -maximum(-a, -b),
        BinaryOp::And | BinaryOp::Or => return None,
    })
}

fn int_function_of_two(op: BinaryOp) -> Option<fn(i64, i64) -> i64> {
    Some(match op {
        BinaryOp::Add => i64::wrapping_add,
        BinaryOp::Sub => i64::wrapping_sub,
        BinaryOp::Mul => i64::wrapping_mul,
        BinaryOp::Div => |a, b| if b == 0 { 0 } else { a.wrapping_div(b) },
        BinaryOp::Max => i64::max,
        BinaryOp::Min => i64::min,
        BinaryOp::Pow | BinaryOp::And | BinaryOp::Or => return None,
    })
}

fn bool_function_of_two(op: BinaryOp) -> Option<fn(bool, bool) -> bool> {
    match op {
        BinaryOp::And => Some(|a, b| a && b),
        BinaryOp::Or => Some(|a, b| a || b),
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::Div
        | BinaryOp::Pow
        | BinaryOp::Max
        | BinaryOp::Min => None,
    }
}

/// The larger; NaN if either is NaN, and 0 of 0 and -0 (IEEE 754-2019 `maximum`).
pub(crate) fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a > b || (a == b && b.is_sign_negative()) {
        a
    } else {
        b
    }
}

/// The integer of the element type that is congruent to `value`: integers wrap around.
fn wrap(dtype: DType, value: i64) -> i64 {
    if dtype == DType::I32 { i64::from(value as i32) } else { value }
}

/// `a op b` as truth values; a comparison with NaN is false, but for `!=`.
pub(crate) fn compare(op: CompareOp, a: &Tensor, b: &Tensor, ty: &ResultType) -> Computed {
    match (broadcast(a, ty), broadcast(b, ty)) {
        (Data::Reals(a), Data::Reals(b)) => Ok(Data::Bools(pairs(&a, &b, comparison(op)))),
        (Data::Ints(a), Data::Ints(b)) => Ok(Data::Bools(pairs(&a, &b, comparison(op)))),
        _ => Err(no_meaning(op.name(), a.dtype())),
    }
}

fn comparison<T: PartialOrd>(op: CompareOp) -> fn(T, T) -> bool {
    match op {
        CompareOp::Eq => |a, b| a == b,
        CompareOp::Ne => |a, b| a != b,
        CompareOp::Lt => |a, b| a < b,
        CompareOp::Le => |a, b| a <= b,
        CompareOp::Gt => |a, b| a > b,
        CompareOp::Ge => |a, b| a >= b,
    }
}

/// `a` where the condition holds, else `b`.
pub(crate) fn select(condition: &Tensor, a: &Tensor, b: &Tensor, ty: &ResultType) -> Computed {
    let Data::Bools(condition) = broadcast(condition, ty) else {
        return Err(no_meaning("select", condition.dtype()));
    };
    match (broadcast(a, ty), broadcast(b, ty)) {
        (Data::Reals(a), Data::Reals(b)) => Ok(Data::Reals(choose(&condition, &a, &b))),
        (Data::Ints(a), Data::Ints(b)) => Ok(Data::Ints(choose(&condition, &a, &b))),
        (Data::Bools(a), Data::Bools(b)) => Ok(Data::Bools(choose(&condition, &a, &b))),
        _ => Err(no_meaning("select", ty.dtype)),
    }
}

fn choose<T: Copy>(condition: &[bool], a: &[T], b: &[T]) -> Vec<T> {
    condition
        .iter()
        .zip(a.iter().zip(b))
        .map(|(holds, (a, b))| if *holds { *a } else { *b })
        .collect()
}

/// Conversion of the element type. Between float types nothing is rounded. A float becomes an integer by
/// truncation towards zero, saturated at the ends of the type, NaN becomes 0; an integer that the
/// narrower type does not have wraps around.
pub(crate) fn cast(op: Cast, x: &Tensor) -> Data {
    match op.to {
        DType::F32 | DType::F16 | DType::Bf16 => Data::Reals(match x.data() {
            Data::Reals(values) => values.clone(),
            Data::Ints(values) => values.iter().map(|x| *x as f64).collect(),
            Data::Bools(values) => values.iter().map(|x| f64::from(u8::from(*x))).collect(),
        }),
        DType::I64 | DType::I32 => Data::Ints(match x.data() {
            Data::Reals(values) => values.iter().map(|x| truncate(op.to, *x)).collect(),
            Data::Ints(values) => values.iter().map(|x| wrap(op.to, *x)).collect(),
            Data::Bools(values) => values.iter().map(|x| i64::from(*x)).collect(),
        }),
        DType::Bool => Data::Bools(match x.data() {
            Data::Reals(values) => values.iter().map(|x| *x != 0.0).collect(),
            Data::Ints(values) => values.iter().map(|x| *x != 0).collect(),
            Data::Bools(values) => values.clone(),
        }),
    }
}

fn truncate(dtype: DType, x: f64) -> i64 {
    // `as` truncates and saturates, and makes 0 of NaN.
    if dtype == DType::I32 { i64::from(x as i32) } else { x as i64 }
}
