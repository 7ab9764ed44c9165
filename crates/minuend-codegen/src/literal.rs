//! Literals as they lie in memory.

use half::{bf16, f16};
use minuend_ir::DType;
use minuend_ir::ops::Literal;

/// The values one behind the other, little-endian.
pub(crate) fn literal_bytes(values: &Literal, dtype: DType) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    match values {
        Literal::Reals(values) => {
            for value in values.iter().map(|value| value.get()) {
                match dtype {
                    DType::F16 => bytes.extend(f16::from_f64(value).to_le_bytes()),
                    DType::Bf16 => bytes.extend(bf16::from_f64(value).to_le_bytes()),
                    // Inference admits other types for other literals only.
                    DType::F32 | DType::I64 | DType::I32 | DType::Bool => {
                        bytes.extend((value as f32).to_le_bytes());
                    }
                }
            }
        }
        Literal::Ints(values) => {
            for value in values.iter() {
                if dtype == DType::I32 {
                    bytes.extend((*value as i32).to_le_bytes());
                } else {
                    bytes.extend(value.to_le_bytes());
                }
            }
        }
        Literal::Bools(values) => bytes.extend(values.iter().map(|value| u8::from(*value))),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::Real;

    #[test]
    fn literals_lie_as_in_memory() {
        let reals = |values: &[f64]| Literal::Reals(values.iter().map(|v| Real::new(*v)).collect());
        assert_eq!(literal_bytes(&reals(&[1.0]), DType::F32), [0, 0, 0x80, 0x3f]);
        assert_eq!(literal_bytes(&reals(&[1.0, -2.0]), DType::F16), [0, 0x3c, 0, 0xc0]);
        assert_eq!(literal_bytes(&reals(&[1.0]), DType::Bf16), [0x80, 0x3f]);
        let ints = Literal::Ints([-2i64].into());
        assert_eq!(literal_bytes(&ints, DType::I64), [0xfe, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(literal_bytes(&ints, DType::I32), [0xfe, 255, 255, 255]);
        assert_eq!(literal_bytes(&Literal::Bools([true, false].into()), DType::Bool), [1, 0]);
    }
}
