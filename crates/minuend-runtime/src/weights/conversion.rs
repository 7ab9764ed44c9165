//! Stored floats in another float type.

use bytes::Bytes;
use half::{bf16, f16};
use minuend_ir::DType;

use super::StoredTensor;
use crate::device::DeviceError;

/// The values of a tensor as another float type, rounded to the nearest, of two equally near to the one
/// with an even last digit. Bytes that are of that type already are shared; of other element types,
/// `None`.
pub(super) fn converted(
    name: &str,
    tensor: &StoredTensor,
    to: DType,
) -> Result<Option<StoredTensor>, DeviceError> {
    let bytes = &tensor.data;
    let data = match tensor.dtype {
        from if from == to => return Ok(Some(tensor.clone())),
        DType::F32 => {
            let values = bytes.as_chunks::<4>().0.iter();
            written(name, values.map(|bytes| f32::from_le_bytes(*bytes)), to)?
        }
        DType::F16 => {
            let values = bytes.as_chunks::<2>().0.iter();
            written(name, values.map(|bytes| f16::from_le_bytes(*bytes).to_f32()), to)?
        }
        DType::Bf16 => {
            let values = bytes.as_chunks::<2>().0.iter();
            written(name, values.map(|bytes| bf16::from_le_bytes(*bytes).to_f32()), to)?
        }
        DType::I64 | DType::I32 | DType::Bool => None,
    };
    let shape = tensor.shape.clone();
    Ok(data.map(|data| StoredTensor { dtype: to, shape, data }))
}

/// The bytes of values of a float type; `None` for other types.
fn written(
    name: &str,
    values: impl ExactSizeIterator<Item = f32>,
    to: DType,
) -> Result<Option<Bytes>, DeviceError> {
    let rounded = |value: f32, rounded: f32| {
        if value.is_finite() && !rounded.is_finite() {
            let name = name.to_string();
            return Err(DeviceError::WeightRange { name, value, dtype: to });
        }
        Ok(())
    };
    let mut bytes = room(name, values.len(), to)?;
    match to {
        DType::F32 => values.for_each(|value| bytes.extend_from_slice(&value.to_le_bytes())),
        DType::F16 => {
            for value in values {
                let narrow = f16::from_f32(value);
                rounded(value, narrow.to_f32())?;
                bytes.extend_from_slice(&narrow.to_le_bytes());
            }
        }
        DType::Bf16 => {
            for value in values {
                let narrow = bf16::from_f32(value);
                rounded(value, narrow.to_f32())?;
                bytes.extend_from_slice(&narrow.to_le_bytes());
            }
        }
        DType::I64 | DType::I32 | DType::Bool => return Ok(None),
    }
    Ok(Some(Bytes::from(bytes)))
}

/// Memory for so many elements.
fn room(name: &str, elements: usize, dtype: DType) -> Result<Vec<u8>, DeviceError> {
    let size = (elements as u64).saturating_mul(dtype.bytes());
    let failed = || DeviceError::OutOfMemory { bytes: size, what: format!("weight {name}") };
    let mut bytes = Vec::new();
    let size = usize::try_from(size).map_err(|_| failed())?;
    bytes.try_reserve_exact(size).map_err(|_| failed())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(dtype: DType, data: Vec<u8>) -> StoredTensor {
        let shape = vec![data.len() / dtype.bytes() as usize];
        StoredTensor { dtype, shape, data: data.into() }
    }

    fn f32s(values: &[f32]) -> StoredTensor {
        stored(DType::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn words(tensor: &StoredTensor) -> Vec<u16> {
        tensor.data.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        // Of bf16, neighbours of 1 are 2^-7 apart; of f16, 2^-10.
        let tied = |ulp: f32| f32s(&[1.0 + ulp / 2.0, 1.0 + 1.5 * ulp, -1.0 - ulp / 2.0, 1.0]);
        let bf16 = converted("w", &tied(2f32.powi(-7)), DType::Bf16).unwrap().unwrap();
        assert_eq!(words(&bf16), [0x3f80, 0x3f82, 0xbf80, 0x3f80]);
        assert_eq!((bf16.dtype, bf16.shape), (DType::Bf16, vec![4]));
        let f16 = converted("w", &tied(2f32.powi(-10)), DType::F16).unwrap().unwrap();
        assert_eq!(words(&f16), [0x3c00, 0x3c02, 0xbc00, 0x3c00]);
    }

    #[test]
    fn sixteen_bits_are_widened_exactly_and_rounded_once() {
        let halves = stored(DType::F16, [0x3c01u16, 0xfbff].map(u16::to_le_bytes).concat());
        let wide = converted("w", &halves, DType::F32).unwrap().unwrap();
        assert_eq!(wide.data, f32s(&[1.0 + 2f32.powi(-10), -65504.0]).data);
        // 65504 lies between 65280 and 65536, the neighbours that bf16 has.
        let bf16 = converted("w", &halves, DType::Bf16).unwrap().unwrap();
        assert_eq!(words(&bf16), [0x3f80, 0xc780]);
        let back = converted("w", &bf16, DType::F32).unwrap().unwrap();
        assert_eq!(back.data, f32s(&[1.0, -65536.0]).data);
    }

    #[test]
    fn a_value_beyond_the_range_is_an_error() {
        let error = converted("w", &f32s(&[1.0, 70000.0]), DType::F16).unwrap_err();
        let message = "weight w has the value 70000, which f16 cannot hold; use bf16 or f32";
        assert_eq!(error.to_string(), message);
        assert!(converted("w", &f32s(&[f32::MAX]), DType::Bf16).is_err());
        // What is stored as infinite or NaN stays so.
        let odd = converted("w", &f32s(&[f32::INFINITY, f32::NAN]), DType::F16).unwrap().unwrap();
        assert_eq!(words(&odd), [0x7c00, 0x7e00]);
    }

    #[test]
    fn what_is_right_already_is_shared() {
        let tensor = f32s(&[1.0]);
        let same = converted("w", &tensor, DType::F32).unwrap().unwrap();
        assert_eq!(same.data.as_ptr(), tensor.data.as_ptr());
    }

    #[test]
    fn integers_are_not_converted() {
        let ints = stored(DType::I32, vec![0; 8]);
        assert!(converted("w", &ints, DType::F32).unwrap().is_none());
        assert!(converted("w", &f32s(&[1.0]), DType::I32).unwrap().is_none());
    }
}
