//! Elementwise ops. Operands broadcast: aligned at the last axis, sizes equal or 1.

use crate::dtype::DType;
use crate::error::Infer;
use crate::ops::operands::Operands;
use crate::tensor_type::TensorType;

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-x`, floats and integers.
    Neg,
    /// `|x|`, floats and integers.
    Abs,
    /// `e^x`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    /// `1 / x`.
    Reciprocal,
    /// Sine of radians.
    Sin,
    /// Cosine of radians.
    Cos,
    /// Hyperbolic tangent.
    Tanh,
    /// Error function.
    Erf,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `x * sigmoid(x)`.
    Silu,
    /// Logical negation of a truth value.
    Not,
}

impl UnaryOp {
    /// Every function, in declaration order.
    pub const ALL: [UnaryOp; 14] = [
        UnaryOp::Neg,
        UnaryOp::Abs,
        UnaryOp::Exp,
        UnaryOp::Log,
        UnaryOp::Sqrt,
        UnaryOp::Rsqrt,
        UnaryOp::Reciprocal,
        UnaryOp::Sin,
        UnaryOp::Cos,
        UnaryOp::Tanh,
        UnaryOp::Erf,
        UnaryOp::Sigmoid,
        UnaryOp::Silu,
        UnaryOp::Not,
    ];

    /// The mnemonic.
    pub fn name(self) -> &'static str {
        match self {
            UnaryOp::Neg => "neg",
            UnaryOp::Abs => "abs",
            UnaryOp::Exp => "exp",
            UnaryOp::Log => "log",
            UnaryOp::Sqrt => "sqrt",
            UnaryOp::Rsqrt => "rsqrt",
            UnaryOp::Reciprocal => "reciprocal",
            UnaryOp::Sin => "sin",
            UnaryOp::Cos => "cos",
            UnaryOp::Tanh => "tanh",
            UnaryOp::Erf => "erf",
            UnaryOp::Sigmoid => "sigmoid",
            UnaryOp::Silu => "silu",
            UnaryOp::Not => "not",
        }
    }

    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [x] = operands.exactly()?;
        match self {
            UnaryOp::Neg | UnaryOp::Abs => {
                operands.dtype_where(0, |t| t != DType::Bool, "a numeric type")?;
            }
            UnaryOp::Not => operands.dtype(0, DType::Bool)?,
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
            | UnaryOp::Silu => operands.float(0)?,
        }
        Ok(x.clone())
    }
}

/// A function of two elements of the same type. Integer arithmetic wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`; integers truncate towards zero, division of an integer by zero gives 0.
    Div,
    /// `a ^ b`, floats.
    Pow,
    /// The larger; NaN if either is NaN.
    Max,
    /// The smaller; NaN if either is NaN.
    Min,
    /// Conjunction of truth values.
    And,
    /// Disjunction of truth values.
    Or,
}

impl BinaryOp {
    /// Every function, in declaration order.
    pub const ALL: [BinaryOp; 9] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Pow,
        BinaryOp::Max,
        BinaryOp::Min,
        BinaryOp::And,
        BinaryOp::Or,
    ];

    /// The mnemonic.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::Div => "div",
            BinaryOp::Pow => "pow",
            BinaryOp::Max => "max",
            BinaryOp::Min => "min",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
        }
    }

    /// True if `f(a, b) = f(b, a)`.
    pub fn is_commutative(self) -> bool {
        match self {
            BinaryOp::Add
            | BinaryOp::Mul
            | BinaryOp::Max
            | BinaryOp::Min
            | BinaryOp::And
            | BinaryOp::Or => true,
            BinaryOp::Sub | BinaryOp::Div | BinaryOp::Pow => false,
        }
    }

    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [a, _] = operands.exactly()?;
        match self {
            BinaryOp::And | BinaryOp::Or => operands.dtype(0, DType::Bool)?,
            BinaryOp::Pow => operands.float(0)?,
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Max
            | BinaryOp::Min => {
                operands.dtype_where(0, |t| t != DType::Bool, "a numeric type")?;
            }
        }
        operands.dtype(1, a.dtype)?;
        Ok(TensorType { dtype: a.dtype, shape: operands.broadcast()? })
    }
}

/// A comparison of two elements of the same numeric type; the result is a truth value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `a == b`.
    Eq,
    /// `a != b`.
    Ne,
    /// `a < b`.
    Lt,
    /// `a <= b`.
    Le,
    /// `a > b`.
    Gt,
    /// `a >= b`.
    Ge,
}

impl CompareOp {
    /// Every comparison, in declaration order.
    pub const ALL: [CompareOp; 6] =
        [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];

    /// The mnemonic.
    pub fn name(self) -> &'static str {
        match self {
            CompareOp::Eq => "eq",
            CompareOp::Ne => "ne",
            CompareOp::Lt => "lt",
            CompareOp::Le => "le",
            CompareOp::Gt => "gt",
            CompareOp::Ge => "ge",
        }
    }

    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [a, _] = operands.exactly()?;
        operands.dtype_where(0, |t| t != DType::Bool, "a numeric type")?;
        operands.dtype(1, a.dtype)?;
        Ok(TensorType { dtype: DType::Bool, shape: operands.broadcast()? })
    }
}

/// `select(condition, a, b)`: `a` where the condition holds, else `b`.
pub(crate) fn infer_select(operands: Operands<'_>) -> Infer<TensorType> {
    let [_, a, _] = operands.exactly()?;
    operands.dtype(0, DType::Bool)?;
    operands.dtype(2, a.dtype)?;
    Ok(TensorType { dtype: a.dtype, shape: operands.broadcast()? })
}

/// Conversion to another element type. Float to integer truncates towards zero and saturates, NaN gives
/// 0; i64 to i32 keeps the low bits; truth values become 0 and 1; a number is true when it is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// The result's element type.
    pub to: DType,
}

impl Cast {
    pub(crate) fn infer(self, operands: Operands<'_>) -> Infer<TensorType> {
        let [x] = operands.exactly()?;
        Ok(x.with_dtype(self.to))
    }
}
