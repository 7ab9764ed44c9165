//! Shapes and strides of several tensors of one shape, with as few axes as possible.

use smallvec::SmallVec;

use crate::place::TensorPlace;
use crate::unsupported::Unsupported;

/// One number for each axis.
pub(crate) type PerAxis = SmallVec<[usize; 6]>;

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
}

/// Strides of an operand of `op` that broadcasts to the shape `to`: missing outer axes and axes of size 1
/// repeat.
pub(crate) fn broadcast_strides(
    op: &'static str,
    shape: &[usize],
    strides: &[usize],
    to: &[usize],
) -> Result<PerAxis, Unsupported> {
    let wrong = || {
        let reason = format!("an operand of shape {shape:?} under the shape {to:?}");
        Unsupported { op, reason }
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

/// The axes of operands of `op` that broadcast to the shape `to`; tensor `i` is operand `i`.
pub(crate) fn broadcast(
    op: &'static str,
    operands: &[TensorPlace<'_>],
    to: &[usize],
) -> Result<Axes, Unsupported> {
    let own = |operand: &TensorPlace<'_>| broadcast_strides(op, operand.shape, operand.strides, to);
    let strides: Result<SmallVec<[PerAxis; 4]>, Unsupported> = operands.iter().map(own).collect();
    let strides = strides?;
    let strides: SmallVec<[&[usize]; 4]> = strides.iter().map(|own| own.as_slice()).collect();
    Ok(coalesce(to, &strides))
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
            broadcast_strides("add", shape, strides, to)
        };
        assert_eq!(strides(&[3, 1], &[1, 1], &[2, 3, 4]).unwrap().as_slice(), [0, 1, 0]);
        assert_eq!(strides(&[1], &[1], &[1]).unwrap().as_slice(), [1]);
        assert!(strides(&[2], &[1], &[3]).is_err());
        assert!(strides(&[1, 3], &[3, 1], &[3]).is_err());
    }

    #[test]
    fn dense_strides_leave_no_gaps() {
        assert_eq!(dense_strides(&[2, 3, 4]), [12, 4, 1]);
        assert!(is_dense(&[2, 3, 4], &[12, 4, 1]) && !is_dense(&[2, 3, 4], &[12, 1, 3]));
        // Strides of axes of size 1 are never used, and nothing lies in an empty tensor.
        assert!(is_dense(&[2, 1, 4], &[4, 9, 1]) && is_dense(&[2, 0], &[7, 7]));
    }
}
