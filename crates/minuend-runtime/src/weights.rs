//! Where trained tensors come from.

use bytes::Bytes;
use minuend_ir::DType;

/// A trained tensor in row-major order, little endian. The bytes may lie in a memory map, and need not
/// be aligned to the element type.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Bytes,
}

/// A table of trained tensors by name.
pub trait WeightSource {
    /// The tensor of that name.
    fn stored(&self, name: &str) -> Option<StoredTensor>;
}
