//! Ops as C++ expressions on functions of `minuend/elementary.cuh`, `minuend/sine.cuh` and those that the
//! compiler has built in. Values of f16 and bf16 are `float`.

use minuend_ir::ops::{BinaryOp, CompareOp, UnaryOp};
use minuend_ir::{DType, Op};

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

    /// The C++ type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Real => "float",
            Kind::Int32 => "int",
            Kind::Int64 => "i64",
            Kind::Truth => "bool",
        }
    }
}

/// An op on named values; `None` if it has no meaning for them.
pub(super) fn expression(op: &Op, operands: &[(String, Kind)]) -> Option<String> {
    match (op, operands) {
        (Op::Unary(op), [(x, kind)]) => unary(*op, x, *kind),
        (Op::Binary(op), [(a, kind), (b, other)]) if kind == other => binary(*op, a, b, *kind),
        (Op::Compare(op), [(a, kind), (b, other)]) if kind == other => compare(*op, a, b, *kind),
        (Op::Select, [(condition, Kind::Truth), (a, kind), (b, other)]) if kind == other => {
            Some(format!("{condition} ? {a} : {b}"))
        }
        (Op::Cast(cast), [(x, kind)]) => Some(convert(x, *kind, Kind::of(cast.to))),
        (Op::Swiglu, [(gate, Kind::Real), (up, Kind::Real)]) => {
            Some(format!("silu({gate}) * {up}"))
        }
        _ => None,
    }
}

fn unary(op: UnaryOp, x: &str, kind: Kind) -> Option<String> {
    let function = match (op, kind) {
        (UnaryOp::Not, Kind::Truth) => return Some(format!("!{x}")),
        (UnaryOp::Neg, Kind::Real) => return Some(format!("-{x}")),
        (UnaryOp::Neg, Kind::Int32 | Kind::Int64) => "wrapping_neg",
        (UnaryOp::Abs, Kind::Int32 | Kind::Int64) => "wrapping_abs",
        (_, Kind::Int32 | Kind::Int64 | Kind::Truth) | (UnaryOp::Not, Kind::Real) => return None,
        (UnaryOp::Reciprocal, Kind::Real) => return Some(format!("1.0f / {x}")),
        (UnaryOp::Abs, Kind::Real) => "fabsf",
        (UnaryOp::Exp, Kind::Real) => "expf",
        (UnaryOp::Log, Kind::Real) => "logf",
        (UnaryOp::Sqrt, Kind::Real) => "sqrtf",
        (UnaryOp::Rsqrt, Kind::Real) => "rsqrtf",
        (UnaryOp::Sin, Kind::Real) => "sine",
        (UnaryOp::Cos, Kind::Real) => "cosine",
        (UnaryOp::Tanh, Kind::Real) => "tanhf",
        (UnaryOp::Erf, Kind::Real) => "erff",
        (UnaryOp::Sigmoid, Kind::Real) => "sigmoid",
        (UnaryOp::Silu, Kind::Real) => "silu",
    };
    Some(format!("{function}({x})"))
}

fn binary(op: BinaryOp, a: &str, b: &str, kind: Kind) -> Option<String> {
    let call = |function: &str| Some(format!("{function}({a}, {b})"));
    match (kind, op) {
        (Kind::Real, BinaryOp::Add) => Some(format!("{a} + {b}")),
        (Kind::Real, BinaryOp::Sub) => Some(format!("{a} - {b}")),
        (Kind::Real, BinaryOp::Mul) => Some(format!("{a} * {b}")),
        (Kind::Real, BinaryOp::Div) => Some(format!("{a} / {b}")),
        (Kind::Real, BinaryOp::Pow) => call("powf"),
        (Kind::Int32 | Kind::Int64, BinaryOp::Add) => call("wrapping_add"),
        (Kind::Int32 | Kind::Int64, BinaryOp::Sub) => call("wrapping_sub"),
        (Kind::Int32 | Kind::Int64, BinaryOp::Mul) => call("wrapping_mul"),
        (Kind::Int32 | Kind::Int64, BinaryOp::Div) => call("quotient"),
        (Kind::Real | Kind::Int32 | Kind::Int64, BinaryOp::Max) => call("maximum"),
        (Kind::Real | Kind::Int32 | Kind::Int64, BinaryOp::Min) => call("minimum"),
        (Kind::Truth, BinaryOp::And) => Some(format!("{a} && {b}")),
        (Kind::Truth, BinaryOp::Or) => Some(format!("{a} || {b}")),
        _ => None,
    }
}

/// C++ compares NaN as IEEE does: unequal to all, and neither less nor greater.
fn compare(op: CompareOp, a: &str, b: &str, kind: Kind) -> Option<String> {
    let operator = match op {
        _ if kind == Kind::Truth => return None,
        CompareOp::Eq => "==",
        CompareOp::Ne => "!=",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    };
    Some(format!("{a} {operator} {b}"))
}

fn convert(x: &str, from: Kind, to: Kind) -> String {
    match (from, to) {
        (Kind::Real, Kind::Int32) => format!("int_of({x})"),
        (Kind::Real, Kind::Int64) => format!("long_of({x})"),
        (Kind::Real, Kind::Truth) => format!("{x} != 0.0f"),
        (Kind::Int32 | Kind::Int64, Kind::Truth) => format!("{x} != 0"),
        (from, to) if from == to => x.to_string(),
        (_, to) => format!("{}({x})", to.name()),
    }
}
