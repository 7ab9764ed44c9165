//! Strided views of slices: what kernels read and write.
//!
//! Bounds are checked once, when a view is made; kernels then compute offsets without checks. An
//! output view is also checked to be injective, so that kernels may write its rows in parallel.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::KernelError;

/// The largest rank of a view.
pub const MAX_RANK: usize = 6;

/// Shape and element strides of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    rank: usize,
    shape: [usize; MAX_RANK],
    strides: [usize; MAX_RANK],
    /// Number of indices, `0` when any extent is.
    len: usize,
}

impl Layout {
    /// Checks that every index lies in a slice of `available` elements.
    fn new(shape: &[usize], strides: &[usize], available: usize) -> Result<Self, KernelError> {
        if shape.len() != strides.len() || shape.len() > MAX_RANK {
            return Err(KernelError::ViewRank {
                shape: shape.len(),
                strides: strides.len(),
                max: MAX_RANK,
            });
        }
        let bounds =
            || KernelError::Bounds { shape: shape.to_vec(), strides: strides.to_vec(), available };
        let empty = shape.contains(&0);
        let mut len = usize::from(!empty);
        let mut last = 0usize;
        if !empty {
            for (&extent, &stride) in shape.iter().zip(strides) {
                len = len.checked_mul(extent).ok_or_else(bounds)?;
                last = stride
                    .checked_mul(extent - 1)
                    .and_then(|reach| last.checked_add(reach))
                    .ok_or_else(bounds)?;
            }
            if last >= available {
                return Err(bounds());
            }
        }
        let mut layout =
            Self { rank: shape.len(), shape: [1; MAX_RANK], strides: [0; MAX_RANK], len };
        layout.shape[..shape.len()].copy_from_slice(shape);
        layout.strides[..shape.len()].copy_from_slice(strides);
        Ok(layout)
    }

    /// Whether distinct indices name distinct elements. The test is sufficient and covers every
    /// slice, transpose and padding of a dense tensor: in order of stride, each axis steps beyond
    /// everything that the axes before it reach.
    fn is_injective(&self) -> bool {
        if self.len == 0 {
            return true;
        }
        let mut axes: Vec<(usize, usize)> = (0..self.rank)
            .filter(|&axis| self.shape[axis] > 1)
            .map(|axis| (self.strides[axis], self.shape[axis]))
            .collect();
        axes.sort_unstable();
        let mut reach = 0;
        for (stride, extent) in axes {
            if stride <= reach {
                return false;
            }
            // No overflow: the constructor has added up the same products.
            reach += stride * (extent - 1);
        }
        true
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape[..self.rank]
    }

    pub(super) fn strides(&self) -> &[usize] {
        &self.strides[..self.rank]
    }

    /// Rows along the last axis: the number of indices of the other axes.
    fn rows(&self) -> usize {
        match self.shape().split_last() {
            Some((_, leading)) => leading.iter().product(),
            None => 1,
        }
    }

    /// Extent of the last axis; `1` for a scalar.
    fn row_len(&self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }

    /// Offset of the first element of row `row`, rows counted in row-major order of the leading
    /// axes.
    fn row_offset(&self, mut row: usize) -> usize {
        let mut offset = 0;
        for axis in (0..self.rank.saturating_sub(1)).rev() {
            offset += row % self.shape[axis] * self.strides[axis];
            row /= self.shape[axis];
        }
        offset
    }

    fn check_rank(
        &self,
        kernel: &'static str,
        operand: &'static str,
        rank: usize,
    ) -> Result<(), KernelError> {
        if self.rank != rank {
            return Err(KernelError::Rank { kernel, operand, found: self.rank, expected: rank });
        }
        Ok(())
    }

    fn check_shape(
        &self,
        kernel: &'static str,
        operand: &'static str,
        expected: &[usize],
    ) -> Result<(), KernelError> {
        if self.shape() != expected {
            return Err(KernelError::Shape {
                kernel,
                operand,
                found: self.shape().to_vec(),
                expected: expected.to_vec(),
            });
        }
        Ok(())
    }

    fn check_dense_rows(
        &self,
        kernel: &'static str,
        operand: &'static str,
    ) -> Result<(), KernelError> {
        match (self.shape().last(), self.strides().last()) {
            (Some(&extent), Some(&stride)) if extent > 1 && stride != 1 => {
                Err(KernelError::LastAxis { kernel, operand, found: stride })
            }
            _ => Ok(()),
        }
    }
}

/// Row-major strides of a dense tensor of this shape.
pub fn dense_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

