//! What lies along one axis of some tensors of one shape.

use smallvec::SmallVec;

use crate::axes::{Axes, PerAxis, coalesce};
use crate::place::TensorPlace;
use crate::unsupported::Unsupported;

/// Rows: what lies along the axis.
pub(crate) struct Rows {
    /// Number of rows; `usize::MAX` if it overflows.
    pub(crate) count: usize,
    /// Elements of a row.
    pub(crate) length: usize,
    /// For each tensor, elements between neighbours of a row.
    pub(crate) steps: SmallVec<[usize; 2]>,
    /// The other axes.
    pub(crate) axes: Axes,
}

impl Rows {
    /// The rows of some tensors of the first one's shape; an error if it has no such axis.
    pub(crate) fn along(
        op: &'static str,
        axis: usize,
        tensors: &[&TensorPlace<'_>],
    ) -> Result<Rows, Unsupported> {
        let shape = tensors.first().map_or(&[][..], |tensor| tensor.shape);
        let Some(length) = shape.get(axis).copied() else {
            let reason = format!("axis {axis} of rank {}", shape.len());
            return Err(Unsupported { op, reason });
        };
        let without = |sizes: &[usize]| -> PerAxis {
            let others = sizes.iter().enumerate().filter(|(other, _)| *other != axis);
            others.map(|(_, size)| *size).collect()
        };
        let step = |tensor: &&TensorPlace<'_>| tensor.strides.get(axis).copied().unwrap_or(1);
        let strides: SmallVec<[PerAxis; 2]> =
            tensors.iter().map(|tensor| without(tensor.strides)).collect();
        let strides: SmallVec<[&[usize]; 2]> = strides.iter().map(|own| own.as_slice()).collect();
        let others = without(shape);
        let product = others.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
        let count = product.unwrap_or(usize::MAX);
        let steps = tensors.iter().map(step).collect();
        Ok(Rows { count, length, steps, axes: coalesce(&others, &strides) })
    }
}

#[cfg(test)]
mod tests {
    use minuend_ir::DType;

    use super::*;
    use crate::place::Region;

    #[test]
    fn the_other_axes_are_merged() {
        let (region, dtype, shape) = (Region::Arena, DType::F32, &[2, 5, 3, 4][..]);
        let tensor = |strides| TensorPlace { region, dtype, byte_offset: 0, shape, strides };
        let (dense, turned) = (tensor(&[60, 12, 4, 1]), tensor(&[60, 1, 20, 5]));
        let rows = Rows::along("softmax", 1, &[&dense, &turned]).unwrap();
        assert_eq!((rows.count, rows.length, rows.steps.as_slice()), (24, 5, &[12, 1][..]));
        assert_eq!(rows.axes.shape.as_slice(), [2, 12]);
        assert_eq!(rows.axes.strides[0].as_slice(), [60, 1]);
        assert_eq!(rows.axes.strides[1].as_slice(), [60, 5]);
        assert!(Rows::along("softmax", 4, &[&dense]).is_err());
    }

    #[test]
    fn rows_beyond_number_are_the_most() {
        let (region, dtype) = (Region::Arena, DType::F32);
        let (shape, strides) = (&[1 << 40, 1 << 40, 2][..], &[0, 0, 1][..]);
        let huge = TensorPlace { region, dtype, byte_offset: 0, shape, strides };
        assert_eq!(Rows::along("reduce", 2, &[&huge]).unwrap().count, usize::MAX);
    }
}
