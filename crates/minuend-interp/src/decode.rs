//! Tensors from the bytes that a weight file stores.

use half::{bf16, f16};
use minuend_ir::DType;

use crate::error::TensorError;
use crate::tensor::{Data, Tensor};

impl Tensor {
    /// A tensor from its row-major little-endian bytes. A truth value is one byte, 0 or 1.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor, TensorError> {
        let elements = Tensor::element_count(dtype, shape)?;
        // At most 2^30 elements of at most 8 bytes.
        let expected = elements as u64 * dtype.bytes();
        if bytes.len() as u64 != expected {
            return Err(TensorError::Bytes {
                dtype,
                shape: shape.to_vec(),
                found: bytes.len(),
                expected: usize::try_from(expected).unwrap_or(usize::MAX),
            });
        }
        let data = match dtype {
            DType::F32 => Data::Reals(decode(bytes, |raw| f64::from(f32::from_le_bytes(raw)))),
            DType::F16 => Data::Reals(decode(bytes, |raw| f16::from_le_bytes(raw).to_f64())),
            DType::Bf16 => Data::Reals(decode(bytes, |raw| bf16::from_le_bytes(raw).to_f64())),
            DType::I64 => Data::Ints(decode(bytes, i64::from_le_bytes)),
            DType::I32 => Data::Ints(decode(bytes, |raw| i64::from(i32::from_le_bytes(raw)))),
            DType::Bool => {
                if let Some(index) = bytes.iter().position(|byte| *byte > 1) {
                    let found = i64::from(bytes[index]);
                    return Err(TensorError::Value { dtype, index, found });
                }
                Data::Bools(decode(bytes, |[byte]| byte == 1))
            }
        };
        Tensor::new(dtype, shape, data)
    }
}

fn decode<const N: usize, T>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|raw| element(*raw)).collect()
}
