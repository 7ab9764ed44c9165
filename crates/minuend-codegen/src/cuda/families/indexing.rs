//! Sizes, shapes and strides as arguments of launches.

use crate::axes::Axes;
use crate::cuda::error::CudaError;
use crate::cuda::launch::Arg;
use crate::cuda::template::{Define, KernelSpec, Opcode, present};
use crate::place::TensorPlace;

/// Largest rank that kernels index.
pub(crate) const MAX_RANK: usize = 6;

impl Axes {
    /// The argument of the shape.
    pub(crate) fn shape_arg(&self) -> Result<Arg, CudaError> {
        sizes(&self.shape)
    }

    /// The argument of a tensor's strides.
    pub(crate) fn strides_arg(&self, tensor: usize) -> Result<Arg, CudaError> {
        distances(self.strides.get(tensor).map_or(&[][..], |own| own))
    }
}

/// Sizes as a `minuend::Axes`.
pub(crate) fn sizes(shape: &[usize]) -> Result<Arg, CudaError> {
    let mut sizes = [1i32; MAX_RANK];
    check_rank(shape.len())?;
    for (size, value) in sizes.iter_mut().zip(shape.iter().copied()) {
        let name = "the size of an axis";
        *size = i32::try_from(value).map_err(|_| CudaError::Size { name, value })?;
    }
    Ok(Arg::Axes(sizes))
}

/// Strides as a `minuend::Strides`.
pub(crate) fn distances(strides: &[usize]) -> Result<Arg, CudaError> {
    let mut distances = [0i64; MAX_RANK];
    check_rank(strides.len())?;
    for (distance, value) in distances.iter_mut().zip(strides.iter().copied()) {
        let name = "a stride";
        *distance = i64::try_from(value).map_err(|_| CudaError::Size { name, value })?;
    }
    Ok(Arg::Strides(distances))
}

fn check_rank(rank: usize) -> Result<(), CudaError> {
    if rank <= MAX_RANK {
        return Ok(());
    }
    let reason = format!("{rank} axes that do not merge, expected at most {MAX_RANK}");
    Err(CudaError::Unsupported { op: "strided tensors", reason })
}

/// Number of elements.
pub(crate) fn elements(tensor: &TensorPlace<'_>) -> Result<usize, CudaError> {
    let overflow = CudaError::Size { name: "the number of elements", value: usize::MAX };
    tensor.elements().ok_or(overflow)
}

/// Thread blocks for so many threads, each of which has a number below 2^31.
pub(crate) fn blocks(threads: usize, per_block: u32) -> Result<u32, CudaError> {
    let size = CudaError::Size { name: "the number of threads", value: threads };
    match i32::try_from(threads) {
        Ok(count) => Ok(count.unsigned_abs().div_ceil(per_block.max(1))),
        Err(_) => Err(size),
    }
}

/// For kernels that move units of `UNIT_BYTES`: each is moved by one instruction.
pub(crate) fn unit_opcodes(spec: &KernelSpec) -> Vec<Opcode> {
    match spec.define("UNIT_BYTES") {
        Some(Define::Int(16)) => present(["LDG.E.128", "STG.E.128"]),
        Some(Define::Int(8)) => present(["LDG.E.64", "STG.E.64"]),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axes::coalesce;

    #[test]
    fn arguments_are_filled_up() {
        let axes = coalesce(&[2, 3], &[&[6, 2]]);
        assert_eq!(axes.shape_arg().unwrap(), Arg::Axes([6, 1, 1, 1, 1, 1]));
        assert_eq!(axes.strides_arg(0).unwrap(), Arg::Strides([2, 0, 0, 0, 0, 0]));
        assert!(sizes(&[1 << 31]).is_err());
        assert!(distances(&[1; 7]).is_err());
        assert!(blocks(1 << 31, 256).is_err());
        assert_eq!(blocks((1 << 31) - 1, 256).unwrap(), 1 << 23);
    }
}