/// A strided view that is read. Strides are in elements; stride 0 broadcasts an axis.
#[derive(Debug, Clone, Copy)]
pub struct StridedRef<'a, T> {
    data: &'a [T],
    layout: Layout,
}

impl<'a, T> StridedRef<'a, T> {
    /// A view of `data`.
    ///
    /// # Errors
    /// [`KernelError::ViewRank`], or [`KernelError::Bounds`] when an index leaves `data`.
    pub fn new(data: &'a [T], shape: &[usize], strides: &[usize]) -> Result<Self, KernelError> {
        Ok(Self { data, layout: Layout::new(shape, strides, data.len())? })
    }

    /// A dense row-major view of the first elements of `data`.
    ///
    /// # Errors
    /// As [`StridedRef::new`].
    pub fn dense(data: &'a [T], shape: &[usize]) -> Result<Self, KernelError> {
        Self::new(data, shape, &dense_strides(shape))
    }

    /// Extents of the axes.
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    /// Element strides of the axes.
    pub fn strides(&self) -> &[usize] {
        self.layout.strides()
    }

    pub(super) fn row_len(&self) -> usize {
        self.layout.row_len()
    }

    /// The slice behind the view; offsets computed from indices and strides lie inside it.
    pub(super) fn data(&self) -> &'a [T] {
        self.data
    }

    /// Row `row` of the leading axes in row-major order. The last axis must be dense.
    pub(super) fn row(&self, row: usize) -> &'a [T] {
        let offset = self.layout.row_offset(row);
        &self.data[offset..offset + self.layout.row_len()]
    }

    pub(super) fn check_rank(
        &self,
        kernel: &'static str,
        operand: &'static str,
        rank: usize,
    ) -> Result<(), KernelError> {
        self.layout.check_rank(kernel, operand, rank)
    }

    pub(super) fn check_shape(
        &self,
        kernel: &'static str,
        operand: &'static str,
        expected: &[usize],
    ) -> Result<(), KernelError> {
        self.layout.check_shape(kernel, operand, expected)
    }

    pub(super) fn check_dense_rows(
        &self,
        kernel: &'static str,
        operand: &'static str,
    ) -> Result<(), KernelError> {
        self.layout.check_dense_rows(kernel, operand)
    }
}

/// A strided view that is written. Every index names an element of its own.
#[derive(Debug)]
pub struct StridedMut<'a, T> {
    data: &'a mut [T],
    layout: Layout,
}

impl<'a, T> StridedMut<'a, T> {
    /// A view of `data` that is written.
    ///
    /// # Errors
    /// As [`StridedRef::new`], and [`KernelError::Overlap`] when two indices may name one element.
    pub fn new(data: &'a mut [T], shape: &[usize], strides: &[usize]) -> Result<Self, KernelError> {
        let layout = Layout::new(shape, strides, data.len())?;
        if !layout.is_injective() {
            return Err(KernelError::Overlap { shape: shape.to_vec(), strides: strides.to_vec() });
        }
        Ok(Self { data, layout })
    }

    /// A dense row-major view of the first elements of `data`.
    ///
    /// # Errors
    /// As [`StridedMut::new`].
    pub fn dense(data: &'a mut [T], shape: &[usize]) -> Result<Self, KernelError> {
        let strides = dense_strides(shape);
        Self::new(data, shape, &strides)
    }

    /// Extents of the axes.
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    /// Element strides of the axes.
    pub fn strides(&self) -> &[usize] {
        self.layout.strides()
    }

    pub(super) fn check_rank(
        &self,
        kernel: &'static str,
        operand: &'static str,
        rank: usize,
    ) -> Result<(), KernelError> {
        self.layout.check_rank(kernel, operand, rank)
    }

    pub(super) fn check_shape(
        &self,
        kernel: &'static str,
        operand: &'static str,
        expected: &[usize],
    ) -> Result<(), KernelError> {
        self.layout.check_shape(kernel, operand, expected)
    }

    pub(super) fn check_dense_rows(
        &self,
        kernel: &'static str,
        operand: &'static str,
    ) -> Result<(), KernelError> {
        self.layout.check_dense_rows(kernel, operand)
    }

    /// Gives the view to parallel tasks, each of which writes elements of its own.
    pub(super) fn into_shared(self) -> SharedOut<'a, T> {
        SharedOut { data: self.data.as_mut_ptr(), layout: self.layout, lifetime: PhantomData }
    }
}

