//! One call of the `gemm` crate on the calling thread.

/// An f32 matrix in memory: element `(i, j)` is at `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl Matrix<'_> {
    /// Whether `rows x cols` elements lie in the slice.
    fn holds(&self, rows: usize, cols: usize) -> bool {
        rows == 0
            || cols == 0
            || (rows - 1) * self.row_stride + (cols - 1) * self.col_stride < self.data.len()
    }
}

/// Where a product goes: element `(i, j)` at `data + i * row_stride + j * col_stride`.
#[derive(Clone, Copy)]
pub(super) struct MatrixOut {
    pub(super) data: *mut f32,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

/// `out[m, n] = lhs[m, k] rhs[k, n]`; zero where `k` is.
///
/// # Safety
/// The `m x n` elements of `out` are in one live allocation, distinct, outside both operands, and
/// not accessed by any other thread during the call.
pub(super) unsafe fn gemm_into(
    out: MatrixOut,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    [m, n, k]: [usize; 3],
) {
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        for i in 0..m {
            for j in 0..n {
                // SAFETY: an element of `out`, writable as the caller guarantees.
                unsafe { out.data.add(i * out.row_stride + j * out.col_stride).write(0.0) };
            }
        }
        return;
    }
    assert!(lhs.holds(m, k) && rhs.holds(k, n));
    // Strides of a slice or of an allocation fit in `isize`; larger ones belong to axes of one
    // element and are never stepped over.
    let stride = |stride: usize| isize::try_from(stride).unwrap_or(0);
    // SAFETY: the operands hold their extents, as asserted; `out` as the caller guarantees. The old
    // contents of `out` are not read (`read_dst` is false), so `alpha` is unused.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data,
            stride(out.col_stride),
            stride(out.row_stride),
            false,
            lhs.data.as_ptr(),
            stride(lhs.col_stride),
            stride(lhs.row_stride),
            rhs.data.as_ptr(),
            stride(rhs.col_stride),
            stride(rhs.row_stride),
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
