//! Type errors: which operand of which op, what was found, what was expected.

use std::fmt;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::symbol::SymbolTable;

/// An op that cannot be applied to its operands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {kind}")]
pub struct TypeError {
    /// The op's mnemonic.
    pub op: &'static str,
    /// What is wrong.
    pub kind: TypeErrorKind,
}

/// What is wrong with an op's operands or attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeErrorKind {
    /// The op takes another number of operands.
    Arity {
        /// Operands given.
        found: usize,
        /// Operands taken.
        expected: String,
    },
    /// An operand has another number of axes.
    Rank {
        /// The operand's slot.
        operand: usize,
        /// Its rank.
        found: usize,
        /// The ranks that would do.
        expected: String,
    },
    /// An axis of an operand has another size.
    Dim {
        /// The operand's slot.
        operand: usize,
        /// The axis.
        axis: usize,
        /// Its size.
        found: String,
        /// The size that would do.
        expected: String,
    },
    /// An operand has another element type.
    DType {
        /// The operand's slot.
        operand: usize,
        /// Its element type.
        found: DType,
        /// The element types that would do.
        expected: String,
    },
    /// An attribute does not fit the operands.
    Attribute {
        /// The attribute.
        name: &'static str,
        /// Its value.
        found: String,
        /// The values that would do.
        expected: String,
    },
    /// A result may be too large or negative for some values of the symbols.
    Size {
        /// The result's type.
        found: String,
    },
}

impl TypeErrorKind {
    /// The operand at fault, if one is.
    pub fn operand(&self) -> Option<usize> {
        match self {
            TypeErrorKind::Rank { operand, .. }
            | TypeErrorKind::Dim { operand, .. }
            | TypeErrorKind::DType { operand, .. } => Some(*operand),
            TypeErrorKind::Arity { .. }
            | TypeErrorKind::Attribute { .. }
            | TypeErrorKind::Size { .. } => None,
        }
    }

    /// The fault without the operand's number.
    pub fn fault(&self) -> impl fmt::Display + '_ {
        Fault(self)
    }
}

struct Fault<'a>(&'a TypeErrorKind);

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TypeErrorKind::Arity { found, expected } => {
                write!(f, "{found} operands, expected {expected}")
            }
            TypeErrorKind::Rank { found, expected, .. } => {
                write!(f, "rank is {found}, expected {expected}")
            }
            TypeErrorKind::Dim { axis, found, expected, .. } => {
                write!(f, "dimension {axis} is {found}, expected {expected}")
            }
            TypeErrorKind::DType { found, expected, .. } => {
                write!(f, "element type is {found}, expected {expected}")
            }
            TypeErrorKind::Attribute { name, found, expected } => {
                write!(f, "attribute {name} is {found}, expected {expected}")
            }
            TypeErrorKind::Size { found } => {
                write!(f, "result {found} may be negative or hold more than 2^52 elements")
            }
        }
    }
}

impl fmt::Display for TypeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operand) = self.operand() {
            write!(f, "operand {operand}: ")?;
        }
        write!(f, "{}", Fault(self))
    }
}

/// Shorthand in `infer` functions.
pub(crate) type Infer<T> = Result<T, TypeErrorKind>;

pub(crate) fn dim_mismatch(
    operand: usize,
    axis: usize,
    found: &Dim,
    expected: &Dim,
    symbols: &SymbolTable,
) -> TypeErrorKind {
    TypeErrorKind::Dim {
        operand,
        axis,
        found: found.display(symbols).to_string(),
        expected: expected.display(symbols).to_string(),
    }
}

pub(crate) fn bad_attribute(
    name: &'static str,
    found: impl fmt::Display,
    expected: impl fmt::Display,
) -> TypeErrorKind {
    TypeErrorKind::Attribute { name, found: found.to_string(), expected: expected.to_string() }
}
