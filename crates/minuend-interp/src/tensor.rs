//! Tensors of the interpreter: a type without symbols and its values in row-major order.

use std::ops::Range;

use minuend_ir::DType;

use crate::error::{TensorError, TypeText};

/// Values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Values of a float type, whatever its width.
    Reals(Vec<f64>),
    /// Values of an integer type, whatever its width.
    Ints(Vec<i64>),
    /// Truth values.
    Bools(Vec<bool>),
}

impl Data {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Data::Reals(values) => values.len(),
            Data::Ints(values) => values.len(),
            Data::Bools(values) => values.len(),
        }
    }

    /// True for no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No values of the same kind.
    pub(crate) fn none_alike(&self) -> Data {
        match self {
            Data::Reals(_) => Data::Reals(Vec::new()),
            Data::Ints(_) => Data::Ints(Vec::new()),
            Data::Bools(_) => Data::Bools(Vec::new()),
        }
    }

    /// The values at the given offsets, which lie within the data.
    pub(crate) fn pick(&self, offsets: impl Iterator<Item = usize>) -> Data {
        match self {
            Data::Reals(values) => Data::Reals(offsets.map(|at| values[at]).collect()),
            Data::Ints(values) => Data::Ints(offsets.map(|at| values[at]).collect()),
            Data::Bools(values) => Data::Bools(offsets.map(|at| values[at]).collect()),
        }
    }

    /// Adds part of `other`, which is of the same kind; nothing if it is not.
    pub(crate) fn extend_from(&mut self, other: &Data, range: Range<usize>) {
        if let (Data::Reals(to), Data::Reals(from)) = (&mut *self, other) {
            to.extend_from_slice(&from[range]);
        } else if let (Data::Ints(to), Data::Ints(from)) = (&mut *self, other) {
            to.extend_from_slice(&from[range]);
        } else if let (Data::Bools(to), Data::Bools(from)) = (self, other) {
            to.extend_from_slice(&from[range]);
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Data::Reals(_) => "reals",
            Data::Ints(_) => "integers",
            Data::Bools(_) => "truth values",
        }
    }

    fn fits(&self, dtype: DType) -> bool {
        match self {
            Data::Reals(_) => dtype.is_float(),
            Data::Ints(_) => dtype.is_int(),
            Data::Bools(_) => dtype == DType::Bool,
        }
    }
}

/// A tensor: as many values as its shape has elements, of the kind that its element type says.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// Most elements that a tensor may have: 8 GiB of f64.
    pub const MAX_ELEMENTS: usize = 1 << 30;

    /// A tensor from its parts.
    pub fn new(dtype: DType, shape: &[usize], data: Data) -> Result<Tensor, TensorError> {
        let expected = Tensor::element_count(dtype, shape)?;
        if !data.fits(dtype) {
            return Err(TensorError::Kind { dtype, held: data.kind() });
        }
        if data.len() != expected {
            let found = data.len();
            return Err(TensorError::Length { dtype, shape: shape.to_vec(), found, expected });
        }
        if let (DType::I32, Data::Ints(values)) = (dtype, &data) {
            let outside = values.iter().position(|value| i32::try_from(*value).is_err());
            if let Some(index) = outside {
                return Err(TensorError::Value { dtype, index, found: values[index] });
            }
        }
        Ok(Tensor { dtype, shape: shape.to_vec(), data })
    }

    /// A tensor of a float type.
    pub fn from_reals(
        dtype: DType,
        shape: &[usize],
        values: Vec<f64>,
    ) -> Result<Tensor, TensorError> {
        Tensor::new(dtype, shape, Data::Reals(values))
    }

    /// A tensor of an integer type.
    pub fn from_ints(
        dtype: DType,
        shape: &[usize],
        values: Vec<i64>,
    ) -> Result<Tensor, TensorError> {
        Tensor::new(dtype, shape, Data::Ints(values))
    }

    /// A tensor of truth values.
    pub fn from_bools(shape: &[usize], values: Vec<bool>) -> Result<Tensor, TensorError> {
        Tensor::new(DType::Bool, shape, Data::Bools(values))
    }

    /// Number of elements of a shape; an error beyond [`Tensor::MAX_ELEMENTS`].
    pub fn element_count(dtype: DType, shape: &[usize]) -> Result<usize, TensorError> {
        // An axis of size 0 empties the tensor, but strides multiply the other axes all the same.
        let product = shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size.max(&1)));
        match product {
            Some(count) if count <= Tensor::MAX_ELEMENTS => Ok(shape.iter().product()),
            Some(_) | None => Err(TensorError::TooLarge { dtype, shape: shape.to_vec() }),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Sizes of the axes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// True for no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The values of a float tensor.
    pub fn reals(&self) -> Option<&[f64]> {
        if let Data::Reals(values) = &self.data { Some(values) } else { None }
    }

    /// The values of an integer tensor.
    pub fn ints(&self) -> Option<&[i64]> {
        if let Data::Ints(values) = &self.data { Some(values) } else { None }
    }

    /// The values of a truth tensor.
    pub fn bools(&self) -> Option<&[bool]> {
        if let Data::Bools(values) = &self.data { Some(values) } else { None }
    }

    /// The type as text: `f32[2, 3]`.
    pub(crate) fn type_text(&self) -> String {
        TypeText(self.dtype, &self.shape).to_string()
    }
}
