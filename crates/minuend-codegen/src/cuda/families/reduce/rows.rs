//! What lies along one axis of some tensors of one shape.

use minuend_ir::DType;
use smallvec::SmallVec;

use crate::cuda::error::CudaError;
use crate::cuda::families::indexing::{Axes, PerAxis, coalesce};
use crate::place::TensorPlace;

/// Bytes that a thread loads at once, where they are aligned.
const VECTOR_BYTES: u64 = 16;

/// Rows: what lies along the axis.
pub(crate) struct Rows {
    /// Number of rows.
    pub(crate) count: usize,
    /// Elements of a row.
    pub(crate) length: usize,
    /// For each tensor, elements between neighbours of a row.
    pub(crate) steps: SmallVec<[usize; 2]>,
    /// The other axes.
    pub(crate) axes: Axes,
}

impl Rows {
    /// The rows of some tensors of the first one's shape; an error if it has no such axis.
    pub(crate) fn along(
        op: &'static str,
        axis: usize,
        tensors: &[&TensorPlace<'_>],
    ) -> Result<Rows, CudaError> {
        let shape = tensors.first().map_or(&[][..], |tensor| tensor.shape);
        let Some(length) = shape.get(axis).copied() else {
            let reason = format!("axis {axis} of rank {}", shape.len());
            return Err(CudaError::Unsupported { op, reason });
        };
        let without = |sizes: &[usize]| -> PerAxis {
            let others = sizes.iter().enumerate().filter(|(other, _)| *other != axis);
            others.map(|(_, size)| *size).collect()
        };
        let step = |tensor: &&TensorPlace<'_>| tensor.strides.get(axis).copied().unwrap_or(1);
        let strides: SmallVec<[PerAxis; 2]> =
            tensors.iter().map(|tensor| without(tensor.strides)).collect();
        let strides: SmallVec<[&[usize]; 2]> = strides.iter().map(|own| own.as_slice()).collect();
        let others = without(shape);
        let product = others.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
        let count = product.ok_or(CudaError::Size { name: "rows", value: usize::MAX })?;
        let steps = tensors.iter().map(step).collect();
        Ok(Rows { count, length, steps, axes: coalesce(&others, &strides) })
    }

    /// Elements of the vectors that every row consists of: as many as a thread loads at once, or 1.
    /// `tensors` are those whose rows these are.
    pub(crate) fn width(&self, tensors: &[&TensorPlace<'_>]) -> usize {
        let Some(dtype) = tensors.first().map(|tensor| tensor.dtype) else { return 1 };
        let width = widest(dtype);
        let steps = |own: &PerAxis| {
            let mut axes = own.iter().zip(&self.axes.shape);
            axes.all(|(stride, size)| *size == 1 || stride.is_multiple_of(width))
        };
        let is_vector = self.length.is_multiple_of(width)
            && self.steps.iter().all(|step| *step == 1)
            && self.axes.strides.iter().all(steps)
            && tensors.iter().all(|tensor| starts_with_vector(tensor, width));
        if is_vector { width } else { 1 }
    }
}

/// Elements that a thread loads at once.
pub(crate) fn widest(dtype: DType) -> usize {
    (VECTOR_BYTES / dtype.bytes().max(1)) as usize
}

/// True if `width` elements from the first on are aligned as `load_floats` of `minuend/floats.cuh` needs
/// it. Regions start at larger powers of two.
pub(crate) fn starts_with_vector(tensor: &TensorPlace<'_>, width: usize) -> bool {
    let bytes = (width as u64).saturating_mul(tensor.dtype.bytes()).min(VECTOR_BYTES);
    tensor.byte_offset.is_multiple_of(bytes.max(1))
}
