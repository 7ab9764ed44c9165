//! Shapes and strides of several tensors of one shape, with as few axes as possible.

use smallvec::SmallVec;

use crate::cuda::error::CudaError;
use crate::cuda::launch::Arg;
use crate::cuda::template::{Define, KernelSpec};
use crate::place::TensorPlace;

/// Largest rank that kernels index.
pub(crate) const MAX_RANK: usize = 6;

/// One number for each axis.
pub(crate) type PerAxis = SmallVec<[usize; MAX_RANK]>;

/// Axes shared by some tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    /// Sizes, outermost first; at least one.
    pub(crate) shape: PerAxis,
    /// For each tensor, elements between neighbours of each axis.
    pub(crate) strides: SmallVec<[PerAxis; 4]>,
}

/// Merges neighbouring axes that every tensor steps through evenly, and drops axes of size 1. There is a
/// stride for every axis.
pub(crate) fn coalesce(shape: &[usize], strides: &[&[usize]]) -> Axes {
    let none = strides.iter().map(|_| PerAxis::new());
    let mut axes = Axes { shape: PerAxis::new(), strides: none.collect() };
    for (axis, size) in shape.iter().copied().enumerate().filter(|(_, size)| *size != 1) {
        let of_axis = || strides.iter().map(|own| own.get(axis).copied().unwrap_or(0));
        let outer = axes.strides.iter().map(|merged| merged.last().copied());
        let merges = !axes.shape.is_empty()
            && outer.zip(of_axis()).all(|(outer, own)| outer == own.checked_mul(size));
        if merges {
            axes.shape.last_mut().into_iter().for_each(|outer| *outer = outer.saturating_mul(size));
            for (merged, own) in axes.strides.iter_mut().zip(of_axis()) {
                merged.last_mut().into_iter().for_each(|outer| *outer = own);
            }
        } else {
            axes.shape.push(size);
            axes.strides.iter_mut().zip(of_axis()).for_each(|(merged, own)| merged.push(own));
        }
    }
    if axes.shape.is_empty() {
        axes.shape.push(1);
        axes.strides.iter_mut().for_each(|own| own.push(1));
    }
    axes
}

impl Axes {
    /// Number of axes.
    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Size of the innermost axis.
    pub(crate) fn inner(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Of one tensor, the elements between neighbours of the innermost axis.
    pub(crate) fn step(&self, tensor: usize) -> usize {
        self.strides.get(tensor).and_then(|own| own.last()).copied().unwrap_or(1)
    }

    /// True if a tensor's elements along the innermost axis are whole vectors of `count`: dense, and all
    /// aligned to a vector's size if the first one is.
    pub(crate) fn divides(&self, tensor: usize, count: usize) -> bool {
        let outer = self.strides.get(tensor).map(|own| &own[..own.len().saturating_sub(1)]);
        self.inner().is_multiple_of(count)
            && self.step(tensor) == 1
            && outer.unwrap_or(&[]).iter().all(|stride| stride.is_multiple_of(count))
    }

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

/// Strides of a tensor that broadcasts to the shape `to`: missing outer axes and axes of size 1 repeat.
pub(crate) fn broadcast_strides(
    op: &'static str,
    tensor: &TensorPlace<'_>,
    to: &[usize],
) -> Result<PerAxis, CudaError> {
    let (shape, strides) = (tensor.shape, tensor.strides);
    let wrong = || {
        let reason = format!("an operand of shape {shape:?} under the shape {to:?}");
        CudaError::Unsupported { op, reason }
    };
    let missing = to.len().checked_sub(shape.len()).ok_or_else(wrong)?;
    let mut own = PerAxis::from_elem(0, missing);
    for ((size, stride), target) in shape.iter().zip(strides).zip(to.iter().skip(missing)) {
        own.push(match *size {
            size if size == *target => *stride,
            1 => 0,
            _ => return Err(wrong()),
        });
    }
    Ok(own)
}

/// True if elements lie in row-major order without gaps.
pub(crate) fn is_dense(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    let mut axes = shape.iter().zip(strides).rev();
    shape.contains(&0)
        || axes.all(|(size, stride)| {
            let fits = *size == 1 || *stride == expected;
            expected = expected.saturating_mul(*size);
            fits
        })
}

/// Strides of elements in row-major order without gaps.
pub(crate) fn dense_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// The launch's operand or result at `index`; an error if there is none.
pub(crate) fn place<'a>(
    op: &'static str,
    places: &'a [TensorPlace<'a>],
    index: usize,
) -> Result<&'a TensorPlace<'a>, CudaError> {
    let missing = || CudaError::Unsupported { op, reason: format!("tensor {index} is missing") };
    places.get(index).ok_or_else(missing)
}

