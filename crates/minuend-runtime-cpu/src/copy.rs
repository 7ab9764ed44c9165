//! Copies between strided tensors of one type.

use minuend_ir::DType;
use minuend_plan::{BoundCopy, BoundTensor};

use crate::kernels::map;
use crate::operands::{LaunchError, Regions, check_disjoint};

/// Copies every element to the same index of the other tensor.
pub(crate) fn copy(copied: &BoundCopy, regions: &Regions<'_>) -> Result<(), LaunchError> {
    let BoundCopy { from, to, .. } = copied;
    check_disjoint(std::slice::from_ref(from), std::slice::from_ref(to))?;
    match from.dtype {
        DType::I64 => elements::<u64>(from, to, regions),
        DType::F32 | DType::I32 => elements::<u32>(from, to, regions),
        DType::F16 | DType::Bf16 => elements::<u16>(from, to, regions),
        DType::Bool => elements::<u8>(from, to, regions),
    }
}

fn elements<T: bytemuck::Pod + Send + Sync>(
    from: &BoundTensor,
    to: &BoundTensor,
    regions: &Regions<'_>,
) -> Result<(), LaunchError> {
    // SAFETY: the two were found disjoint, and no other view lives.
    let (from, to) = unsafe { (regions.read::<T>(from)?, regions.write::<T>(to)?) };
    Ok(map(from, to, |element| element)?)
}
