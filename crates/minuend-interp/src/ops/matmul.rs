//! Matrix products.

use minuend_ir::ops::Matmul;

use crate::offsets::Offsets;
use crate::ops::{Computed, ResultType, reals};
use crate::tensor::{Data, Tensor};

/// `lhs [..., m, k] x rhs [..., k, n] -> [..., m, n]`; `rhs` is `[..., n, k]` if it is transposed.
pub(crate) fn matmul(op: Matmul, lhs: &Tensor, rhs: &Tensor, ty: &ResultType) -> Computed {
    let (left, right) = (reals(lhs)?, reals(rhs)?);
    let (left_outer, left_matrix) = lhs.shape().split_at(lhs.shape().len() - 2);
    let (right_outer, _) = rhs.shape().split_at(rhs.shape().len() - 2);
    let (outer, matrix) = ty.shape.split_at(ty.shape.len() - 2);
    let (m, k, n) = (left_matrix[0], left_matrix[1], matrix[1]);

    let mut product = vec![0.0; ty.elements];
    // Offsets over the outer axes count whole matrices.
    let matrices =
        Offsets::broadcast(left_outer, outer).zip(Offsets::broadcast(right_outer, outer));
    for (result, (a, b)) in matrices.enumerate() {
        let b = &right[b * k * n..(b + 1) * k * n];
        for row in 0..m {
            let a_row = &left[(a * m + row) * k..(a * m + row + 1) * k];
            let start = (result * m + row) * n;
            let result_row = &mut product[start..start + n];
            if op.transpose_rhs {
                row_by_columns(a_row, b, result_row);
            } else {
                row_by_rows(a_row, b, result_row);
            }
        }
    }
    Ok(Data::Reals(product))
}

/// `result[j] = sum over i of a[i] * b[j][i]`, `b` of as many rows as `result` has elements.
fn row_by_columns(a: &[f64], b: &[f64], result: &mut [f64]) {
    for (column, sum) in result.iter_mut().enumerate() {
        *sum = dot(a, &b[column * a.len()..(column + 1) * a.len()]);
    }
}

/// `result[j] = sum over i of a[i] * b[i][j]`, `b` of as many rows as `a` has elements.
fn row_by_rows(a: &[f64], b: &[f64], result: &mut [f64]) {
    let n = result.len();
    for (row, factor) in a.iter().enumerate() {
        for (sum, value) in result.iter_mut().zip(&b[row * n..(row + 1) * n]) {
            *sum += factor * value;
        }
    }
}

/// `sum of a[i] * b[i]`; 0 for no elements.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (x, y) in a.iter().zip(b) {
        sum += x * y;
    }
    sum
}
