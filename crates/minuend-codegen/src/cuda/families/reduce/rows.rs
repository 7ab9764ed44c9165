//! Rows that are read in vectors.

use minuend_ir::DType;

use crate::axes::PerAxis;
use crate::place::TensorPlace;
use crate::rows::Rows;

/// Bytes that a thread loads at once, where they are aligned.
const VECTOR_BYTES: u64 = 16;

impl Rows {
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
