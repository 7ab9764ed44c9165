//! Conversions between element types.

use half::{bf16, f16};
use minuend_codegen::Kernel;
use minuend_ir::DType;

use crate::kernels::map;
use crate::launch::Tensors;
use crate::operands::LaunchError;

/// Element type of a result: what a float or an integer becomes.
trait Target: bytemuck::Pod + Send + Sync {
    fn from_float(value: f32) -> Self;
    fn from_int(value: i64) -> Self;
}

impl Target for f32 {
    fn from_float(value: f32) -> f32 {
        value
    }
    fn from_int(value: i64) -> f32 {
        value as f32
    }
}

impl Target for f16 {
    fn from_float(value: f32) -> f16 {
        f16::from_f32(value)
    }
    fn from_int(value: i64) -> f16 {
        f16::from_f64(value as f64)
    }
}

impl Target for bf16 {
    fn from_float(value: f32) -> bf16 {
        bf16::from_f32(value)
    }
    fn from_int(value: i64) -> bf16 {
        bf16::from_f64(value as f64)
    }
}

impl Target for i64 {
    fn from_float(value: f32) -> i64 {
        value as i64
    }
    fn from_int(value: i64) -> i64 {
        value
    }
}

impl Target for i32 {
    fn from_float(value: f32) -> i32 {
        value as i32
    }
    fn from_int(value: i64) -> i32 {
        value as i32
    }
}

/// A truth value, as it is stored.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Truth(u8);

// SAFETY: a transparent wrapper of u8.
unsafe impl bytemuck::Zeroable for Truth {}
// SAFETY: as above; every bit pattern is a valid u8.
unsafe impl bytemuck::Pod for Truth {}

impl Target for Truth {
    fn from_float(value: f32) -> Truth {
        Truth(u8::from(value != 0.0))
    }
    fn from_int(value: i64) -> Truth {
        Truth(u8::from(value != 0))
    }
}

/// Converts the kernel's operand to its result's type.
pub(crate) fn cast(kernel: &Kernel, t: &Tensors<'_, '_>) -> Result<(), LaunchError> {
    match kernel.results[0] {
        DType::F32 => cast_to::<f32>(kernel.operands[0], t),
        DType::F16 => cast_to::<f16>(kernel.operands[0], t),
        DType::Bf16 => cast_to::<bf16>(kernel.operands[0], t),
        DType::I64 => cast_to::<i64>(kernel.operands[0], t),
        DType::I32 => cast_to::<i32>(kernel.operands[0], t),
        DType::Bool => cast_to::<Truth>(kernel.operands[0], t),
    }
}

fn cast_to<U: Target>(from: DType, t: &Tensors<'_, '_>) -> Result<(), LaunchError> {
    match from {
        DType::F32 => Ok(map(t.read::<f32>(0)?, t.write(0)?, U::from_float)?),
        DType::F16 => Ok(map(t.read::<f16>(0)?, t.write(0)?, |x| U::from_float(x.to_f32()))?),
        DType::Bf16 => Ok(map(t.read::<bf16>(0)?, t.write(0)?, |x| U::from_float(x.to_f32()))?),
        DType::I64 => Ok(map(t.read::<i64>(0)?, t.write(0)?, U::from_int)?),
        DType::I32 => Ok(map(t.read::<i32>(0)?, t.write(0)?, |x| U::from_int(i64::from(x)))?),
        DType::Bool => Ok(map(t.read::<u8>(0)?, t.write(0)?, |x| U::from_int(i64::from(x)))?),
    }
}
