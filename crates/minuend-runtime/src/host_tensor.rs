//! Tensors in host memory, as arguments and outputs of a run.

use minuend_ir::DType;

/// A dense tensor in row-major order, little endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTensor {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl HostTensor {
    /// A tensor from its bytes; `None` if their number does not fit type and shape, or if a truth value
    /// is neither 0 nor 1.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Option<HostTensor> {
        let size = byte_size(dtype, shape)?;
        let is_valid = dtype != DType::Bool || bytes.iter().all(|byte| *byte <= 1);
        (size == bytes.len() && is_valid).then(|| HostTensor {
            dtype,
            shape: shape.to_vec(),
            bytes,
        })
    }

    /// A tensor of i64; `None` if the number of values does not fit the shape.
    pub fn from_i64(shape: &[usize], values: &[i64]) -> Option<HostTensor> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        HostTensor::from_bytes(DType::I64, shape, bytes)
    }

    /// A tensor of f32; `None` if the number of values does not fit the shape.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Option<HostTensor> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        HostTensor::from_bytes(DType::F32, shape, bytes)
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements' bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements of an f32 tensor.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let chunks = self.bytes.as_chunks::<4>().0;
        (self.dtype == DType::F32).then(|| chunks.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// The elements of an i64 tensor.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        let chunks = self.bytes.as_chunks::<8>().0;
        (self.dtype == DType::I64).then(|| chunks.iter().map(|b| i64::from_le_bytes(*b)).collect())
    }
}

/// Bytes of a dense tensor; `None` on overflow.
pub(crate) fn byte_size(dtype: DType, shape: &[usize]) -> Option<usize> {
    let elements = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size))?;
    elements.checked_mul(usize::try_from(dtype.bytes()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_must_agree() {
        assert!(HostTensor::from_f32(&[2, 2], &[1.0; 4]).is_some());
        assert!(HostTensor::from_f32(&[2, 3], &[1.0; 4]).is_none());
        assert!(HostTensor::from_bytes(DType::I64, &[usize::MAX, 8], vec![]).is_none());
        assert!(HostTensor::from_bytes(DType::Bool, &[2], vec![0, 1]).is_some());
        assert!(HostTensor::from_bytes(DType::Bool, &[2], vec![0, 2]).is_none());
        let ids = HostTensor::from_i64(&[3], &[1, -2, 3]).unwrap();
        assert_eq!(ids.to_i64().unwrap(), [1, -2, 3]);
        assert_eq!(ids.to_f32(), None);
    }
}
