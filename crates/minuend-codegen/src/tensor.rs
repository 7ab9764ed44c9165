//! Tensors for tests of the selection.

use minuend_ir::DType;

use crate::axes::dense_strides;
use crate::place::{Region, TensorPlace};

/// A tensor that owns its shape.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) region: Region,
    pub(crate) dtype: DType,
    pub(crate) byte_offset: u64,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

impl Tensor {
    /// A dense tensor at the start of the arena.
    pub(crate) fn dense(dtype: DType, shape: &[usize]) -> Tensor {
        let (shape, strides) = (shape.to_vec(), dense_strides(shape));
        Tensor { region: Region::Arena, dtype, byte_offset: 0, shape, strides }
    }

    pub(crate) fn with_strides(self, strides: &[usize]) -> Tensor {
        Tensor { strides: strides.to_vec(), ..self }
    }

    pub(crate) fn at(self, byte_offset: u64) -> Tensor {
        Tensor { byte_offset, ..self }
    }

    pub(crate) fn weight(self) -> Tensor {
        Tensor { region: Region::Weight(0), ..self }
    }

    pub(crate) fn place(&self) -> TensorPlace<'_> {
        TensorPlace {
            region: self.region,
            dtype: self.dtype,
            byte_offset: self.byte_offset,
            shape: &self.shape,
            strides: &self.strides,
        }
    }
}
