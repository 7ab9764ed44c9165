//! Shapes and strides of several tensors of one shape, with as few axes as possible.

use smallvec::SmallVec;

use crate::wgsl::dispatch::LaunchPlaces;
use crate::wgsl::error::ShaderError;
use crate::wgsl::place::{TensorPlace, Uniforms};

/// Largest rank that shaders index.
pub(crate) const MAX_RANK: usize = 6;

/// Axes shared by some tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    /// Sizes, outermost first; at least one.
    pub(crate) shape: SmallVec<[usize; 6]>,
    /// For each tensor, elements between neighbours of each axis.
    pub(crate) strides: SmallVec<[SmallVec<[usize; 6]>; 4]>,
}

/// Merges neighbouring axes that every tensor steps through evenly, and drops axes of size 1.
pub(crate) fn coalesce(shape: &[usize], strides: &[&[usize]]) -> Axes {
    let mut axes =
        Axes { shape: SmallVec::new(), strides: strides.iter().map(|_| SmallVec::new()).collect() };
    for axis in 0..shape.len() {
        let size = shape[axis];
        if size == 1 {
            continue;
        }
        let merges =
            axes.shape.last().is_some()
                && axes.strides.iter().zip(strides).all(|(merged, own)| {
                    merged.last().is_some_and(|outer| *outer == own[axis] * size)
                });
        if merges {
            if let Some(outer) = axes.shape.last_mut() {
                *outer *= size;
            }
            for (merged, own) in axes.strides.iter_mut().zip(strides) {
                if let Some(outer) = merged.last_mut() {
                    *outer = own[axis];
                }
            }
        } else {
            axes.shape.push(size);
            for (merged, own) in axes.strides.iter_mut().zip(strides) {
                merged.push(own[axis]);
            }
        }
    }
    if axes.shape.is_empty() {
        axes.shape.push(1);
        axes.strides.iter_mut().for_each(|own| own.push(1));
    }
    axes
}

/// Strides of an operand that broadcasts to `rank` axes: missing outer axes and axes of size 1 repeat.
pub(crate) fn broadcast_strides(
    shape: &[usize],
    strides: &[usize],
    to: &[usize],
) -> SmallVec<[usize; 6]> {
    let missing = to.len().saturating_sub(shape.len());
    let own = |axis: usize| match (shape[axis], to[axis + missing]) {
        (1, size) if size != 1 => 0,
        _ => strides[axis],
    };
    (0..to.len()).map(|axis| if axis < missing { 0 } else { own(axis - missing) }).collect()
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

/// The launch's operand or result at `index`; an error if there is none.
pub(crate) fn place<'a>(
    op: &'static str,
    places: &'a [TensorPlace<'a>],
    index: usize,
) -> Result<&'a TensorPlace<'a>, ShaderError> {
    let missing = || ShaderError::Unsupported { op, reason: format!("tensor {index} is missing") };
    places.get(index).ok_or_else(missing)
}

/// As [`place`], for a tensor that must be dense: results, and operands that the plan copies if need be.
pub(crate) fn dense_place<'a>(
    op: &'static str,
    places: &'a [TensorPlace<'a>],
    index: usize,
) -> Result<&'a TensorPlace<'a>, ShaderError> {
    let tensor = place(op, places, index)?;
    if is_dense(tensor.shape, tensor.strides) {
        return Ok(tensor);
    }
    let (shape, strides) = (tensor.shape, tensor.strides);
    let reason =
        format!("a tensor of shape {shape:?} has strides {strides:?}, expected dense ones");
    Err(ShaderError::Unsupported { op, reason })
}

/// The result at `index`, which is dense and starts at a whole word.
pub(crate) fn result_place<'a>(
    launch: &LaunchPlaces<'a>,
    index: usize,
) -> Result<&'a TensorPlace<'a>, ShaderError> {
    let op = launch.kernel.op.mnemonic();
    let result = dense_place(op, launch.results, index)?;
    if result.byte_offset.is_multiple_of(4) {
        return Ok(result);
    }
    let reason = format!("the result starts at byte {}, not at a word", result.byte_offset);
    Err(ShaderError::Unsupported { op, reason })
}

impl Axes {
    /// Number of axes.
    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Adds the uniform array `shape` and one array of strides for each name.
    pub(crate) fn uniforms(
        &self,
        uniforms: &mut Uniforms,
        names: &[&'static str],
    ) -> Result<(), ShaderError> {
        uniforms.array("shape", self.shape.iter().copied(), 8)?;
        for (name, strides) in names.iter().zip(&self.strides) {
            uniforms.array(name, strides.iter().copied(), 8)?;
        }
        Ok(())
    }
}

/// What lies along one axis of some tensors of one shape.
pub(crate) struct Rows {
    /// Number of rows.
    pub(crate) count: usize,
    /// Elements of a row.
    pub(crate) length: usize,
    /// For each tensor, elements between neighbours of a row.
    pub(crate) steps: SmallVec<[usize; 4]>,
    /// The other axes.
    pub(crate) axes: Axes,
}

impl Rows {
    /// The rows along an axis; an error if there is no such axis.
    pub(crate) fn along(
        op: &'static str,
        axis: usize,
        shape: &[usize],
        strides: &[&[usize]],
    ) -> Result<Rows, ShaderError> {
        let Some(length) = shape.get(axis).copied() else {
            let reason = format!("axis {axis} of rank {}", shape.len());
            return Err(ShaderError::Unsupported { op, reason });
        };
        let without = |sizes: &[usize]| [&sizes[..axis], &sizes[axis + 1..]].concat();
        let (others, steps) = (without(shape), strides.iter().map(|own| own[axis]).collect());
        let strides: Vec<Vec<usize>> = strides.iter().map(|own| without(own)).collect();
        let strides: Vec<&[usize]> = strides.iter().map(|own| own.as_slice()).collect();
        let count = others.iter().product();
        Ok(Rows { count, length, steps, axes: coalesce(&others, &strides) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let axes = coalesce(&[2, 3, 4], &[&[12, 4, 1], &[0, 0, 0]]);
        assert_eq!(axes.strides[1].as_slice(), [0]);
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
        assert_eq!(broadcast_strides(&[3, 1], &[1, 1], &[2, 3, 4]).as_slice(), [0, 1, 0]);
        assert_eq!(broadcast_strides(&[1], &[1], &[1]).as_slice(), [1]);
    }
}
