//! Where values enter and leave a graph: inputs, weights, literals, sizes, and the return.

use std::sync::Arc;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::error::{Infer, bad_attribute};
use crate::ops::operands::Operands;
use crate::real::Real;
use crate::symbol::Name;
use crate::tensor_type::TensorType;

/// What becomes of an input between runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputKind {
    /// Given anew for every run.
    Argument,
    /// Kept by the session: the return names the value that the next run starts from.
    State,
}

/// A parameter of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// Argument or state.
    pub kind: InputKind,
    /// The parameter's type.
    pub ty: TensorType,
}

/// A trained tensor, named: the data lives in a weight table, never in the graph.
///
/// A weight of several parts is the parts stacked along axis 0, as a packed projection reads them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Weight {
    /// Names in the weight table; at least one.
    pub parts: Vec<Name>,
    /// Type of the stacked tensor; free of symbols.
    pub ty: TensorType,
}

impl Weight {
    pub(crate) fn infer(&self, operands: Operands<'_>) -> Infer<TensorType> {
        operands.exactly::<0>()?;
        if self.parts.is_empty() {
            return Err(bad_attribute("name", "empty", "at least one tensor name"));
        }
        if self.ty.shape.iter().any(|dim| dim.as_const().is_none()) {
            let found = self.ty.display(operands.symbols);
            return Err(bad_attribute("type", found, "a type without symbols"));
        }
        Ok(self.ty.clone())
    }
}

/// Literal data: one value for every element, or one per element in row-major order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Literal {
    /// Values of a float tensor, exact in float64.
    Reals(Arc<[Real]>),
    /// Values of an integer tensor.
    Ints(Arc<[i64]>),
    /// Values of a truth tensor.
    Bools(Arc<[bool]>),
}

impl Literal {
    /// Number of values: 1 or the number of elements.
    pub fn len(&self) -> usize {
        match self {
            Literal::Reals(values) => values.len(),
            Literal::Ints(values) => values.len(),
            Literal::Bools(values) => values.len(),
        }
    }

    /// True for no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A literal tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Constant {
    /// Its type. Symbols are allowed only for a literal of one value.
    pub ty: TensorType,
    /// Its values.
    pub values: Literal,
}

impl Constant {
    /// A float scalar.
    pub fn real(dtype: DType, value: f64) -> Constant {
        let values = Literal::Reals(Arc::new([Real::new(value)]));
        Constant { ty: TensorType::scalar(dtype), values }
    }

    /// An i64 scalar.
    pub fn int(value: i64) -> Constant {
        Constant { ty: TensorType::scalar(DType::I64), values: Literal::Ints(Arc::new([value])) }
    }

    /// The one value of a float literal.
    pub fn as_real(&self) -> Option<f64> {
        match &self.values {
            Literal::Reals(values) if values.len() == 1 => values.first().map(|value| value.get()),
            _ => None,
        }
    }

    /// The one value of an integer literal.
    pub fn as_int(&self) -> Option<i64> {
        match &self.values {
            Literal::Ints(values) if values.len() == 1 => values.first().copied(),
            _ => None,
        }
    }

    pub(crate) fn infer(&self, operands: Operands<'_>) -> Infer<TensorType> {
        operands.exactly::<0>()?;
        let fits = match self.values {
            Literal::Reals(_) => self.ty.dtype.is_float(),
            Literal::Ints(_) => self.ty.dtype.is_int(),
            Literal::Bools(_) => self.ty.dtype == DType::Bool,
        };
        if !fits {
            let expected = format!("values of type {}", self.ty.dtype);
            return Err(bad_attribute("value", "of another type", expected));
        }
        let elements = self.ty.elements().as_const().and_then(|count| usize::try_from(count).ok());
        if self.values.len() != 1 && elements != Some(self.values.len()) {
            let expected = format!("1 or {}", self.ty.elements().display(operands.symbols));
            return Err(bad_attribute("value", format!("{} values", self.values.len()), expected));
        }
        Ok(self.ty.clone())
    }
}

/// A size as a value: `i64[]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DimValue {
    /// The size.
    pub size: Dim,
}

/// `0, 1, 2, ..., size - 1` as `i64[size]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// Number of values.
    pub size: Dim,
}

/// The end of the graph: uses every output, then the next value of every state in the order of the
/// state inputs. It has no result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Return {
    /// How many operands are outputs; the rest are next states.
    pub outputs: usize,
}
