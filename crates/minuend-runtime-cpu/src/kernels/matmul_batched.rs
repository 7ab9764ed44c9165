//! Products of batches of f32 matrices.

use rayon::prelude::*;

use super::gemm_call::{Matrix, MatrixOut, gemm_into};
use super::{KernelError, StridedMut, StridedRef};

/// Multiplications that a task has at least, where rows can be split.
const PRODUCTS_PER_TASK: usize = 1 << 21;

/// `out[.., m, n] = lhs[.., m, k] rhs[.., k, n]`, or `rhs[.., n, k]` with `rhs_transposed`. The
/// leading axes are the batch; all three views have the same ones, broadcast by stride 0. The two
/// matrix axes may have any strides as well.
///
/// # Errors
/// Ranks below 2 or unequal, or a shape that does not fit the others.
pub fn matmul_batched(
    lhs: StridedRef<'_, f32>,
    rhs: StridedRef<'_, f32>,
    rhs_transposed: bool,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    const KERNEL: &str = "matmul_batched";
    let rank = out.shape().len();
    out.check_rank(KERNEL, "out", rank.max(2))?;
    lhs.check_rank(KERNEL, "lhs", rank)?;
    rhs.check_rank(KERNEL, "rhs", rank)?;
    let (batch_shape, matrix) = out.shape().split_at(rank - 2);
    let (m, n) = (matrix[0], matrix[1]);
    let k = lhs.shape()[rank - 1];
    let with_batch = |matrix: [usize; 2]| [batch_shape, &matrix[..]].concat();
    lhs.check_shape(KERNEL, "lhs", &with_batch([m, k]))?;
    rhs.check_shape(KERNEL, "rhs", &with_batch(if rhs_transposed { [n, k] } else { [k, n] }))?;
    let batches: usize = if batch_shape.contains(&0) { 0 } else { batch_shape.iter().product() };
    if batches == 0 || m == 0 || n == 0 {
        return Ok(());
    }
    let batch_shape = batch_shape.to_vec();
    let offset = |mut index: usize, strides: &[usize]| {
        let mut offset = 0;
        for (extent, stride) in batch_shape.iter().zip(strides).rev() {
            offset += index % extent * stride;
            index /= extent;
        }
        offset
    };
    let products_per_row = n.saturating_mul(k).max(1);
    let enough = PRODUCTS_PER_TASK.div_ceil(products_per_row);
    let split = (4 * rayon::current_num_threads()).div_ceil(batches);
    let rows = m.div_ceil(split).max(enough).min(m);
    let parts = m.div_ceil(rows);
    let batches_per_task = (PRODUCTS_PER_TASK / products_per_row.saturating_mul(rows)).max(1);
    let out = out.into_shared();
    (0..batches * parts).into_par_iter().with_min_len(batches_per_task).for_each(|task| {
        let (batch, first) = (task / parts, task % parts * rows);
        let (l, r, o) = (lhs.strides(), rhs.strides(), out.strides());
        let (k_axis, n_axis) =
            if rhs_transposed { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
        // With k = 0 the operands may have no elements.
        let from = offset(batch, l) + first * l[rank - 2];
        let lhs = Matrix {
            data: lhs.data().get(from..).unwrap_or(&[]),
            row_stride: l[rank - 2],
            col_stride: l[rank - 1],
        };
        let rhs = Matrix {
            data: rhs.data().get(offset(batch, r)..).unwrap_or(&[]),
            row_stride: r[k_axis],
            col_stride: r[n_axis],
        };
        let to = MatrixOut {
            data: out.pointer(offset(batch, o) + first * o[rank - 2]),
            row_stride: o[rank - 2],
            col_stride: o[rank - 1],
        };
        // SAFETY: the output view is injective and in bounds, and each task has a batch entry or
        // a range of its rows to itself.
        unsafe { gemm_into(to, lhs, rhs, [rows.min(m - first), n, k]) };
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::test_values::{Source, in_pool};
    use super::*;

    fn check(m: usize, n: usize, k: usize, transposed: bool, broadcast: bool, column_major: bool) {
        let mut source = Source::new(2);
        let (outer, inner) = (2, 3);
        let lhs = source.floats(outer * inner * m * k, 1.0);
        let rhs = source.floats(outer * inner * n * k, 1.0);
        let mut out = vec![0.0; outer * inner * m * n];
        let lhs_strides = [inner * m * k, m * k, k, 1];
        let rhs_strides = match (broadcast, transposed) {
            (true, true) => [n * k, 0, k, 1],
            (true, false) => [n * k, 0, n, 1],
            (false, true) => [inner * n * k, n * k, k, 1],
            (false, false) => [inner * n * k, n * k, n, 1],
        };
        let out_strides =
            if column_major { [inner * m * n, m * n, 1, m] } else { [inner * m * n, m * n, n, 1] };
        let rhs_shape = if transposed { [outer, inner, n, k] } else { [outer, inner, k, n] };
        in_pool(2, || {
            matmul_batched(
                StridedRef::new(&lhs, &[outer, inner, m, k], &lhs_strides).unwrap(),
                StridedRef::new(&rhs, &rhs_shape, &rhs_strides).unwrap(),
                transposed,
                StridedMut::new(&mut out, &[outer, inner, m, n], &out_strides).unwrap(),
            )
            .unwrap();
        });
        for b in 0..outer * inner {
            let at = |strides: [usize; 4], i: usize, j: usize| {
                b / inner * strides[0] + b % inner * strides[1] + i * strides[2] + j * strides[3]
            };
            for i in 0..m {
                for j in 0..n {
                    let product = |c: usize| {
                        let r =
                            if transposed { at(rhs_strides, j, c) } else { at(rhs_strides, c, j) };
                        f64::from(lhs[at(lhs_strides, i, c)]) * f64::from(rhs[r])
                    };
                    let exact: f64 = (0..k).map(product).sum();
                    let size: f64 = (0..k).map(|c| product(c).abs()).sum();
                    let error = (f64::from(out[at(out_strides, i, j)]) - exact).abs();
                    // A sum of k terms in f32 in any order.
                    assert!(error <= (k + 2) as f64 * f64::from(f32::EPSILON) * size);
                }
            }
        }
    }

    #[test]
    fn strides_and_broadcasts() {
        for (m, n, k) in [(1, 1, 1), (1, 40, 33), (17, 5, 8), (200, 129, 70), (3, 0, 2), (3, 2, 0)]
        {
            for transposed in [false, true] {
                for broadcast in [false, true] {
                    check(m, n, k, transposed, broadcast, false);
                    check(m, n, k, transposed, broadcast, true);
                }
            }
        }
    }

    #[test]
    fn plain_matrices_and_wrong_shapes() {
        let data = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut out = [0.0f32; 4];
        let view = |shape: &[usize]| StridedRef::dense(&data, shape).unwrap();
        let mut run = |l: &[usize], r: &[usize], o: &[usize]| {
            matmul_batched(view(l), view(r), false, StridedMut::dense(&mut out, o).unwrap())
        };
        assert!(run(&[2, 3], &[2, 3], &[2, 2]).is_err());
        assert!(run(&[1, 2, 3], &[3, 2], &[2, 2]).is_err());
        assert!(run(&[3], &[3], &[3]).is_err());
        assert_eq!(run(&[2, 3], &[3, 2], &[2, 2]), Ok(()));
        assert_eq!(out, [22.0, 28.0, 49.0, 64.0]);
    }
}