/// An output view that several tasks write at once.
#[derive(Debug)]
pub(super) struct SharedOut<'a, T> {
    data: *mut T,
    layout: Layout,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a `SharedOut` is an exclusive borrow of its slice; its methods that write are unsafe and
// ask their callers to keep to disjoint elements, so sharing it hands out `&mut T` of distinct
// elements, which is sound where `T` may be sent.
unsafe impl<T: Send> Send for SharedOut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedOut<'_, T> {}

impl<T: Send> SharedOut<'_, T> {
    /// Rows along the last axis.
    pub(super) fn rows(&self) -> usize {
        self.layout.rows()
    }

    pub(super) fn strides(&self) -> &[usize] {
        self.layout.strides()
    }

    /// Pointer to the element at `offset` elements from the view's start.
    pub(super) fn pointer(&self, offset: usize) -> *mut T {
        self.data.wrapping_add(offset)
    }

    /// Row `row` of the leading axes in row-major order.
    ///
    /// # Safety
    /// The last axis is dense, `row < self.rows()`, and no other live borrow is of this row.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn row_mut(&self, row: usize) -> &mut [T] {
        // SAFETY: the constructor checked that the whole row lies in the slice, injectivity makes
        // it disjoint from every other row, and the caller has no second borrow of it.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.data.add(self.layout.row_offset(row)),
                self.layout.row_len(),
            )
        }
    }

    /// Calls `write(row, slice)` for every row, in parallel tasks of at least `min_rows` rows. The
    /// last axis must be dense (`check_dense_rows`).
    pub(super) fn for_each_row(self, min_rows: usize, write: impl Fn(usize, &mut [T]) + Sync) {
        if self.layout.len == 0 {
            return;
        }
        let rows = self.rows();
        let one = |row| {
            // SAFETY: each row number is visited once, so no two borrows are of the same row.
            write(row, unsafe { self.row_mut(row) });
        };
        if rows <= min_rows {
            (0..rows).for_each(one);
        } else {
            (0..rows).into_par_iter().with_min_len(min_rows.max(1)).for_each(one);
        }
    }
}

/// Rows per task of a row-wise kernel, so that a task is worth its scheduling.
pub(super) fn rows_per_task(row_len: usize) -> usize {
    const ELEMENTS_PER_TASK: usize = 8192;
    (ELEMENTS_PER_TASK / row_len.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_bounded() {
        let data = [0.0f32; 12];
        assert!(StridedRef::new(&data, &[3, 4], &[4, 1]).is_ok());
        assert!(StridedRef::new(&data, &[4, 4], &[4, 1]).is_err());
        assert!(StridedRef::new(&data, &[1000, 4], &[0, 1]).is_ok());
        assert!(StridedRef::new(&data, &[0, 4000], &[9000, 1]).is_ok());
        assert!(StridedRef::new(&data, &[usize::MAX, 2], &[usize::MAX, 1]).is_err());
        assert!(StridedRef::new(&data, &[2], &[1, 1]).is_err());
        assert!(StridedRef::new(&data, &[1; 7], &[1; 7]).is_err());
        assert!(StridedRef::new(&data[..0], &[], &[]).is_err());
    }

    #[test]
    fn writes_are_injective() {
        let mut data = [0.0f32; 24];
        for (shape, strides, accepted) in [
            (&[2usize, 3, 4][..], &[12usize, 4, 1][..], true),
            (&[2, 4, 3], &[12, 1, 4], true),
            (&[2, 1, 3], &[12, 0, 1], true),
            (&[2, 3], &[0, 1], false),
            (&[2, 3], &[2, 1], false),
            (&[3, 2], &[3, 2], true),
            (&[3, 3], &[2, 1], false),
            (&[0, 2], &[0, 0], true),
        ] {
            assert_eq!(StridedMut::new(&mut data, shape, strides).is_ok(), accepted, "{shape:?}");
        }
    }

    #[test]
    fn every_row_is_visited_once() {
        let mut data = vec![0u32; 40];
        let out = StridedMut::new(&mut data, &[2, 3, 4], &[20, 5, 1]).unwrap();
        out.into_shared().for_each_row(1, |row, slice| {
            slice.iter_mut().for_each(|v| *v += row as u32 + 1);
        });
        for (i, v) in data.iter().enumerate() {
            let (outer, rest) = (i / 20, i % 20);
            let expected = if rest % 5 < 4 && rest < 15 { outer * 3 + rest / 5 + 1 } else { 0 };
            assert_eq!(*v as usize, expected, "element {i}");
        }
    }
}
