//! In which order the axes of a copy are walked, and which copies are transpositions.

use std::cmp::Reverse;

use smallvec::SmallVec;

use crate::axes::{Axes, PerAxis, coalesce};

/// The merged axes of a copy, tensor 0 the source and tensor 1 the destination: in the order in which the
/// destination lies, so that neighbouring threads write neighbours.
pub(super) fn ordered(shape: &[usize], from: &[usize], to: &[usize]) -> Axes {
    let axes = shape.iter().zip(from).zip(to).map(|((size, from), to)| (*size, *from, *to));
    let mut axes: SmallVec<[(usize, usize, usize); 6]> =
        axes.filter(|(size, _, _)| *size != 1).collect();
    axes.sort_by_key(|(_, _, to)| Reverse(*to));
    let shape: PerAxis = axes.iter().map(|(size, _, _)| *size).collect();
    let from: PerAxis = axes.iter().map(|(_, from, _)| *from).collect();
    let to: PerAxis = axes.iter().map(|(_, _, to)| *to).collect();
    coalesce(&shape, &[&from, &to])
}

/// Matrices whose columns are dense in the source and whose rows are dense in the destination.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Transposition {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Elements of the source between neighbours of a row.
    pub(super) from_column_stride: usize,
    /// Elements of the destination between neighbours of a column.
    pub(super) to_row_stride: usize,
    /// The other axes, four at most, and their strides.
    pub(super) shape: PerAxis,
    pub(super) from_strides: PerAxis,
    pub(super) to_strides: PerAxis,
}

/// Rows and columns from which on tiles are filled well.
const LEAST: usize = 32;

/// Rows and columns up to which indices behind the last tile fit an `int`.
const MOST: usize = 1 << 30;

impl Transposition {
    /// What a copy's axes are as matrices; `None` if it is better copied as it is.
    pub(super) fn of(axes: &Axes) -> Option<Transposition> {
        let [from, to] = axes.strides.as_slice() else { return None };
        let column_axis = axes.rank().checked_sub(1)?;
        let row_axis = from.iter().position(|stride| *stride == 1)?;
        let (rows, columns) = (*axes.shape.get(row_axis)?, *axes.shape.get(column_axis)?);
        let is_matrix = row_axis != column_axis
            && to.get(column_axis) == Some(&1)
            && from.get(column_axis) != Some(&0)
            && axes.rank() <= 6
            && [rows, columns].iter().all(|size| (LEAST..MOST).contains(size));
        let others = |own: &PerAxis| {
            let own = own.iter().copied().enumerate();
            own.filter(|(axis, _)| *axis != row_axis && *axis != column_axis)
                .map(|(_, value)| value)
                .collect()
        };
        is_matrix.then(|| Transposition {
            rows,
            columns,
            from_column_stride: from[column_axis],
            to_row_stride: to[row_axis],
            shape: others(&axes.shape),
            from_strides: others(from),
            to_strides: others(to),
        })
    }
}