/// As [`place`], for a tensor that must be dense: results, and operands that the plan copies if need be.
pub(crate) fn dense_place<'a>(
    op: &'static str,
    places: &'a [TensorPlace<'a>],
    index: usize,
) -> Result<&'a TensorPlace<'a>, CudaError> {
    let tensor = place(op, places, index)?;
    if is_dense(tensor.shape, tensor.strides) {
        return Ok(tensor);
    }
    let (shape, strides) = (tensor.shape, tensor.strides);
    let reason =
        format!("a tensor of shape {shape:?} has strides {strides:?}, expected dense ones");
    Err(CudaError::Unsupported { op, reason })
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
pub(crate) fn unit_opcodes(spec: &KernelSpec) -> Vec<&'static str> {
    match spec.define("UNIT_BYTES") {
        Some(Define::Int(16)) => vec!["LDG.E.128", "STG.E.128"],
        Some(Define::Int(8)) => vec!["LDG.E.64", "STG.E.64"],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Region;
    use minuend_ir::DType;

    #[test]
    fn dense_tensors_have_one_axis() {
        let axes = coalesce(&[2, 3, 4], &[&[12, 4, 1], &[12, 4, 1]]);
        assert_eq!(axes.shape.as_slice(), [24]);
        assert!(axes.strides.iter().all(|strides| strides.as_slice() == [1]));
    }

    #[test]
    fn a_broadcast_axis_stays_apart() {
        let axes = coalesce(&[2, 3, 4], &[&[12, 4, 1], &[0, 4, 1]]);
        assert_eq!(axes.shape.as_slice(), [2, 12]);
        assert_eq!(axes.strides[1].as_slice(), [0, 1]);
        assert!(axes.divides(0, 4) && axes.divides(1, 4) && !axes.divides(0, 8));
        let axes = coalesce(&[2, 3, 4], &[&[12, 4, 1], &[0, 0, 0]]);
        assert_eq!(axes.strides[1].as_slice(), [0]);
        assert!(!axes.divides(1, 2));
    }

    #[test]
    fn axes_of_size_one_vanish() {
        let axes = coalesce(&[1, 1], &[&[7, 9]]);
        assert_eq!((axes.shape.as_slice(), axes.strides[0].as_slice()), (&[1][..], &[1][..]));
        let axes = coalesce(&[5, 1, 2], &[&[8, 9, 4]]);
        assert_eq!(axes.shape.as_slice(), [10]);
        assert_eq!(axes.strides[0].as_slice(), [4]);
    }

    #[test]
    fn operands_broadcast_from_the_last_axis() {
        let strides = |shape: &[usize], strides: &[usize], to: &[usize]| {
            let (region, dtype) = (Region::Arena, DType::F32);
            let tensor = TensorPlace { region, dtype, byte_offset: 0, shape, strides };
            broadcast_strides("add", &tensor, to).map(|strides| strides.to_vec())
        };
        assert_eq!(strides(&[3, 1], &[1, 1], &[2, 3, 4]).unwrap(), [0, 1, 0]);
        assert_eq!(strides(&[1], &[1], &[1]).unwrap(), [1]);
        assert!(strides(&[2], &[1], &[3]).is_err());
        assert!(strides(&[1, 3], &[3, 1], &[3]).is_err());
    }

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
