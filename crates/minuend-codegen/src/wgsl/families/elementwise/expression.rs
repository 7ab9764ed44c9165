//! Ops as WGSL expressions. Values of f16 and bf16 are f32, those of i64 are two words, truth values are
//! `bool`.

use minuend_ir::ops::{BinaryOp, CompareOp, UnaryOp};
use minuend_ir::{DType, Op};

use crate::wgsl::families::elementwise::library::{Libraries, Library};

/// What a value is while it is computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Real,
    Int32,
    Int64,
    Truth,
}

impl Kind {
    pub(super) fn of(dtype: DType) -> Kind {
        match dtype {
            DType::F32 | DType::F16 | DType::Bf16 => Kind::Real,
            DType::I32 => Kind::Int32,
            DType::I64 => Kind::Int64,
            DType::Bool => Kind::Truth,
        }
    }

    /// The WGSL type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Real => "f32",
            Kind::Int32 => "i32",
            Kind::Int64 => "vec2<u32>",
            Kind::Truth => "bool",
        }
    }
}

/// An op on named values; `None` if it has no meaning for them.
pub(super) fn expression(
    op: &Op,
    operands: &[(String, Kind)],
    libraries: &mut Libraries,
) -> Option<String> {
    match (op, operands) {
        (Op::Unary(op), [(x, kind)]) => unary(*op, x, *kind, libraries),
        (Op::Binary(op), [(a, kind), (b, other)]) if kind == other => {
            binary(*op, a, b, *kind, libraries)
        }
        (Op::Compare(op), [(a, kind), (b, other)]) if kind == other => {
            compare(*op, a, b, *kind, libraries)
        }
        (Op::Select, [(condition, Kind::Truth), (a, kind), (b, other)]) if kind == other => {
            Some(format!("select({b}, {a}, {condition})"))
        }
        (Op::Cast(cast), [(x, kind)]) => Some(convert(x, *kind, cast.to, libraries)),
        (Op::Swiglu, [(gate, Kind::Real), (up, Kind::Real)]) => {
            libraries.add(Library::Real);
            Some(format!("silu_f32({gate}) * {up}"))
        }
        _ => None,
    }
}

fn unary(op: UnaryOp, x: &str, kind: Kind, libraries: &mut Libraries) -> Option<String> {
    let int64 = |function: &str, libraries: &mut Libraries| {
        libraries.add(Library::Int64);
        Some(format!("{function}({x})"))
    };
    match (op, kind) {
        (UnaryOp::Not, Kind::Truth) => return Some(format!("!{x}")),
        (UnaryOp::Neg, Kind::Int64) => return int64("neg_i64", libraries),
        (UnaryOp::Abs, Kind::Int64) => return int64("abs_i64", libraries),
        (UnaryOp::Neg, Kind::Int32 | Kind::Real) => return Some(format!("-{x}")),
        (UnaryOp::Abs, Kind::Int32 | Kind::Real) => return Some(format!("abs({x})")),
        (_, Kind::Real) => {}
        _ => return None,
    }
    let real = |function: &str, libraries: &mut Libraries| {
        libraries.add(Library::Real);
        Some(format!("{function}({x})"))
    };
    match op {
        UnaryOp::Sqrt => Some(format!("sqrt({x})")),
        UnaryOp::Rsqrt => Some(format!("1.0 / sqrt({x})")),
        UnaryOp::Reciprocal => Some(format!("1.0 / {x}")),
        UnaryOp::Sin | UnaryOp::Cos => {
            libraries.add(Library::Radians);
            let part = if op == UnaryOp::Sin { "x" } else { "y" };
            Some(format!("sin_cos_f32({x}).{part}"))
        }
        UnaryOp::Exp => {
            libraries.add(Library::Exponential);
            Some(format!("exp_f32({x})"))
        }
        UnaryOp::Log => real("log_f32", libraries),
        UnaryOp::Tanh => real("tanh_f32", libraries),
        UnaryOp::Erf => real("erf_f32", libraries),
        UnaryOp::Sigmoid => real("sigmoid_f32", libraries),
        UnaryOp::Silu => real("silu_f32", libraries),
        UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Not => None,
    }
}

