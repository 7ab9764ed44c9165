//! Reductions and softmax along one axis.

use minuend_ir::ops::{ArgMax, Reduce, ReduceKind, Softmax};

use crate::offsets::AxisSplit;
use crate::ops::elementwise::maximum;
use crate::ops::{Computed, reals};
use crate::tensor::{Data, Tensor};

/// One value for the elements of the axis.
pub(crate) fn reduce(op: Reduce, x: &Tensor) -> Computed {
    let values = reals(x)?;
    let split = AxisSplit::new(x.shape(), op.axis);
    let mut result = Vec::with_capacity(split.outer * split.inner);
    for outer in 0..split.outer {
        for inner in 0..split.inner {
            let row = axis_values(values, split, outer, inner);
            result.push(match op.kind {
                ReduceKind::Sum => sum(&row),
                ReduceKind::Mean => sum(&row) / split.size as f64,
                ReduceKind::Max => largest(&row),
            });
        }
    }
    Ok(Data::Reals(result))
}

/// Index of the largest finite element of the axis.
pub(crate) fn arg_max(op: ArgMax, x: &Tensor) -> Computed {
    let values = reals(x)?;
    let split = AxisSplit::new(x.shape(), op.axis);
    let mut result = Vec::with_capacity(split.outer * split.inner);
    for outer in 0..split.outer {
        for inner in 0..split.inner {
            result.push(index_of_largest(&axis_values(values, split, outer, inner)));
        }
    }
    Ok(Data::Ints(result))
}

/// `e^(x - max) / sum e^(x - max)` over the axis.
pub(crate) fn softmax(op: Softmax, x: &Tensor) -> Computed {
    let values = reals(x)?;
    let split = AxisSplit::new(x.shape(), op.axis);
    let mut result = vec![0.0; values.len()];
    for outer in 0..split.outer {
        for inner in 0..split.inner {
            let mut row = axis_values(values, split, outer, inner);
            softmax_row(&mut row);
            for (index, value) in row.into_iter().enumerate() {
                result[(outer * split.size + index) * split.inner + inner] = value;
            }
        }
    }
    Ok(Data::Reals(result))
}

/// Replaces scores by `e^(score - max) / sum e^(score - max)`.
pub(crate) fn softmax_row(scores: &mut [f64]) {
    let largest = largest(scores);
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
    }
    let total = sum(scores);
    for weight in scores {
        *weight /= total;
    }
}

fn axis_values(values: &[f64], split: AxisSplit, outer: usize, inner: usize) -> Vec<f64> {
    let at = |index| (outer * split.size + index) * split.inner + inner;
    (0..split.size).map(|index| values[at(index)]).collect()
}

/// 0 for no values.
fn sum(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, value| sum + value)
}

/// Of equals the lowest index; -1 if no value is finite.
fn index_of_largest(values: &[f64]) -> i64 {
    let finite = (0i64..).zip(values).filter(|(_, value)| value.is_finite());
    let best = finite.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(-1, |(index, _)| index)
}

/// `-inf` for no values, NaN if any is NaN.
fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, maximum)
}
