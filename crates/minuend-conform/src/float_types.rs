//! The float types as what they round away.

use half::{bf16, f16};
use minuend::ir::DType;

use crate::comparison::UNIT;

/// The value of the type that is nearest, of two equally near ones the even one; infinite for what is too
/// large. A value of a type that is no float type stays as it is.
pub fn rounded(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F16 => f16::from_f64(value).to_f64(),
        DType::Bf16 => bf16::from_f64(value).to_f64(),
        DType::F32 => f64::from(value as f32),
        DType::I32 | DType::I64 | DType::Bool => value,
    }
}

/// True for f16 and bf16.
pub fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::Bf16)
}

/// One rounding to the type, in roundings to f32: with `p` bits a rounding is at most `2^-p` of the value.
pub fn coarseness(dtype: DType) -> f64 {
    let bits = match dtype {
        DType::F16 => 11,
        DType::Bf16 => 8,
        DType::F32 | DType::I32 | DType::I64 | DType::Bool => 24,
    };
    f64::from(1 << (24 - bits))
}

/// The largest error of rounding a value to the type: below 2^-14 the values of f16 are evenly spaced, at
/// 2^-24.
pub fn rounding_error(dtype: DType, value: f64) -> f64 {
    let relative = coarseness(dtype) * UNIT * value.abs();
    if dtype == DType::F16 { relative.max(UNIT / 2.0) } else { relative }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounding_is_as_large_as_said() {
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            // The value in the middle of 1 and its successor goes to 1, which is even; the next to it up.
            let half_step = coarseness(dtype) * UNIT;
            assert_eq!(rounded(dtype, 1.0 + half_step), 1.0, "{dtype}");
            assert!(rounded(dtype, 1.0 + 1.01 * half_step) > 1.0, "{dtype}");
            let mut value = 1e-7;
            while value < 6e4 {
                let error = (rounded(dtype, value) - value).abs();
                assert!(error <= rounding_error(dtype, value), "{dtype} {value}: {error}");
                value *= 1.000_37;
            }
        }
        assert_eq!(rounded(DType::F16, 65520.0), f64::INFINITY);
        assert_eq!(rounded(DType::Bf16, f64::from(f32::MAX)), f64::INFINITY);
    }
}
