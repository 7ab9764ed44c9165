//! Element type and shape of a value.

use std::fmt;

use smallvec::SmallVec;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::symbol::SymbolTable;

/// Sizes of a tensor's axes, outermost first.
pub type Shape = SmallVec<[Dim; 4]>;

/// The type of a value: `f32[B, 16, S, 64]`. A scalar has no axes: `f32[]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Shape,
}

impl TensorType {
    /// Most elements that a type may have over the ranges of its symbols.
    pub const MAX_ELEMENTS: i64 = 1 << 52;

    /// A type from its parts.
    pub fn new(dtype: DType, shape: impl IntoIterator<Item = Dim>) -> TensorType {
        TensorType { dtype, shape: shape.into_iter().collect() }
    }

    /// A type without symbols.
    pub fn fixed(dtype: DType, shape: &[usize]) -> TensorType {
        TensorType::new(dtype, shape.iter().map(|size| Dim::from(*size)))
    }

    /// A type without axes.
    pub fn scalar(dtype: DType) -> TensorType {
        TensorType { dtype, shape: Shape::new() }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn elements(&self) -> Dim {
        self.shape.iter().product()
    }

    /// The same shape with another element type.
    pub fn with_dtype(&self, dtype: DType) -> TensorType {
        TensorType { dtype, shape: self.shape.clone() }
    }

    /// True if no axis can be negative and the element count stays within
    /// [`TensorType::MAX_ELEMENTS`] over the ranges of the symbols.
    pub fn is_sound(&self, symbols: &SymbolTable) -> bool {
        let mut elements = 1i64;
        self.shape.iter().all(|dim| {
            let (low, high) = dim.bounds(symbols);
            elements = elements.saturating_mul(high.max(1));
            low >= 0 && elements <= TensorType::MAX_ELEMENTS
        })
    }

    /// Writes with the symbols' names.
    pub fn display<'a>(&'a self, symbols: &'a SymbolTable) -> DisplayType<'a> {
        DisplayType { ty: self, symbols }
    }
}

/// A type with the names of its symbols.
pub struct DisplayType<'a> {
    ty: &'a TensorType,
    symbols: &'a SymbolTable,
}

impl fmt::Display for DisplayType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            self.ty.dtype,
            DisplayShape { shape: &self.ty.shape, symbols: self.symbols }
        )
    }
}

/// A shape with the names of its symbols: `[B, S, 64]`.
pub struct DisplayShape<'a> {
    /// The sizes.
    pub shape: &'a [Dim],
    /// Where their symbols are named.
    pub symbols: &'a SymbolTable,
}

impl fmt::Display for DisplayShape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, dim) in self.shape.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}", dim.display(self.symbols))?;
        }
        f.write_str("]")
    }
}