fn binary(op: BinaryOp, a: &str, b: &str, kind: Kind, libraries: &mut Libraries) -> Option<String> {
    let mut call = |function: &str, library| {
        libraries.add(library);
        Some(format!("{function}({a}, {b})"))
    };
    match (kind, op) {
        (Kind::Real | Kind::Int32, BinaryOp::Add) => Some(format!("{a} + {b}")),
        (Kind::Real | Kind::Int32, BinaryOp::Sub) => Some(format!("{a} - {b}")),
        (Kind::Real | Kind::Int32, BinaryOp::Mul) => Some(format!("{a} * {b}")),
        (Kind::Real, BinaryOp::Div) => call("div_f32", Library::Real),
        (Kind::Real, BinaryOp::Pow) => call("pow_f32", Library::Real),
        (Kind::Real, BinaryOp::Max) => call("max_f32", Library::Real),
        (Kind::Real, BinaryOp::Min) => call("min_f32", Library::Real),
        (Kind::Int32, BinaryOp::Div) => call("div_i32", Library::Int32),
        (Kind::Int32, BinaryOp::Max) => Some(format!("max({a}, {b})")),
        (Kind::Int32, BinaryOp::Min) => Some(format!("min({a}, {b})")),
        (Kind::Int64, BinaryOp::Add) => call("add_i64", Library::Int64),
        (Kind::Int64, BinaryOp::Sub) => call("sub_i64", Library::Int64),
        (Kind::Int64, BinaryOp::Mul) => call("mul_i64", Library::WideProduct),
        (Kind::Int64, BinaryOp::Div) => call("div_i64", Library::Int64),
        (Kind::Int64, BinaryOp::Max) => call("max_i64", Library::Int64),
        (Kind::Int64, BinaryOp::Min) => call("min_i64", Library::Int64),
        (Kind::Truth, BinaryOp::And) => Some(format!("{a} && {b}")),
        (Kind::Truth, BinaryOp::Or) => Some(format!("{a} || {b}")),
        _ => None,
    }
}

fn compare(
    op: CompareOp,
    a: &str,
    b: &str,
    kind: Kind,
    libraries: &mut Libraries,
) -> Option<String> {
    match kind {
        Kind::Truth => None,
        Kind::Int64 => {
            libraries.add(Library::Int64);
            Some(match op {
                CompareOp::Eq => format!("equal_i64({a}, {b})"),
                CompareOp::Ne => format!("!equal_i64({a}, {b})"),
                CompareOp::Lt => format!("less_i64({a}, {b})"),
                CompareOp::Le => format!("!less_i64({b}, {a})"),
                CompareOp::Gt => format!("less_i64({b}, {a})"),
                CompareOp::Ge => format!("!less_i64({a}, {b})"),
            })
        }
        Kind::Real | Kind::Int32 => Some(match op {
            CompareOp::Eq => format!("{a} == {b}"),
            // The direct operator may be an ordered one, which is false for NaN.
            CompareOp::Ne => format!("!({a} == {b})"),
            CompareOp::Lt => format!("{a} < {b}"),
            CompareOp::Le => format!("{a} <= {b}"),
            CompareOp::Gt => format!("{a} > {b}"),
            CompareOp::Ge => format!("{a} >= {b}"),
        }),
    }
}

fn convert(x: &str, from: Kind, to: DType, libraries: &mut Libraries) -> String {
    let to = Kind::of(to);
    let mut call = |function: &str, library| {
        libraries.add(library);
        format!("{function}({x})")
    };
    match (from, to) {
        (Kind::Real, Kind::Real)
        | (Kind::Int32, Kind::Int32)
        | (Kind::Int64, Kind::Int64)
        | (Kind::Truth, Kind::Truth) => x.to_string(),
        (Kind::Real, Kind::Int32) => call("i32_of_f32", Library::Int32),
        (Kind::Real, Kind::Int64) => call("i64_of_f32", Library::Int64),
        (Kind::Real, Kind::Truth) => format!("!({x} == 0.0)"),
        (Kind::Int32, Kind::Real) => format!("f32({x})"),
        (Kind::Int32, Kind::Int64) => call("i64_of_i32", Library::Int64),
        (Kind::Int32, Kind::Truth) => format!("{x} != 0"),
        (Kind::Int64, Kind::Real) => call("f32_of_i64", Library::Int64),
        (Kind::Int64, Kind::Int32) => format!("bitcast<i32>({x}.x)"),
        (Kind::Int64, Kind::Truth) => format!("({x}.x | {x}.y) != 0u"),
        (Kind::Truth, Kind::Real) => format!("select(0.0, 1.0, {x})"),
        (Kind::Truth, Kind::Int32) => format!("select(0, 1, {x})"),
        (Kind::Truth, Kind::Int64) => format!("vec2<u32>(select(0u, 1u, {x}), 0u)"),
    }
}
